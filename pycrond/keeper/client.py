"""The daemon's side of the socket to its keeper: what that is to hold, and what it saw ending.

The words are those of keeper.py. A keeper that is gone, or does not listen, is no error: `is_gone` tells.
"""

import os
import socket
from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

BATCH = 250  # descriptors in a message; the kernel takes 253
SAID_MOST = 65536  # bytes of a message
UNSAID_MOST = 16  # messages that wait, before descriptors are not passed on any more


class ProcessEnd(NamedTuple):
    """How a process ended that led a session, as its keeper had it from wait4(2), or a daemon noted."""

    pid: int
    start: int  # in clock ticks since boot
    status: int  # as wait(2) has it
    cpu_s: float | None
    max_rss_kb: int | None
    at: float  # Unix seconds


def parse(line: bytes) -> ProcessEnd | None:
    """One line of the keeper's; None for what is none, such as one that a full disk cut."""
    try:
        process, status, cpu, rss, at = line.split()
        pid, _, start = process.partition(b":")
        return ProcessEnd(int(pid), int(start), int(status), float(cpu), int(rss), float(at))
    except ValueError:
        return None


def _leader(line: bytes) -> tuple[int, tuple[int, int]] | None:
    """A run, and the pid and the start of its process; None for a line that says something else."""
    try:
        run, pid, start = map(int, line.split())
    except ValueError:
        return None
    return run, (pid, start)


class KeeperClient:
    """The socket, and what waits to be said on it."""

    def __init__(self, descriptor: int | None) -> None:
        self._socket = socket.socket(fileno=descriptor) if descriptor is not None else None
        self.is_gone = self._socket is None
        self._unsaid: deque[tuple[bytes, Sequence[int]]] = deque()
        self.leaders: dict[int, tuple[int, int]] = {}
        """Pid and start of each run's own process, when the daemon before this one died."""
        self.dead_leaders: set[tuple[int, int]] = set()
        """Those that were dead at that moment, whosever they were."""
        self.all_told = self.is_gone
        """Whether what ended before this daemon began has been told in full."""
        if self._socket:
            self._socket.setblocking(False)
            self._socket.set_inheritable(False)

    def fileno(self) -> int:
        """-1 when there is none. One that is gone keeps its number until `close`."""
        return self._socket.fileno() if self._socket else -1

    def say(self, words: bytes, descriptors: Sequence[int] = ()) -> None:
        """One message, after those that wait. The descriptors are the caller's, and may be closed after."""
        if self._unsaid or not self._send(words, descriptors):
            self._unsaid.append((words, [os.dup(each) for each in descriptors]))

    def flush(self) -> None:
        """Say what waits."""
        while self._unsaid and self._send(*self._unsaid[0]):
            for each in self._unsaid.popleft()[1]:
                os.close(each)

    def _send(self, words: bytes, descriptors: Sequence[int]) -> bool:
        """Whether it is said, or there is nobody to hear it."""
        try:
            if self.is_gone or not self._socket:
                return True
            if descriptors:
                socket.send_fds(self._socket, [words], descriptors)
            else:
                self._socket.send(words)
        except BlockingIOError:
            return False
        except OSError:
            self._lose()
        return True

    def hold(self, readers: Sequence[tuple[int, int]]) -> None:
        """Have it hold these runs' read ends, run and descriptor each, before the runs are started.

        One that does not listen (stopped by a signal) gets no more of them than wait already.
        """
        for first in range(0, len(readers) if len(self._unsaid) < UNSAID_MOST else 0, BATCH):
            batch = readers[first : first + BATCH]
            self.say(b"H" + b" ".join(b"%d" % run for run, _ in batch), [reader for _, reader in batch])

    def keep(self, runs: Iterable[int]) -> None:
        """Have it let go of all other runs: an earlier daemon died before it could say so."""
        self.say(b"K" + b" ".join(b"%d" % run for run in runs))

    def done(self, runs: Iterable[tuple[int, int, int]]) -> None:
        """Run, pid and start of each that it need not remember any more."""
        words = [b"%d:%d:%d" % each for each in runs]
        for first in range(0, len(words), 1000):
            self.say(b"D" + b" ".join(words[first : first + 1000]))

    def ends(self) -> list[ProcessEnd]:
        """What it has told since the last time."""
        found: list[ProcessEnd] = []
        while self._socket and not self.is_gone:
            try:
                said = self._socket.recv(SAID_MOST)
            except BlockingIOError:
                return found
            except OSError:
                said = b""
            if not said:
                self._lose()
            lines = said[1:].split(b"\n")
            found += [end for line in lines if (end := parse(line))]
            leaders = [leader for line in lines if (leader := _leader(line))]
            self.leaders |= {run: process for run, process in leaders if run}
            self.dead_leaders |= {process for run, process in leaders if not run}
            self.all_told = self.all_told or b"" in lines
        return found

    def _lose(self) -> None:
        self.is_gone = self.all_told = True

    def close(self) -> None:
        if self._socket:
            self._socket.close()
        self._socket, self.is_gone = None, True


def left_behind(path: str) -> list[ProcessEnd]:
    """What a keeper that ended before this one wrote down."""
    try:
        with open(path, "rb") as file:
            return [end for line in file if (end := parse(line))]
    except FileNotFoundError:
        return []
