"""The log of a run, readable from any position: its start, each line of its output, its end."""

import itertools
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from pycrond.jobs.run import Outcome, Run, State
from pycrond.output.line_times import by_time
from pycrond.output.split_streams import streams
from pycrond.output.spool import CHUNK_SIZE, Spool
from pycrond.text import complete_length

NOTHING_SENT, CMD_SENT, EXIT_SENT, ALL_SENT = range(4)  # columns `told` and `shown` of the ledger
SYSLOG, STREAM = range(2)  # the places of the targets

EXIT_LEVELS = {State.SUCCEEDED: "info", State.LOST: "err", State.UNKNOWN: "err"}
"""The levels of EXIT by the state of the run; all others are warnings."""


class Progress(NamedTuple):
    """A position in the messages about a run."""

    sent: int
    """Bytes of output."""
    stage: int
    """NOTHING_SENT to ALL_SENT."""


START = Progress(0, NOTHING_SENT)


@dataclass(slots=True)
class Position:
    """The progress of a target with a run."""

    handed: Progress = START
    acknowledged: Progress = START
    is_queued: bool = False


class Begin(NamedTuple):
    """The start of a run. Times are Unix seconds."""

    at: float


class Lines(NamedTuple):
    """Lines of output, in groups by their stream and the time at which they were read; the last newline may
    be missing.
    """

    data: bytes
    groups: list[tuple[float, str, bytes]]
    is_partial: bool
    """The lines are one piece of a very long line, which continues."""


class End(NamedTuple):
    """The end of a run, with its duration in seconds."""

    at: float
    outcome: Outcome
    duration: float | None


Piece = Begin | Lines | End


@dataclass(slots=True, eq=False)
class RunLog:
    """A run as the targets see it, and the progress of its delivery."""

    run: int
    pid: int
    user: str
    command: str
    name: str
    spool: Spool
    logged: bool = True  # its start and end are logged, not only its output
    output_open: bool = True
    key: str = ""  # of the job
    keep_output: int | None = None  # the job's option
    filed: int | None = None  # offset up to which the output is in the file of the option `output`
    mailed: bool = False  # the output may be mailed: both its ends are kept until then
    started_at: float | None = None  # Unix seconds
    ending: tuple[Outcome, float | None] | None = None  # the outcome, and the duration in seconds
    ended_at: float | None = None  # Unix seconds
    size_at_end: int = 0  # bytes printed before its end: they are sent before the message EXIT
    positions: dict[int, Position] = field(default_factory=dict)  # by the places of the targets
    waiting_size: int = 0  # bytes that are counted as not delivered
    held_size: int = 0  # bytes on disk besides these

    @classmethod
    def of(cls, run: Run, pid: int, spool: Spool, started_at: float | None) -> "RunLog":
        """Return the log of a run; `started_at` is in Unix seconds."""
        job = run.job
        options = job.entry.options
        return cls(
            run.id,
            pid,
            job.user,
            job.entry.command,
            job.display_name,
            spool,
            bool(options.log),
            key=job.key,
            keep_output=options.keep_output,
            mailed=options.may_be_mailed,
            started_at=started_at,
        )

    def resume(self, *places: Progress) -> None:
        """Continue at the positions up to which each target had the log. Delivered output may be missing: the
        daemon died, or the disk was full, after it deleted segments and before it stored that; or all were
        deleted to make room on a full disk; or a power cut destroyed the end of them.
        """
        self.spool.skip_to(max(progress.sent for progress in places))
        for place, progress in enumerate(places):
            start = Progress(max(progress.sent, self.spool.kept_start), progress.stage)
            self.positions[place] = Position(start, start)

    @property
    def delivered(self) -> Progress:
        """The position up to which all targets have the log; without a target, all of it is delivered."""
        if not self.positions:
            return Progress(self.spool.size, EXIT_SENT if self.ending else CMD_SENT)
        return min(position.acknowledged for position in self.positions.values())

    def next(self, progress: Progress, size: int, now: datetime) -> tuple[Piece | None, Progress]:
        """Return the piece at a position, of output about `size` bytes, and the position after it; None if
        there is none yet. A piece has the time of its event, which may be long ago.
        """
        if progress.stage == NOTHING_SENT:
            after = Progress(progress.sent, CMD_SENT)
            if self.logged:
                return Begin(now.timestamp() if self.started_at is None else self.started_at), after
            progress = after
        if lines := self._lines(progress, size):
            after = Progress(progress.sent + len(lines), progress.stage)
            is_partial = not lines.endswith(b"\n") and not self._is_rest(progress, len(lines))
            return Lines(lines, self._groups(lines, progress.sent, now.timestamp()), is_partial), after
        is_end_next = progress.stage == CMD_SENT and progress.sent >= self.size_at_end
        if self.ending and self.logged and is_end_next:
            at = now.timestamp() if self.ended_at is None else self.ended_at
            return End(at, *self.ending), Progress(progress.sent, EXIT_SENT)
        return None, progress

    def _groups(self, lines: bytes, start: int, now: float) -> list[tuple[float, str, bytes]]:
        end = start + len(lines)
        groups = []
        parts = itertools.pairwise([*streams(self.spool, start, end), (end, "")])
        for (first, stream), (following, _) in parts:
            marks = self.spool.times(first, following) or [(first, now)]
            part = lines[first - start : following - start]
            groups += [(at, stream, group) for at, group in by_time(part, first, marks)]
        return groups

    @property
    def done(self) -> int:
        """The offset up to which only a mail may still need the output."""
        sent = self.delivered.sent
        return sent if self.filed is None else min(sent, self.filed)

    @property
    def is_delivered(self) -> bool:
        """True if the log is complete, and the targets and a file have all of it."""
        if self.output_open or not self.ending or self.done < self.spool.size:
            return False
        return all(
            position.acknowledged
            == Progress(self.spool.size, EXIT_SENT if self.logged else position.acknowledged.stage)
            for position in self.positions.values()
        )

    def _lines(self, progress: Progress, size: int) -> bytes:
        """Return complete lines; an incomplete line only at the end of the run, or if it is very long."""
        if progress.sent >= self.spool.size:
            return b""  # without reading the disk: most jobs print nothing
        data = self.spool.read(progress.sent, size)
        if len(data) == size and b"\n" not in data:  # a line longer than `size`
            data += self.spool.read(progress.sent + len(data), CHUNK_SIZE)
        end = data.rfind(b"\n") + 1
        if not end and self._is_rest(progress, len(data)):
            end = len(data)
        elif not end and len(data) > CHUNK_SIZE:
            end = complete_length(data)
        return data[:end]

    def _is_rest(self, progress: Progress, size: int) -> bool:
        """Return whether these bytes are the last of the output, or the last before the message EXIT."""
        reached = progress.sent + size
        if not self.output_open:
            return reached == self.spool.size
        return self.ending is not None and progress.stage == CMD_SENT and reached >= self.size_at_end
