"""The subsystems of a daemon, built in the order of their dependencies."""

import os
from datetime import datetime
from typing import NamedTuple

from pycrond import __version__
from pycrond.alarms.alarms import Alarms
from pycrond.daemon.reexec import Reexec
from pycrond.daemon.reload import Reloader
from pycrond.errors import PycrondError
from pycrond.host import machine, spawn, users
from pycrond.host.daemon_arguments import daemon_command
from pycrond.host.names import NAMES
from pycrond.host.poller import Poller
from pycrond.jobs.user_shares import Shares
from pycrond.keeper.client import KeeperClient
from pycrond.ledger.writer import Ledger
from pycrond.output import spool
from pycrond.output.output import Output
from pycrond.runs.command import CommandBuilder
from pycrond.runs.runs import Runs
from pycrond.scheduler.scheduler import Scheduler
from pycrond.settings import Settings
from pycrond.sources.loader import Loader


class Subsystems(NamedTuple):
    """The subsystems. Each owns its records; only the daemon joins them."""

    settings: Settings
    keeper: KeeperClient
    poller: Poller
    ledger: Ledger
    output: Output
    runs: Runs
    scheduler: Scheduler
    alarms: Alarms
    reloader: Reloader
    reexec: Reexec

    def clock_was_turned(self, seconds: float, now: datetime) -> None:
        """Move all waiting times by the seconds by which the clock was changed."""
        self.scheduler.clock_was_turned(seconds)
        self.alarms.clock_was_turned(seconds, now)

    @property
    def is_idle(self) -> bool:
        """True if no run is running, and no process that a run has left behind is being ended."""
        return not self.runs.active.count and not self.runs.termination.is_busy


def build(
    settings: Settings, keeper: KeeperClient, now: datetime, *, after: str, lock: int | None
) -> Subsystems:
    """Open and create everything that a daemon needs; no crontab is read, and no run is claimed or started.

    Raises PycrondError if a resource is not available. `after` and `lock` are those of `Daemon`.
    """
    poller = Poller()
    NAMES.open(poller)
    loader = Loader(settings, users.by_uid(os.geteuid()))
    ledger = Ledger(settings.ledger_path)
    loader.known = ledger.jobs.users()
    if settings.require_crontabs and not after and (reason := loader.refusal()):
        raise PycrondError(reason)
    shares = Shares.of(settings, loader.account.name, spawn.INITIAL_FD_LIMIT[1])
    output = Output(settings, ledger, poller, shares)
    builder = CommandBuilder(settings, loader.account, loader.dialect)
    runs = Runs(settings, ledger, output, keeper, poller, builder)
    scheduler = Scheduler(settings, ledger, output.log, runs, loader.dialect, now)
    ledger.begin(os.getpid(), __version__, machine.boot_id(), after, now)  # everything else has succeeded
    if ledger.file.set_aside or scheduler.checkpoint.unwritten_since:  # the ledger does not have all runs
        ledger.begin_after(max([spool.upper_run_bound(settings.spool_dir), *output.capture.open_runs]))
    if settings.cluster:
        from pycrond.cluster.cluster import Cluster  # noqa: PLC0415 -- most daemons have none
        from pycrond.ledger.cluster import ClusterTable  # noqa: PLC0415

        table = ClusterTable(ledger.file)
        scheduler.join(Cluster(settings, table, runs, poller, scheduler.admission.obstacle))
    alarms = Alarms(settings, ledger, output, builder, runs)
    if scheduler.cluster:
        alarms.join(scheduler.cluster.successes)
    reloader = Reloader(loader, ledger, output.log, builder, scheduler, alarms)
    reexec = Reexec(daemon_command(settings), lock, keeper, poller, output.log)
    return Subsystems(settings, keeper, poller, ledger, output, runs, scheduler, alarms, reloader, reexec)
