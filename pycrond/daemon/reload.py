"""The crontabs in force: read, put into the agenda, the ledger and syslog, read again when they change."""

import gc
from collections.abc import Mapping
from datetime import datetime, timedelta

from pycrond import clock
from pycrond.alarms.outbox import Outbox
from pycrond.alarms.rules import Alarms
from pycrond.jobs.job import Job
from pycrond.ledger.codec import JobRows
from pycrond.ledger.rows import FileRows
from pycrond.ledger.writer import Ledger
from pycrond.output.delivery import Delivery
from pycrond.runs.launcher import Launcher
from pycrond.scheduler.scheduler import Scheduler
from pycrond.sources.loader import Loaded, Loader
from pycrond.text import storable

PER_JOB = timedelta(microseconds=1)  # that a reload takes, most of them being as they were
BRIEF = timedelta(milliseconds=10)  # a reload that takes no more does not make a job late
WRITTEN_FOR = 1.0  # seconds that all files wait for one that is being written
RETRY = 0.02  # seconds


class Reloader:
    """What was read last, and where it goes."""

    def __init__(
        self,
        crontabs: Loader,
        ledger: Ledger,
        deliveries: Delivery,
        *,
        launching: Launcher,
        turns: Scheduler,
        alarms: Alarms,
        outbox: Outbox,
    ) -> None:
        self._crontabs = crontabs
        self._ledger = ledger
        self._delivery = deliveries
        self._launcher = launching
        self._turns = turns
        self._alarms = alarms
        self._outbox = outbox
        self.loaded = Loaded()
        self.count = 0
        """How often they have been read."""
        self._asked_at: float | None = None  # by clock.elapsed, to read them anew
        self._look_at = 0.0  # by clock.elapsed, whether that can be done

    @property
    def jobs(self) -> Mapping[str, Job]:
        """Those that are loaded, by key."""
        return self.loaded.by_key

    def load(self, now: datetime) -> None:
        """Read what has changed; what is the same stays what it is, and what runs goes on."""
        gc.disable()  # nothing that comes of it is garbage, and there may be a million objects to look at
        self.loaded = self._crontabs.load()
        self._launcher.accounts = self._outbox.accounts = self.loaded.accounts
        self._turns.replace(self.jobs, now)
        self._alarms.load(self.jobs, now)
        self.write(now)
        gc.collect()
        gc.freeze()  # no collection looks at the jobs again
        gc.enable()
        self.count += 1

    def write(self, now: datetime) -> None:
        """Tell the ledger what is loaded."""
        zone = self._turns.agenda.zone.name
        files = [
            FileRows(storable(tab.file), f"{tab.stamp} {zone}", JobRows(tab.jobs, zone))
            for tab in self.loaded.tabs
        ]
        self._ledger.load(files, self.loaded.problems, now, self._turns.agenda.last)

    def ask(self) -> None:
        """Have them read anew: as soon as nobody is writing them, and no due job would be late for it."""
        if self._asked_at is None:
            self._asked_at, self._look_at = clock.elapsed(), 0.0

    def tick(self, now: datetime, elapsed: float) -> None:
        """Read them anew if that was asked for, or if a file has changed, and say so.

        Changes are looked for once before a minute is claimed and once more when it has come, so that an
        edit counts from the very next minute on.
        """
        if self._crontabs.watched and self._turns.is_new_phase(now) and self._crontabs.have_changed():
            self.ask()
        if self._asked_at is None or elapsed < self._look_at:
            return
        # Cron would read them now, before the minute that has come is run.
        must_count = self._crontabs.watched and self._turns.is_due(now)
        wait = self._crontabs.still_in(elapsed, now if must_count else None)
        if elapsed - self._asked_at >= WRITTEN_FOR:
            wait = 0.0
        takes = PER_JOB * len(self.jobs)
        if takes > BRIEF and not self._turns.has_room(now, 2 * takes):
            wait = RETRY
        if wait:
            self._look_at = elapsed + wait
            return
        self._asked_at = None
        self.reload(now)

    def reload(self, now: datetime) -> None:
        """Read them anew, and say so."""
        self.load(now)
        self._delivery.say("RELOAD", str(self.loaded), now)
        self.report()

    def retry_in(self, elapsed: float) -> float | None:
        """Seconds until `tend` has something to do; None if nobody has asked for anything."""
        return None if self._asked_at is None else max(0.0, self._look_at - elapsed)

    def report(self) -> None:
        """Every problem of the last load, to syslog."""
        now = clock.now()
        for problem in self.loaded.problems:
            error = problem.severity == "error"
            self._delivery.say(
                "ERROR" if error else "WARNING", str(problem), now, level="err" if error else "warning"
            )
