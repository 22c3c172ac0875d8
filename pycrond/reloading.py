"""The crontabs in force: read, put into the agenda, the ledger and syslog, read again when they change."""

from datetime import datetime

from pycrond import clock
from pycrond.alarms import Alarms
from pycrond.delivery import Deliveries
from pycrond.job import by_key
from pycrond.launching import Launching
from pycrond.ledger import Ledger
from pycrond.loading import Crontabs, Loaded, job_row
from pycrond.outbox import Outbox
from pycrond.turns import Turns


class Reloading:
    """What was read last, and where it goes."""

    def __init__(
        self,
        crontabs: Crontabs,
        ledger: Ledger,
        deliveries: Deliveries,
        *,
        launching: Launching,
        turns: Turns,
        alarms: Alarms,
        outbox: Outbox,
    ) -> None:
        self._crontabs = crontabs
        self._ledger = ledger
        self._deliveries = deliveries
        self._launching = launching
        self._turns = turns
        self._alarms = alarms
        self._outbox = outbox
        self.loaded = Loaded((), (), 0, ())
        self.jobs = by_key(())
        """Those that are loaded, by key."""

    def load(self, now: datetime) -> None:
        """Read every crontab; what is the same stays what it is, and what runs goes on."""
        self.loaded = self._crontabs.load(self.loaded.jobs)
        self.jobs = by_key(self.loaded.jobs)
        self._launching.accounts = self._outbox.accounts = self.loaded.accounts
        self._turns.replace(self.loaded.jobs, now)
        self._alarms.load(self.jobs, now)
        self.write(now)

    def write(self, now: datetime) -> None:
        """Tell the ledger what is loaded."""
        zone = self._turns.agenda.zone.name
        rows = [job_row(job, zone) for job in self.loaded.jobs]
        self._ledger.load(rows, self.loaded.problems, now, self._turns.agenda.last)

    def reload(self, now: datetime) -> None:
        """Read them anew, and say so."""
        self.load(now)
        self._deliveries.say("RELOAD", str(self.loaded), now)
        self.report()

    def report(self) -> None:
        """Every problem of the last load, to syslog."""
        now = clock.now()
        for problem in self.loaded.problems:
            error = problem.severity == "error"
            self._deliveries.say(
                "ERROR" if error else "WARNING", str(problem), now, level="err" if error else "warning"
            )

    def look_for_changes(self, now: datetime) -> None:
        """Read the crontabs anew if a file has changed: looked for once before a minute is claimed, and
        once more when it has come, so that an edit counts from the very next minute on.
        """
        if self._crontabs.watched and self._turns.is_new_phase(now) and self._crontabs.have_changed():
            self.reload(now)
