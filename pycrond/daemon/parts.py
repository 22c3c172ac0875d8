"""What a daemon is made of: its effects, and the parts that join them, each given what it needs."""

import os
from datetime import datetime

from pycrond import __version__, settings
from pycrond.alarms.outbox import Outbox
from pycrond.alarms.rules import Alarms
from pycrond.daemon.commands import Orders
from pycrond.daemon.completion import Aftermath
from pycrond.daemon.figures import Figures
from pycrond.daemon.manual import ByHand
from pycrond.daemon.queries import Showing
from pycrond.daemon.reexec import Restarting
from pycrond.daemon.reload import Reloading
from pycrond.daemon.retention import Retention
from pycrond.daemon.stopping import Stopping
from pycrond.daemon.upkeep import Upkeep
from pycrond.host import machine, privileges, users
from pycrond.host.cgroup import Limits
from pycrond.host.poller import Poller
from pycrond.host.privileges import by_setpriv
from pycrond.host.timerfd import Timer
from pycrond.jobs.job import SEARCH_PATHS
from pycrond.keeper.client import Keeping
from pycrond.ledger.alarms import Alarmbook
from pycrond.ledger.archive import Foldbook
from pycrond.ledger.paused import Pauses
from pycrond.ledger.pauses import Pausebook
from pycrond.ledger.writer import Ledger
from pycrond.output import spool
from pycrond.output.capture import Outputs
from pycrond.output.delivery import Deliveries
from pycrond.output.syslog import Syslogger
from pycrond.runs.active import Runs
from pycrond.runs.environment import inherited
from pycrond.runs.journal import Starts
from pycrond.runs.launcher import Launching
from pycrond.runs.pending import Owed
from pycrond.runs.recovery import Recovery
from pycrond.runs.termination import Endings
from pycrond.scheduler.admission import Admission, Line
from pycrond.scheduler.agenda import Agenda, first_turn
from pycrond.scheduler.checkpoint import LastTurn
from pycrond.scheduler.clock_changes import Jumps
from pycrond.scheduler.delayed import Waiting
from pycrond.scheduler.scheduler import Turns
from pycrond.sources.loader import Crontabs


class Parts:
    """Made once, in the order in which they need each other; nothing is read, started or claimed yet."""

    def __init__(
        self, wanted: settings.Settings, keeping: Keeping, now: datetime, *, after: str, lock: int | None
    ) -> None:
        """Take everything into possession; raises PycrondError for what cannot be had.

        `after` and `lock` are those of `Daemon`.
        """
        self.settings = wanted
        self.keeping = keeping
        self.last_turn = LastTurn(os.path.join(wanted.state_dir, "last-turn"))
        self.crontabs = Crontabs(wanted, users.own(os.geteuid()))
        self.ledger = Ledger(os.path.join(wanted.state_dir, "ledger"))
        self.ledger.begin(os.getpid(), __version__, machine.boot(), after, now)
        self.pauses = Pauses(Pausebook(self.ledger.file))
        self._deliver()
        self._run()
        self._decide(now)
        self._follow()
        self.restarting = Restarting(
            settings.to_arguments(wanted), lock, keeping, self.poller, self.deliveries
        )
        self.stopping = Stopping(self.runs, self.launching, self.endings)

    def _deliver(self) -> None:
        """From FIFOs to syslog."""
        wanted = self.settings
        self.poller, self.timer = Poller(), Timer()
        self.syslogger = Syslogger(
            wanted.syslog,
            format="rfc5424" if wanted.syslog_format == "rfc5424" else "rfc3164",
            console=wanted.log_console,
            perror=2 if wanted.log_stderr else None,
        )
        self.syslogger.open()
        self.deliveries = Deliveries(wanted, self.ledger, self.syslogger)
        fifos = os.path.join(wanted.runtime_dir, "fifo")
        os.makedirs(fifos, mode=0o700, exist_ok=True)
        self.starts = Starts(os.path.join(wanted.runtime_dir, "starts"), machine.boot())
        self.spools = os.path.join(wanted.state_dir, "spool")
        self.outputs = Outputs(self.poller, self.deliveries, fifos)
        if self.ledger.file.set_aside or self.last_turn.owed:  # it does not know all runs there were
            self.ledger.begin_after(max([spool.highest(self.spools), *self.outputs.open]))

    def _run(self) -> None:
        """From fires to runs, and to their ends."""
        search_path = SEARCH_PATHS[self.crontabs.dialect]
        self.owed = Owed(self.ledger, self.keeping, self.starts, self.outputs)
        self.runs = Runs(
            self.deliveries,
            self.outputs,
            self.poller,
            keeping=self.keeping,
            starts=self.starts,
            owed=self.owed,
        )
        self.limits = Limits(self.settings.state_dir)
        self.launching = Launching(
            self.ledger,
            self.deliveries,
            self.outputs,
            self.keeping,
            runs=self.runs,
            starts=self.starts,
            limits=self.limits,
            account=self.crontabs.account,
            become=privileges.quickest() if self.settings.system else by_setpriv,
            spools=self.spools,
            search_path=search_path,
            inherited=inherited(os.environ, wanted=self.settings.inherit_env),
        )
        self.endings = Endings(self.ledger, self.deliveries, self.runs, self.limits)
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
        self.jumps = Jumps(self.ledger, self.deliveries, now)
        self.admission = Admission(
            self.ledger,
            self.deliveries,
            self.launching,
            self.runs,
            self.endings,
            self.pauses,
            self.settings.max_running,
            Line(),
        )
        self.waiting = Waiting(
            self.ledger, self.launching, self.admission, machine.identity(), self.crontabs.dialect
        )
        self.turns = Turns(
            agenda,
            self.last_turn,
            self.launching,
            admission=self.admission,
            jumps=self.jumps,
            waiting=self.waiting,
        )

    def _follow(self) -> None:
        """What follows: alarms, changed files, upkeep."""
        book = Alarmbook(self.ledger.file)
        self.outbox = Outbox(
            self.ledger,
            book,
            self.deliveries,
            self.settings,
            account=self.crontabs.account,
            search_path=SEARCH_PATHS[self.crontabs.dialect],
        )
        self.alarms = Alarms(self.ledger, book, self.deliveries, self.outbox, self.settings)
        self.aftermath = Aftermath(
            self.ledger,
            self.runs,
            self.owed,
            self.endings,
            waiting=self.waiting,
            alarms=self.alarms,
            outbox=self.outbox,
        )
        self.reloading = Reloading(
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
        self.retention = Retention(Foldbook(self.ledger.file), self.spools)

    def orders(self, now: datetime) -> Orders:
        """What the control socket's clients may ask for, of a daemon that began `now`."""
        by_hand = ByHand(
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
        figures = Figures(
            self.admission,
            self.launching,
            self.limits,
            self.pauses,
            self.reloading,
            self.waiting,
            self.outbox,
            self.settings.system,
        )
        return Orders(
            self.ledger,
            self.deliveries,
            self.runs,
            self.turns,
            self.reloading,
            self.restarting,
            self.stopping,
            now,
            figures,
            {**by_hand.orders, "read": Showing(self.settings).read},
        )
