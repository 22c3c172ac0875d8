"""From the FIFOs to the spools: what the jobs print, as it comes."""

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass

from pycrond import clock
from pycrond.host import spawn
from pycrond.host.poller import Poller
from pycrond.output.delivery import Delivery
from pycrond.output.run_log import RunLog
from pycrond.output.spool import CHUNK

RETRY_FULL = 1.0  # seconds between two tries to write to a full disk
TAKES = 16  # chunks taken from one FIFO before the others have their turn


@dataclass(slots=True, eq=False)
class CapturedOutput:
    """One run's FIFO and where its bytes go."""

    log: RunLog
    reader: int  # -1 once the output has ended
    run_over: bool = False  # its main process is gone: with the last writer the output ends for good


class Capture:
    """The FIFOs that are open, in a directory of their own."""

    def __init__(self, poller: Poller, deliveries: Delivery, directory: str) -> None:
        self._poller = poller
        self._delivery = deliveries
        self._directory = directory
        self._blocked: list[CapturedOutput] = []  # wait for room on the disk
        self._retry_at = 0.0
        self._full = False
        self.closed: list[int] = []
        """Runs whose FIFO is done with: whoever else holds it may let it go, and empties this."""

    @property
    def open(self) -> list[int]:
        """The runs whose output may still come."""
        return [int(name) for name in os.listdir(self._directory)]

    def path(self, run: int) -> str:
        """Where a run's FIFO is made."""
        return os.path.join(self._directory, str(run))

    def remove(self, run: int) -> None:
        """Take the FIFO away; processes that have it open keep it."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path(run))

    def watch(self, output: CapturedOutput) -> None:
        """Take what comes."""
        self._poller.register(output.reader, self._reading(output))

    def _reading(self, output: CapturedOutput) -> Callable[[], None]:
        return lambda: self.take(output, TAKES * CHUNK)

    def run_ended(self, output: CapturedOutput) -> int:
        """The main process is gone: what it printed is in the pipe and is taken now, if the disk takes it,
        and what others print as it comes. Returns how many bytes had been printed by now.
        """
        output.run_over = True
        printed = output.log.spool.size
        if output.reader >= 0:
            waiting = spawn.waiting_bytes(output.reader)
            printed += waiting
            self.take(output, waiting)
        if output.reader >= 0 and output not in self._blocked:
            self.watch(output)
        return printed

    def take(self, output: CapturedOutput, most: int) -> None:
        """Move all there is into the spool, if not much more than `most` bytes; close the FIFO at its end."""
        spool = output.log.spool
        before = spool.size
        try:
            while spool.size - before <= most and (moved := spool.take(output.reader)) is not None:
                if moved == 0:
                    self._no_writers(output)
                    break
        except OSError as error:
            self._block(output, error)
        else:
            self._full = False
        if spool.size != before:
            self._delivery.touch(output.log)

    def _no_writers(self, output: CapturedOutput) -> None:
        """No process has the FIFO open. While the main one lives it may open it again, by its name."""
        self._poller.unregister(output.reader)
        if not output.run_over:
            return
        os.close(output.reader)
        output.reader = -1
        telling = output.log
        self.remove(telling.run)
        self.closed.append(telling.run)
        telling.spool.close()
        telling.output_open = False
        self._delivery.touch(telling)

    def _block(self, output: CapturedOutput, error: OSError) -> None:
        """The disk takes no more: what is in the pipe stays there, and the job waits when that is full."""
        self._poller.unregister(output.reader)
        if not self._full:
            reason = f"cannot write output of run {output.log.run}: {error.strerror}"
            self._delivery.say("ERROR", reason, clock.now(), level="err")
        self._full = True
        self._retry_at = clock.elapsed() + RETRY_FULL
        if output not in self._blocked:
            self._blocked.append(output)

    def tick(self, elapsed: float) -> None:
        """Try again what a full disk has held up."""
        if not self._blocked or elapsed < self._retry_at:
            return
        blocked, self._blocked = self._blocked, []
        for output in blocked:
            if output.reader < 0:
                continue  # its end came meanwhile
            self.watch(output)
            self.take(output, TAKES * CHUNK)

    def retry_in(self, elapsed: float) -> float | None:
        """Seconds until `tend` has something to do; None if nothing waits."""
        return max(0.0, self._retry_at - elapsed) if self._blocked else None
