"""The reload: reads the crontabs and gives their jobs to the scheduler, the ledger and the alarms."""

import gc
from collections.abc import Mapping
from datetime import datetime, timedelta

from pycrond import clock
from pycrond.alarms.alarms import Alarms
from pycrond.errors import Problem, PycrondError
from pycrond.host.names import NAMES
from pycrond.jobs.job import Job
from pycrond.ledger.codec import JobRows
from pycrond.ledger.rows import FileRows
from pycrond.ledger.writer import Ledger
from pycrond.output.daemon_log import DaemonLog
from pycrond.runs.command import CommandBuilder
from pycrond.schedule.timezone import MINUTE
from pycrond.scheduler.scheduler import CLAIM_AHEAD, Scheduler
from pycrond.sources.load_result import LoadResult
from pycrond.sources.loader import Loader
from pycrond.sources.watch import FileStamp
from pycrond.text import storable

TIME_PER_JOB = timedelta(microseconds=1)  # of a reload in which most jobs are unchanged
TIME_PER_BYTE = timedelta(microseconds=3)  # of a changed file with short lines, the ledger included
MAX_DURATION = timedelta(seconds=10)  # the longest time that is kept free for a reload
SHORT_RELOAD = timedelta(milliseconds=10)  # a reload of this duration makes no job late
PORTION = 16 << 10  # bytes of changed files that are read in a turn; at least one file is read
MAX_WRITE_WAIT = 1.0  # seconds that a reload waits for a file that is being written
RETRY_INTERVAL = 0.02  # seconds


class Reloader:
    """Reads the crontabs when they have changed, or when a reload is requested."""

    def __init__(
        self,
        loader: Loader,
        ledger: Ledger,
        log: DaemonLog,
        builder: CommandBuilder,
        scheduler: Scheduler,
        alarms: Alarms,
    ) -> None:
        self._loader = loader
        self._ledger = ledger
        self._log = log
        self._builder = builder
        self._scheduler = scheduler
        self._alarms = alarms
        self.loaded = LoadResult()
        self.count = 0
        """How often the crontabs were read."""
        self._unknown: frozenset[str] = frozenset()  # users that were unknown after the last complete load
        self._waits_for_names = False  # a reload continues after answers of the name service
        self._reported: frozenset[Problem] = frozenset()
        self._is_asked = False  # root or the daemon's user has requested a reload
        self._requested_at: float | None = None  # by clock.elapsed
        self._phase: tuple[datetime, bool] | None = None  # the last minute, and whether the next has come
        self._try_at = 0.0  # by clock.elapsed: the next attempt to carry out the request

    @property
    def dialect(self) -> str:
        """`debian` or `cronie`."""
        return self._loader.dialect

    @property
    def jobs(self) -> Mapping[str, Job]:
        """The loaded jobs, by key."""
        return self.loaded.by_key

    @property
    def stamps(self) -> tuple[list[str], list[FileStamp]] | None:
        """The crontab directories and their files' stamps when they were read; None if they are watched."""
        loader = self._loader
        return None if loader.watched else (loader.directories, [*loader.recorded])

    def load(self, now: datetime, max_bytes: int | None = None, *, only_finished: bool = False) -> None:
        """Read at most `max_bytes` of changed crontabs; with `only_finished`, skip files without a complete
        last line. Unchanged jobs stay the same objects, and running jobs are not affected.
        """
        self._waits_for_names = False
        gc.disable()  # a load creates no garbage, but perhaps a million objects that gc would visit
        try:
            self._update_identity()
            before, self.loaded = (
                self.loaded,
                self._loader.load(max_bytes, finished_at=now if only_finished else None),
            )
            if self.loaded.is_complete:
                self._report_identity()
            self._builder.accounts = self.loaded.accounts
            self._builder.waited_for = self._loader.waited_for - self.loaded.accounts.keys()
            if not self.loaded.has_jobs_of(before):
                self._scheduler.replace_jobs(self.jobs, now)
                self._alarms.replace_jobs(self.jobs, now)
            self.write(now)
            gc.collect()
            gc.freeze()  # later collections do not visit the jobs
        finally:
            gc.enable()
        if self.loaded.is_complete:
            self.count += 1
            self._unknown = self.loaded.unknown
        else:
            self.request(is_asked=False)
            self._waits_for_names = not self._loader.has_more

    def _update_identity(self) -> bool:
        """Use the present name and zone of the cluster; return whether they have changed."""
        cluster = self._scheduler.cluster
        if cluster is None or cluster.identity == self._loader.identity:
            return False
        self._loader.identity = cluster.identity
        self._scheduler.delayed.cluster = cluster.identity.name
        return True

    def _report_identity(self) -> None:
        """Tell the cluster that the loaded jobs use its name and zone."""
        if self._scheduler.cluster and self._loader.identity:
            self._scheduler.cluster.jobs_follow(self._loader.identity)

    def write(self, now: datetime) -> None:
        """Write the loaded jobs to the ledger."""
        agenda = self._scheduler.agenda
        zone = agenda.zone.name
        files = [
            FileRows(storable(source.file), f"{source.stamp} {zone}", JobRows(source.jobs, zone))
            for source in self.loaded.sources
        ]
        self._ledger.load(files, self.loaded.problems, now, min(now, agenda.last))

    def request(self, *, is_asked: bool = True) -> None:
        """Request a reload, which begins as soon as no file is being written and no due job is delayed by it.

        `is_asked` is False for a reload because of a change: it does not log known problems again.
        """
        if is_asked:
            self._is_asked = True
            self._loader.begin_again()
        self._waits_for_names = False
        if self._requested_at is None:
            self._requested_at, self._try_at = clock.elapsed(), 0.0

    def step(self, now: datetime, elapsed: float) -> None:
        """Read the crontabs if a reload was requested, or if a watched file has changed.

        The files are checked for changes once before a minute is claimed and once when it has come, so that
        an edit takes effect from the next minute on.
        """
        loader, scheduler = self._loader, self._scheduler
        if self._enter_phase(now):
            self._check_for_changes(now)
            for name in sorted(self.loaded.unknown):  # the log has the answers in this order
                NAMES.is_settled(name)
        self._note_changed_users(now)
        if self._update_identity():
            self.request(is_asked=False)
        is_waiting = self._waits_for_names and bool(loader.waited_for)
        if self._requested_at is None or elapsed < self._try_at or is_waiting:
            return
        # Cron would read the files now, before it runs the minute that has come.
        must_count = loader.watched and scheduler.is_due(now)
        wait = loader.seconds_until_stable(elapsed, now if must_count else None)
        if elapsed - self._requested_at >= MAX_WRITE_WAIT:
            wait = 0.0
        duration = min(MAX_DURATION, self._duration())
        if duration > SHORT_RELOAD and not scheduler.has_room(now, 2 * duration):
            wait = RETRY_INTERVAL
        if wait:
            self._try_at = elapsed + wait
            return
        self._requested_at = None
        self.reload(now, PORTION)

    def _enter_phase(self, now: datetime) -> bool:
        """Return whether the crontabs are to be checked now: for the first time in the second before the next
        minute, or for the first time after the minute has come.
        """
        last = self._scheduler.agenda.last
        coming = last + MINUTE
        is_near = now >= coming - CLAIM_AHEAD or now < last
        phase = (last, now >= coming) if is_near else None
        is_new, self._phase = phase is not None and phase != self._phase, phase
        return is_new

    def _note_changed_users(self, now: datetime) -> None:
        """Log users that have appeared, vanished or changed; request a reload if one appeared or vanished."""
        for name in sorted(NAMES.take_changed()):
            user, account = NAMES.user(name), self.loaded.accounts.get(name)
            if name in self._unknown and user:
                self._log.write("ACCOUNT", f"there is a user '{name}' now: its jobs start", now)
            elif user is None and account and name not in self._unknown:
                text = f"there is no user '{name}' any more: its jobs do not start until there is"
                self._log.write("ACCOUNT", text, now, level="warning")
            else:
                if user and account and user.account.uid != account.uid:
                    text = f"the user '{name}' has another uid now: its jobs do not start until a reload"
                    self._log.write("ACCOUNT", text, now, level="warning")
                continue
            self.request(is_asked=False)

    def _check_for_changes(self, now: datetime) -> None:
        """Check the crontabs and the machine's time zone for changes."""
        if self._loader.watched and self._loader.has_changes():
            self.request(is_asked=False)
        try:
            if self._scheduler.follow_zone(now):
                self.write(now)
        except PycrondError as error:
            detail = f"{error}; the time zone is still {self._scheduler.agenda.zone.name}"
            self._log.write("WARNING", detail, now, level="warning")

    def reload(self, now: datetime, max_bytes: int | None = None) -> None:
        """Read at most `max_bytes` of changed crontabs, and log the result when all are read."""
        self.load(now, max_bytes, only_finished=not self._is_asked)
        if not self.loaded.is_complete:
            return
        self._log.write("RELOAD", str(self.loaded), now)
        self.report_problems(known=frozenset() if self._is_asked else self._reported)
        self._is_asked = False

    def _duration(self) -> timedelta:
        """Return a rough estimate of the longest duration of a reload."""
        return TIME_PER_JOB * len(self.jobs) + TIME_PER_BYTE * self._loader.changed_size(PORTION)

    def retry_in(self, elapsed: float) -> float | None:
        """Return the seconds until `step` has something to do; None if no reload was requested."""
        if self._waits_for_names and self._loader.waited_for:
            return None
        return None if self._requested_at is None else max(0.0, self._try_at - elapsed)

    def report_problems(self, known: frozenset[Problem] = frozenset()) -> None:
        """Log the problems of the crontabs that are not in `known`."""
        now, self._reported = clock.now(), frozenset(self.loaded.problems)
        for problem in self.loaded.problems:
            if problem in known:
                continue
            event, level = ("ERROR", "err") if problem.severity == "error" else ("WARNING", "warning")
            self._log.write(event, str(problem), now, level=level)
