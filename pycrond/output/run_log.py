"""The messages about a run, from any position on: its start, each line of its output, its end."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from pycrond import clock
from pycrond.jobs.run import Outcome, Run, State
from pycrond.output import syslog_format
from pycrond.output.line_times import by_time
from pycrond.output.spool import CHUNK_SIZE, Spool
from pycrond.output.syslog_format import SyslogHeader
from pycrond.text import complete_length

NOTHING_SENT, CMD_SENT, EXIT_SENT, ALL_SENT = range(4)  # column `told` of the ledger
READ_SIZE = 4096  # bytes made into messages at once: at most 5 ms, where each byte is a line


EXIT_LEVELS = {State.SUCCEEDED: "info", State.LOST: "err", State.UNKNOWN: "err"}
"""The levels of EXIT by the state of the run; all others are warnings."""


class Progress(NamedTuple):
    """A position in the messages about a run."""

    sent: int
    """Bytes of output."""
    stage: int
    """NOTHING_SENT to ALL_SENT."""


START = Progress(0, NOTHING_SENT)


@dataclass(slots=True, eq=False)
class RunLog:
    """A run as syslog sees it, and how far its delivery has come."""

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
    mailed: bool = False  # or may be: both ends of the output are kept until then
    started_at: float | None = None  # Unix seconds
    ending: tuple[Outcome, float | None] | None = None  # and its duration in seconds
    ended_at: float | None = None  # Unix seconds
    size_at_end: int = 0  # bytes it had printed when it ended: they are sent before its end is
    handed: Progress = START  # to the syslog client
    acknowledged: Progress = START  # by syslog's reader
    copied: Progress = START  # to standard error
    is_queued: bool = False  # in the queue for the syslog client
    waiting_size: int = 0  # bytes that are counted as not delivered
    held_size: int = 0  # bytes on disk beyond these

    @classmethod
    def of(cls, run: Run, pid: int, spool: Spool, started_at: float | None) -> "RunLog":
        """The log of a run at its start, a time in Unix seconds."""
        job = run.job
        options = job.entry.options
        return cls(
            run.id,
            pid,
            job.user,
            job.entry.command,
            job.display_name,
            spool,
            options.log,
            key=job.key,
            keep_output=options.keep_output,
            mailed=options.may_be_mailed,
            started_at=started_at,
        )

    def messages(
        self, progress: Progress, header: SyslogHeader, now: datetime
    ) -> tuple[list[bytes], Progress]:
        """The next packets after `progress`, and the position after them; none when there is nothing. The
        time of each is that of the event, which may be long ago.
        """
        if progress.stage == NOTHING_SENT and not self.logged:
            progress = Progress(progress.sent, CMD_SENT)
        if progress.stage == NOTHING_SENT:
            command = syslog_format.cron_text(self.command)
            packets = self._packets(header, now, self.started_at, "info", "CMD", command)
            return packets, Progress(progress.sent, CMD_SENT)
        lines = self._lines(progress)
        if lines:
            marks = self.spool.times(progress.sent, progress.sent + len(lines))
            marks = marks or [(progress.sent, now.timestamp())]
            packets = []
            for seconds, group in by_time(lines, progress.sent, marks):
                at = clock.at(seconds)
                head = header.format("PYCROND", self.pid, at, fields=self._fields())
                end = header.late_end(at, now)
                printed = group.removesuffix(b"\n").split(b"\n")
                packets += syslog_format.output_packets(head, self.user, printed, end)
            return packets, Progress(progress.sent + len(lines), progress.stage)
        is_end_next = progress.stage == CMD_SENT and progress.sent >= self.size_at_end
        if self.ending and self.logged and is_end_next:
            return self._end_packets(header, now, *self.ending), Progress(progress.sent, EXIT_SENT)
        return [], progress

    @property
    def done(self) -> int:
        """The offset up to which nothing but a mail needs the output any more."""
        sent = self.acknowledged.sent
        return sent if self.filed is None else min(sent, self.filed)

    @property
    def is_delivered(self) -> bool:
        """Return whether syslog's reader has taken all there will ever be."""
        last = EXIT_SENT if self.logged else self.acknowledged.stage
        return (
            not self.output_open
            and bool(self.ending)
            and self.acknowledged == Progress(self.spool.size, last)
            and self.done == self.spool.size
        )

    def _end_packets(
        self, header: SyslogHeader, now: datetime, outcome: Outcome, duration: float | None
    ) -> list[bytes]:
        level = EXIT_LEVELS.get(outcome.state, "warning")
        command, text = syslog_format.cron_text(self.command), exit_text(self.name, outcome, duration)
        return [
            *self._packets(header, now, self.ended_at, "info", "CMDEND", command),
            *self._packets(header, now, self.ended_at, level, "EXIT", text, outcome=outcome),
        ]

    def _packets(
        self,
        header: SyslogHeader,
        now: datetime,
        seconds: float | None,
        level: str,
        event: str,
        detail: str,
        *,
        outcome: Outcome | None = None,
    ) -> list[bytes]:
        """Return a message about what happened at a time in Unix seconds; None: now."""
        at = now if seconds is None else clock.at(seconds)
        head = header.format("PYCROND", self.pid, at, level, self._fields(outcome))
        return syslog_format.packets(head, self.user, event, detail, header.late_end(at, now))

    def _fields(self, outcome: Outcome | None = None) -> dict[str, object]:
        """Return journald's fields of a message, by which `journalctl` finds it."""
        fields: dict[str, object] = {
            "PYCROND_JOB": self.name,
            "PYCROND_RUN": self.run,
            "PYCROND_USER": self.user,
        }
        if outcome and outcome.exit_status is not None:
            fields["PYCROND_EXIT_STATUS"] = outcome.exit_status
        return fields

    def _lines(self, progress: Progress) -> bytes:
        """Whole lines; an incomplete line only when the run is over, or when the line is very long."""
        if progress.sent >= self.spool.size:
            return b""  # without a look at the disk: most jobs print nothing
        data = self.spool.read(progress.sent, READ_SIZE)
        if len(data) == READ_SIZE and b"\n" not in data:  # a long line
            data += self.spool.read(progress.sent + len(data), CHUNK_SIZE)
        end = data.rfind(b"\n") + 1
        if not end and self._is_rest(progress, len(data)):
            end = len(data)
        elif not end and len(data) > CHUNK_SIZE:
            end = complete_length(data)
        return data[:end]

    def _is_rest(self, progress: Progress, size: int) -> bool:
        """Return whether these bytes are the last of all, or the last before the message of the end."""
        reached = progress.sent + size
        if not self.output_open:
            return reached == self.spool.size
        return self.ending is not None and progress.stage == CMD_SENT and reached >= self.size_at_end


def exit_text(name: str, outcome: Outcome, duration: float | None) -> str:
    """The detail of EXIT, for people and filters: `backup status=3 duration=1.2s cpu=0.31s maxrss=8123kB`."""
    words = [name]
    if outcome.exit_status is not None:
        words.append(f"status={outcome.exit_status}")
    elif outcome.signal is not None:
        words.append(f"signal={outcome.signal}")
    else:
        words.append(f"state={outcome.state}")
    if duration is not None:
        words.append(f"duration={duration:.1f}s" if duration >= 0.1 else f"duration={duration:.3f}s")
    if outcome.cpu_s is not None:
        words.append(f"cpu={outcome.cpu_s:.2f}s")
    if outcome.max_rss_kb is not None:
        words.append(f"maxrss={outcome.max_rss_kb}kB")
    if outcome.cause.text:
        words.append(f"reason={outcome.cause.text!r}")
    return " ".join(words)
