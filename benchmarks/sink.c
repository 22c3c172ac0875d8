/* A syslogd that only reads datagrams, counts them and writes them to a file. sink.py compiles it.
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
static volatile sig_atomic_t stopped;

static void end(int number) { stopped = number; }

int main(int count, char **argument) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct mmsghdr messages[MANY] = {0};
    struct iovec parts[MANY];
    if (count != 4) return 2;
    strncpy(address.sun_path, argument[1], sizeof address.sun_path - 1);
    int log = socket(AF_UNIX, SOCK_DGRAM, 0);
    if (log < 0 || bind(log, (struct sockaddr *)&address, sizeof address) || chmod(argument[1], 0666)) return 1;
    FILE *out = fopen(argument[2], "wb");
    int counter = open(argument[3], O_RDWR);
    volatile uint64_t *total = mmap(0, 8, PROT_READ | PROT_WRITE, MAP_SHARED, counter, 0);
    if (!out || total == MAP_FAILED) return 1;
    setvbuf(out, 0, _IOFBF, 1 << 20);
    struct sigaction action = {.sa_handler = end}; /* without SA_RESTART it ends the wait for a message */
    sigaction(SIGTERM, &action, 0);
    for (int i = 0; i < MANY; i++) {
        parts[i] = (struct iovec){text[i], SIZE - 1};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
    }
    puts("");
    fflush(stdout);
    while (!stopped) {
        int received = recvmmsg(log, messages, MANY, MSG_WAITFORONE, 0);
        for (int i = 0; i < received; i++) {
            text[i][messages[i].msg_len] = '\n';
            fwrite(text[i], 1, messages[i].msg_len + 1, out);
        }
        if (received > 0) *total += received;
    }
    return fclose(out) != 0;
}
