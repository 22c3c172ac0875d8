"""The reload: the crontabs are read, and agenda, ledger and alarms get their jobs."""

import gc
from collections.abc import Mapping
from datetime import datetime, timedelta

from pycrond import clock
from pycrond.alarms.alarms import Alarms
from pycrond.errors import Problem
from pycrond.jobs.job import Job
from pycrond.ledger.codec import JobRows
from pycrond.ledger.rows import FileRows
from pycrond.ledger.writer import Ledger
from pycrond.output.daemon_log import DaemonLog
from pycrond.runs.command import CommandBuilder
from pycrond.scheduler.scheduler import Scheduler
from pycrond.sources.load_result import LoadResult
from pycrond.sources.loader import Loader
from pycrond.text import storable

TIME_PER_JOB = timedelta(microseconds=1)  # of a reload in which most jobs are unchanged
TIME_PER_BYTE = timedelta(microseconds=3)  # of a changed file with short lines, the ledger included
MAX_DURATION = timedelta(seconds=10)  # that is waited for
SHORT_RELOAD = timedelta(milliseconds=10)  # a reload of this duration makes no job late
PORTION = 16 << 10  # bytes of changed files that are read in a turn, but at least one file
MAX_WRITE_WAIT = 1.0  # seconds that all files wait for one that is being written
RETRY_INTERVAL = 0.02  # seconds


class Reloader:
    """Reads the crontabs when they have changed, or when that is requested."""

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
        self._reported: frozenset[Problem] = frozenset()
        self._is_asked = False  # for a reload, by root or the daemon's user
        self._requested_at: float | None = None  # by clock.elapsed
        self._look_at = 0.0  # by clock.elapsed: when to see whether the request can be carried out

    @property
    def dialect(self) -> str:
        """`debian` or `cronie`."""
        return self._loader.dialect

    @property
    def jobs(self) -> Mapping[str, Job]:
        """The loaded jobs, by key."""
        return self.loaded.by_key

    def load(self, now: datetime, most: int | None = None) -> None:
        """Read what has changed, with `most` so many bytes. Unchanged jobs stay the same objects, and what
        runs goes on.
        """
        gc.disable()  # nothing of this is garbage, and there may be a million objects to look at
        try:
            before, self.loaded = self.loaded, self._loader.load(most)
            if not self.loaded.has_jobs_of(before):
                self._builder.accounts = self.loaded.accounts
                self._scheduler.replace_jobs(self.jobs, now)
                self._alarms.replace_jobs(self.jobs, now)
            self.write(now)
            gc.collect()
            gc.freeze()  # no collection looks at the jobs again
        finally:
            gc.enable()
        self.count += self.loaded.is_complete

    def write(self, now: datetime) -> None:
        """Write the loaded jobs to the ledger."""
        agenda = self._scheduler.agenda
        zone = agenda.zone.name
        files = [
            FileRows(storable(source.file), f"{source.stamp} {zone}", JobRows(source.jobs, zone))
            for source in self.loaded.sources
        ]
        self._ledger.load(files, self.loaded.problems, now, agenda.last)

    def request(self, *, is_asked: bool = True) -> None:
        """Have the crontabs read as soon as no file is being written, and no due job would be late for it.

        Without `is_asked` because of a change; problems that were logged before are not logged again then.
        """
        if is_asked:
            self._is_asked = True
            self._loader.begin_again()
        if self._requested_at is None:
            self._requested_at, self._look_at = clock.elapsed(), 0.0

    def step(self, now: datetime, elapsed: float) -> None:
        """Read the crontabs if that was requested, or if a watched file has changed.

        Changes are looked for once before a minute is claimed and once more when it has come, so that an edit
        counts from the next minute on.
        """
        loader, scheduler = self._loader, self._scheduler
        if loader.watched and scheduler.enter_phase(now) and loader.has_changes():
            self.request(is_asked=False)
        if self._requested_at is None or elapsed < self._look_at:
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
            self._look_at = elapsed + wait
            return
        self._requested_at = None
        self.reload(now, PORTION)

    def reload(self, now: datetime, most: int | None = None) -> None:
        """Read the crontabs, with `most` so many bytes, and log the result when all are read."""
        self.load(now, most)
        if not self.loaded.is_complete:
            self.request(is_asked=False)
            return
        self._log.write("RELOAD", str(self.loaded), now)
        self.report_problems(known=frozenset() if self._is_asked else self._reported)
        self._is_asked = False

    def _duration(self) -> timedelta:
        """Return how long a reload will take at most, roughly."""
        return TIME_PER_JOB * len(self.jobs) + TIME_PER_BYTE * self._loader.changed_size(PORTION)

    def retry_in(self, elapsed: float) -> float | None:
        """Seconds until `step` has something to do; None if nothing was requested."""
        return None if self._requested_at is None else max(0.0, self._look_at - elapsed)

    def report_problems(self, known: frozenset[Problem] = frozenset()) -> None:
        """Log the problems of the crontabs that are not known yet."""
        now, self._reported = clock.now(), frozenset(self.loaded.problems)
        for problem in self.loaded.problems:
            if problem in known:
                continue
            event, level = ("ERROR", "err") if problem.severity == "error" else ("WARNING", "warning")
            self._log.write(event, str(problem), now, level=level)
