"""What the control socket's clients may ask for, and the answers."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pycrond import __version__, clock
from pycrond.daemon.figures import Statistics
from pycrond.daemon.reexec import Reexec
from pycrond.daemon.reload import Reloader
from pycrond.daemon.stopping import Shutdown
from pycrond.errors import PycrondError
from pycrond.ledger.writer import Ledger
from pycrond.output.delivery import Delivery
from pycrond.runs.active import ActiveRuns
from pycrond.scheduler.scheduler import Scheduler


@dataclass(frozen=True, slots=True)
class Commands:
    """The parts of the daemon that can be asked, or told what to do."""

    ledger: Ledger
    deliveries: Delivery
    runs: ActiveRuns
    turns: Scheduler
    reloading: Reloader
    restarting: Reexec
    stopping: Shutdown
    started_at: datetime
    figures: Statistics
    others: Mapping[str, Callable[[dict[str, Any], int], dict[str, Any]]]
    """Orders that others carry out, who look themselves at who gives them."""

    def answer(self, request: dict[str, Any], uid: int) -> dict[str, Any]:
        """What `uid` asks for; raises PycrondError for what is unknown or not allowed to it."""
        command = str(request.get("command"))
        if command in self.others:
            return self.others[command](request, uid)
        if command == "status":
            return {**self._status(request), **self.figures.at(clock.now(), uid)}
        orders = {
            "reload": self._reload,
            "restart": self._restart,
            "stop": self._stop,
        }
        order = orders.get(command)
        if order is None:
            known = ", ".join(["status", *orders, *self.others])
            raise PycrondError(f"unknown command {request.get('command')!r} (known: {known})")
        if uid not in {0, os.geteuid()}:
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
            "uptime_s": max(0, int((clock.now() - self.started_at).total_seconds())),
            "jobs": len(loaded.jobs),
            "files": loaded.files,
            "kept": list(loaded.kept),
            "loads": self.reloading.count,
            "errors": sum(problem.severity == "error" for problem in loaded.problems),
            "keeper": self.runs.has_keeper,
            "running": self.runs.count,
            "backlog": self.deliveries.backlog,
            "stopping": self.stopping.is_wanted,
            "refusals": self.restarting.refusals,
            "refused": self.restarting.refused,
        }

    def _reload(self, request: dict[str, Any]) -> dict[str, Any]:
        """As soon as can be; `loads` of a later status tells that it is done."""
        self.reloading.ask()
        return self._status(request)

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
