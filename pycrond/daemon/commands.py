"""The commands of the control socket's clients, and the answers."""

import os
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any

from pycrond import __version__, clock
from pycrond.control.permissions import requester
from pycrond.daemon.crontab_requests import CrontabRequests
from pycrond.daemon.manual_control import ManualControl
from pycrond.daemon.order_limit import OrderLimit
from pycrond.daemon.queries import Queries
from pycrond.daemon.subsystems import Subsystems
from pycrond.errors import PycrondError
from pycrond.jobs.run import Cause, Reason
from pycrond.sources.load_result import LoadResult

MAX_FILES = 1000  # in an answer of `status`
MAX_STAMPS = 2000  # in an answer of `stamps`
SHARES = (
    *("max_waiting_user", "max_catch_ups_user", "spool_limit_user", "max_waiting_alarms"),
    *("max_orders", "max_crontab_size", "max_crontab_entries"),
)
"""The settings that limit each user and that `status` shows without a change."""


class Commands:
    """Answers requests of the control socket."""

    def __init__(self, subsystems: Subsystems, started_at: datetime) -> None:
        self._subsystems = subsystems
        self._started_at = started_at
        settings, log, reloader = subsystems.settings, subsystems.output.log, subsystems.reloader
        load = partial(reloader.request, is_asked=False)
        manual = ManualControl(subsystems)
        self._for_owner = {
            "reload": self._reload,
            "restart": self._restart,
            "stop": self._stop,
            "stamps": self._stamps,
        }
        """Commands for root and the daemon's own user; the other commands check the client themselves."""
        self._order_limit = OrderLimit(settings.max_orders, log)
        self._orders = {
            "run": manual.run,
            "kill": manual.kill,
            "pause": manual.pause,
            "resume": manual.resume,
            "crontab": CrontabRequests(settings, reloader.dialect, log, load).answer,
        }
        """Commands that the setting `max-orders` limits for each user."""
        self._commands = {
            "status": self._status,
            **self._for_owner,
            **self._orders,
            "read": Queries(settings).read,
        }
        self._counted: tuple[LoadResult, Mapping[str, Mapping[str, int]]] = (LoadResult(), {})
        """The load whose jobs were counted, and the number of jobs by file and user."""

    def answer(self, request: dict[str, Any], uid: int) -> dict[str, Any]:
        """Carry out a request of the user `uid`. Raises PycrondError if it is unknown or not allowed."""
        name = str(request.get("command"))
        command = self._commands.get(name)
        if command is None:
            known = ", ".join(self._commands)
            raise PycrondError(f"unknown command {request.get('command')!r} (known: {known})")
        if name in self._for_owner and uid not in {0, os.geteuid()}:
            raise PycrondError("only root and the daemon's own user may do that")
        if name in self._orders:
            self._order_limit.count(uid, clock.now())
        return command(request, uid)

    # status

    def _status(self, _request: dict[str, Any], uid: int) -> dict[str, Any]:
        now = clock.now()
        cluster = self._subsystems.scheduler.cluster
        node = {"cluster": cluster.facts()} if cluster else {}
        return {**self._facts(now), **self._figures(now), **node, "loaded_files": self._files(uid)}

    def _facts(self, now: datetime) -> dict[str, Any]:
        daemon = self._subsystems
        loaded = daemon.reloader.loaded
        return {
            "pid": os.getpid(),
            "start": daemon.ledger.start,
            "version": __version__,
            "zone": daemon.scheduler.agenda.zone.name,
            "started_at": self._started_at.timestamp(),
            "uptime_s": max(0, int((now - self._started_at).total_seconds())),
            "minute": daemon.scheduler.agenda.last.timestamp(),
            "jobs": len(loaded.by_key),
            "files": loaded.files,
            "kept": list(loaded.kept),
            "loads": daemon.reloader.count,
            "errors": loaded.errors,
            "keeper": not daemon.keeper.is_gone,
            "running": daemon.runs.active.count,
            "backlog": daemon.output.delivery.backlog,
            "start_trouble": daemon.runs.launcher.trouble or None,
            "stopping": daemon.scheduler.is_draining,
            "refusals": daemon.reexec.refusals,
            "refused": daemon.reexec.refused,
        }

    def _figures(self, now: datetime) -> dict[str, Any]:
        daemon = self._subsystems
        admission = daemon.scheduler.admission
        return {
            "waiting": {
                "for_a_time": len(daemon.scheduler.delayed.claims),
                "for_others": len(admission.queue),
                "for_room": len(daemon.runs.launcher.retrying),
            },
            "alarms": daemon.alarms.outbox.backlog,
            "paused": daemon.scheduler.pauses.count(now),
            "lateness_ms": daemon.runs.launcher.lateness.figures(clock.elapsed()),
            "limits": {**daemon.runs.limits.mechanisms(), "max_running": admission.max_running},
            "shares": self._shares(),
            "dropped_alarms": daemon.alarms.outbox.dropped,
            "disk": {
                **daemon.output.figures(),
                "ledger": daemon.ledger.file.trouble or None,
                "ledger_pending": daemon.ledger.file.pending,
            },
            "retention": self._retention(),
        }

    def _retention(self) -> dict[str, Any]:
        """Return the size of the ledger in bytes and the limits of ledger, runs and output; 0: no limit."""
        settings, size = self._subsystems.settings, self._subsystems.ledger.archive.size()
        return {
            "ledger_bytes": size.total,
            "ledger_free_bytes": size.free,
            "ledger_limit_bytes": settings.ledger_limit << 20,
            "keep_days": settings.keep_days,
            "keep_runs": settings.keep_runs,
            "keep_output_bytes": settings.keep_output << 20,
        }

    def _shares(self) -> dict[str, Any]:
        """Return the limits for each user, and the orders and crontabs that were refused by them."""
        settings, shares = self._subsystems.settings, self._subsystems.runs.shares
        limits = {"max_running_user": shares.running, **{name: getattr(settings, name) for name in SHARES}}
        return {
            "limits": limits,
            "refused_orders": self._order_limit.refused,
            "refused_crontabs": [
                problem.file
                for problem in self._subsystems.reloader.loaded.problems
                if problem.code == "beyond-limit"
            ],
        }

    def _files(self, uid: int) -> dict[str, int]:
        """Return the number of jobs in each file, without jobs that the user may not see."""
        try:
            client = requester(uid, system=self._subsystems.settings.system)
        except PycrondError:
            return {}
        files: dict[str, int] = {}
        for file, counts in self._jobs_by_file().items():
            if jobs := sum(count for user, count in counts.items() if client.can_access(user)):
                files[file] = jobs
        return dict([*files.items()][:MAX_FILES])

    def _jobs_by_file(self) -> Mapping[str, Mapping[str, int]]:
        """Return the number of jobs by file and user, counted once for each load."""
        loaded = self._subsystems.reloader.loaded
        if self._counted[0] is not loaded:
            counts: dict[str, Counter[str]] = {}
            for job in loaded.by_key.values():
                counts.setdefault(job.entry.file, Counter())[job.user] += 1
            self._counted = (loaded, counts)
        return self._counted[1]

    def _stamps(self, _request: dict[str, Any], _uid: int) -> dict[str, Any]:
        """Return the stamps of the crontabs that were read; the client compares them with the files."""
        directories, stamps = self._subsystems.reloader.stamps or ([], [])
        return {
            "directories": directories if len(stamps) <= MAX_STAMPS else [],
            "stamps": stamps[:MAX_STAMPS],
        }

    # reload, restart, stop

    def _reload(self, request: dict[str, Any], uid: int) -> dict[str, Any]:
        """Request a reload; `loads` in a later status shows that it is done."""
        self._subsystems.reloader.request()
        return self._status(request, uid)

    def _restart(self, request: dict[str, Any], uid: int) -> dict[str, Any]:
        """Begin a restart in place. In a later status, `start` shows success and `refusals` a failure."""
        before = self._status(request, uid)
        self._subsystems.reexec.begin()
        return before

    def _stop(self, request: dict[str, Any], uid: int) -> dict[str, Any]:
        """Stop when no run is left; with `kill`, end the running ones."""
        self._subsystems.scheduler.cancel()
        self._subsystems.scheduler.is_draining = True
        if request.get("kill"):
            self._subsystems.runs.kill_all(Cause(Reason.STOP, "stop --kill-jobs"))
        return self._status(request, uid)
