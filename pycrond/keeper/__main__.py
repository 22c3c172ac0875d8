"""The keeper: stands between init and the daemon, starts it again when it dies, remembers for it meanwhile.

A program of its own that imports nothing of ours and does almost nothing, so that it does not die:

    python -I -S keeper.py LOCK LISTEN WAITER SOCKET STATE DAEMON [ARGUMENT...]

LOCK is the descriptor of STATE/lock, held as long as the keeper or the daemon lives. LISTEN is the
listening socket at the path SOCKET, where `start`, `stop` and `status` ask. WAITER is the socket of the
`start` that made us, -1 in the foreground.

The daemon speaks to us in datagrams, the first byte telling what: R it is ready, and its pid; F it failed,
and why; S a planned stop has begun, which leaves these pids running; H hold these runs' read ends (they come
with it); K keep no others than these; D done with these, each `run:pid:start`. R and F go on to everyone who
waits for a start. We tell it E, one line for each leader of a session that ended as our child: `pid:start
status cpu rss when` (the pid's start time, what wait4(2) told), and `run pid start` for each process that led
a run's session when the daemon before this one died, run 0 for one that was dead then and could not say whose
it was; an empty line ends what a new daemon is told at once.
While there is no daemon, what the jobs print goes on into the spools, whose layout is that of spool.py.
"""

import os
import resource
import select
import signal
import socket
import sys
import time

MARK = b"PYCROND_RUN="
THRIFTY = {"MALLOC_MMAP_THRESHOLD_": "131072"}
"""glibc gives large tables back to the kernel, as a reload makes them: 8 MB of 100,000 entries."""
BIRTH = 10  # times 10 ms that a process may take between fork and exec
PAUSE_FIRST, PAUSE_MOST = 0.2, 10.0  # seconds between starts of a daemon that dies before it is ready
PASSED_ON = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGUSR2)
WANTED = (*PASSED_ON, signal.SIGCHLD)
REQUEST_MOST, REQUEST_TIME = 65536, 1.0  # bytes and seconds for a request: the daemon's arguments
ENDS_MOST = 100_000  # of processes that nobody asked for yet
LOOK = 1.0  # seconds between two looks at a full disk, or at what a planned stop left running
LAST_GRACE = 10.0  # seconds for what jobs left behind to print, and for all when we are a container's first
SEGMENT = 1 << 20


class Keeper:
    """One daemon, who waits for it, and when to start it again. Times are CLOCK_MONOTONIC seconds."""

    def __init__(self, lock: int, listener: socket.socket, state: str, argv: list[str]) -> None:
        self.lock, self.listener, self.state, self.argv = lock, listener, state, argv
        self.limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.waiters: list[socket.socket] = []  # whose start this is: to be told how it went
        self.others: list[socket.socket] = []  # who asked for the same meanwhile
        self.stoppers: list[socket.socket] = []  # held open: they wait for the daemon's end
        self.channel: socket.socket | None = None  # to the daemon
        self.daemon = 0  # its pid, 0 while there is none
        self.ready = b""  # the pid, once the daemon has said that it is ready
        self.ever_ready = self.stopping = self.resting = False
        self.foreground = False  # nothing may outlast us
        self.pause = self.start_at = self.rest_until = self.look_at = 0.0
        self.ending = ""  # how the daemon before this one ended
        self.status = 0  # the exit status, once there is nothing left to keep
        self.held: dict[int, int] = {}  # the read end of each run's FIFO
        self.dry: set[int] = set()  # runs whose FIFO nobody writes to, or the disk takes no more of
        self.ends: dict[bytes, bytes] = {}  # by pid and start, until the daemon is done with them
        self.untold: list[bytes] = []
        self.leaders: dict[bytes, bytes] = {}  # of the runs' sessions, when the daemon died
        self.left: set[int] = set()  # pids that a planned stop left running

    def run(self, wakeup: int) -> int:
        """Until the daemon has ended for good and nothing of it runs; its exit status."""
        while not self.over():
            if not (self.daemon or self.resting) and time.monotonic() >= self.start_at:
                self.spawn()
            calls = {
                wakeup: lambda: self.signals(os.read(wakeup, 4096)),
                self.listener.fileno(): self.answer,
            }
            if self.channel:
                calls[self.channel.fileno()] = self.talk
            wait = self.wait()
            runs = {} if self.daemon else {self.held[run]: run for run in self.held.keys() - self.dry}
            poll = select.poll()
            for number in (*calls, *runs):
                poll.register(number, select.POLLIN)
            if self.channel and self.untold:
                poll.register(self.channel, select.POLLIN | select.POLLOUT)
            for number, event in poll.poll(wait):
                if number in runs:
                    self.drain(runs[number], number, event)
                else:
                    calls[number]()
        return self.status

    def wait(self) -> int | None:
        """Milliseconds; None for as long as it takes."""
        if self.daemon:
            return None
        now = time.monotonic()
        if now >= self.look_at:
            self.dry.clear()
            self.look_at = now + LOOK
        return int(1000 * (LOOK if self.resting else min(LOOK, max(0.0, self.start_at - now)))) + 1

    def over(self) -> bool:
        """Whether nothing is left to be kept."""
        if not self.resting:
            return False
        self.left = {pid for pid in self.left if os.path.exists(f"/proc/{pid}")}
        late = time.monotonic() > self.rest_until
        if os.getpid() == 1 and late:
            return True
        return not self.left and (late or not self.held.keys() - self.dry)  # strays may print for a while

    # The daemon

    def spawn(self) -> None:
        self.channel, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel.setblocking(False)
        its.set_inheritable(True)
        self.untold = [*self.ends.values(), *self.leaders.values(), b""]
        argv = [*self.argv, f"--keeper={its.fileno()}", f"--lock={self.lock}", f"--after={self.ending}"]
        resource.setrlimit(resource.RLIMIT_NOFILE, self.limit)
        try:  # with the signals blocked, for until it has its handlers they would kill it
            environment = {**THRIFTY, **os.environ}
            self.daemon = os.posix_spawn(argv[0], argv, environment, setsigmask=WANTED)
        except OSError as error:
            self.tell(f"Fcannot start {argv[0]}: {error.strerror}".encode())
            self.ended(70)
        resource.setrlimit(resource.RLIMIT_NOFILE, (self.limit[1], self.limit[1]))
        its.close()
        if self.daemon and self.stopping:
            os.kill(self.daemon, signal.SIGTERM)  # it waits, as all signals do, until the daemon is ready

    def stop(self) -> None:
        """Stop the daemon; where there is none just now, start one that takes stock and stops."""
        if self.daemon:
            os.kill(self.daemon, signal.SIGTERM)
        elif not self.resting:
            self.start_at = 0.0

    def talk(self) -> None:
        """Say what the daemon has not been told; hear what it says, until it has no more for now, or ever."""
        try:
            while self.channel and self.untold:
                self.channel.send(b"E" + b"\n".join(self.untold[:200]))
                del self.untold[:200]
        except OSError:
            pass  # it has much to read yet, or is gone, which the next lines tell
        self.listen()

    def listen(self) -> None:
        while self.channel:
            try:
                said, ends, _, _ = socket.recv_fds(self.channel, REQUEST_MOST, 253)
            except BlockingIOError:
                return
            except ConnectionResetError:
                continue  # it ended without reading all of ours; what it said is there to be read
            except OSError:
                said, ends = b"", []
            if not said:
                self.channel.close()
                self.channel = None
            self.heard(said, said[1:].split(), ends)

    def heard(self, said: bytes, words: list[bytes], ends: list[int]) -> None:
        kind = said[:1]
        if kind == b"R":
            self.ready, self.ever_ready, self.pause = said[1:], True, 0.0
            self.leaders.clear()  # it has taken over whom they led
        if kind in {b"R", b"F"}:
            self.tell(said)
        elif kind == b"S":
            self.stopping, self.left = True, set(map(int, words))
        elif kind == b"H":
            self.hold(words, ends)
        elif kind == b"K":
            self.let_go(self.held.keys() - set(map(int, words)))
        elif kind == b"D":
            parts = [word.partition(b":") for word in words]
            self.let_go(self.held.keys() & {int(run) for run, _, _ in parts})
            for _, _, process in parts:
                self.ends.pop(process, None)

    def hold(self, words: list[bytes], ends: list[int]) -> None:
        for run, end in zip(words, ends, strict=False):
            os.set_inheritable(end, False)
            self.let_go(self.held.keys() & {int(run)})
            self.held[int(run)] = end

    def let_go(self, runs: set[int]) -> None:
        for run in runs:
            os.close(self.held.pop(run))

    def tell(self, said: bytes) -> None:
        """How the start went, to each who waits for it."""
        while self.waiters:
            reply(self.waiters.pop(), said)
        while self.others:
            reply(self.others.pop(), b"A" + said[1:] if said.startswith(b"R") else said)

    def ended(self, code: int) -> None:
        """The daemon is gone: start it again after a pause, or rest until what it left has ended."""
        self.daemon = 0
        self.ending = f"signal {-code}" if code < 0 else f"exit status {code}"
        self.tell(f"Fthe daemon ended with {self.ending} before it was ready".encode())
        was_ready, self.ready = self.ready, b""
        while self.stoppers:
            reply(self.stoppers.pop(), b"S %d" % len(self.left))
        if self.stopping or not self.ever_ready:
            self.status = 128 - code if code < 0 else code
            self.resting, self.ending = True, ""
            self.rest_until = time.monotonic() + LAST_GRACE
            if self.foreground and self.left and os.getpid() != 1 and os.fork():
                os._exit(self.status)  # who waits for the daemon's end has it; a copy of us stays behind
            return
        self.pause = min(2 * self.pause, PAUSE_MOST) if self.pause and not was_ready else PAUSE_FIRST
        self.start_at = time.monotonic() + self.pause

    # Signals, children, output

    def signals(self, numbers: bytes) -> None:
        for number in numbers:
            self.stopping |= number in {signal.SIGTERM, signal.SIGINT}
            if number == signal.SIGCHLD:
                self.reap()
            elif self.stopping and not self.daemon:
                self.stop()
            elif self.daemon:
                os.kill(self.daemon, number)

    def reap(self) -> None:
        """The daemon's end, and those of orphans, which come to us as their subreaper."""
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None:
                return
            pid = found.si_pid
            with open(f"/proc/{pid}/stat", "rb") as file:  # a zombie's says still what it was
                fields = file.read().rpartition(b")")[2].split()
            _, status, usage = os.wait4(pid, 0)
            if pid == self.daemon:
                self.look_for_leaders()
                self.listen()
                self.ended(os.waitstatus_to_exitcode(status))
            elif int(fields[3]) == pid:  # every run leads a session
                self.remember(pid, fields[19], status, usage)

    def remember(self, pid: int, start: bytes, status: int, usage: resource.struct_rusage) -> None:
        process = b"%d:%b" % (pid, start)
        cpu = usage.ru_utime + usage.ru_stime
        told = b"%b %d %.3f %d %.6f" % (process, status, cpu, usage.ru_maxrss, time.time())
        self.ends[process] = told
        if self.is_daemon_dead():  # and its tracer hears of that before us
            self.leaders[b"%d" % pid] = b"0 %d %b" % (pid, start)
        if self.channel:
            self.untold.append(told)
        if len(self.ends) > ENDS_MOST:
            self.ends.pop(next(iter(self.ends)))

    def is_daemon_dead(self) -> bool:
        return b") Z " in contents(b"/proc/%d/stat" % self.daemon)

    def look_for_leaders(self) -> None:
        """The oldest leader of a session for each run, as its environment says: now it is the run's own
        process, later it may be one that the run left behind. So may it be now, where an older one is dead.
        Of a process that was forked and has not executed its program yet, it is waited for.
        """
        with open(f"/proc/self/task/{os.getpid()}/children", "rb") as file:
            unsaid = sorted(file.read().split(), key=int)
        for _ in range(BIRTH):
            unsaid = [pid for pid in unsaid if not self.is_identified(pid)]
            if not unsaid:
                break
            select.poll().poll(10)

    def is_identified(self, pid: bytes) -> bool:
        """Whether a process has said what it is, or never will; if it leads a session, it is written down."""
        words = [word for word in contents(b"/proc/%b/environ" % pid).split(b"\0") if word.startswith(MARK)]
        fields = contents(b"/proc/%b/stat" % pid).rpartition(b")")[2].split()
        if not fields:
            return True
        if fields[0] == b"Z":
            self.leaders.setdefault(pid, b"0 %b %b" % (pid, fields[19]))
        elif words and fields[3] == pid:
            self.leaders.setdefault(words[0], b"%b %b %b" % (words[0][len(MARK) :], pid, fields[19]))
        return bool(words) or fields[0] == b"Z"

    def drain(self, run: int, number: int, event: int) -> None:
        """What a run printed, into its spool; what the disk does not take stays in the pipe."""
        self.dry.add(run)  # unless more may come at once
        if not event & select.POLLIN:
            return
        folder = f"{self.state}/spool/{run // 1000}"
        try:
            os.makedirs(folder, 0o700, exist_ok=True)
            mine = [name for name in os.listdir(folder) if name.startswith(f"{run}.")]
            last = max((int(name.partition(".")[2]) for name in mine), default=0)
            if mine and os.stat(f"{folder}/{run}.{last}").st_size >= SEGMENT:
                last += 1
            file = os.open(f"{folder}/{run}.{last}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                inside = os.fstat(file).st_size
                os.splice(number, file, SEGMENT - inside, offset_dst=inside, flags=os.SPLICE_F_NONBLOCK)
            finally:
                os.close(file)
        except OSError:
            return
        self.dry.discard(run)

    def finish(self) -> None:
        """For a daemon that comes after us: what is in the pipes still, and the ends that nobody heard of."""
        for run, number in self.held.items():
            self.dry.discard(run)
            while run not in self.dry:
                poll = select.poll()
                poll.register(number, select.POLLIN)
                self.drain(run, number, sum(event for _, event in poll.poll(0)))
        try:
            file = os.open(f"{self.state}/ends", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.write(file, b"".join(told + b"\n" for told in self.ends.values()))
        except OSError:
            pass  # they will be unknown

    # Who asks

    def answer(self) -> None:
        """`stop`, whose caller waits for the daemon's end; `start` with its arguments; `status`."""
        client, _ = self.listener.accept()
        client.settimeout(REQUEST_TIME)
        try:
            request, *argv = client.recv(REQUEST_MOST).decode("utf-8", "surrogateescape").split("\0")
        except OSError:
            request, argv = "", []
        if request == "status" or (request == "stop" and self.resting):
            reply(client, b"%d %d" % (self.daemon, len(self.left)))
        elif request == "stop":
            self.stopping = True
            self.stoppers.append(client)
            self.stop()
        elif request == "start":
            self.asked_to_start(client, argv)

    def asked_to_start(self, client: socket.socket, argv: list[str]) -> None:
        if self.ready:
            reply(client, b"A" + self.ready)
        elif self.daemon and not self.stopping:
            self.others.append(client)
        elif not self.daemon and not self.over():  # else we are about to go
            self.waiters.append(client)
            self.argv, self.start_at = argv, 0.0
            if self.resting:
                self.resting = self.stopping = self.ever_ready = False


def contents(path: bytes) -> bytes:
    """Of a file; nothing if there is none, as there is no environment (ESRCH) of a process that is dead."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


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
    keeper = Keeper(int(argv[1]), listener, argv[5], argv[6:])
    keeper.foreground = int(argv[3]) < 0
    resource.setrlimit(resource.RLIMIT_NOFILE, (keeper.limit[1], keeper.limit[1]))
    if not keeper.foreground:
        keeper.waiters.append(socket.socket(fileno=int(argv[3])))
        keeper.waiters[0].set_inheritable(False)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, WANTED)
    status = keeper.run(reader)
    keeper.finish()
    os.unlink(argv[4])  # before the lock goes with us: a `start` that finds no socket tries the lock again
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv))
