/* A syslogd that does nothing but take every datagram at once, count it, and keep it: sink.py compiles it.
   Arguments: the socket's path, the file for the text, the file of 8 bytes for the count. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { MANY = 256, SIZE = 9000 };
static char text[MANY][SIZE];
static volatile sig_atomic_t over;

static void end(int number) { over = number; }

int main(int count, char **argument) {
    struct sockaddr_un place = {.sun_family = AF_UNIX};
    struct mmsghdr messages[MANY] = {0};
    struct iovec parts[MANY];
    if (count != 4) return 2;
    strncpy(place.sun_path, argument[1], sizeof place.sun_path - 1);
    int log = socket(AF_UNIX, SOCK_DGRAM, 0);
    if (log < 0 || bind(log, (struct sockaddr *)&place, sizeof place) || chmod(argument[1], 0666)) return 1;
    FILE *out = fopen(argument[2], "wb");
    int counter = open(argument[3], O_RDWR);
    volatile uint64_t *taken = mmap(0, 8, PROT_READ | PROT_WRITE, MAP_SHARED, counter, 0);
    if (!out || taken == MAP_FAILED) return 1;
    setvbuf(out, 0, _IOFBF, 1 << 20);
    struct sigaction action = {.sa_handler = end}; /* no SA_RESTART: it ends the wait for a message */
    sigaction(SIGTERM, &action, 0);
    for (int i = 0; i < MANY; i++) {
        parts[i] = (struct iovec){text[i], SIZE - 1};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
    }
    puts("");
    fflush(stdout);
    while (!over) {
        int came = recvmmsg(log, messages, MANY, MSG_WAITFORONE, 0);
        for (int i = 0; i < came; i++) {
            text[i][messages[i].msg_len] = '\n';
            fwrite(text[i], 1, messages[i].msg_len + 1, out);
        }
        if (came > 0) *taken += came;
    }
    return fclose(out) != 0;
}
