"""The option `output`: a job's output is also appended to a file.

A process of the job's user (`host/user_files.py`) writes the file. It gets the output from the spool
through a socket that never blocks the daemon, and answers the number of bytes written; the ledger stores it.
"""

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass

from pycrond import clock
from pycrond.errors import PycrondError, os_reason
from pycrond.host.poller import Poller
from pycrond.ledger.database import Database
from pycrond.output.daemon_log import DaemonLog
from pycrond.output.run_log import RunLog

WINDOW = 1 << 16  # bytes sent to a writer and not answered yet, at most
MAX_TURN_TIME = 0.002  # seconds of a turn of the loop
STORE_INTERVAL = 0.2  # seconds; after a crash the bytes written since then may be repeated
RETRY_INTERVAL = 10.0  # seconds after an error
RETRY_TIME = 60.0  # seconds in which errors are retried after the end of a run
MAX_BEHIND = 16 << 20  # bytes of a run that wait while its file cannot be written; older bytes are left out
FINISH_TIME = 0.3  # seconds that a stop waits for the writers' answers
ANSWER_SIZE = 8  # bytes: a number of bytes written, or an error number below 0
BEGIN = "INSERT OR REPLACE INTO copies (run, path, umask, written) VALUES (?, ?, ?, ?)"
MOVE = "UPDATE copies SET written = ? WHERE run = ?"
END = "DELETE FROM copies WHERE run = ?"

StartWriter = Callable[[str, bytes, str], socket.socket]
"""Starts a process of a user that appends to a path; returns a socket. Raises PycrondError or OSError."""


@dataclass(slots=True, eq=False)
class _Copy:
    log: RunLog
    path: bytes
    umask: str
    sent: int = 0  # offset up to which a writer has the output
    stored: int = 0  # offset up to which the ledger has it as written
    channel: socket.socket | None = None
    answer: bytes = b""  # the beginning of an answer
    retry_at: float = 0.0
    give_up_at: float | None = None
    is_reported: bool = False  # an error was logged

    @property
    def written(self) -> int:
        return self.log.filed or 0

    @property
    def is_over(self) -> bool:
        return not self.log.output_open and self.log.ending is not None

    @property
    def can_be_sent(self) -> bool:
        return self.sent < self.log.spool.size and self.sent - self.written < WINDOW


class FileCopies:
    """The runs whose output is appended to files."""

    def __init__(self, poller: Poller, file: Database, daemon_log: DaemonLog) -> None:
        self._poller = poller
        self._file = file
        self._daemon_log = daemon_log
        self._copies: dict[int, _Copy] = {}
        self._stored_at = 0.0
        self.start_writer: StartWriter
        """Set once, before the first run."""

    def begin(self, log: RunLog, path: bytes, umask: str) -> None:
        """Append the output of a new run to a file."""
        log.filed = 0
        self._copies[log.run] = _Copy(log, path, umask)
        self._file.write((BEGIN, [(log.run, path, umask, 0)]))

    def resume(self, log: RunLog) -> None:
        """Continue a run of an earlier daemon, if its output is appended to a file."""
        statement = "SELECT path, umask, written FROM copies WHERE run = ?"
        if row := self._file.db.execute(statement, (log.run,)).fetchone():
            path, umask, log.filed = row
            self._copies[log.run] = _Copy(log, path, umask, row[2], row[2])

    def step(self, elapsed: float, changed: Callable[[RunLog], None]) -> None:
        """Send output to the writers for at most MAX_TURN_TIME; call `changed` for logs with progress."""
        give_up_at = elapsed + MAX_TURN_TIME
        for run in [*self._copies]:
            copy = self._copies[run] = self._copies.pop(
                run
            )  # moved to the end: the next turn begins with the others
            self._feed(copy, elapsed)
            if clock.elapsed() >= give_up_at:
                break
        if elapsed >= self._stored_at + STORE_INTERVAL:
            self._stored_at = elapsed
            self._store(elapsed, changed)

    def _feed(self, copy: _Copy, elapsed: float) -> None:
        log = copy.log
        log.filed = max(copy.written, log.spool.kept_start)  # waiting output beyond a limit was dropped
        if copy.is_reported and not copy.channel:
            log.filed = max(log.filed, log.spool.size - MAX_BEHIND)
        copy.sent = max(copy.sent, log.filed)
        try:
            while copy.can_be_sent and elapsed >= copy.retry_at:
                channel = copy.channel or self._open(copy)
                data = log.spool.read(copy.sent, WINDOW - (copy.sent - copy.written))
                if not data:  # the spool was deleted by another process
                    copy.retry_at = elapsed + RETRY_INTERVAL
                    break
                copy.sent += channel.send(data)
        except BlockingIOError:
            pass
        except (PycrondError, OSError) as error:
            if copy.channel:
                self._read(copy)  # the writer's last answer has the reason
            else:
                self._fail(copy, os_reason(error))

    def _open(self, copy: _Copy) -> socket.socket:
        channel = copy.channel = self.start_writer(copy.log.user, copy.path, copy.umask)
        channel.setblocking(False)
        self._poller.register(channel, lambda: self._read(copy))
        return channel

    def _read(self, copy: _Copy) -> None:
        """Read the answers of a writer."""
        try:
            data = copy.channel.recv(WINDOW) if copy.channel else b""
        except (BlockingIOError, TimeoutError):
            return
        except OSError:
            data = b""
        if not data:
            self._fail(copy, "the process that writes it was ended")
        copy.answer += data
        while len(copy.answer) >= ANSWER_SIZE:
            number = int.from_bytes(copy.answer[:ANSWER_SIZE], "little", signed=True)
            copy.answer = copy.answer[ANSWER_SIZE:]
            if number < 0:
                self._fail(copy, os_reason(OSError(-number, os.strerror(-number))))
            else:
                copy.log.filed = copy.written + number

    def _fail(self, copy: _Copy, reason: str) -> None:
        """Log the first error of a run; try again later, after the bytes that are certainly in the file."""
        self._close(copy)
        copy.sent, copy.retry_at = copy.written, clock.elapsed() + RETRY_INTERVAL
        if not copy.is_reported:
            copy.is_reported = True
            detail = f"cannot append output of run {copy.log.run} to {os.fsdecode(copy.path)}: {reason}"
            self._daemon_log.write("WARNING", detail, clock.now(), level="warning")

    def _close(self, copy: _Copy) -> None:
        if copy.channel:
            self._poller.unregister(copy.channel)
            copy.channel.close()
        copy.channel, copy.answer = None, b""

    def _store(self, elapsed: float, changed: Callable[[RunLog], None]) -> None:
        """Store the progress, and end the copies that are complete or cannot be completed."""
        moved = [copy for copy in self._copies.values() if copy.written != copy.stored]
        ended = []
        for copy in [copy for copy in self._copies.values() if copy.is_over]:
            copy.give_up_at = copy.give_up_at or elapsed + RETRY_TIME
            is_hopeless = elapsed >= copy.give_up_at and copy.channel is None
            if copy.written >= copy.log.spool.size or is_hopeless:
                copy.log.filed = copy.log.spool.size
                ended.append(copy)
                self._close(copy)
                del self._copies[copy.log.run]
        for copy in moved:
            copy.stored = copy.written
        self._file.write(
            (MOVE, [(copy.stored, copy.log.run) for copy in moved]),
            (END, [(copy.log.run,) for copy in ended]),
        )
        for copy in {*moved, *ended}:
            changed(copy.log)

    def retry_in(self, elapsed: float) -> float | None:
        """Return the seconds until `step` has something to do; None if it has nothing to wait for."""
        waits = [max(0.0, copy.retry_at - elapsed) for copy in self._copies.values() if copy.can_be_sent]
        if any(copy.written != copy.stored or copy.is_over for copy in self._copies.values()):
            waits.append(max(0.0, self._stored_at + STORE_INTERVAL - elapsed))
        return min(waits, default=None)

    def finish(self) -> None:
        """Let the writers write what they have received, for at most FINISH_TIME; store the progress."""
        give_up_at = clock.elapsed() + FINISH_TIME
        copies = [copy for copy in self._copies.values() if copy.channel]
        for copy in copies:
            if copy.channel:
                copy.channel.shutdown(socket.SHUT_WR)
        for copy in copies:
            while copy.channel and (wait := give_up_at - clock.elapsed()) > 0 and copy.written < copy.sent:
                copy.channel.settimeout(wait)
                self._read(copy)
            self._close(copy)
            copy.sent = copy.written
        self._store(clock.elapsed(), lambda _log: None)
