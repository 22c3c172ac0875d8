"""What the loop looks after between turns: the ledger on a full or failing disk, syslog's queue."""

from datetime import datetime

from pycrond.daemon.reload import Reloader
from pycrond.host.poller import Poller
from pycrond.ledger.paused import Pauses
from pycrond.ledger.writer import Ledger
from pycrond.output.delivery import Delivery
from pycrond.output.syslog import SyslogClient
from pycrond.runs.active import ActiveRuns


class Upkeep:
    """How both stood when last looked at."""

    def __init__(
        self,
        ledger: Ledger,
        deliveries: Delivery,
        reloading: Reloader,
        *,
        runs: ActiveRuns,
        pauses: Pauses,
        syslogger: SyslogClient,
        poller: Poller,
        spool_limit: int,
    ) -> None:
        """`spool_limit` in MiB."""
        self._ledger = ledger
        self._delivery = deliveries
        self._reloader = reloading
        self._runs = runs
        self._pauses = pauses
        self._syslog = syslogger
        self._poller = poller
        self._trouble = ""
        self._watched: int | None = None
        self._spool_limit = spool_limit
        self._minute: datetime | None = None

    def watch_ledger(self, now: datetime) -> None:
        """Write what is owed; say what is wrong with it, and when that is over."""
        file, trouble = self._ledger.file, self._trouble
        file.tidy()
        if file.set_aside:
            said = f"{file.set_aside}; what ran before is no longer known here"
            self._delivery.say("ERROR", said, now, level="err")
            file.set_aside = ""
            self._ledger.renew()
            self._reloader.write(now)
            self._ledger.found(self._runs.rows())
            self._pauses.tell_new_ledger()
        self._trouble = file.trouble
        if file.trouble and not trouble:
            said = f"cannot write the ledger: {file.trouble}; jobs run, what they do is kept in memory"
            self._delivery.say("ERROR", said, now, level="err")
        elif trouble and not file.trouble:
            self._delivery.say("INFO", "the ledger is written again", now, level="notice")

    def limit_spools(self, minute: datetime, now: datetime) -> None:
        """Once a minute."""
        if self._spool_limit and minute != self._minute:
            self._minute = minute
            self._delivery.give_up_beyond(self._spool_limit << 20, now)

    def watch_syslog(self) -> None:
        """Wait for room in syslog's queue only while there is something for it."""
        number = self._syslog.fileno() if self._syslog.wants_write else None
        if number == self._watched:
            return
        if self._watched is not None:
            self._poller.unregister(self._watched)
        if number is not None:
            self._poller.register(number, lambda: None, write=True)
        self._watched = number
