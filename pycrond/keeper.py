"""The keeper: stands between init and the daemon, starts it, and starts it again when it dies.

A program of its own that imports nothing of ours and does almost nothing, so that it does not die:

    python -I -S keeper.py LOCK LISTEN WAITER SOCKET DAEMON [ARGUMENT...]

LOCK is the descriptor of STATE/lock, held as long as the keeper or the daemon lives. LISTEN is the
listening socket at the path SOCKET, where `start` and `stop` ask. WAITER is the pipe of the `start` that
made us, or -1.

The daemon speaks to us in datagrams, the first byte telling what: R it is ready, and its pid; F it
failed, and why; S a planned stop has begun. R and F go on, as a line, to everyone who waits for a start.
A `start` that comes later gets A and the pid of the daemon that is there.
"""

import os
import select
import signal
import socket
import sys
import time

PAUSE_FIRST, PAUSE_MOST = 0.2, 10.0  # seconds between two starts of a daemon that dies before it is ready
PASSED_ON = {signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGUSR2}
WANTED = [*PASSED_ON, signal.SIGCHLD]
REQUEST_MOST = 65536  # bytes of a request: the daemon's arguments


class Keeper:
    """One daemon, who waits for it, and when to start it again. Times are CLOCK_MONOTONIC seconds."""

    def __init__(self, lock: int, listener: socket.socket, waiter: int, arguments: list[str]) -> None:
        self.lock, self.listener, self.arguments = lock, listener, arguments
        self.waiters = [os.fdopen(waiter, "wb", 0)] if waiter >= 0 else []
        self.clients: dict[int, socket.socket] = {}  # connected, yet to say what they want
        self.stoppers: list[socket.socket] = []  # each waits for our end
        self.channel: socket.socket | None = None
        self.daemon = 0  # its pid, 0 while there is none
        self.ready = b""  # the pid, once the daemon has said that it is ready
        self.ever_ready = self.stopping = False
        self.pause, self.start_at, self.ending = 0.0, 0.0, ""
        self.status = -1  # the exit status, once there is nothing left to keep

    def run(self, wakeup: int) -> int:
        """Until the daemon has ended for good; its exit status."""
        while self.status < 0:
            if not self.daemon and time.monotonic() >= self.start_at:
                self.spawn()
            poll = select.poll()
            sources = {wakeup: lambda: self.signals(wakeup), self.listener.fileno(): self.accept}
            if self.channel:
                sources[self.channel.fileno()] = self.listen
            for number in self.clients:
                sources[number] = lambda number=number: self.answer(self.clients[number])  # type: ignore[misc] # mypy #8127
            for number in sources:
                poll.register(number, select.POLLIN)
            wait = None if self.daemon else max(0.0, self.start_at - time.monotonic()) * 1000
            for number, _ in poll.poll(wait):
                sources[number]()
        return self.status

    def spawn(self) -> None:
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        its.set_inheritable(True)
        extra = [f"--keeper={its.fileno()}", f"--lock={self.lock}", f"--after={self.ending}"]
        try:
            # With the signals blocked, for until it has its handlers they would kill it.
            self.daemon = os.posix_spawn(
                self.arguments[0], self.arguments + extra, os.environ, setsigmask=WANTED
            )
            self.channel = ours
            ours.setblocking(False)
        except OSError as error:
            self.tell(b"F", f"cannot start {self.arguments[0]}: {error.strerror}".encode())
            self.ended(70)
        its.close()

    def listen(self) -> None:
        """What the daemon says."""
        while self.channel:
            try:
                said = self.channel.recv(REQUEST_MOST)
            except BlockingIOError:
                return
            except OSError:
                said = b""
            if not said:  # its end is closed: it is about to die
                self.channel.close()
                self.channel = None
                return
            kind, text = said[:1], said[1:]
            if kind == b"S":
                self.stopping = True
            else:
                self.tell(kind, text)
            if kind == b"R":
                self.ready, self.ever_ready, self.pause = text, True, 0.0

    def tell(self, kind: bytes, text: bytes) -> None:
        """The answer to each who waits for the start."""
        for waiter in self.waiters:
            try:
                waiter.write(kind + text + b"\n")
                waiter.close()
            except OSError:
                pass  # it has gone away: a daemon is started all the same
        self.waiters.clear()

    def signals(self, wakeup: int) -> None:
        for number in os.read(wakeup, 4096):
            if number == signal.SIGCHLD:
                self.reap()
            elif number in PASSED_ON:
                self.stopping |= number in {signal.SIGTERM, signal.SIGINT}
                self.pass_on(number)

    def pass_on(self, number: int) -> None:
        if self.daemon:
            os.kill(self.daemon, number)
        elif self.stopping:
            self.status = 0

    def reap(self) -> None:
        """The daemon's end, and those of orphans of its jobs, which come to us as their subreaper."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.daemon:
                self.listen()
                self.ended(os.waitstatus_to_exitcode(status))

    def ended(self, code: int) -> None:
        """The daemon is gone: end with it, or start it again after a pause."""
        self.daemon = 0
        self.ending = f"signal {-code}" if code < 0 else f"exit status {code}"
        if self.stopping or not self.ever_ready:
            self.tell(b"F", f"the daemon ended with {self.ending} before it was ready".encode())
            self.status = 128 - code if code < 0 else code
            return
        self.pause = PAUSE_FIRST if self.ready or not self.pause else min(2 * self.pause, PAUSE_MOST)
        self.ready = b""
        self.start_at = time.monotonic() + self.pause

    def accept(self) -> None:
        client, _ = self.listener.accept()
        client.setblocking(False)
        self.clients[client.fileno()] = client

    def answer(self, client: socket.socket) -> None:
        """`start` with the daemon's arguments, or `stop`; whoever asks for a stop waits for our end."""
        del self.clients[client.fileno()]
        try:
            request = client.recv(REQUEST_MOST)
        except OSError:
            request = b""
        if request == b"stop":
            self.stopping = True
            self.stoppers.append(client)
            self.pass_on(signal.SIGTERM)
        elif request.startswith(b"start\0") and not self.stopping:
            self.start(client, request)
        else:
            client.close()

    def start(self, client: socket.socket, request: bytes) -> None:
        waiter = os.fdopen(client.detach(), "wb", 0)
        if self.ready and self.daemon:
            waiter.write(b"A" + self.ready + b"\n")
            waiter.close()
            return
        self.waiters.append(waiter)
        if not self.daemon:
            self.arguments, self.start_at = os.fsdecode(request).split("\0")[1:], 0.0


def main(argv: list[str]) -> int:
    lock, listen, waiter = (int(text) for text in argv[1:4])
    for number in (listen, waiter):
        if number >= 0:
            os.set_inheritable(number, False)
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for each in WANTED:
        signal.signal(each, lambda *_: None)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    keeper = Keeper(lock, socket.socket(fileno=listen), waiter, argv[5:])
    signal.pthread_sigmask(signal.SIG_UNBLOCK, WANTED)
    status = keeper.run(reader)
    os.unlink(argv[4])  # before the lock goes with us: a `start` that finds no socket tries the lock again
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv))
