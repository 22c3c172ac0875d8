"""Telling syslog: the daemon's own words and, from the spools, what every run did and printed.

At least once, in order within a run. What has been told is known by what the reader has certainly taken;
where that ends is stored, and a later daemon goes on there.
"""

import os
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime

from pycrond import logtext
from pycrond.ledger import Ledger
from pycrond.run import Outcome
from pycrond.settings import Settings
from pycrond.spool import CHUNK, Spool
from pycrond.syslogger import Syslogger

NOTHING, BEGUN, ENDED, ALL = range(4)  # how much of a run has been told: column `told`
OWN_MOST = 1000  # of the daemon's own messages kept while syslog is away; runs are kept by the ledger
READ = 8192  # bytes made into messages at once
RUNS_MOST = 16  # runs that are served a turn
TURN_MOST = 256  # messages handed over a run and a turn, so that no chatty job holds up the others
STORE_EVERY = 1.0  # seconds


@dataclass(slots=True, eq=False)
class Telling:
    """One run, as far as syslog is concerned."""

    run: int
    pid: int
    user: str
    command: str
    name: str
    spool: Spool
    output_open: bool = True
    ending: tuple[Outcome, float | None] | None = None  # and how long it took, in seconds
    end_at: int = 0  # bytes it had printed when it ended: those are told before its end is
    sent: int = 0  # bytes handed over
    stage: int = NOTHING  # handed over
    taken: int = 0  # bytes that the reader has
    told: int = NOTHING  # that the reader has
    queue: deque[tuple[bytes, int, int]] = field(default_factory=deque)  # packets, sent and stage after each
    ready: bool = False  # it is in line

    def is_all(self, size: int) -> bool:
        """Whether these bytes are the last there are to tell, or to tell before the end of the run is."""
        reaches = self.sent + size
        if not self.output_open:
            return size > 0 and reaches == self.spool.size
        return size > 0 and self.ending is not None and self.stage == BEGUN and reaches >= self.end_at


class Deliveries:
    """What is still to be told, and how far that has come."""

    def __init__(self, settings: Settings, ledger: Ledger, syslogger: Syslogger) -> None:
        self._syslogger = syslogger
        self._ledger = ledger
        self._format: logtext.Format = "rfc5424" if settings.syslog_format == "rfc5424" else "rfc3164"
        self._facility = settings.syslog_facility
        self._host = os.uname().nodename if "://" in settings.syslog else ""
        self._own: deque[bytes] = deque()
        self._tellings: dict[int, Telling] = {}
        self._changed: dict[int, Telling] = {}
        self._ready: deque[Telling] = deque()
        self._stored_at = 0.0
        self.dropped = 0  # own messages that fell off while syslog was away

    def say(self, event: str, detail: str, now: datetime, *, level: str = "info") -> None:
        """A word of the daemon's own, as `(CRON) EVENT (detail)`."""
        head = self._head("pycrond", os.getpid(), now, level)
        for packet in logtext.packets(head, "CRON", event, detail):
            self._syslogger.copy(packet, console=True)
            self._own.append(packet)
        while len(self._own) > OWN_MOST:
            self._own.popleft()
            self.dropped += 1

    def add(self, telling: Telling) -> None:
        self._tellings[telling.run] = telling
        self.touch(telling)

    def touch(self, telling: Telling) -> None:
        """It began, its output grew or ended, or it ended: there may be something to tell and to store."""
        self._changed[telling.run] = telling
        if not telling.ready:
            telling.ready = True
            self._ready.append(telling)

    @property
    def backlog(self) -> int:
        """Runs not yet told in full."""
        return len(self._tellings)

    def pump(self, now: datetime, elapsed: float) -> bool:
        """Hand over what can be; True if there is more that could go at once."""
        self._syslogger.tend(elapsed)
        more = self._pump_own() and self._pump_runs(now)
        self._take_note()
        if self._changed and (elapsed - self._stored_at >= STORE_EVERY or not more):
            self.store()
            self._stored_at = elapsed
        return more

    def _pump_own(self) -> bool:
        """The daemon's own words first; False once syslog takes no more."""
        while self._own:
            if not self._syslogger.send(self._own[0], None):
                return False
            self._own.popleft()
        return True

    def _pump_runs(self, now: datetime) -> bool:
        """A share of messages for each run in turn; True if there is more that syslog would take."""
        for _ in range(min(len(self._ready), RUNS_MOST)):
            telling = self._ready.popleft()
            told, open_end = self._pump_run(telling, now)
            telling.ready = open_end
            if open_end:
                self._ready.append(telling)
            if not told:
                return False
        return bool(self._ready)

    def _pump_run(self, telling: Telling, now: datetime) -> tuple[bool, bool]:
        """Whether syslog took all that was offered, and whether there may be more to offer."""
        for _ in range(TURN_MOST):
            if not telling.queue and not self._fill(telling, now):
                return True, False
            packet, sent, stage = telling.queue[0]
            if not self._syslogger.send(packet, (telling, sent, stage)):
                return False, True
            telling.queue.popleft()
            telling.sent, telling.stage = sent, stage
        return True, True

    def _fill(self, telling: Telling, now: datetime) -> bool:
        """Queue the next of a run's messages; False if there is nothing to say for now."""
        if telling.stage == NOTHING:
            self._queue(telling, now, [("CMD", logtext.cron_text(telling.command))], telling.sent, BEGUN)
        elif self._fill_output(telling, now):
            pass
        elif telling.ending and telling.stage == BEGUN and telling.sent >= telling.end_at:
            said = [
                ("CMDEND", logtext.cron_text(telling.command)),
                ("EXIT", exit_text(telling.name, *telling.ending)),
            ]
            self._queue(telling, now, said, telling.sent, ENDED)
        return bool(telling.queue)

    def _queue(
        self, telling: Telling, now: datetime, said: list[tuple[str, str]], sent: int, stage: int
    ) -> None:
        head = self._head("PYCROND", telling.pid, now)
        packets = [
            packet for event, detail in said for packet in logtext.packets(head, telling.user, event, detail)
        ]
        for packet in packets:
            self._syslogger.copy(packet)
            telling.queue.append((packet, telling.sent, telling.stage))
        last = telling.queue.pop()  # only when all of it has been taken is it said
        telling.queue.append((last[0], sent, stage))

    def _fill_output(self, telling: Telling, now: datetime) -> bool:
        """Whole lines; one without an end only when its run is over, or when it is too long to wait for."""
        data = telling.spool.read(telling.sent, READ)
        if data and b"\n" not in data:  # a long line, or one that goes on in the next segment
            data += telling.spool.read(telling.sent + len(data), CHUNK)
        end = data.rfind(b"\n") + 1
        if not end and (len(data) > CHUNK or telling.is_all(len(data))):
            end = len(data)
        if not end:
            return False
        head = self._head("PYCROND", telling.pid, now)
        sent = telling.sent
        for line in data[:end].removesuffix(b"\n").split(b"\n"):
            after = min(sent + len(line) + 1, telling.sent + end)
            *pieces, last = logtext.output(head, telling.user, line)
            for piece in pieces:
                telling.queue.append((piece, sent, telling.stage))
            telling.queue.append((last, after, telling.stage))
            sent = after
        for packet, _, _ in telling.queue:
            self._syslogger.copy(packet)
        return True

    def _head(self, tag: str, pid: int, now: datetime, level: str = "info") -> bytes:
        return logtext.head(
            now.astimezone(),
            tag,
            pid,
            level=level,
            facility=self._facility,
            host=self._host,
            form=self._format,
        )

    def _take_note(self) -> None:
        """Where the reader has got to."""
        for token in self._syslogger.taken():
            if isinstance(token, tuple):
                telling, telling.taken, telling.told = token
                self._changed[telling.run] = telling

    def store(self) -> None:
        """Write down how far it has come; runs that have been told in full are done with."""
        for telling in self._changed.values():
            if telling.told == ENDED and not telling.output_open and telling.taken == telling.spool.size:
                telling.told = ALL
                self._tellings.pop(telling.run, None)
            telling.spool.drop_before(telling.taken)
        if self._changed:
            self._ledger.delivered(
                {run: (one.spool.size, one.taken, one.told) for run, one in self._changed.items()}
            )
        self._changed.clear()


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
