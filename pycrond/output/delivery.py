"""Delivery of the runs' messages from the spools to the targets: syslog and standard output.

Messages are delivered at least once, and in order within a run. The ledger stores how much each target has
acknowledged; a later daemon continues there.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pycrond import clock
from pycrond.host import machine
from pycrond.jobs.user_shares import Shares
from pycrond.ledger.writer import Ledger
from pycrond.output.daemon_log import DaemonLog
from pycrond.output.job_output import JobOutput
from pycrond.output.kept import KeptOutput
from pycrond.output.run_log import ALL_SENT, STREAM, SYSLOG, Position, Progress, RunLog
from pycrond.output.spool import CHUNK_SIZE, SEGMENT_SIZE, Spool
from pycrond.output.target import Route, skip_to_end
from pycrond.settings import Settings
from pycrond.text import counted

MAX_TURN_TIME = 0.002  # seconds in a turn of the loop, so that output delays no start
MAILED_SEGMENTS = 4  # kept at each end of an output that may be mailed: a mail holds 7 MB
STORE_INTERVAL = 1.0  # seconds
WAITING_STORE_INTERVAL = 0.05  # seconds; STORE_INTERVAL while a target has no room
STORE_SIZE = {SYSLOG: 1 << 18, STREAM: 1 << 15}
"""Bytes acknowledged by a target after which the progress is stored; after a crash they are sent again."""


class Delivery:
    """The logs of runs that are not delivered in full."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        routes: Mapping[int, Route],
        daemon_log: DaemonLog,
        shares: Shares,
    ) -> None:
        """`routes` has the routes to the targets, by their places. Without a target, output counts as
        delivered at once, and both ends of it are kept.
        """
        self._settings = settings
        self._shares = shares
        self._limit = settings.spool_limit << 20  # bytes; 0: no limit
        self._ledger = ledger
        self._routes = routes
        self._awaited = " or ".join(
            name for place, name in ((SYSLOG, "syslog"), (STREAM, "standard output")) if place in routes
        )
        self._daemon_log = daemon_log
        self._logs: dict[int, RunLog] = {}
        self.kept = KeptOutput(settings.spool_dir, self._logs.__contains__, ledger.archive.users)
        self._job_output = JobOutput(settings, ledger.archive, self.kept, self._logs)
        self._waiting: Counter[str] = Counter()  # bytes of each user that are not delivered
        self._waiting_size = 0  # bytes of all users
        self._held_size = 0  # delivered bytes on disk, of runs that are not delivered in full
        self._reclaim_at = 0  # size held from which a new attempt to give bytes back may succeed
        self._dropped_size = 0  # bytes dropped because too much waited
        self._dropped_at: float | None = None  # the last time of that, in Unix seconds
        self._changed: dict[int, RunLog] = {}
        self._stored_at = self._store_at = 0.0  # by clock.elapsed
        self._unstored = 0.0  # bytes acknowledged since then, in units of STORE_SIZE

    @property
    def backlog(self) -> int:
        """The number of runs that are not delivered in full."""
        return len(self._logs)

    def figures(self) -> dict[str, Any]:
        """Return the bytes that wait, that are delivered and kept, and that were dropped."""
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
        """Deliver these runs, each from its positions on."""
        has_mailer = machine.is_mailer_available(self._settings.mailer)
        for log in logs:
            log.positions = {place: log.positions.get(place, Position()) for place in self._routes}
            log.mailed = log.mailed and has_mailer
            self._logs[log.run] = log
            self.changed(log)

    def changed(self, log: RunLog) -> None:
        """Note that a run began or ended, or that its output grew or ended."""
        self._changed[log.run] = log
        for route in self._routes.values():
            route.add(log)
        self._count_waiting(log)
        self._enforce_limits(log.user)

    def keep_for_mail(self, runs: Iterable[int]) -> None:
        """Keep both ends of these runs' output until `mail_done`."""
        for run in runs:
            if run in self._logs:
                self._logs[run].mailed = True

    def mail_done(self, run: int) -> None:
        """Stop keeping a run's output for a mail: the delivered part is deleted."""
        log = self._logs.get(run)
        if log is None and self._routes:
            spool = Spool(self._settings.spool_dir, run)
            before = spool.stored_size
            spool.drop_before(spool.size)
            self.kept.add(run, spool.stored_size - before, self.kept.user_of(run))
            self._job_output.mail_done(run)
        elif log and log.mailed:
            log.mailed = False
            self.changed(log)

    # The limits

    def _count_waiting(self, log: RunLog) -> None:
        """Count bytes that a target or a file has not received, or that exceed a segment kept for a mail."""
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
        """Drop the oldest waiting output of this user beyond its share. Beyond the limit of all users, delete
        the delivered output of ended runs, then drop the waiting output of the user with the most.
        """
        share = self._shares.spooled if self._shares.is_limited(user) else 0
        if share and self._waiting[user] > share:
            self._drop(user, self._waiting[user] - share, f"{share >> 20} MiB of {user}")
        if self._excess + self._held_size > 0 and self._limit:
            self.kept.free(self._excess + self._held_size)
        while self._excess > 0 and not self.kept.size:
            greatest = self._waiting.most_common(1)[0][0]
            self._drop(greatest, self._excess, f"{self._limit >> 20} MiB")

    @property
    def _excess(self) -> int:
        """The bytes beyond the limit."""
        return self._waiting_size + self.kept.size - self._limit if self._limit else 0

    def make_room(self, size: int) -> int:
        """Delete at least `size` delivered bytes, because the disk is full; if there are none, bytes that
        only mails and files wait for. Return the number of deleted bytes, which may be less.
        """
        freed = self._reclaim(size)
        waiting = [log for log in self._logs.values() if log.mailed or log.filed is not None]
        for log in waiting if not freed else ():
            before, log.mailed = log.spool.stored_size, False
            self._delete(log)
            freed += before - log.spool.stored_size + self._give_back(log)
        return freed

    def _reclaim(self, size: int) -> int:
        """Delete kept output, then the delivered beginnings of the output of running runs."""
        freed = self.kept.free(size)
        for log in sorted(self._logs.values(), key=lambda log: -log.held_size) if freed < size else ():
            if freed >= size or not log.held_size:
                break
            freed += self._give_back(log)
        self._reclaim_at = self._held_size + CHUNK_SIZE
        return freed

    def _give_back(self, log: RunLog) -> int:
        """Give the delivered beginning of a run's output back to the disk, unless it may be mailed."""
        given_back = 0 if log.mailed else log.spool.give_back(log.done)
        self._count_waiting(log)
        return given_back

    def _drop(self, user: str, excess: int, limit: str) -> None:
        """Delete at least `excess` bytes of a user's oldest runs: first bytes that only a mail waits for,
        then all waiting bytes of a run. `limit` is the exceeded limit, for the message.
        """
        logs = [log for log in self._logs.values() if log.user == user and log.waiting_size]
        for log in [log for log in logs if log.mailed]:
            if excess > 0:
                log.mailed = False
                excess -= self._delete(log)
        for log in logs:
            if excess <= 0:
                break
            size = max(0, log.spool.size - log.delivered.sent)
            skip_to_end(log)
            excess -= self._delete(log)
            if not size:  # only a file was to get the bytes
                continue
            self._dropped_size, self._dropped_at = self._dropped_size + size, clock.now().timestamp()
            detail = f"{counted(size, 'byte')} that run {log.run} printed: {limit} wait for {self._awaited}"
            self._daemon_log.write("DROPPED", detail, clock.now(), level="err")

    def _delete(self, log: RunLog) -> int:
        """Delete the delivered output of a run now; return by how many bytes less is waiting."""
        before = log.waiting_size
        sent = log.delivered.sent
        if log.filed is not None:  # the file does not get it either
            log.filed = max(log.filed, sent)
        log.spool.drop_before(sent)
        log.spool.give_back(sent)
        self._changed[log.run] = log
        self._count_waiting(log)
        return before - log.waiting_size

    def step(self, now: datetime, elapsed: float) -> bool:
        """Send what the targets accept within MAX_TURN_TIME; return whether they would accept more."""
        more = False
        for place, route in self._routes.items():
            route.target.tick(elapsed)
            more |= route.send(now, elapsed + MAX_TURN_TIME)
            for log, grown in route.acknowledge().items():
                self._unstored += grown / STORE_SIZE[place]
                self._changed[log.run] = log
                self._count_waiting(log)
        more |= self._count_kept()
        is_all_sent = all(route.is_empty for route in self._routes.values())
        interval = STORE_INTERVAL if more else 0.0 if is_all_sent else WAITING_STORE_INTERVAL
        self._store_at = self._stored_at + interval
        if self._changed and (elapsed >= self._store_at or self._unstored >= 1.0):
            self.store()
            self._stored_at = elapsed
        return more

    def retry_in(self, elapsed: float) -> float | None:
        """Return the seconds until progress is to be stored; None if there is none."""
        return max(0.0, self._store_at - elapsed) if self._changed else None

    def _count_kept(self) -> bool:
        """Count output of earlier daemons, delete output beyond the limit; return whether there is more."""
        is_counting = self.kept.count()
        excess = self._excess + self._held_size if self._limit else 0
        if excess > 0 and (self.kept.size or self._held_size >= self._reclaim_at):
            self._reclaim(excess)
        return is_counting or (self._excess > 0 and bool(self.kept.size))

    def store(self) -> None:
        """Write the progress to the ledger, delete delivered segments, forget runs delivered in full."""
        for log in self._changed.values():
            ends = MAILED_SEGMENTS if log.mailed or not self._routes else 0
            log.spool.drop_before(log.done, ends=ends)
            if log.is_delivered and log.run in self._logs:
                del self._logs[log.run]
                self.kept.add(log.run, log.spool.stored_size, log.user)
            self._job_output.enforce(log)
            self._count_waiting(log)
        if self._changed:
            self._ledger.delivered({run: self._row(log) for run, log in self._changed.items()})
        self._changed.clear()
        self._unstored = 0.0

    def _row(self, log: RunLog) -> tuple[int, Progress, Progress]:
        """Return the progress of a run for the ledger. A target that this daemon does not have gets the
        position up to which all others have the log.
        """
        default = Progress(log.spool.size, ALL_SENT) if log.is_delivered else log.delivered
        positions = {} if log.is_delivered else log.positions
        syslog, stream = (
            positions[place].acknowledged if place in positions else default for place in (SYSLOG, STREAM)
        )
        return log.spool.size, syslog, stream
