"""What there is to say of a run, from any place on: its start, each line it printed, its end."""

import os
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from pycrond.jobs.run import Outcome
from pycrond.output import syslog_format
from pycrond.output.spool import CHUNK, Spool
from pycrond.settings import Settings
from pycrond.text import whole

NOTHING_SENT, CMD_SENT, EXIT_SENT, ALL_SENT = range(4)  # how much of a run has been told: column `told`
READ = 4096  # bytes made into messages at once: 5 ms at most, where each is a line


class Progress(NamedTuple):
    """How far the telling of a run has come: bytes of its output, and NOTHING to ALL."""

    sent: int
    stage: int


START = Progress(0, NOTHING_SENT)


class SyslogHeader:
    """How every message begins: facility, format, and over a network our name."""

    def __init__(self, settings: Settings) -> None:
        self._format: syslog_format.Format = "rfc5424" if settings.syslog_format == "rfc5424" else "rfc3164"
        self._facility = settings.syslog_facility
        self._host = os.uname().nodename if "://" in settings.syslog else ""

    def head(self, tag: str, pid: int, now: datetime, level: str = "info") -> bytes:
        """What stands before the text, with the local time of `now`."""
        return syslog_format.head(
            now.astimezone(),
            tag,
            pid,
            level=level,
            facility=self._facility,
            host=self._host,
            form=self._format,
        )


@dataclass(slots=True, eq=False)
class RunLog:
    """One run, as far as syslog is concerned."""

    run: int
    pid: int
    user: str
    command: str
    name: str
    spool: Spool
    logged: bool = True  # its start and its end are told, not only what it prints
    output_open: bool = True
    mailed: bool = False  # or may be: both ends of the output are kept until then
    ending: tuple[Outcome, float | None] | None = None  # and how long it took, in seconds
    end_at: int = 0  # bytes it had printed when it ended: those are told before its end is
    handed: Progress = START  # to syslog
    taken: Progress = START  # by syslog's reader
    shown: Progress = START  # on standard error
    ready: bool = False  # it is in line to be handed on

    def messages(self, place: Progress, voice: SyslogHeader, now: datetime) -> tuple[list[bytes], Progress]:
        """The next packets from `place` on, and the place after them; none when there is nothing."""
        head = voice.head("PYCROND", self.pid, now)
        if place.stage == NOTHING_SENT and not self.logged:
            place = Progress(place.sent, CMD_SENT)
        if place.stage == NOTHING_SENT:
            said = [("CMD", syslog_format.cron_text(self.command))]
            return self._packets(head, said), Progress(place.sent, CMD_SENT)
        lines = self._lines(place)
        if lines:
            packets = syslog_format.output(head, self.user, lines.removesuffix(b"\n").split(b"\n"))
            return packets, Progress(place.sent + len(lines), place.stage)
        if self.ending and self.logged and place.stage == CMD_SENT and place.sent >= self.end_at:
            exit_line = exit_text(self.name, *self.ending)
            said = [("CMDEND", syslog_format.cron_text(self.command)), ("EXIT", exit_line)]
            return self._packets(head, said), Progress(place.sent, EXIT_SENT)
        return [], place

    @property
    def is_told(self) -> bool:
        """Syslog's reader has all there will ever be to tell."""
        last = EXIT_SENT if self.logged else self.taken.stage
        return not self.output_open and bool(self.ending) and self.taken == Progress(self.spool.size, last)

    def _packets(self, head: bytes, said: list[tuple[str, str]]) -> list[bytes]:
        return [
            text for event, detail in said for text in syslog_format.packets(head, self.user, event, detail)
        ]

    def _lines(self, place: Progress) -> bytes:
        """Whole lines; one without an end only when its run is over, or when it is too long to wait for."""
        if place.sent >= self.spool.size:
            return b""  # nothing is looked for: most jobs print nothing
        data = self.spool.read(place.sent, READ)
        if len(data) == READ and b"\n" not in data:  # a long line
            data += self.spool.read(place.sent + len(data), CHUNK)
        end = data.rfind(b"\n") + 1
        if not end and self._is_rest(place, len(data)):
            end = len(data)
        elif not end and len(data) > CHUNK:
            end = whole(data)
        return data[:end]

    def _is_rest(self, place: Progress, size: int) -> bool:
        """Whether these bytes are the last there are to tell, or to tell before the end of the run is."""
        reaches = place.sent + size
        if not self.output_open:
            return reaches == self.spool.size
        return self.ending is not None and place.stage == CMD_SENT and reaches >= self.end_at


def exit_text(name: str, outcome: Outcome, duration: float | None) -> str:
    """`backup status=3 duration=1.2s cpu=0.31s maxrss=8123kB`: how a run ended, for people and filters."""
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
    if outcome.reason:
        words.append(f"reason={outcome.reason!r}")
    return " ".join(words)
