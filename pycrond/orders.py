"""What the control socket's clients may ask for, and the answers."""

import os
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pycrond import __version__, clock
from pycrond.delivery import Deliveries
from pycrond.errors import PycrondError
from pycrond.ledger import Ledger
from pycrond.reloading import Reloading
from pycrond.restarting import Restarting
from pycrond.running import Runs
from pycrond.stopping import Stopping
from pycrond.turns import Turns


@dataclass(frozen=True, slots=True)
class Orders:
    """The parts of the daemon that can be asked, or told what to do."""

    ledger: Ledger
    deliveries: Deliveries
    runs: Runs
    turns: Turns
    reloading: Reloading
    restarting: Restarting
    stopping: Stopping
    started_at: datetime

    def answer(self, request: dict[str, Any], uid: int) -> dict[str, Any]:
        """What `uid` asks for; raises PycrondError for what is unknown or not allowed to it."""
        orders = {
            "status": self._status,
            "reload": self._reload,
            "restart": self._restart,
            "stop": self._stop,
        }
        order = orders.get(str(request.get("command")))
        if order is None:
            raise PycrondError(f"unknown command {request.get('command')!r} (known: {', '.join(orders)})")
        if order != self._status and uid not in {0, os.geteuid()}:
            raise PycrondError("only root and the daemon's own user may do that")
        return order(request)

    def _status(self, _request: dict[str, Any]) -> dict[str, Any]:
        loaded = self.reloading.loaded
        return {
            "pid": os.getpid(),
            "start": self.ledger.start,
            "version": __version__,
            "zone": self.turns.agenda.zone.name,
            "started_at": self.started_at.timestamp(),
            "jobs": len(loaded.jobs),
            "files": loaded.files,
            "errors": sum(problem.severity == "error" for problem in loaded.problems),
            "keeper": self.runs.has_keeper,
            "running": self.runs.count,
            "backlog": self.deliveries.backlog,
            "stopping": self.stopping.is_wanted,
            "refusals": self.restarting.refusals,
            "refused": self.restarting.refused,
        }

    def _reload(self, request: dict[str, Any]) -> dict[str, Any]:
        self.reloading.reload(clock.now())
        return {**self._status(request), "kept": list(self.reloading.loaded.kept)}

    def _restart(self, request: dict[str, Any]) -> dict[str, Any]:
        """In place; `start` of a later status tells that it is done, `refusals` that it is not."""
        before = self._status(request)
        self.restarting.begin()
        return before

    def _stop(self, request: dict[str, Any]) -> dict[str, Any]:
        """When nothing runs any more; with `kill` see to that."""
        self.turns.cancel()
        self.stopping.when_idle()
        if request.get("kill"):
            self.stopping.kill()
        return self._status(request)
