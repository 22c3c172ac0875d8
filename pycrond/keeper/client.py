"""The daemon's side of the socket to its keeper; the keeper's program describes the messages.

A keeper that has ended, or does not read, is no error: `is_gone` becomes true, or messages wait for `flush`.
"""

import os
import socket
from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

MAX_DESCRIPTORS = 250  # in a message; the kernel takes 253
MAX_MESSAGE_SIZE = 65536  # bytes
MAX_RELEASED = 1000  # runs in a message
MAX_PENDING = 16  # pending messages from which on no more descriptors are sent


class ProcessEnd(NamedTuple):
    """The end of a session leader, from the keeper's wait4(2) or an earlier daemon's journal."""

    pid: int
    start: int  # in clock ticks since boot
    status: int  # as from wait(2)
    cpu_s: float | None
    max_rss_kb: int | None
    at: float  # Unix seconds


def _parse_end(line: bytes) -> ProcessEnd | None:
    """Parse a line about an end; return None for any other line, such as a line that a full disk cut."""
    try:
        process, status, cpu, rss, at = line.split()
        pid, _, start = process.partition(b":")
        os.waitstatus_to_exitcode(int(status))  # it is the status of a process that has ended
        return ProcessEnd(int(pid), int(start), int(status), float(cpu), int(rss), float(at))
    except (ValueError, OverflowError):
        return None


def _parse_leader(line: bytes) -> tuple[int, tuple[int, int]] | None:
    """Parse a line about a run's leader into the run, and pid and start; return None for any other line."""
    try:
        run, pid, start = map(int, line.split())
    except ValueError:
        return None
    return run, (pid, start)


class KeeperClient:
    """The socket to the keeper, and the pending messages."""

    def __init__(self, descriptor: int | None) -> None:
        self._socket = socket.socket(fileno=descriptor) if descriptor is not None else None
        self.is_gone = self._socket is None
        self._pending: deque[tuple[bytes, Sequence[int]]] = deque()
        self.leaders: dict[int, tuple[int, int]] = {}
        """Pid and start of each run's own process, when the daemon before this one died."""
        self.dead_leaders: set[tuple[int, int]] = set()
        """Pid and start of the processes that were dead at that moment; their runs are unknown."""
        self.is_complete = self.is_gone
        """True once the keeper has reported all ends from before this daemon's start."""
        if self._socket:
            self._socket.setblocking(False)
            self._socket.set_inheritable(False)

    def fileno(self) -> int:
        """Return the socket's descriptor, -1 if there is none; it stays open until `close`."""
        return self._socket.fileno() if self._socket else -1

    def send(self, message: bytes, descriptors: Sequence[int] = ()) -> None:
        """Send a message after the pending messages. The caller may close the descriptors afterwards."""
        if self._pending or not self._try_to_send(message, descriptors):
            self._pending.append((message, [os.dup(descriptor) for descriptor in descriptors]))

    def flush(self) -> None:
        """Send the pending messages."""
        while self._pending and self._try_to_send(*self._pending[0]):
            for descriptor in self._pending.popleft()[1]:
                os.close(descriptor)

    def _try_to_send(self, message: bytes, descriptors: Sequence[int]) -> bool:
        """Send a message. Return False if it has to wait; True also if the keeper has ended."""
        try:
            if self.is_gone or not self._socket:
                return True
            if descriptors:
                socket.send_fds(self._socket, [message], descriptors)
            else:
                self._socket.send(message)
        except BlockingIOError:
            return False
        except OSError:
            self._mark_gone()
        return True

    def hold(self, readers: Sequence[tuple[int, int]]) -> None:
        """Have the keeper hold the read ends of runs that are about to start: run and descriptor of each.

        If the keeper does not read (stopped by a signal) and MAX_PENDING messages wait, nothing is sent.
        """
        for first in range(0, len(readers) if len(self._pending) < MAX_PENDING else 0, MAX_DESCRIPTORS):
            batch = readers[first : first + MAX_DESCRIPTORS]
            self.send(b"H" + b" ".join(b"%d" % run for run, _ in batch), [reader for _, reader in batch])

    def release_others(self, runs: Iterable[int]) -> None:
        """Have the keeper release all runs but `runs`: an earlier daemon may have died before it did that."""
        self.send(b"K" + b" ".join(b"%d" % run for run in runs))

    def release(self, processes: Iterable[tuple[int, int, int]]) -> None:
        """Have the keeper forget these runs and how their processes ended: run, pid and start of each."""
        fields = [b"%d:%d:%d" % process for process in processes]
        for first in range(0, len(fields), MAX_RELEASED):
            self.send(b"D" + b" ".join(fields[first : first + MAX_RELEASED]))

    def read_ends(self) -> list[ProcessEnd]:
        """Return the ends that the keeper has reported since the last call."""
        ends: list[ProcessEnd] = []
        while self._socket and not self.is_gone:
            try:
                message = self._socket.recv(MAX_MESSAGE_SIZE)
            except BlockingIOError:
                return ends
            except OSError:
                message = b""
            if not message:
                self._mark_gone()
            lines = message[1:].split(b"\n")
            ends += [end for line in lines if (end := _parse_end(line))]
            leaders = [leader for line in lines if (leader := _parse_leader(line))]
            self.leaders |= {run: process for run, process in leaders if run}
            self.dead_leaders |= {process for run, process in leaders if not run}
            self.is_complete = self.is_complete or b"" in lines
        return ends

    def _mark_gone(self) -> None:
        self.is_gone = self.is_complete = True

    def close(self) -> None:
        if self._socket:
            self._socket.close()
        self._socket, self.is_gone = None, True


def read_saved_ends(path: str) -> list[ProcessEnd]:
    """Return the ends that an earlier keeper saved in the file at `path`."""
    try:
        with open(path, "rb") as file:
            return [end for line in file if (end := _parse_end(line))]
    except OSError:
        return []
