"""The keeper: a small program between init and the daemon, which starts the daemon again when it dies.

It imports only two small modules of pycrond and does little, so that it does not fail itself.

    python -I -S keeper/__main__.py LOCK LISTENER WAITER FRONT PREDECESSOR SOCKET STATE DAEMON [ARGUMENT...]

LOCK is the descriptor of STATE/lock, held as long as the keeper or the daemon lives. LISTENER listens at the
path SOCKET for `start`, `stop` and `status`. The others are sockets or -1: WAITER of the `start` that
executed the keeper, FRONT of the process that represents the keeper in the foreground, PREDECESSOR of a
keeper that waits for the jobs of a stopped daemon: as their parent it lives on, and reports their ends.

Daemon and keeper exchange datagrams; the first byte is the kind. START is a process's start time in ticks.

    R PID               the daemon is ready; passed on to every `start` that waits
    F REASON            the daemon failed; passed on too
    S PID...            a planned stop has begun, which leaves these processes running
    H RUN...            hold the read ends of these runs' FIFOs, sent with the message; -RUN: of stderr
    K RUN...            release the read ends of all other runs
    D RUN:PID:START...  release these runs' read ends; forget how these processes ended
    T                   from a keeper to its predecessor: a daemon has taken over, release the lock
    E LINE...           from the keeper to the daemon, or to the next keeper with sockets of its predecessors:
      PID:START STATUS CPU RSS TIME   the end of a session leader that was the keeper's child, from wait4(2)
      RUN PID START                   the leader of a run's session when the daemon before this one died;
                                      RUN is 0 if the leader was dead then: its run is unknown
      (empty)                         the end of the report that a new daemon receives first

While there is no daemon, the keeper moves the jobs' output to the spools; pycrond/output has their layout.
"""

import os
import resource
import select
import signal
import socket
import sys
import time
from functools import partial

sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
from pycrond.keeper.session_leaders import find_leaders
from pycrond.keeper.system_calls import children, move, poll, reply, save_ends, stat_fields

DAEMON_ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": "131072"}
"""glibc returns large blocks to the kernel when they are freed: 8 MB after a reload of 100,000 entries."""
FIRST_PAUSE, MAX_PAUSE = 0.2, 10.0  # seconds between starts of a daemon that dies before it is ready
SIGNALS = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGUSR2, signal.SIGCHLD)
MAX_MESSAGE_SIZE, REQUEST_TIMEOUT = 65536, 1.0  # bytes: a `start` sends the daemon's arguments; seconds
MAX_ENDS = 100_000  # processes whose end no daemon has released yet
CHECK_INTERVAL = 1.0  # seconds between two checks of a full disk, or of processes left by a planned stop
FINAL_OUTPUT_TIME = 9.0  # seconds for last output after the daemon's end; as pid 1, after the TERM


class Keeper:
    """The daemon, its jobs' processes, and waiting commands. Times are CLOCK_MONOTONIC seconds."""

    def __init__(
        self, lock: int, listener: socket.socket, waiter: socket.socket | None, state: str, argv: list[str]
    ) -> None:
        self.lock, self.listener, self.state, self.argv = lock, listener, state, argv  # lock -1: handed over
        self.limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.front: socket.socket | None = None  # of the process that ends with the daemon
        self.has_replaced_front = False  # then this process ends with the daemon
        self.predecessors: list[socket.socket] = []
        self.is_informed = False  # a predecessor has reported the ends before this keeper
        self.waiters = [(waiter, b"R")] if waiter else []
        """The socket of each waiting `start`, and its answer: R, or A if another `start` was first."""
        self.stoppers: list[socket.socket] = []  # of each `stop`, answered when the daemon has ended
        self.channel: socket.socket | None = None  # to the daemon; after its stop, to the next keeper
        self.daemon = 0  # its pid, 0 while there is none
        self.ready_pid = b""  # its pid, once it is ready
        self.was_ever_ready = self.is_stopping = self.is_stopped = False  # stopped: no daemon is started
        self.pause = self.start_at = self.output_deadline = self.check_at = 0.0
        self.last_end, self.exit_status = "", 0  # how the daemon before this one ended
        self.failure = b""  # the message of a daemon that failed and has not ended yet
        self.readers: dict[int, int] = {}  # the read end of each run's FIFO; that of standard error by -run
        self.idle: set[int] = set()  # runs whose FIFO has no writer, or whose output does not fit the disk
        self.ends: dict[bytes, bytes] = {}  # lines by PID:START, until the daemon releases them
        self.unreported: list[bytes] = []  # lines to send to the daemon
        self.leaders: dict[bytes, bytes] = {}  # lines `RUN PID START`, by pid if RUN is 0
        self.left_running: set[int] = set()  # pids after a planned stop

    def run(self, wakeup: int) -> int:
        """Run until the daemon and its jobs' processes have ended for good; return its exit status."""
        while not self.is_done():
            if not (self.daemon or self.is_stopped) and time.monotonic() >= self.start_at:
                self.start_daemon()
            calls = {wakeup: lambda: self.process_signals(os.read(wakeup, 4096))}
            if not self.is_handed_over():
                calls[self.listener.fileno()] = self.accept_request
            ends = {self.channel: self.exchange, self.front: self.front_died}
            calls |= {end.fileno(): call for end, call in ends.items() if end}
            calls |= {end.fileno(): partial(self.inherit, end) for end in self.predecessors}
            timeout = self.timeout()
            is_idle = self.daemon or self.is_handed_over()
            runs = {} if is_idle else {self.readers[run]: run for run in self.readers.keys() - self.idle}
            events = dict.fromkeys((*calls, *runs), select.POLLIN)
            if self.channel and self.unreported:
                events[self.channel.fileno()] |= select.POLLOUT
            for number, event in poll(events, timeout):
                if number in runs:
                    self.drain(runs[number], event)
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
        if not self.is_stopped or self.predecessors:
            return False
        self.left_running = {pid for pid in self.left_running if os.path.exists(f"/proc/{pid}")}
        if self.channel:
            return self.lock < 0 and not self.left_running and not self.unreported
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
        """Send the unreported lines to the daemon, then receive its messages."""
        try:
            while self.channel and self.unreported:
                self.channel.send(b"E" + b"\n".join(self.unreported[:200]))
                del self.unreported[:200]
        except OSError:
            pass  # the socket is full, or the daemon has ended, which `receive` notices
        self.receive()

    def receive(self) -> None:
        """Process the daemon's messages until there is none for now; close the channel at its end."""
        while self.channel:
            try:
                message, descriptors, _, _ = socket.recv_fds(self.channel, MAX_MESSAGE_SIZE, 253)
            except BlockingIOError:
                return
            except ConnectionResetError:
                continue  # the daemon ended without reading our messages; its own are still there
            except OSError:
                message, descriptors = b"", []
            if not message:
                self.channel.close()
                self.channel = None
            self.process_message(message, descriptors)

    def process_message(self, message: bytes, descriptors: list[int]) -> None:
        kind, fields = message[:1], message[1:].split()
        if kind == b"R":
            self.daemon_is_ready(message[1:])
        if kind in {b"R", b"F"}:
            self.notify_waiters(message)
            self.failure = message if kind == b"F" else b""
        elif kind == b"S":
            self.is_stopping, self.left_running, self.ready_pid = True, set(map(int, fields)), b""
        elif kind == b"H":
            self.hold(fields, descriptors)
        elif kind == b"K":
            self.release(set(map(abs, self.readers)) - set(map(int, fields)))
        elif kind == b"D":
            self.forget([field.partition(b":") for field in fields])
        elif kind == b"T":
            self.release_lock()

    def daemon_is_ready(self, pid: bytes) -> None:
        self.ready_pid, self.was_ever_ready, self.pause = pid, True, 0.0
        self.leaders.clear()  # the daemon has adopted their runs
        for predecessor in self.predecessors:
            reply(predecessor, b"T", close=False)

    def forget(self, processes: list[tuple[bytes, bytes, bytes]]) -> None:
        self.release({int(run) for run, _, _ in processes})
        for _, _, process in processes:
            self.ends.pop(process, None)

    def hold(self, runs: list[bytes], readers: list[int]) -> None:
        for run, reader in zip(map(int, runs), readers, strict=False):
            os.set_inheritable(reader, False)
            if run in self.readers:
                os.close(self.readers[run])
            self.readers[run] = reader

    def release(self, runs: set[int]) -> None:
        for run in self.readers.keys() & {*runs, *(-run for run in runs)}:
            os.close(self.readers.pop(run))

    def notify_waiters(self, message: bytes) -> None:
        """Send the result of the start to each `start` that waits for it."""
        while self.waiters:
            client, answer = self.waiters.pop()
            reply(client, answer + message[1:] if message.startswith(b"R") else message)

    def daemon_ended(self, code: int) -> None:
        """Plan the next start after a pause; after a stop, wait for the processes left running."""
        self.daemon, self.channel = 0, None
        self.last_end = f"signal {-code}" if code < 0 else f"exit status {code}"
        text = f"Fthe daemon ended with {self.last_end} before it was ready"
        self.notify_waiters(self.failure or text.encode())
        self.failure = b""
        was_ready, self.ready_pid = self.ready_pid, b""  # empty since a planned stop has begun
        if (self.is_stopping and not (was_ready and code)) or not self.was_ever_ready:
            while self.stoppers:
                reply(self.stoppers.pop(), b"S %d" % len(self.left_running))
            self.exit_status = 128 - code if code < 0 else code
            self.is_stopped, self.last_end = True, ""
            if self.predecessors and not self.was_ever_ready:
                self.predecessors, self.lock = [], -1  # a predecessor keeps the lock, and waits for its jobs
            save_ends(self.state, [*self.ends.values()])
            self.end_container()
            if self.front:  # the front ends now; the keeper stays for the jobs left running
                reply(self.front, b"%d" % self.exit_status)
                self.front = None
            elif self.has_replaced_front and self.left_running and os.fork():
                os._exit(self.exit_status)  # the copy is not the parent of the jobs
            return
        self.pause = min(2 * self.pause, MAX_PAUSE) if self.pause and not was_ready else FIRST_PAUSE
        self.start_at = time.monotonic() + self.pause

    def end_container(self) -> None:
        """Begin the final time for output. Nothing outlives process 1: it sends TERM to what is left."""
        if os.getpid() != 1 or not self.output_deadline:
            self.output_deadline = time.monotonic() + FINAL_OUTPUT_TIME
        if os.getpid() == 1 and not self.left_running and children():
            self.left_running = children()
            os.kill(-1, signal.SIGTERM)

    # Signals, children, output

    def process_signals(self, numbers: bytes) -> None:
        for number in numbers:
            if number in {signal.SIGTERM, signal.SIGINT} and not self.is_stopping:
                self.is_stopping, self.output_deadline = True, time.monotonic() + FINAL_OUTPUT_TIME
            if number == signal.SIGCHLD:
                self.reap()
            elif self.is_stopping and not self.daemon:
                self.stop_daemon()
            elif self.daemon:
                os.kill(self.daemon, number)

    def reap(self) -> None:
        """Reap the daemon and orphans: the keeper is the subreaper of all its descendants."""
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
                self.receive()  # first, to know the runs that the daemon was about to start
                self.leaders = find_leaders(self.readers) | self.leaders
                self.daemon_ended(os.waitstatus_to_exitcode(status))
            elif int(fields[3]) == pid:  # every run leads a session
                self.record_end(pid, fields[19], status, usage)

    def record_end(self, pid: int, start: bytes, status: int, usage: resource.struct_rusage) -> None:
        process = b"%d:%b" % (pid, start)
        cpu = usage.ru_utime + usage.ru_stime
        line = b"%b %d %.3f %d %.6f" % (process, status, cpu, usage.ru_maxrss, time.time())
        if stat_fields(self.daemon)[:1] == [b"Z"]:  # the daemon is dead, but not reaped yet
            self.leaders[b"%d" % pid] = b"0 %d %b" % (pid, start)
        self.add_end(process, line)

    def add_end(self, process: bytes, line: bytes) -> None:
        self.ends[process] = line
        if self.channel:
            self.unreported.append(line)
        elif self.is_stopped:
            save_ends(self.state, [line])
        if len(self.ends) > MAX_ENDS:
            self.ends.pop(next(iter(self.ends)))

    def drain(self, run: int, event: int, *, to_end: bool = False) -> None:
        """Move a run's output into its spool. If there is no room, it stays in the pipe."""
        if event & select.POLLIN and move(self.readers, f"{self.state}/spool", run, to_end=to_end):
            self.idle.discard(run)
        else:
            self.idle.add(run)

    def save(self) -> None:
        """Store output that no daemon has read, and all ends again: the disk may have been full."""
        for run, reader in [] if self.is_handed_over() else self.readers.items():
            self.idle.discard(run)
            while run not in self.idle:
                event = sum(event for _, event in poll({reader: select.POLLIN}, 0))
                self.drain(run, event, to_end=True)
        if not self.channel:  # otherwise the next keeper has them
            save_ends(self.state, [*self.ends.values()])

    # Commands

    def accept_request(self) -> None:
        """Accept a command's connection: `start` with the daemon's arguments, `stop` or `status`."""
        client, _ = self.listener.accept()
        client.settimeout(REQUEST_TIMEOUT)
        try:
            message, descriptors, _, _ = socket.recv_fds(client, MAX_MESSAGE_SIZE, 1)
        except OSError:
            message, descriptors = b"", []
        request, *argv = message.decode("utf-8", "surrogateescape").split("\0")
        if request == "status" or (request == "stop" and self.is_stopped):
            reply(client, b"%d %d" % (self.daemon, len(self.left_running)))
        elif request == "stop":
            self.is_stopping = True
            self.stoppers.append(client)
            self.stop_daemon()
        elif request == "start" and self.is_stopped and descriptors and not self.is_done():
            self.hand_over(client, descriptors.pop())
        elif request == "start":
            self.process_start(client, argv)
        for descriptor in descriptors:
            os.close(descriptor)

    def process_start(self, client: socket.socket, argv: list[str]) -> None:
        if self.ready_pid:
            reply(client, b"A" + self.ready_pid)
        elif self.daemon and not self.is_stopping:
            self.waiters.append((client, b"A"))
        elif not self.daemon and not self.is_stopped:  # otherwise the keeper is about to end
            self.waiters.append((client, b"R"))
            self.argv, self.start_at = argv, 0.0

    # The keepers before and after this one, and the process in front of it

    def is_handed_over(self) -> bool:
        """Return whether another keeper is in charge; False again if it ends before its daemon is ready."""
        return self.lock < 0 or (self.is_stopped and self.channel is not None)

    def hand_over(self, client: socket.socket, channel: int) -> None:
        """Send lock and listener to a keeper that is about to start; report the ends through `channel`."""
        self.channel = socket.socket(fileno=channel)
        self.channel.setblocking(False)
        self.channel.set_inheritable(False)
        self.unreported = [*self.ends.values(), *self.leaders.values(), b""]
        socket.send_fds(client, [b"H\n"], [self.lock, self.listener.fileno()])

    def release_lock(self) -> None:
        """Release the lock: the next keeper's daemon is ready. Send that keeper the predecessors' sockets."""
        if self.lock < 0 or not self.channel:
            return
        try:
            socket.send_fds(self.channel, [b"E"], [end.fileno() for end in self.predecessors])
            self.predecessors = []
            self.left_running &= children()
        except OSError:
            pass  # the predecessors go on reporting to this keeper
        self.ends.clear()
        os.close(self.lock)
        self.listener.close()
        self.lock = -1

    def inherit(self, predecessor: socket.socket) -> None:
        """Read a message of a predecessor: ends and leaders, or the sockets of its own predecessors."""
        try:
            message, descriptors, _, _ = socket.recv_fds(predecessor, MAX_MESSAGE_SIZE, 253)
        except ConnectionResetError:  # it has ended with messages of this keeper unread
            message, descriptors = b"", []
        self.predecessors += [socket.socket(fileno=descriptor) for descriptor in descriptors]
        if not message:
            self.predecessors.remove(predecessor)
        lines = message[1:].split(b"\n")
        for line in filter(None, lines):
            process = line.split()[0]
            if b":" in process:
                self.add_end(process, line)
            else:
                self.leaders[line] = line
        self.is_informed |= b"" in lines

    def front_died(self) -> None:
        """Stop as after a TERM: the service manager will start the process in front again."""
        self.front = None
        self.process_signals(bytes([signal.SIGTERM]))


def main(argv: list[str]) -> int:
    wakeup, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in SIGNALS:
        signal.signal(number, lambda *_: None)
    os.umask(0o022)  # in the foreground the umask is that of the shell
    lock, listener, *others = map(int, argv[1:6])
    path, state, *daemon_argv = argv[6:]
    waiter, front, predecessor = (socket.socket(fileno=end) if end >= 0 else None for end in others)
    keeper = Keeper(lock, socket.socket(fileno=listener), waiter, state, daemon_argv)
    keeper.front, keeper.predecessors = front, [predecessor] if predecessor else []
    keeper.has_replaced_front = waiter is front is None and os.getpid() != 1
    for end in {listener, *others} - {-1}:
        os.set_inheritable(end, False)
    while predecessor and not keeper.is_informed:
        keeper.inherit(predecessor)
    resource.setrlimit(resource.RLIMIT_NOFILE, (keeper.limit[1], keeper.limit[1]))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    status = keeper.run(wakeup)
    keeper.save()
    if keeper.lock >= 0:
        os.unlink(path)  # before the lock is released: a `start` that finds no socket tries the lock again
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv))
