"""Delivery of the runs' messages from the spools to syslog.

At least once, and in order within a run. The ledger stores how much syslog's reader has certainly taken; a
later daemon goes on from there.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from pycrond import clock
from pycrond.host import machine
from pycrond.jobs.fair_queue import FairQueue
from pycrond.jobs.shares import Shares
from pycrond.ledger.archive import Archive
from pycrond.ledger.writer import Ledger
from pycrond.output.daemon_log import DaemonLog
from pycrond.output.job_output import JobOutput
from pycrond.output.kept import KeptOutput
from pycrond.output.run_log import ALL_SENT, CMD_SENT, Progress, RunLog
from pycrond.output.spool import CHUNK_SIZE, SEGMENT_SIZE, Spool
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
        archive = Archive(ledger.file)
        self.kept = KeptOutput(settings.spool_dir, self._logs.__contains__, archive.users)
        self._job_output = JobOutput(settings, archive, self.kept, self._logs)
        self._queue: FairQueue[RunLog] = FairQueue()
        self._waiting: Counter[str] = Counter()  # bytes of each user that syslog has not taken
        self._waiting_size = 0  # bytes of all users
        self._held_size = 0  # bytes that syslog has of runs that are not delivered in full
        self._reclaim_at = 0  # bytes held at which more of them may be given back than at the last try
        self._dropped_size = 0  # bytes that were dropped, as too much waited
        self._dropped_at: float | None = None  # when that was last, in Unix seconds
        self._changed: dict[int, RunLog] = {}
        self._stored_at = 0.0
        self._unstored = 0  # bytes that syslog has taken since

    @property
    def backlog(self) -> int:
        """The number of runs that are not delivered in full."""
        return len(self._logs)

    def figures(self) -> dict[str, Any]:
        """Return how much waits, how much syslog has, and how much was dropped, in bytes."""
        waiting = [log for log in self._logs.values() if log.waiting_size]
        return {
            "waiting_runs": len(waiting),
            "waiting_bytes": self._waiting_size,
            "kept_bytes": self.kept.size + self._held_size,
            "limit_bytes": self._limit,
            "dropped_bytes": self._dropped_size,
            "dropped_at": self._dropped_at,
        }

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
            before = spool.stored_size
            spool.drop_before(spool.size)
            self.kept.add(run, spool.stored_size - before, self.kept.user_of(run))
            self._job_output.mail_done(run)
        elif log.mailed:
            log.mailed = False
            self.changed(log)

    # The limits

    def _count_waiting(self, log: RunLog) -> None:
        """Count what syslog has not taken of a run's output, and what is kept for a mail beyond a segment."""
        is_open = self._logs.get(log.run) is log
        size = max(0, log.spool.size - log.done) if is_open else 0
        if is_open and log.mailed:
            size = max(size, log.spool.stored_size - SEGMENT_SIZE)
        held = max(0, log.spool.stored_size - size) if is_open else 0
        self._held_size += held - log.held_size
        log.held_size = held
        self._reclaim_at = min(self._reclaim_at, self._held_size + CHUNK_SIZE)
        self._waiting[log.user] += size - log.waiting_size
        self._waiting_size += size - log.waiting_size
        log.waiting_size = size

    def _enforce_limits(self, user: str) -> None:
        """Drop the oldest output that waits: of this user beyond its share; beyond the limit of all users, of
        the user with the most, once all is deleted that syslog has of finished runs.
        """
        share = self._shares.spooled if self._shares.is_limited(user) else 0
        if share and self._waiting[user] > share:
            self._drop(user, self._waiting[user] - share, f"{share >> 20} MiB of {user} wait for syslog")
        if self._excess + self._held_size > 0 and self._limit:
            self.kept.free(self._excess + self._held_size)
        while self._excess > 0 and not self.kept.size:
            greatest = self._waiting.most_common(1)[0][0]
            self._drop(greatest, self._excess, f"{self._limit >> 20} MiB wait for syslog")

    @property
    def _excess(self) -> int:
        """The bytes beyond the limit."""
        return self._waiting_size + self.kept.size - self._limit if self._limit else 0

    def make_room(self, size: int) -> int:
        """Delete so many bytes, or more, that syslog has, as the disk is full; at last also what only mails
        and files wait for. Return how many; less if there are no more.
        """
        freed = self._reclaim(size)
        waiting = [log for log in self._logs.values() if log.mailed or log.filed is not None]
        for log in waiting if not freed else ():
            before, log.mailed = log.spool.stored_size, False
            self._delete(log)
            freed += before - log.spool.stored_size + self._give_back(log)
        return freed

    def _reclaim(self, size: int) -> int:
        """Delete kept output, then the delivered fronts of the output of runs that go on."""
        freed = self.kept.free(size)
        for log in sorted(self._logs.values(), key=lambda log: -log.held_size) if freed < size else ():
            if freed >= size or not log.held_size:
                break
            freed += self._give_back(log)
        self._reclaim_at = self._held_size + CHUNK_SIZE
        return freed

    def _give_back(self, log: RunLog) -> int:
        """Give the delivered front of a run's output back to the disk, unless a mail may want it."""
        given_back = 0 if log.mailed else log.spool.give_back(log.done)
        self._count_waiting(log)
        return given_back

    def _drop(self, user: str, excess: int, reason: str) -> None:
        """Delete so many bytes, or more, of a user's oldest runs: first what only a mail waits for, then all
        that waits of a run.
        """
        logs = [log for log in self._logs.values() if log.user == user and log.waiting_size]
        for log in [log for log in logs if log.mailed]:
            if excess > 0:
                log.mailed = False
                excess -= self._delete(log)
        for log in logs:
            if excess <= 0:
                break
            size = max(0, log.spool.size - log.acknowledged.sent)
            log.handed = log.acknowledged = Progress(log.spool.size, max(log.acknowledged.stage, CMD_SENT))
            excess -= self._delete(log)
            if not size:  # only a file waited for it
                continue
            self._dropped_size, self._dropped_at = self._dropped_size + size, clock.now().timestamp()
            detail = f"{size} bytes that run {log.run} printed: {reason}"
            self._daemon_log.write("DROPPED", detail, clock.now(), level="err")

    def _delete(self, log: RunLog) -> int:
        """Delete what syslog has taken of a run at once, and return by how much less waits."""
        before = log.waiting_size
        if log.filed is not None:  # nor does the file get it
            log.filed = max(log.filed, log.acknowledged.sent)
        log.spool.drop_before(log.acknowledged.sent)
        log.spool.give_back(log.acknowledged.sent)
        self._changed[log.run] = log
        self._count_waiting(log)
        return before - log.waiting_size

    def step(self, now: datetime, elapsed: float) -> bool:
        """Send what syslog takes within a moment; return whether there is more that it would take."""
        self._syslog.tick(elapsed)
        more = self._daemon_log.flush(now) and self._send(now, elapsed + MAX_TURN_TIME)
        self._note_taken()
        more |= self._count_kept()
        is_time = elapsed - self._stored_at >= STORE_INTERVAL or self._unstored >= STORE_SIZE
        if self._changed and (is_time or not more):
            self.store()
            self._stored_at = elapsed
        return more

    def _count_kept(self) -> bool:
        """Count what earlier daemons left, and delete what is beyond the limit; return whether there is
        more.
        """
        is_counting = self.kept.count()
        excess = self._excess + self._held_size if self._limit else 0
        if excess > 0 and (self.kept.size or self._held_size >= self._reclaim_at):
            self._reclaim(excess)
        return is_counting or (self._excess > 0 and bool(self.kept.size))

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
            is_delivered = log.is_delivered
            if is_delivered:
                log.acknowledged = Progress(log.spool.size, ALL_SENT)
            log.spool.drop_before(log.done, ends=MAILED_SEGMENTS if log.mailed else 0)
            if is_delivered and log.run in self._logs:
                del self._logs[log.run]
                self.kept.add(log.run, log.spool.stored_size, log.user)
            self._job_output.enforce(log)
            self._count_waiting(log)
        if self._changed:
            self._ledger.delivered(
                {run: (log.spool.size, *log.acknowledged) for run, log in self._changed.items()}
            )
        self._changed.clear()
        self._unstored = 0
