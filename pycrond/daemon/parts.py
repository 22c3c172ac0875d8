"""What a daemon is made of: its effects, and the parts that join them, each given what it needs."""

import os
from datetime import datetime

from pycrond import __version__, settings
from pycrond.alarms.outbox import Outbox
from pycrond.alarms.rules import Alarms
from pycrond.daemon.commands import Commands
from pycrond.daemon.completion import Completion
from pycrond.daemon.figures import Statistics
from pycrond.daemon.manual import ManualControl
from pycrond.daemon.queries import Queries
from pycrond.daemon.reexec import Reexec
from pycrond.daemon.reload import Reloader
from pycrond.daemon.retention import Retention
from pycrond.daemon.stopping import Shutdown
from pycrond.daemon.upkeep import Upkeep
from pycrond.host import machine, privileges, users
from pycrond.host.cgroup import ResourceLimits
from pycrond.host.poller import Poller
from pycrond.host.privileges import by_setpriv
from pycrond.host.timerfd import WallClockTimer
from pycrond.jobs.job import SEARCH_PATHS
from pycrond.keeper.client import KeeperClient
from pycrond.ledger.alarms import AlarmTable
from pycrond.ledger.archive import Archive
from pycrond.ledger.paused import Pauses
from pycrond.ledger.pauses import PauseTable
from pycrond.ledger.writer import Ledger
from pycrond.output import spool
from pycrond.output.capture import Capture
from pycrond.output.delivery import Delivery
from pycrond.output.syslog import SyslogClient
from pycrond.runs.active import ActiveRuns
from pycrond.runs.environment import inherited
from pycrond.runs.journal import Journal
from pycrond.runs.launcher import Launcher
from pycrond.runs.pending import PendingWrites
from pycrond.runs.recovery import Recovery
from pycrond.runs.termination import Termination
from pycrond.scheduler.admission import Admission, WaitingQueue
from pycrond.scheduler.agenda import Agenda, first_turn
from pycrond.scheduler.checkpoint import Checkpoint
from pycrond.scheduler.clock_changes import ClockChanges
from pycrond.scheduler.delayed import DelayedStarts
from pycrond.scheduler.scheduler import Scheduler
from pycrond.sources.loader import Loader


class Parts:
    """Made once, in the order in which they need each other; nothing is read, started or claimed yet."""

    def __init__(
        self, wanted: settings.Settings, keeping: KeeperClient, now: datetime, *, after: str, lock: int | None
    ) -> None:
        """Take everything into possession; raises PycrondError for what cannot be had.

        `after` and `lock` are those of `Daemon`.
        """
        self.settings = wanted
        self.keeping = keeping
        self.last_turn = Checkpoint(os.path.join(wanted.state_dir, "last-turn"))
        self.crontabs = Loader(wanted, users.own(os.geteuid()))
        self.ledger = Ledger(os.path.join(wanted.state_dir, "ledger"))
        self.ledger.begin(os.getpid(), __version__, machine.boot(), after, now)
        self.pauses = Pauses(PauseTable(self.ledger.file))
        self._deliver()
        self._run()
        self._decide(now)
        self._follow()
        self.restarting = Reexec(settings.to_arguments(wanted), lock, keeping, self.poller, self.deliveries)
        self.stopping = Shutdown(self.runs, self.launching, self.endings)

    def _deliver(self) -> None:
        """From FIFOs to syslog."""
        wanted = self.settings
        self.poller, self.timer = Poller(), WallClockTimer()
        self.syslogger = SyslogClient(
            wanted.syslog,
            format="rfc5424" if wanted.syslog_format == "rfc5424" else "rfc3164",
            console=wanted.log_console,
            perror=2 if wanted.log_stderr else None,
        )
        self.syslogger.open()
        self.deliveries = Delivery(wanted, self.ledger, self.syslogger)
        fifos = os.path.join(wanted.runtime_dir, "fifo")
        os.makedirs(fifos, mode=0o700, exist_ok=True)
        self.starts = Journal(os.path.join(wanted.runtime_dir, "starts"), machine.boot())
        self.spools = os.path.join(wanted.state_dir, "spool")
        self.outputs = Capture(self.poller, self.deliveries, fifos)
        if self.ledger.file.set_aside or self.last_turn.owed:  # it does not know all runs there were
            self.ledger.begin_after(max([spool.highest(self.spools), *self.outputs.open]))

    def _run(self) -> None:
        """From fires to runs, and to their ends."""
        search_path = SEARCH_PATHS[self.crontabs.dialect]
        self.owed = PendingWrites(self.ledger, self.keeping, self.starts, self.outputs)
        self.runs = ActiveRuns(
            self.deliveries,
            self.outputs,
            self.poller,
            keeping=self.keeping,
            starts=self.starts,
            owed=self.owed,
        )
        self.limits = ResourceLimits(self.settings.state_dir)
        self.launching = Launcher(
            self.ledger,
            self.deliveries,
            self.outputs,
            self.keeping,
            runs=self.runs,
            starts=self.starts,
            limits=self.limits,
            account=self.crontabs.account,
            become=privileges.choose_become() if self.settings.system else by_setpriv,
            spools=self.spools,
            search_path=search_path,
            inherited=inherited(os.environ, wanted=self.settings.inherit_env),
        )
        self.endings = Termination(self.ledger, self.deliveries, self.runs, self.limits)
        self.recovery = Recovery(
            self.poller,
            self.ledger,
            self.deliveries,
            self.outputs,
            self.runs,
            owed=self.owed,
            state_dir=self.settings.state_dir,
        )

    def _decide(self, now: datetime) -> None:
        """From the clock to fires, and which of them start."""
        last = self.last_turn.read()
        zone = machine.zone(machine.zone_name(os.environ))
        agenda = Agenda((), zone, first_turn(last.at, now), last.eras)
        self.jumps = ClockChanges(self.ledger, self.deliveries, now)
        self.admission = Admission(
            self.ledger,
            self.deliveries,
            self.launching,
            self.runs,
            self.endings,
            self.pauses,
            self.settings.max_running,
            WaitingQueue(),
        )
        self.waiting = DelayedStarts(
            self.ledger, self.launching, self.admission, machine.identity(), self.crontabs.dialect
        )
        self.turns = Scheduler(
            agenda,
            self.last_turn,
            self.launching,
            admission=self.admission,
            jumps=self.jumps,
            waiting=self.waiting,
        )

    def _follow(self) -> None:
        """What follows: alarms, changed files, upkeep."""
        book = AlarmTable(self.ledger.file)
        self.outbox = Outbox(
            self.ledger,
            book,
            self.deliveries,
            self.settings,
            account=self.crontabs.account,
            search_path=SEARCH_PATHS[self.crontabs.dialect],
        )
        self.alarms = Alarms(self.ledger, book, self.deliveries, self.outbox, self.settings)
        self.aftermath = Completion(
            self.ledger,
            self.runs,
            self.owed,
            self.endings,
            waiting=self.waiting,
            alarms=self.alarms,
            outbox=self.outbox,
        )
        self.reloading = Reloader(
            self.crontabs,
            self.ledger,
            self.deliveries,
            launching=self.launching,
            turns=self.turns,
            alarms=self.alarms,
            outbox=self.outbox,
        )
        self.upkeep = Upkeep(
            self.ledger,
            self.deliveries,
            self.reloading,
            runs=self.runs,
            pauses=self.pauses,
            syslogger=self.syslogger,
            poller=self.poller,
            spool_limit=self.settings.spool_limit,
        )
        self.retention = Retention(Archive(self.ledger.file), self.spools)

    def orders(self, now: datetime) -> Commands:
        """What the control socket's clients may ask for, of a daemon that began `now`."""
        by_hand = ManualControl(
            self.deliveries,
            self.runs,
            self.launching,
            self.endings,
            self.pauses,
            self.admission,
            self.waiting,
            self.reloading,
            self.stopping,
            self.settings.system,
        )
        figures = Statistics(
            self.admission,
            self.launching,
            self.limits,
            self.pauses,
            self.reloading,
            self.waiting,
            self.outbox,
            self.settings.system,
        )
        return Commands(
            self.ledger,
            self.deliveries,
            self.runs,
            self.turns,
            self.reloading,
            self.restarting,
            self.stopping,
            now,
            figures,
            {**by_hand.orders, "read": Queries(self.settings).read},
        )
