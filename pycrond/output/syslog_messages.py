"""The messages to syslog about the daemon and the runs."""

import os
from collections.abc import Iterator
from datetime import datetime

from pycrond import clock
from pycrond.jobs.run import Outcome
from pycrond.output import syslog_format
from pycrond.output.line_times import NOT_SPLIT
from pycrond.output.run_log import EXIT_LEVELS, Begin, Lines, Piece, Progress, RunLog
from pycrond.output.syslog_format import SyslogHeader
from pycrond.output.target import Batch, Message


class SyslogMessages:
    """Messages in the form for syslog: packets of a limited size."""

    read_size = 4096
    """The bytes of output formatted at once; it takes at most 5 ms, if each byte is a line."""

    def __init__(self, header: SyslogHeader) -> None:
        self._header = header

    def message(self, message: Message, now: datetime) -> list[bytes]:
        """Return a message ``(user) EVENT (detail)`` of the daemon."""
        head = self._header.format("pycrond", os.getpid(), message.at, message.level)
        end = self._header.late_end(message.at, now)
        return syslog_format.packets(head, message.user, message.event, message.detail, end)

    def batches(self, log: RunLog, piece: Piece, end: Progress, now: datetime) -> Iterator[Batch]:
        """Yield the packets of a piece of a run's log, which ends at the position `end`."""
        if isinstance(piece, Lines):
            packets = self._line_packets(log, piece, now)
        else:
            command = syslog_format.cron_text(log.command)
            event = "CMD" if isinstance(piece, Begin) else "CMDEND"
            packets = self._packets(log, now, piece.at, "info", event, command)
            if not isinstance(piece, Begin):
                level = EXIT_LEVELS.get(piece.outcome.state, "warning")
                text = exit_text(log.name, piece.outcome, piece.duration)
                packets += self._packets(log, now, piece.at, level, "EXIT", text, outcome=piece.outcome)
        yield Batch(packets, end)

    def _line_packets(self, log: RunLog, piece: Lines, now: datetime) -> list[bytes]:
        packets = []
        for seconds, stream, group in piece.groups:
            at = clock.at(seconds)
            head = self._header.format("PYCROND", log.pid, at, fields=_fields(log, stream=stream))
            printed = group.removesuffix(b"\n").split(b"\n")
            packets += syslog_format.output_packets(head, log.user, printed, self._header.late_end(at, now))
        return packets

    def _packets(
        self,
        log: RunLog,
        now: datetime,
        seconds: float,
        level: str,
        event: str,
        detail: str,
        *,
        outcome: Outcome | None = None,
    ) -> list[bytes]:
        """Return a message about an event at a time in Unix seconds."""
        at = clock.at(seconds)
        head = self._header.format("PYCROND", log.pid, at, level, _fields(log, outcome))
        return syslog_format.packets(head, log.user, event, detail, self._header.late_end(at, now))


def _fields(log: RunLog, outcome: Outcome | None = None, stream: str = NOT_SPLIT) -> dict[str, object]:
    """Return journald's fields of a message, by which `journalctl` finds it."""
    fields: dict[str, object] = {"PYCROND_JOB": log.name, "PYCROND_RUN": log.run, "PYCROND_USER": log.user}
    if stream != NOT_SPLIT:
        fields["PYCROND_STREAM"] = stream
    if outcome and outcome.exit_status is not None:
        fields["PYCROND_EXIT_STATUS"] = outcome.exit_status
    return fields


def exit_text(name: str, outcome: Outcome, duration: float | None) -> str:
    """Return the detail of EXIT: `backup status=3 duration=1.2s cpu=0.31s maxrss=8123kB`."""
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
