"""The care for the ledger's file between turns: queued writes, a file that was replaced."""

from datetime import datetime

from pycrond import clock
from pycrond.daemon.subsystems import Subsystems
from pycrond.output.capture import ROOM


class LedgerWatch:
    """Retries failed writes, logs when failures begin and end, writes jobs, runs and pauses to a new file."""

    def __init__(self, subsystems: Subsystems) -> None:
        self._subsystems = subsystems
        self._trouble = ""

    def step(self, now: datetime) -> None:
        """Maintain the file, and log changes of its state."""
        ledger, log = self._subsystems.ledger, self._subsystems.output.log
        file, before = ledger.file, self._trouble
        if file.trouble and file.is_full and file.retry_in(clock.elapsed()) == 0.0:
            self._subsystems.output.delivery.make_room(ROOM)
        file.maintain()
        if file.set_aside:
            detail = f"{file.set_aside}; the new ledger does not have the earlier runs"
            log.write("ERROR", detail, now, level="err")
            file.set_aside = ""
            ledger.renew()
            self._subsystems.reloader.write(now)
            ledger.add_running(self._subsystems.runs.active.rows())
            self._subsystems.scheduler.pauses.write_all()
            if cluster := self._subsystems.scheduler.cluster:
                cluster.ledger_is_new()
        self._trouble = file.trouble
        if file.trouble and not before:
            detail = f"cannot write the ledger: {file.trouble}; jobs run, and their records wait in memory"
            log.write("ERROR", detail, now, level="err")
        elif before and not file.trouble:
            log.write("INFO", "the ledger is written again", now, level="notice")
