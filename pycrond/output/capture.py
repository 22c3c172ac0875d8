"""Capture of the jobs' output: its bytes are moved from the FIFOs to the spools as they arrive.

A run has a FIFO with its number as the name; with `log=split` it has a second FIFO for standard error, named
by the number with a minus before it.
"""

import contextlib
import errno
import os
from collections import Counter
from dataclasses import dataclass

from pycrond import clock
from pycrond.errors import os_reason
from pycrond.host import spawn
from pycrond.host.fifo_state import NO_WRITER, peek
from pycrond.host.poller import Poller
from pycrond.output import split_streams
from pycrond.output.daemon_log import DaemonLog
from pycrond.output.delivery import Delivery
from pycrond.output.run_log import RunLog
from pycrond.output.spool import CHUNK_SIZE, Spool

RETRY_INTERVAL = 1.0  # seconds between two attempts to write to a full disk
WRITE_BACK_INTERVAL = 1.0  # seconds
ROOM = 1 << 20  # bytes of delivered output that are deleted at once while the disk is full
REPORT_INTERVAL = 3600.0  # seconds between two messages about deleted output
MAX_READ = 4 * CHUNK_SIZE  # bytes read from one FIFO before the next FIFO is read
MAX_TURN_TIME = 0.005  # seconds in a turn of the loop, even if many FIFOs are full
BATCH = 16  # FIFOs read between two readings of the clock
MIN_PAUSE, MAX_PAUSE = 0.001, 0.5  # seconds between two checks of an incomplete line (`log=split`)


@dataclass(slots=True, eq=False)
class CapturedOutput:
    """The one or two FIFOs of a run, and the log that gets their bytes."""

    log: RunLog
    reader: int  # -1 once the output has ended
    errors: int = -1  # with `log=split` the FIFO of standard error; both end together
    pause: float = MIN_PAUSE  # seconds until an incomplete line is checked again
    is_counted: bool = False  # it is counted in `open_of_user`
    run_over: bool = False  # the main process has ended: the output ends with the last writer

    @property
    def readers(self) -> dict[int, int]:
        """The open read ends, by the numbers under which the keeper holds them."""
        ends = {self.log.run: self.reader, -self.log.run: self.errors}
        return {number: reader for number, reader in ends.items() if reader >= 0}

    def move(self, at: float, *, everything: bool) -> int | None:
        """Move the bytes in the FIFOs to the spool, as `split_streams.move` does."""
        if self.errors < 0:
            return self.log.spool.move_from(self.reader, at)
        fifos, is_over = (self.reader, self.errors), self.run_over
        return split_streams.move(self.log.spool, fifos, at, everything=everything, is_over=is_over)

    @property
    def unread(self) -> int:
        """The number of bytes in the FIFOs."""
        return sum(spawn.unread_bytes(reader) for reader in self.readers.values())


class Capture:
    """The open FIFOs, in a directory of their own."""

    def __init__(self, poller: Poller, delivery: Delivery, daemon_log: DaemonLog, directory: str) -> None:
        """`poller` is the loop's; it watches a poller of all FIFOs, which are read in turns."""
        self._poller = Poller()
        poller.register(self._poller, self.read_ready)
        self._delivery = delivery
        self._daemon_log = daemon_log
        self._directory = directory
        self._blocked: list[CapturedOutput] = []  # outputs that wait for room on the disk
        self._retry_at = 0.0
        self._incomplete: dict[
            CapturedOutput, float
        ] = {}  # outputs with incomplete lines; the time of the next check
        self._unwritten: set[Spool] = set()  # spools that have grown since the last write-back
        self._write_back_at = 0.0
        self.trouble = ""
        """The reason why output cannot be written; empty while it can."""
        self.troubled_at = 0.0
        """The start of the trouble, in Unix seconds."""
        self._reported_at = -REPORT_INTERVAL  # time of the last message about deleted output
        self._closed: list[int] = []
        self.open_of_user: Counter[str] = Counter()
        """The number of open FIFOs of each user's runs, also of runs that have ended."""
        self._freed_users: set[str] = set()

    @property
    def open_runs(self) -> list[int]:
        """The runs with a FIFO."""
        return [*{abs(int(name)) for name in os.listdir(self._directory)}]

    def path(self, run: int) -> str:
        """Return the path of a run's FIFO; for a negative number, that of its standard error."""
        return os.path.join(self._directory, str(run))

    def remove(self, run: int) -> None:
        """Remove the FIFOs' names; processes that have them open can still use them."""
        for number in (-run, run):
            with contextlib.suppress(OSError):
                os.unlink(self.path(number))

    def take_closed(self) -> list[int]:
        """Return the runs whose FIFOs were closed since the last call: the keeper can close them too."""
        closed, self._closed = self._closed, []
        return closed

    def watch(self, output: CapturedOutput) -> None:
        """Read the FIFOs whenever they hold bytes."""
        if not output.is_counted:
            output.is_counted = True
            self.open_of_user[output.log.user] += 1
        for reader in output.readers.values():
            self._poller.register(reader, lambda: self.read(output, MAX_READ))

    def _unwatch(self, output: CapturedOutput) -> None:
        for reader in output.readers.values():
            self._poller.unregister(reader)

    def read_ready(self) -> None:
        """Read the FIFOs in turns, for as long as a turn of the loop allows."""
        give_up_at = clock.elapsed() + MAX_TURN_TIME
        while clock.elapsed() < give_up_at:
            is_empty = True
            for callback in self._poller.wait(0.0, BATCH):
                is_empty = False
                callback()
            if is_empty:
                break

    def run_ended(self, output: CapturedOutput) -> int:
        """Read the FIFOs after the main process has ended, and later the output of other processes as it
        arrives. Return the number of bytes that the run has printed by now.
        """
        output.run_over = True
        printed, is_split = output.log.spool.size, output.errors >= 0
        if output.reader >= 0:
            waiting = output.unread
            self.read(output, waiting, everything=True)
            printed += waiting
            if is_split:  # `end_line` may have added a newline
                printed = max(printed, output.log.spool.size)
        if output.reader >= 0 and output not in self._blocked:
            self.watch(output)
        return printed

    def read(self, output: CapturedOutput, max_size: int, *, everything: bool = False) -> None:
        """Move bytes from the FIFOs to the spool, not much more than `max_size`; close the FIFOs at their
        end. With `everything`, move also an incomplete line of one of two streams.
        """
        spool, at = output.log.spool, clock.now().timestamp()
        self._incomplete.pop(output, None)
        before = spool.size
        try:
            while (
                spool.size - before <= max_size
                and (moved := output.move(at, everything=everything)) is not None
            ):
                if moved == 0:
                    self._no_writers(output)
                    break
            if output.errors >= 0:
                self._wait_for_lines(output, has_moved=spool.size != before)
        except OSError as error:
            self._block(output, error)
        if spool.size != before:
            if not self._unwritten:
                self._write_back_at = clock.elapsed() + WRITE_BACK_INTERVAL
            self._unwritten.add(spool)
            self._delivery.changed(output.log)

    def _wait_for_lines(self, output: CapturedOutput, *, has_moved: bool) -> None:
        """Check an incomplete line later; stop watching a FIFO without a writer: it always wakes the loop."""
        if has_moved:
            output.pause = MIN_PAUSE
            return
        if output.unread:
            self._unwatch(output)
            self._incomplete[output] = clock.elapsed() + output.pause
            output.pause = min(2 * output.pause, MAX_PAUSE)
            return
        for reader in output.readers.values():
            if peek(reader) == NO_WRITER:
                self._poller.unregister(reader)

    def _no_writers(self, output: CapturedOutput) -> None:
        """Handle FIFOs that no process has open. While the main process lives, it may open them again."""
        self._unwatch(output)
        if not output.run_over:
            return
        for reader in output.readers.values():
            os.close(reader)
        output.reader = output.errors = -1
        log = output.log
        self.remove(log.run)
        self._closed.append(log.run)
        output.is_counted = False
        self.open_of_user[log.user] -= 1
        self._freed_users.add(log.user)
        log.spool.close()
        log.output_open = False
        self._delivery.changed(log)

    def take_freed_users(self) -> set[str]:
        """Return the users whose FIFOs were closed since the last call."""
        users, self._freed_users = self._freed_users, set()
        return users

    def _block(self, output: CapturedOutput, error: OSError) -> None:
        """Leave the bytes in the FIFO, because the disk is full; the job waits when the FIFO is full, too.
        The oldest delivered output is deleted to make room.
        """
        self._unwatch(output)
        if output not in self._blocked:
            self._blocked.append(output)
        now, elapsed = clock.now(), clock.elapsed()
        is_full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        self._retry_at = elapsed
        if is_full and self._delivery.make_room(ROOM):
            if elapsed >= self._reported_at + REPORT_INTERVAL:
                detail = "the disk is full: the oldest delivered output is deleted"
                self._daemon_log.write("WARNING", detail, now, level="warning")
                self._reported_at = elapsed
            return
        self._retry_at += RETRY_INTERVAL
        if not self.trouble:
            detail = f"cannot write output of run {output.log.run}: {os_reason(error)}"
            self._daemon_log.write("ERROR", detail, now, level="err")
            self.troubled_at = now.timestamp()
        self.trouble = os_reason(error)

    def blocked_sizes(self) -> list[int]:
        """Return the bytes that wait in the FIFOs of each run whose output cannot be written."""
        return [output.unread for output in self._blocked if output.reader >= 0]

    def retry(self, elapsed: float) -> None:
        """Read again FIFOs that were held up by an incomplete line or a full disk."""
        for output in [output for output, due_at in self._incomplete.items() if elapsed >= due_at]:
            del self._incomplete[output]
            if output.reader >= 0 and output not in self._blocked:
                self.watch(output)
                self.read(output, MAX_READ)
        if not self._blocked or elapsed < self._retry_at:
            return
        blocked, self._blocked = self._blocked, []
        for output in blocked:
            if output.reader >= 0:
                self.watch(output)
                self.read(output, MAX_READ, everything=output.run_over)
        if self.trouble and not self._blocked:
            self.trouble = ""
            self._daemon_log.write("INFO", "output can be written again", clock.now(), level="notice")

    def write_back(self, elapsed: float) -> None:
        """Start writing the output of the last second to the disk; the kernel would wait up to 30 s. Spools
        for which a turn of the loop has no time wait for the next turn.
        """
        give_up_at = clock.elapsed() + MAX_TURN_TIME
        while self._unwritten and self._write_back_at <= elapsed and clock.elapsed() < give_up_at:
            self._unwritten.pop().begin_write_back()

    def retry_in(self, elapsed: float) -> float | None:
        """Return the seconds until `retry` or `write_back` has something to do; None if there is nothing."""
        waits = [self._retry_at] * bool(self._blocked) + [self._write_back_at] * bool(self._unwritten)
        waits += self._incomplete.values()
        return max(0.0, min(waits) - elapsed) if waits else None

    def close(self) -> None:
        """Stop watching the FIFOs; they stay open."""
        self._poller.close()
