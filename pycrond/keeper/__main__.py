"""The keeper: a small program between init and the daemon, which starts the daemon again when it dies.

It imports nothing of ours and does little, so that it does not fail itself.

    python -I -S keeper/__main__.py LOCK LISTENER WAITER SOCKET STATE DAEMON [ARGUMENT...]

LOCK is the descriptor of STATE/lock, held as long as the keeper or the daemon lives. LISTENER is a socket
that listens at the path SOCKET for `start`, `stop` and `status`. WAITER is the socket of the `start` that
executed the keeper; -1 in the foreground.

Daemon and keeper exchange datagrams; the first byte is the kind. START is a process's start time in ticks.

    R PID               the daemon is ready; passed on to every `start` that waits
    F REASON            the daemon failed; passed on too
    S PID...            a planned stop has begun, which leaves these processes running
    H RUN...            hold the read ends of these runs' FIFOs, which come with the message
    K RUN...            release the read ends of all other runs
    D RUN:PID:START...  release these runs' read ends; forget how these processes ended
    E LINE...           the only kind from the keeper; each line is one of these:
      PID:START STATUS CPU RSS TIME   the end of a session leader that was the keeper's child, from wait4(2)
      RUN PID START                   the leader of a run's session when the daemon before this one died;
                                      RUN is 0 if it was dead then: its run is unknown
      (empty)                         the end of the report that a new daemon receives first

While there is no daemon, the keeper moves the jobs' output to the spools; pycrond/output has their layout.
"""

import contextlib
import io
import os
import resource
import select
import signal
import socket
import sys
import time

RUN_VARIABLE = b"PYCROND_RUN="
DAEMON_ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": "131072"}
"""glibc returns large blocks to the kernel when they are freed: 8 MB after a reload of 100,000 entries."""
EXEC_CHECKS = 10  # checks, 10 ms apart, of a process that was forked and has not executed its program
FIRST_PAUSE, MAX_PAUSE = 0.2, 10.0  # seconds between starts of a daemon that dies before it is ready
SIGNALS = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGUSR2, signal.SIGCHLD)
MAX_MESSAGE_SIZE, REQUEST_TIMEOUT = 65536, 1.0  # bytes: a `start` sends the daemon's arguments; seconds
MAX_ENDS = 100_000  # processes whose end no daemon has released yet
CHECK_INTERVAL = 1.0  # seconds between two checks of a full disk, or of what a planned stop left running
FINAL_OUTPUT_TIME = 10.0  # seconds after a stop in which what jobs left behind may print; in all for pid 1
SEGMENT_SIZE, SPARE_MARKS = 1 << 20, 4096  # bytes; of marks beyond the size of what they are about
MAX_SEGMENTS = 16  # of a run: only a daemon, which knows the limits, stores more output
OWN_FILE = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class Keeper:
    """The daemon, the commands that wait for it, and what outlives it. Times are CLOCK_MONOTONIC seconds."""

    def __init__(
        self, lock: int, listener: socket.socket, waiter: socket.socket | None, state: str, argv: list[str]
    ) -> None:
        """`waiter` is the socket of the `start` that executed the keeper; None in the foreground."""
        self.lock, self.listener, self.state, self.argv = lock, listener, state, argv
        self.limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.is_foreground = waiter is None  # the keeper ends with the daemon
        self.waiters = [(waiter, b"R")] if waiter else []
        """The socket of each `start` that waits, and its answer: R, or A if another caused this start."""
        self.stoppers: list[socket.socket] = []  # of each `stop`, answered when the daemon has ended
        self.channel: socket.socket | None = None  # to the daemon
        self.daemon = 0  # its pid, 0 while there is none
        self.ready_pid = b""  # its pid, once it is ready
        self.was_ever_ready = self.is_stopping = self.is_stopped = False  # stopped: no daemon is started
        self.pause = self.start_at = self.output_deadline = self.check_at = 0.0
        self.last_end, self.exit_status = "", 0  # how the daemon before this one ended
        self.readers: dict[int, int] = {}  # the read end of each run's FIFO
        self.idle: set[int] = set()  # runs whose FIFO has no writer, or whose output does not fit the disk
        self.ends: dict[bytes, bytes] = {}  # lines by PID:START, until the daemon releases them
        self.unreported: list[bytes] = []  # lines to send to the daemon
        self.leaders: dict[bytes, bytes] = {}  # lines `RUN PID START`, by pid if RUN is 0
        self.left_running: set[int] = set()  # pids after a planned stop

    def run(self, wakeup: int) -> int:
        """Run until the daemon has ended for good and its jobs' processes too; return its exit status."""
        while not self.is_done():
            if not (self.daemon or self.is_stopped) and time.monotonic() >= self.start_at:
                self.start_daemon()
            calls = {self.listener.fileno(): self.accept_request}
            calls[wakeup] = lambda: self.process_signals(os.read(wakeup, 4096))
            if self.channel:
                calls[self.channel.fileno()] = self.exchange
            timeout = self.timeout()
            runs = {} if self.daemon else {self.readers[run]: run for run in self.readers.keys() - self.idle}
            events = dict.fromkeys((*calls, *runs), select.POLLIN)
            if self.channel and self.unreported:
                events[self.channel.fileno()] |= select.POLLOUT
            for number, event in poll(events, timeout):
                if number in runs:
                    self.drain(runs[number], number, event)
                else:
                    calls[number]()
        return self.exit_status

    def timeout(self) -> int | None:
        """Return how long to wait for events, in milliseconds; None means without limit."""
        if self.daemon:
            return None
        now = time.monotonic()
        if now >= self.check_at:
            self.idle.clear()
            self.check_at = now + CHECK_INTERVAL
        wait = CHECK_INTERVAL if self.is_stopped else min(CHECK_INTERVAL, max(0.0, self.start_at - now))
        return int(1000 * wait) + 1

    def is_done(self) -> bool:
        """Return whether the keeper has nothing left to wait for."""
        if not self.is_stopped:
            return False
        self.left_running = {pid for pid in self.left_running if os.path.exists(f"/proc/{pid}")}
        is_late = time.monotonic() > self.output_deadline
        is_over = not self.left_running and (is_late or not self.readers.keys() - self.idle)
        return is_over or (is_late and os.getpid() == 1)

    # The daemon

    def start_daemon(self) -> None:
        self.channel, daemon_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel.setblocking(False)
        daemon_end.set_inheritable(True)
        self.unreported = [*self.ends.values(), *self.leaders.values(), b""]
        own = [f"--keeper={daemon_end.fileno()}", f"--lock={self.lock}", f"--after={self.last_end}"]
        resource.setrlimit(resource.RLIMIT_NOFILE, self.limit)
        try:  # with the signals blocked: they would kill a daemon that has no handlers yet
            environment = {**DAEMON_ENVIRONMENT, **os.environ}
            self.daemon = os.posix_spawn(self.argv[0], [*self.argv, *own], environment, setsigmask=SIGNALS)
        except OSError as error:
            self.notify_waiters(f"Fcannot start {self.argv[0]}: {error.strerror}".encode())
            self.daemon_ended(70)
        resource.setrlimit(resource.RLIMIT_NOFILE, (self.limit[1], self.limit[1]))
        daemon_end.close()
        if self.daemon and self.is_stopping:
            os.kill(self.daemon, signal.SIGTERM)  # pending until the daemon is ready

    def stop_daemon(self) -> None:
        """Stop the daemon; if there is none now, start a daemon that adopts the runs and stops."""
        if self.daemon:
            os.kill(self.daemon, signal.SIGTERM)
        elif not self.is_stopped:
            self.start_at = 0.0

    def exchange(self) -> None:
        """Send what the daemon has not received, then receive what it has sent."""
        try:
            while self.channel and self.unreported:
                self.channel.send(b"E" + b"\n".join(self.unreported[:200]))
                del self.unreported[:200]
        except OSError:
            pass  # the socket is full; or the daemon is gone, which `receive` notices
        self.receive()

    def receive(self) -> None:
        """Process the daemon's messages until there is none for now; close the channel at its end."""
        while self.channel:
            try:
                message, descriptors, _, _ = socket.recv_fds(self.channel, MAX_MESSAGE_SIZE, 253)
            except BlockingIOError:
                return
            except ConnectionResetError:
                continue  # the daemon ended with messages of ours unread; its own are still there
            except OSError:
                message, descriptors = b"", []
            if not message:
                self.channel.close()
                self.channel = None
            self.process_message(message, descriptors)

    def process_message(self, message: bytes, descriptors: list[int]) -> None:
        kind, fields = message[:1], message[1:].split()
        if kind == b"R":
            self.ready_pid, self.was_ever_ready, self.pause = message[1:], True, 0.0
            self.leaders.clear()  # the daemon has adopted their runs
        if kind in {b"R", b"F"}:
            self.notify_waiters(message)
        elif kind == b"S":
            self.is_stopping, self.left_running = True, set(map(int, fields))
        elif kind == b"H":
            self.hold(fields, descriptors)
        elif kind == b"K":
            self.release(self.readers.keys() - set(map(int, fields)))
        elif kind == b"D":
            parts = [field.partition(b":") for field in fields]
            self.release(self.readers.keys() & {int(run) for run, _, _ in parts})
            for _, _, process in parts:
                self.ends.pop(process, None)

    def hold(self, runs: list[bytes], readers: list[int]) -> None:
        for run, reader in zip(map(int, runs), readers, strict=False):
            os.set_inheritable(reader, False)
            self.release(self.readers.keys() & {run})
            self.readers[run] = reader

    def release(self, runs: set[int]) -> None:
        for run in runs:
            os.close(self.readers.pop(run))

    def notify_waiters(self, message: bytes) -> None:
        """Send the result of the start to each `start` that waits for it."""
        while self.waiters:
            client, answer = self.waiters.pop()
            reply(client, answer + message[1:] if message.startswith(b"R") else message)

    def daemon_ended(self, code: int) -> None:
        """Plan the next start after a pause; after a stop, wait for the processes left running."""
        self.daemon = 0
        self.last_end = f"signal {-code}" if code < 0 else f"exit status {code}"
        self.notify_waiters(f"Fthe daemon ended with {self.last_end} before it was ready".encode())
        was_ready, self.ready_pid = self.ready_pid, b""
        while self.stoppers:
            reply(self.stoppers.pop(), b"S %d" % len(self.left_running))
        if self.is_stopping or not self.was_ever_ready:
            self.exit_status = 128 - code if code < 0 else code
            self.is_stopped, self.last_end = True, ""
            self.save_ends([*self.ends.values()])
            self.output_deadline = time.monotonic() + FINAL_OUTPUT_TIME
            if self.is_foreground and self.left_running and os.getpid() != 1 and os.fork():
                os._exit(self.exit_status)  # for the process that waits for it; the child remains the keeper
            return
        self.pause = min(2 * self.pause, MAX_PAUSE) if self.pause and not was_ready else FIRST_PAUSE
        self.start_at = time.monotonic() + self.pause

    # Signals, children, output

    def process_signals(self, numbers: bytes) -> None:
        for number in numbers:
            self.is_stopping |= number in {signal.SIGTERM, signal.SIGINT}
            if number == signal.SIGCHLD:
                self.reap()
            elif self.is_stopping and not self.daemon:
                self.stop_daemon()
            elif self.daemon:
                os.kill(self.daemon, number)

    def reap(self) -> None:
        """Reap the daemon, and orphans: the keeper is the subreaper of all below it."""
        while True:
            try:
                child = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if child is None:
                return
            pid, fields = child.si_pid, stat_fields(child.si_pid)
            _, status, usage = os.wait4(pid, 0)
            if pid == self.daemon:
                self.receive()  # first: the runs that the daemon was about to start
                self.find_leaders()
                self.daemon_ended(os.waitstatus_to_exitcode(status))
            elif int(fields[3]) == pid:  # every run leads a session
                self.record_end(pid, fields[19], status, usage)

    def record_end(self, pid: int, start: bytes, status: int, usage: resource.struct_rusage) -> None:
        process = b"%d:%b" % (pid, start)
        cpu = usage.ru_utime + usage.ru_stime
        line = b"%b %d %.3f %d %.6f" % (process, status, cpu, usage.ru_maxrss, time.time())
        self.ends[process] = line
        if stat_fields(self.daemon)[:1] == [b"Z"]:  # the daemon is dead, but not reaped yet
            self.leaders[b"%d" % pid] = b"0 %d %b" % (pid, start)
        if self.channel:
            self.unreported.append(line)
        if self.is_stopped:
            self.save_ends([line])
        if len(self.ends) > MAX_ENDS:
            self.ends.pop(next(iter(self.ends)))

    def find_leaders(self) -> None:
        """Record the oldest session leader of each run, which it shows in its environment.

        At the daemon's death it is the run's own process, unless that is dead; later it may be a process that
        the run left behind. Wait for processes that have not executed their programs yet.
        """
        unidentified = sorted(map(int, contents(f"/proc/self/task/{os.getpid()}/children").split()))
        for _ in range(EXEC_CHECKS):
            unidentified = [pid for pid in unidentified if not self.identify(pid)]
            if not unidentified:
                break
            poll({}, 10)

    def identify(self, pid: int) -> bool:
        """Record a process that is dead or leads a run's session; return whether its run will not change."""
        environment = contents(f"/proc/{pid}/environ").split(b"\0")
        variable = next((entry for entry in environment if entry.startswith(RUN_VARIABLE)), b"")
        fields = stat_fields(pid)
        if not fields:
            return True
        leads_session = int(fields[3]) == pid  # as every run does, and the spawner does not
        if fields[0] == b"Z" and leads_session:
            self.leaders.setdefault(b"%d" % pid, b"0 %d %b" % (pid, fields[19]))
        elif variable and leads_session:
            run = variable.removeprefix(RUN_VARIABLE)
            is_user = self.belongs_to_user(pid, run)
            if is_user:
                self.leaders.setdefault(variable, b"%b %d %b" % (run, pid, fields[19]))
            return is_user is not None
        return bool(variable) or fields[0] == b"Z"

    def belongs_to_user(self, pid: int, run: bytes) -> bool | None:
        """Return whether a process belongs to the owner of the FIFO of the run that it names (it names any);
        None while it is root's and may be about to become that user's.
        """
        try:
            reader = self.readers.get(int(run)) if run.isdigit() and len(run) < 19 else None
            owner = -1 if reader is None else os.fstat(reader).st_uid
            uid = os.stat(f"/proc/{pid}").st_uid
        except OSError:
            return False
        return None if uid == 0 != owner >= 0 else uid == owner

    def drain(self, run: int, reader: int, event: int) -> None:
        """Move a run's output into its spool, as far as there is room: else it stays in the pipe."""
        self.idle.add(run)  # until the move has succeeded
        directory, times = (f"{self.state}/spool/{name}{run // 1000}" for name in ("", "times/"))
        try:
            os.makedirs(directory, 0o700, exist_ok=True)
            names = [name for name in os.listdir(directory) if name.startswith(f"{run}.")]
            if len(names) > MAX_SEGMENTS or not event & select.POLLIN:
                return
            segment = max((int(name.partition(".")[2]) for name in names), default=0)
            if names and os.stat(f"{directory}/{run}.{segment}").st_size >= SEGMENT_SIZE:
                segment += 1
            name = f"{run}.{segment}"
            with own_file(directory, name) as file, own_file(times, name) as marks:
                size, to = file.seek(0, os.SEEK_END), file.fileno()
                os.splice(reader, to, SEGMENT_SIZE - size, offset_dst=size, flags=os.SPLICE_F_NONBLOCK)
                if marks.seek(0, os.SEEK_END) <= size + SPARE_MARKS:
                    marks.write((size << 43 | int(time.time() * 1000)).to_bytes(8, sys.byteorder))
        except OSError:
            return
        self.idle.discard(run)

    def save(self) -> None:
        """Store the jobs' output that no daemon has read, and again all ends: the disk may have been full."""
        for run, reader in self.readers.items():
            self.idle.discard(run)
            while run not in self.idle:
                self.drain(run, reader, sum(event for _, event in poll({reader: select.POLLIN}, 0)))
        self.save_ends([*self.ends.values()])

    def save_ends(self, lines: list[bytes]) -> None:
        """Store the ends of processes that no daemon has read, for commands and for the next daemon."""
        with contextlib.suppress(OSError), own_file(self.state, "ends") as file:
            file.seek(0, os.SEEK_END)
            file.write(b"".join(b"\n%b\n" % line for line in lines))  # a full disk may have cut a line

    # Commands

    def accept_request(self) -> None:
        """Accept a command's connection: `start` with the daemon's arguments, `stop` or `status`."""
        client, _ = self.listener.accept()
        client.settimeout(REQUEST_TIMEOUT)
        try:
            request, *argv = client.recv(MAX_MESSAGE_SIZE).decode("utf-8", "surrogateescape").split("\0")
        except OSError:
            request, argv = "", []
        if request == "status" or (request == "stop" and self.is_stopped):
            reply(client, b"%d %d" % (self.daemon, len(self.left_running)))
        elif request == "stop":
            self.is_stopping = True
            self.stoppers.append(client)
            self.stop_daemon()
        elif request == "start":
            self.process_start(client, argv)

    def process_start(self, client: socket.socket, argv: list[str]) -> None:
        if self.ready_pid:
            reply(client, b"A" + self.ready_pid)
        elif self.daemon and not self.is_stopping:
            self.waiters.append((client, b"A"))
        elif not self.daemon and not self.is_done():  # otherwise the keeper is about to end
            self.waiters.append((client, b"R"))
            self.argv, self.start_at = argv, 0.0
            if self.is_stopped:
                self.is_stopped = self.is_stopping = self.was_ever_ready = False


def poll(events: dict[int, int], timeout: int | None) -> list[tuple[int, int]]:
    """Wait up to `timeout` milliseconds for events of descriptors; return the events that came."""
    poller = select.poll()
    for descriptor, event in events.items():
        poller.register(descriptor, event)
    return poller.poll(timeout)


def own_file(directory: str, name: str) -> io.FileIO:
    os.makedirs(directory, 0o700, exist_ok=True)
    return open(os.open(f"{directory}/{name}", os.O_RDWR | os.O_CREAT | OWN_FILE, 0o600), "r+b", 0)


def contents(path: str) -> bytes:
    """Return a file's contents; nothing if it cannot be read (of a dead process: ENOENT or ESRCH)."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def stat_fields(pid: int) -> list[bytes]:
    """Return the fields of /proc/PID/stat from the state on; none if there is no such process."""
    return contents(f"/proc/{pid}/stat").rpartition(b")")[2].split()


def reply(client: socket.socket, message: bytes) -> None:
    client.setblocking(False)
    try:  # noqa: SIM105 -- contextlib would take a tenth of the keeper's memory
        client.sendall(message + b"\n")
    except OSError:
        pass  # the client is gone
    client.close()


def main(argv: list[str]) -> int:
    wakeup, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in SIGNALS:
        signal.signal(number, lambda *_: None)
    os.umask(0o022)  # in the foreground it is that of the shell
    lock, listener_fd, waiter_fd = map(int, argv[1:4])
    path, state, *daemon_argv = argv[4:]
    for inherited in {listener_fd, waiter_fd} - {-1}:
        os.set_inheritable(inherited, False)
    listener = socket.socket(fileno=listener_fd)
    waiter = socket.socket(fileno=waiter_fd) if waiter_fd >= 0 else None
    keeper = Keeper(lock, listener, waiter, state, daemon_argv)
    resource.setrlimit(resource.RLIMIT_NOFILE, (keeper.limit[1], keeper.limit[1]))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    status = keeper.run(wakeup)
    keeper.save()
    os.unlink(path)  # before the lock is released: a `start` without a socket to ask tries the lock again
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv))
