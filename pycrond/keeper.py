"""The keeper: stands between init and the daemon, starts it, and starts it again when it dies.

A program of its own that imports nothing of ours and does almost nothing, so that it does not die:

    python -I -S keeper.py LOCK LISTEN WAITER SOCKET DAEMON [ARGUMENT...]

LOCK is the descriptor of STATE/lock, held as long as the keeper or the daemon lives. LISTEN is the
listening socket at the path SOCKET, where `start` and `stop` ask. WAITER is the socket of the `start`
that made us, or -1.

The daemon speaks to us in datagrams, the first byte telling what: R it is ready, and its pid; F it
failed, and why; S a planned stop has begun. R and F go on to everyone who waits for a start. A `start`
that comes later gets A and the pid of the daemon that is there.
"""

import os
import select
import signal
import socket
import sys
import time

PAUSE_FIRST, PAUSE_MOST = 0.2, 10.0  # seconds between starts of a daemon that dies before it is ready
PASSED_ON = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGUSR2)
WANTED = (*PASSED_ON, signal.SIGCHLD)
REQUEST_MOST, REQUEST_TIME = 65536, 1.0  # bytes and seconds for a request: the daemon's arguments


class Keeper:
    """One daemon, who waits for it, and when to start it again. Times are CLOCK_MONOTONIC seconds."""

    def __init__(self, lock: int, listener: socket.socket, argv: list[str]) -> None:
        self.lock, self.listener, self.argv = lock, listener, argv
        self.waiters: list[socket.socket] = []  # whose start this is: to be told how it went
        self.others: list[socket.socket] = []  # who asked for the same meanwhile
        self.stoppers: list[socket.socket] = []  # held open: they wait for our end
        self.channel: socket.socket | None = None  # to the daemon
        self.daemon = 0  # its pid, 0 while there is none
        self.ready = b""  # the pid, once the daemon has said that it is ready
        self.ever_ready = self.stopping = False
        self.pause = self.start_at = 0.0
        self.ending = ""  # how the daemon before this one ended
        self.status = -1  # the exit status, once there is nothing left to keep

    def run(self, wakeup: int) -> int:
        """Until the daemon has ended for good; its exit status."""
        while self.status < 0:
            if not self.daemon and time.monotonic() >= self.start_at:
                self.spawn()
            sources = {
                wakeup: lambda: self.signals(os.read(wakeup, 4096)),
                self.listener.fileno(): self.answer,
            }
            if self.channel:
                sources[self.channel.fileno()] = self.listen
            wait = None if self.daemon else max(0.0, self.start_at - time.monotonic())
            for number in select.select(sources, [], [], wait)[0]:
                sources[number]()
        return self.status

    def spawn(self) -> None:
        self.channel, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel.setblocking(False)
        its.set_inheritable(True)
        argv = [*self.argv, f"--keeper={its.fileno()}", f"--lock={self.lock}", f"--after={self.ending}"]
        try:  # with the signals blocked, for until it has its handlers they would kill it
            self.daemon = os.posix_spawn(argv[0], argv, os.environ, setsigmask=WANTED)
        except OSError as error:
            self.tell(f"Fcannot start {argv[0]}: {error.strerror}".encode())
            self.ended(70)
        its.close()

    def listen(self) -> None:
        """What the daemon says, until it has nothing more to say for now, or ever."""
        while self.channel:
            try:
                said = self.channel.recv(REQUEST_MOST)
            except BlockingIOError:
                return
            except OSError:
                said = b""
            if said == b"S":
                self.stopping = True
            elif said:
                self.tell(said)
            else:
                self.channel.close()
                self.channel = None
            if said.startswith(b"R"):
                self.ready, self.ever_ready, self.pause = said[1:], True, 0.0

    def tell(self, said: bytes) -> None:
        """How the start went, to each who waits for it."""
        while self.waiters:
            reply(self.waiters.pop(), said)
        while self.others:
            reply(self.others.pop(), b"A" + said[1:] if said.startswith(b"R") else said)

    def signals(self, numbers: bytes) -> None:
        for number in numbers:
            self.stopping |= number in {signal.SIGTERM, signal.SIGINT}
            if number == signal.SIGCHLD:
                self.reap()
            else:
                self.pass_on(number)

    def pass_on(self, number: int) -> None:
        if self.daemon:
            os.kill(self.daemon, number)
        elif self.stopping:
            self.status = 0

    def reap(self) -> None:
        """The daemon's end, and those of orphans of its jobs, which come to us as their subreaper."""
        try:
            while (child := os.waitpid(-1, os.WNOHANG))[0]:
                if child[0] == self.daemon:
                    self.listen()
                    self.ended(os.waitstatus_to_exitcode(child[1]))
        except ChildProcessError:
            return

    def ended(self, code: int) -> None:
        """The daemon is gone: end with it, or start it again after a pause."""
        self.daemon = 0
        self.ending = f"signal {-code}" if code < 0 else f"exit status {code}"
        self.tell(f"Fthe daemon ended with {self.ending} before it was ready".encode())
        if self.stopping or not self.ever_ready:
            self.status = 128 - code if code < 0 else code
            return
        self.pause = min(2 * self.pause, PAUSE_MOST) if self.pause and not self.ready else PAUSE_FIRST
        self.ready = b""
        self.start_at = time.monotonic() + self.pause

    def answer(self) -> None:
        """`stop`, whose caller waits for our end, or `start` with the daemon's arguments."""
        client, _ = self.listener.accept()
        client.settimeout(REQUEST_TIME)
        try:
            request, *argv = client.recv(REQUEST_MOST).decode("utf-8", "surrogateescape").split("\0")
        except OSError:
            request, argv = "", []
        if request == "stop":
            self.stopping = True
            self.stoppers.append(client)
            self.pass_on(signal.SIGTERM)
        elif request == "start" and self.ready:
            reply(client, b"A" + self.ready)
        elif request == "start" and self.daemon and not self.stopping:
            self.others.append(client)
        elif request == "start" and not self.stopping:
            self.waiters.append(client)
            self.argv, self.start_at = argv, 0.0


def reply(client: socket.socket, said: bytes) -> None:
    client.setblocking(False)
    try:  # noqa: SIM105 -- contextlib would be a tenth of our memory
        client.sendall(said + b"\n")
    except OSError:
        pass  # it has gone away, which is no matter
    client.close()


def main(argv: list[str]) -> int:
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for each in WANTED:
        signal.signal(each, lambda *_: None)
    listener = socket.socket(fileno=int(argv[2]))
    listener.set_inheritable(False)
    keeper = Keeper(int(argv[1]), listener, argv[5:])
    if int(argv[3]) >= 0:
        keeper.waiters.append(socket.socket(fileno=int(argv[3])))
        keeper.waiters[0].set_inheritable(False)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, WANTED)
    status = keeper.run(reader)
    os.unlink(argv[4])  # before the lock goes with us: a `start` that finds no socket tries the lock again
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv))
