"""Delivery of the runs' messages from the spools to syslog.

At least once, and in order within a run. The ledger stores how much syslog's reader has certainly taken; a
later daemon goes on from there.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

from pycrond import clock
from pycrond.host import machine
from pycrond.jobs.fair_queue import FairQueue
from pycrond.jobs.shares import Shares
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
        shares: Shares,
    ) -> None:
        self._settings = settings
        self._shares = shares
        self._limit = settings.spool_limit << 20  # bytes; 0: no limit
        self._ledger = ledger
        self._syslog = syslog
        self._header = header
        self._daemon_log = daemon_log
        self._logs: dict[int, RunLog] = {}
        self._queue: FairQueue[RunLog] = FairQueue()
        self._waiting: Counter[str] = Counter()  # bytes of each user that syslog has not taken
        self._waiting_size = 0  # bytes of all users
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
            self._queue.push(log.user, log)
        self._count_waiting(log)
        self._enforce_limits(log.user)
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

    # The limits

    def _count_waiting(self, log: RunLog) -> None:
        """Count what syslog has not taken of a run's output."""
        size = max(0, log.spool.size - log.acknowledged.sent)
        self._waiting[log.user] += size - log.waiting_size
        self._waiting_size += size - log.waiting_size
        log.waiting_size = size

    def _enforce_limits(self, user: str) -> None:
        """Drop the oldest output that waits: of this user beyond its share; beyond the limit of all users, of
        the user with the most.
        """
        share = self._shares.spooled if self._shares.is_limited(user) else 0
        if share and self._waiting[user] > share:
            self._drop(user, self._waiting[user] - share, f"{share >> 20} MiB of {user} wait for syslog")
        while self._limit and self._waiting_size > self._limit:
            greatest = self._waiting.most_common(1)[0][0]
            excess = self._waiting_size - self._limit
            self._drop(greatest, excess, f"{self._limit >> 20} MiB wait for syslog")

    def _drop(self, user: str, excess: int, reason: str) -> None:
        """Drop all that waits of a user's oldest runs, so many bytes or more."""
        for log in [log for log in self._logs.values() if log.user == user and log.waiting_size]:
            size = log.waiting_size
            log.handed = log.acknowledged = Progress(log.spool.size, max(log.acknowledged.stage, CMD_SENT))
            self._changed[log.run] = log
            self._count_waiting(log)
            detail = f"{size} bytes that run {log.run} printed: {reason}"
            self._daemon_log.write("DROPPED", detail, clock.now(), level="err")
            excess -= size
            if excess <= 0:
                break

    def step(self, now: datetime, elapsed: float) -> bool:
        """Send what syslog takes within a moment; return whether there is more that it would take."""
        self._syslog.tick(elapsed)
        more = self._daemon_log.flush(now) and self._send(now, elapsed + MAX_TURN_TIME)
        self._note_taken()
        is_time = elapsed - self._stored_at >= STORE_INTERVAL or self._unstored >= STORE_SIZE
        if self._changed and (is_time or not more):
            self.store()
            self._stored_at = elapsed
        return more

    def _send(self, now: datetime, give_up_at: float) -> bool:
        """Send a batch of messages of each run in turn; return whether syslog would take more."""
        while self._queue and self._syslog.can_send:
            log = self._queue.pop()
            packets, log.handed = log.messages(log.handed, self._header, now)
            log.is_queued = bool(packets)
            if packets:
                self._syslog.send(packets, (log, log.handed))
                self._queue.push(log.user, log)
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
                self._count_waiting(log)

    def store(self) -> None:
        """Write the progress to the ledger, delete delivered segments, forget runs delivered in full."""
        for log in self._changed.values():
            if log.is_delivered:
                log.acknowledged = Progress(log.spool.size, ALL_SENT)
                self._count_waiting(log)
                self._logs.pop(log.run, None)
            log.spool.drop_before(log.acknowledged.sent, ends=MAILED_SEGMENTS if log.mailed else 0)
        if self._changed:
            self._ledger.delivered(
                {run: (log.spool.size, *log.acknowledged) for run, log in self._changed.items()}
            )
        self._changed.clear()
        self._unstored = 0
