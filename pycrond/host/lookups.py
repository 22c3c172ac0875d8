"""Lookups by other processes: a name service that does not answer about one user delays no other lookup."""

import contextlib
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from pycrond import clock
from pycrond.host.lookup_program import MAX_MESSAGE, Fields, decode, encode
from pycrond.host.poller import Poller

PROGRAM = os.path.join(os.path.dirname(__file__), "lookup_program.py")
MAX_PROGRAMS = 8  # at the same time, each with a slow lookup
BATCH = 64  # queries that a program gets at once
SLOW_TIME = 0.2  # seconds; if a lookup takes longer, the queries behind it go to another program
MAX_WAIT = 5.0  # seconds after which a lookup is given up if other queries need its program
MAX_TIME = 60.0  # seconds after which any lookup is given up
IDLE_TIME = 120.0  # seconds after which the last program ends; starting it takes 20 ms


@dataclass(slots=True, eq=False)
class _Program:
    """A running lookup program."""

    channel: socket.socket
    process: int
    """Its pidfd."""
    queries: list[str] = field(default_factory=list)
    """The queries that it has not answered; it works on the first."""
    since: float = 0.0
    """The time of the last question or answer, by clock.elapsed."""

    def end(self) -> None:
        """Kill the program; the reaper reaps it."""
        with contextlib.suppress(OSError):
            signal.pidfd_send_signal(self.process, signal.SIGKILL)
        os.close(self.process)
        self.channel.close()


class Lookups:
    """The pending queries, and the programs that answer them."""

    def __init__(self, answered: Callable[[str, Fields | None], None]) -> None:
        """`answered` is called with each query and the fields of its answer, or None if the query was given
        up; see `lookup_program.answer`.
        """
        self.poller = Poller()
        self._answered = answered
        self._queue: deque[str] = deque()
        self._asked: set[str] = set()  # all pending queries, queued or sent
        self._lost: set[str] = set()  # queries whose program has ended once
        self._programs: list[_Program] = []

    def ask(self, query: str) -> None:
        """Queue a query, unless it is pending; `step` sends it."""
        if query not in self._asked:
            self._asked.add(query)
            self._queue.append(query)

    def wait(self, seconds: float) -> None:
        """Wait for answers, at most `seconds`."""
        for callback in self.poller.wait(seconds):
            callback()
        self.step()

    def _receive(self, program: _Program) -> None:
        with contextlib.suppress(BlockingIOError):
            with contextlib.suppress(ConnectionError):
                while message := program.channel.recv(MAX_MESSAGE):
                    query, *fields = decode(message)
                    if query in program.queries:
                        program.queries.remove(query)
                        program.since = clock.elapsed()
                    self._asked.discard(query)
                    self._lost.discard(query)
                    self._answered(query, fields)
            self._end(program)  # it has ended by itself

    def _end(self, program: _Program, *, is_lost: bool = True) -> None:
        """End a program. With `is_lost`, queue its queries for another program, each query only once."""
        self.poller.unregister(program.channel)
        self._programs.remove(program)
        program.end()
        for query in program.queries:
            if is_lost and query not in self._lost:
                self._lost.add(query)
                self._queue.append(query)
            elif query not in self._queue:
                self._asked.discard(query)
                self._answered(query, None)

    def step(self) -> None:
        """Send the queued queries, and give up lookups that take too long."""
        elapsed = clock.elapsed()
        for program in [*self._programs]:
            age = elapsed - program.since
            if len(program.queries) > 1 and age >= SLOW_TIME:
                self._queue.extendleft(reversed(program.queries[1:]))
                del program.queries[1:]
            if program.queries and age >= MAX_TIME:
                self._end(program, is_lost=False)
        while self._queue and (free := self._free_program(elapsed)):
            free.queries = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
            free.since = elapsed
            try:
                free.channel.send(encode(free.queries))
            except OSError:
                self._end(free)
                return
        idle = [program for program in self._programs if not program.queries]
        for program in idle if idle and elapsed - idle[0].since >= IDLE_TIME else idle[1:]:
            self._end(program)

    def _free_program(self, elapsed: float) -> _Program | None:
        """Return an idle program, started if needed; None if that is not possible now."""
        for program in self._programs:
            if not program.queries:
                return program
        if len(self._programs) >= MAX_PROGRAMS:
            oldest = min(self._programs, key=lambda program: program.since)
            if elapsed - oldest.since < MAX_WAIT:
                return None
            self._end(oldest, is_lost=False)
        try:
            return self._start()
        except OSError:
            return None  # no memory, processes or descriptors: `retry_in` says when to try again

    def _start(self) -> _Program:
        """Start a program. It gets the environment of this process: name services may depend on that."""
        channel, end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with end:
            try:
                pid = os.posix_spawn(
                    sys.executable,
                    [sys.executable, "-I", "-S", "-X", "utf8", PROGRAM],
                    os.environ,
                    file_actions=[(os.POSIX_SPAWN_DUP2, end.fileno(), 0)],
                    setsigmask=[],
                    setsigdef=[signal.SIGPIPE],
                )
            except OSError:
                channel.close()
                raise
        channel.setblocking(False)
        program = _Program(channel, os.pidfd_open(pid))
        self._programs.append(program)
        self.poller.register(channel, lambda: self._receive(program))
        return program

    def retry_in(self, elapsed: float) -> float | None:
        """Return the seconds until `step` has something to do; None if no query is pending."""
        waits = [
            program.since + (SLOW_TIME if len(program.queries) > 1 else MAX_TIME) - elapsed
            for program in self._programs
            if program.queries
        ]
        if self._queue:
            waits.append(SLOW_TIME)
        return max(0.0, min(waits)) if waits else None

    def close(self) -> None:
        """End all programs."""
        for program in [*self._programs]:
            self._end(program, is_lost=False)
        self.poller.close()
