"""Telling syslog: the daemon's own words and, from the spools, what every run did and printed.

At least once, in order within a run. What has been told is known by what the reader has certainly taken;
where that ends is stored, and a later daemon goes on there.
"""

import os
from collections import deque
from collections.abc import Iterable, Sequence
from datetime import datetime

from pycrond import clock
from pycrond.host import machine
from pycrond.ledger.writer import Ledger
from pycrond.output import syslog_format
from pycrond.output.run_log import ALL_SENT, CMD_SENT, Progress, RunLog, SyslogHeader
from pycrond.output.spool import Spool
from pycrond.output.syslog import SyslogClient
from pycrond.settings import Settings

OWN_MOST = 1000  # of the daemon's own messages kept while syslog is away; runs are kept by the ledger
TURN_MOST = 0.002  # seconds of a turn, so that what jobs print holds up no start
MAILED = 4  # segments of each end of an output that a mail may want: LIMIT of mailtext is 7 MB
STORE_EVERY = 1.0  # seconds
STORE_AFTER = 1 << 18  # bytes of output that syslog has taken: so much is told again after a crash


class Delivery:
    """What is still to be told, and how far that has come."""

    def __init__(self, settings: Settings, ledger: Ledger, syslogger: SyslogClient) -> None:
        self._syslog = syslogger
        self._ledger = ledger
        self._voice = SyslogHeader(settings)
        self._shows = settings.log_stderr
        self._mailer = settings.mailer
        self._spools = os.path.join(settings.state_dir, "spool")
        self._own: deque[bytes] = deque()
        self._logs: dict[int, RunLog] = {}
        self._ready: deque[RunLog] = deque()
        self._changed: dict[int, RunLog] = {}
        self._stored_at = 0.0
        self._unstored = 0  # bytes that were taken since
        self.dropped = 0  # own messages that fell off while syslog was away

    def say(self, event: str, detail: str, now: datetime, *, level: str = "info") -> None:
        """A word of the daemon's own, as `(CRON) EVENT (detail)`."""
        head = self._voice.head("pycrond", os.getpid(), now, level)
        for packet in syslog_format.packets(head, "CRON", event, detail):
            self._syslog.copy(packet, console=True)
            self._own.append(packet)
        while len(self._own) > OWN_MOST:
            self._own.popleft()
            self.dropped += 1

    def add(self, tellings: Sequence[RunLog]) -> None:
        """Runs to be told, each from where it stands."""
        has_mailer = machine.has_mailer(self._mailer)
        for telling in tellings:
            telling.mailed = telling.mailed and has_mailer
            self._logs[telling.run] = telling
            self.touch(telling)

    def touch(self, telling: RunLog) -> None:
        """It began, its output grew or ended, or it ended: there may be something to tell and to store."""
        self._changed[telling.run] = telling
        if not telling.ready:
            telling.ready = True
            self._ready.append(telling)
        while self._shows:
            packets, telling.shown = telling.messages(telling.shown, self._voice, clock.now())
            if not packets:
                break
            for packet in packets:
                self._syslog.copy(packet)

    def keep_for_mail(self, runs: Iterable[int]) -> None:
        """Both ends of their output are wanted still."""
        for run in runs:
            if run in self._logs:
                self._logs[run].mailed = True

    def give_up_beyond(self, most: int, now: datetime) -> None:
        """Of the output that waits for syslog keep so many bytes, the newest runs'."""
        waiting = sum(one.spool.size - one.taken.sent for one in self._logs.values())
        for telling in [*self._logs.values()] if waiting > most else ():
            left = telling.spool.size - telling.taken.sent
            if waiting <= most or not left:
                continue
            waiting -= left
            telling.handed = telling.taken = Progress(telling.spool.size, max(telling.taken.stage, CMD_SENT))
            self.touch(telling)
            said = f"{left} bytes that run {telling.run} printed: {most >> 20} MiB wait for syslog"
            self.say("DROPPED", said, now, level="err")

    def mail_done(self, run: int) -> None:
        """Its output is not wanted any more but by syslog."""
        if run in self._logs:
            self._logs[run].mailed = False
            self.touch(self._logs[run])
        else:
            spool = Spool(self._spools, run)
            spool.drop_before(spool.size)

    @property
    def backlog(self) -> int:
        """Runs not yet told in full."""
        return len(self._logs)

    def pump(self, now: datetime, elapsed: float) -> bool:
        """Hand over what can be; True if there is more that could go at once."""
        self._syslog.tick(elapsed)
        more = self._pump_own() and self._pump_runs(now, elapsed + TURN_MOST)
        self._take_note()
        is_time = elapsed - self._stored_at >= STORE_EVERY or self._unstored >= STORE_AFTER
        if self._changed and (is_time or not more):
            self.store()
            self._stored_at = elapsed
        return more

    def _pump_own(self) -> bool:
        """The daemon's own words first; False once syslog takes no more."""
        while self._own and self._syslog.has_room:
            self._syslog.send([self._own.popleft()], None)
        return not self._own

    def _pump_runs(self, now: datetime, give_up: float) -> bool:
        """A batch of messages for each run in turn; True if there is more that syslog would take."""
        while self._ready and self._syslog.has_room:
            telling = self._ready.popleft()
            packets, telling.handed = telling.messages(telling.handed, self._voice, now)
            telling.ready = bool(packets)
            if packets:
                self._syslog.send(packets, (telling, telling.handed))
                self._ready.append(telling)
            if clock.elapsed() >= give_up:
                break
        return bool(self._ready) and self._syslog.has_room

    def _take_note(self) -> None:
        """Where the reader has got to."""
        for token in self._syslog.taken():
            if isinstance(token, tuple):
                telling, place = token
                self._unstored += max(0, place.sent - telling.taken.sent)
                telling.taken = max(telling.taken, place)  # it may have been given up meanwhile
                self._changed[telling.run] = telling

    def store(self) -> None:
        """Write down how far it has come; runs that have been told in full are done with."""
        for telling in self._changed.values():
            if telling.is_told:
                telling.taken = Progress(telling.spool.size, ALL_SENT)
                self._logs.pop(telling.run, None)
            telling.spool.drop_before(telling.taken.sent, ends=MAILED if telling.mailed else 0)
        if self._changed:
            self._ledger.delivered({run: (one.spool.size, *one.taken) for run, one in self._changed.items()})
        self._changed.clear()
        self._unstored = 0
