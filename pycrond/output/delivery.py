"""Delivery of the runs' messages from the spools to syslog.

At least once, and in order within a run. The ledger stores how much syslog's reader has certainly taken; a
later daemon goes on from there.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from datetime import datetime

from pycrond import clock
from pycrond.host import machine
from pycrond.ledger.writer import Ledger
from pycrond.output.daemon_log import DaemonLog
from pycrond.output.run_log import ALL_SENT, CMD_SENT, Progress, RunLog
from pycrond.output.spool import Spool
from pycrond.output.syslog import SyslogClient
from pycrond.output.syslog_format import SyslogHeader
from pycrond.settings import Settings

MAX_TURN_TIME = 0.002  # seconds of a turn of the loop, so that output holds up no start
MAILED_SEGMENTS = 4  # of each end of an output that a mail may want: a mail holds 7 MB
STORE_INTERVAL = 1.0  # seconds
STORE_SIZE = 1 << 18  # bytes that syslog has taken, before that is stored: they are sent again after a crash


class Delivery:
    """The logs of the runs that syslog does not have in full."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        syslog: SyslogClient,
        header: SyslogHeader,
        daemon_log: DaemonLog,
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._syslog = syslog
        self._header = header
        self._daemon_log = daemon_log
        self._logs: dict[int, RunLog] = {}
        self._queue: deque[RunLog] = deque()
        self._changed: dict[int, RunLog] = {}
        self._stored_at = 0.0
        self._unstored = 0  # bytes that syslog has taken since

    @property
    def backlog(self) -> int:
        """The number of runs that are not delivered in full."""
        return len(self._logs)

    def add(self, logs: Sequence[RunLog]) -> None:
        """Deliver these runs, each from its own position on."""
        has_mailer = machine.is_mailer_available(self._settings.mailer)
        for log in logs:
            log.mailed = log.mailed and has_mailer
            self._logs[log.run] = log
            self.changed(log)

    def changed(self, log: RunLog) -> None:
        """Look at a run again: it began or ended, or its output grew or ended."""
        self._changed[log.run] = log
        if not log.is_queued:
            log.is_queued = True
            self._queue.append(log)
        while self._settings.log_stderr:
            packets, log.copied = log.messages(log.copied, self._header, clock.now())
            if not packets:
                break
            for packet in packets:
                self._syslog.copy(packet)

    def keep_for_mail(self, runs: Iterable[int]) -> None:
        """Keep both ends of these runs' output until `mail_done`."""
        for run in runs:
            if run in self._logs:
                self._logs[run].mailed = True

    def mail_done(self, run: int) -> None:
        """Stop keeping a run's output for a mail: what syslog has is deleted."""
        log = self._logs.get(run)
        if log is None:
            spool = Spool(self._settings.spool_dir, run)
            spool.drop_before(spool.size)
        elif log.mailed:
            log.mailed = False
            self.changed(log)

    def enforce_limit(self, max_size: int, now: datetime) -> None:
        """Keep at most `max_size` bytes of undelivered output, that of the newest runs; drop the rest."""
        waiting = sum(log.spool.size - log.acknowledged.sent for log in self._logs.values())
        for log in [*self._logs.values()] if waiting > max_size else ():
            size = log.spool.size - log.acknowledged.sent
            if waiting <= max_size or not size:
                continue
            waiting -= size
            log.handed = log.acknowledged = Progress(log.spool.size, max(log.acknowledged.stage, CMD_SENT))
            self.changed(log)
            detail = f"{size} bytes that run {log.run} printed: {max_size >> 20} MiB wait for syslog"
            self._daemon_log.write("DROPPED", detail, now, level="err")

    def step(self, now: datetime, elapsed: float) -> bool:
        """Send what syslog takes within a moment; return whether there is more that it would take."""
        self._syslog.tick(elapsed)
        more = self._daemon_log.flush() and self._send(now, elapsed + MAX_TURN_TIME)
        self._note_taken()
        is_time = elapsed - self._stored_at >= STORE_INTERVAL or self._unstored >= STORE_SIZE
        if self._changed and (is_time or not more):
            self.store()
            self._stored_at = elapsed
        return more

    def _send(self, now: datetime, give_up_at: float) -> bool:
        """Send a batch of messages of each run in turn; return whether syslog would take more."""
        while self._queue and self._syslog.can_send:
            log = self._queue.popleft()
            packets, log.handed = log.messages(log.handed, self._header, now)
            log.is_queued = bool(packets)
            if packets:
                self._syslog.send(packets, (log, log.handed))
                self._queue.append(log)
            if clock.elapsed() >= give_up_at:
                break
        return bool(self._queue) and self._syslog.can_send

    def _note_taken(self) -> None:
        for token in self._syslog.pop_acknowledged():
            if isinstance(token, tuple):
                log, progress = token
                self._unstored += max(0, progress.sent - log.acknowledged.sent)
                log.acknowledged = max(log.acknowledged, progress)  # the limit may have moved it on meanwhile
                self._changed[log.run] = log

    def store(self) -> None:
        """Write the progress to the ledger, delete delivered segments, forget runs delivered in full."""
        for log in self._changed.values():
            if log.is_delivered:
                log.acknowledged = Progress(log.spool.size, ALL_SENT)
                self._logs.pop(log.run, None)
            log.spool.drop_before(log.acknowledged.sent, ends=MAILED_SEGMENTS if log.mailed else 0)
        if self._changed:
            self._ledger.delivered(
                {run: (log.spool.size, *log.acknowledged) for run, log in self._changed.items()}
            )
        self._changed.clear()
        self._unstored = 0
