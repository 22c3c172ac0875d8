"""The daemon: joins clock, crontabs, ledger, processes and syslog in one loop that waits in one place."""

import os
import signal
from datetime import datetime

from pycrond import __version__, clock, machine, process, settings, spool, users
from pycrond.admission import Admission, Line
from pycrond.aftermath import Aftermath
from pycrond.agenda import Agenda, first_turn
from pycrond.alarmbook import Alarmbook
from pycrond.alarms import Alarms
from pycrond.answering import Answering
from pycrond.delivery import Deliveries
from pycrond.digest import digest
from pycrond.endings import Endings
from pycrond.inherited import inherited
from pycrond.job import SEARCH_PATHS
from pycrond.jumps import Jumps
from pycrond.keeping import Keeping
from pycrond.lastturn import LastTurn
from pycrond.launching import Launching
from pycrond.ledger import Ledger
from pycrond.limits import Limits
from pycrond.loading import Crontabs
from pycrond.logtext import counted
from pycrond.orders import Orders
from pycrond.outbox import Outbox
from pycrond.outputs import Outputs
from pycrond.pauses import Pauses
from pycrond.poller import Poller
from pycrond.readiness import Readiness
from pycrond.recovery import Recovery
from pycrond.reloading import Reloading
from pycrond.restarting import Restarting
from pycrond.retention import Retention
from pycrond.run import Fire
from pycrond.running import Runs
from pycrond.signals import Signals
from pycrond.starts import Starts
from pycrond.stopping import Stopping
from pycrond.syslogger import Syslogger
from pycrond.timer import Timer
from pycrond.turns import Turns
from pycrond.upkeep import Upkeep
from pycrond.waiting import Waiting

FAREWELL = 1.0  # seconds that a stop spends on telling syslog what is left


class Daemon:
    """One daemon, from its settings to its stop. `step` does all that is to be done, and never blocks."""

    def __init__(
        self,
        wanted: settings.Settings,
        signals: Signals,
        readiness: Readiness,
        keeping: Keeping,
        *,
        after: str = "",
        lock: int | None = None,
    ) -> None:
        """Take everything into possession; raises PycrondError for what cannot be had.

        `after` is how the daemon before this one ended, if it should not have. `lock` is held, and handed on
        to the one that comes in its place at a restart.
        """
        self._settings = wanted
        self._signals = signals
        self._readiness = readiness
        self._keeping = keeping
        process.raise_descriptor_limit()
        now = clock.now()
        self._last_turn = LastTurn(os.path.join(wanted.state_dir, "last-turn"))
        self._crontabs = Crontabs(wanted, users.own(os.geteuid()))
        self._ledger = Ledger(os.path.join(wanted.state_dir, "ledger"))
        self._ledger.begin(os.getpid(), __version__, machine.boot(), after, now)
        if self._ledger.file.set_aside:
            self._ledger.begin_after(spool.highest(os.path.join(wanted.state_dir, "spool")))
        self._poller, self._timer = Poller(), Timer()
        self._syslogger = Syslogger(
            wanted.syslog,
            format="rfc5424" if wanted.syslog_format == "rfc5424" else "rfc3164",
            console=wanted.log_console,
            perror=2 if wanted.log_stderr else None,
        )
        self._syslogger.open()
        self._deliveries = Deliveries(wanted, self._ledger, self._syslogger)
        fifos = os.path.join(wanted.runtime_dir, "fifo")
        os.makedirs(fifos, mode=0o700, exist_ok=True)
        self._starts = Starts(os.path.join(wanted.runtime_dir, "starts"))
        spools = os.path.join(wanted.state_dir, "spool")
        self._outputs = Outputs(self._poller, self._deliveries, fifos)
        self._runs = Runs(
            self._ledger,
            self._deliveries,
            self._outputs,
            self._poller,
            keeping=keeping,
            starts=self._starts,
        )
        self._limits = Limits(wanted.state_dir)
        self._launching = Launching(
            self._ledger,
            self._deliveries,
            self._outputs,
            keeping,
            runs=self._runs,
            limits=self._limits,
            account=self._crontabs.account,
            spools=spools,
            search_path=SEARCH_PATHS[self._crontabs.dialect],
            inherited=inherited(os.environ, wanted=wanted.inherit_env),
        )
        self._endings = Endings(self._ledger, self._deliveries, self._runs, self._limits)
        self._recovery = Recovery(
            self._poller,
            self._ledger,
            self._deliveries,
            self._outputs,
            self._runs,
            state_dir=wanted.state_dir,
        )
        self._restarting = Restarting(
            settings.to_arguments(wanted), lock, keeping, self._poller, self._deliveries
        )
        self._stopping = Stopping(self._runs, self._launching, self._endings)
        self._more = False
        self._begin(now, after)

    def _begin(self, now: datetime, after: str) -> None:
        """Recover, load, open the doors; from here on nothing that a user did wrong can end the daemon."""
        last, eras, owed, _ = self._last_turn.read()
        self._zone = machine.zone(machine.zone_name(os.environ))
        agenda = Agenda((), self._zone, first_turn(last, now), eras)
        self._jumps = Jumps(self._ledger, self._deliveries, now)
        self._pauses = Pauses(self._ledger)
        self._admission = Admission(
            self._ledger,
            self._deliveries,
            self._launching,
            self._runs,
            self._endings,
            self._pauses,
            self._settings.max_running,
            Line(),
        )
        self._waiting = Waiting(
            self._ledger, self._launching, self._admission, machine.identity(), self._crontabs.dialect
        )
        self._outbox = Outbox(
            self._ledger,
            book := Alarmbook(self._ledger.file),
            self._deliveries,
            self._settings,
            account=self._crontabs.account,
            search_path=SEARCH_PATHS[self._crontabs.dialect],
        )
        self._alarms = Alarms(self._ledger, book, self._deliveries, self._outbox, self._settings)
        self._aftermath = Aftermath(
            self._ledger,
            self._runs,
            self._endings,
            waiting=self._waiting,
            alarms=self._alarms,
            outbox=self._outbox,
        )
        self._turns = Turns(
            agenda,
            self._last_turn,
            self._launching,
            admission=self._admission,
            jumps=self._jumps,
            waiting=self._waiting,
        )
        self._reloading = Reloading(
            self._crontabs,
            self._ledger,
            self._deliveries,
            launching=self._launching,
            turns=self._turns,
            alarms=self._alarms,
            outbox=self._outbox,
        )
        self._upkeep = Upkeep(
            self._ledger,
            self._deliveries,
            self._reloading,
            runs=self._runs,
            syslogger=self._syslogger,
            poller=self._poller,
            spool_limit=self._settings.spool_limit,
        )
        self._limits.adopt()
        self._retention = Retention(self._ledger, os.path.join(self._settings.state_dir, "spool"))
        self._recovery.run(self._keeping, self._starts, last, now)
        self._deliveries.keep_for_mail(self._outbox.mails())
        if last is not None and owed is not None:
            self._jumps.while_owed(owed, last, eras, now)
        if last is not None:
            self._jumps.while_down(last, agenda.last, eras, now)
        self._last_turn.write(agenda.last, eras)  # what is loaded from here on has missed nothing before
        self._reloading.load(now)
        self._waiting.restore(self._reloading.jobs, now)
        self._aftermath.take(self._reloading.jobs, now)
        self._recovery.done()
        self._waiting.catch_up(self._jumps.missed(), self._reloading.jobs, now)
        self._poller.register(self._timer, self._on_timer)
        self._poller.register(self._signals, self._on_signals)
        path = os.path.join(self._settings.runtime_dir, "control.sock")
        orders = Orders(
            self._ledger,
            self._deliveries,
            self._runs,
            self._turns,
            self._reloading,
            self._restarting,
            self._stopping,
            now,
        )
        self._answering = Answering(path, self._poller, orders.answer)
        how = f", after {after} of the one before" if after else ""
        self._deliveries.say("STARTUP", f"{__version__}, {self._reloading.loaded}{how}", now)
        self._reloading.report()
        self._run_at_boot(now)
        self._ledger.ready(now)
        self._signals.release()
        self._runs.reap(now)  # those that ended before this process was a daemon
        self._readiness.ready(os.getpid())

    def _run_at_boot(self, now: datetime) -> None:
        """The @reboot jobs, once a boot of the machine or container."""
        boot = machine.boot()
        mark = digest(boot.encode(), 8).encode()
        if self._last_turn.boot == mark:
            return  # also where the ledger that knew it was set aside
        jobs = [job for job in self._reloading.loaded.jobs if not job.entry.schedule]
        fires = [Fire(job, now, None, trigger="reboot") for job in jobs]
        claimed = self._launching.claim(fires, boot)
        self._last_turn.boot = mark
        self._last_turn.write(self._turns.agenda.last, self._turns.agenda.eras)
        self._admission.enter(claimed, now)

    # The loop

    def run(self) -> None:
        """Until it is told to stop."""
        while True:
            now = clock.now()
            self.step(now)
            if self._stopping.is_due:
                break
            if self._restarting.is_tried and self._turns.has_time(now):
                self._restart(now)
            calls = self._poller.wait(self._wait_most())
            self._take_turns(clock.now())  # what is due comes before whatever else there is
            for call in calls:
                call()
        self._end(clock.now())

    def _take_turns(self, now: datetime) -> None:
        self._jumps.notice(now, clock.elapsed())
        if not self._stopping.is_wanted:
            self._reloading.look_for_changes(now)
            self._turns.take(now)

    def step(self, now: datetime) -> None:
        """All that is due at `now`, and the little things; never blocks."""
        self._take_turns(now)
        if not self._stopping.is_wanted:
            self._turns.look_ahead(now)
        elapsed = clock.elapsed()
        self._runs.tend(now, elapsed)
        self._aftermath.take(self._reloading.jobs, now)
        self._tell_of_missed(now)
        self._alarms.tend(now)
        self._outbox.tend(now)
        for each in (self._outputs, self._launching, self._endings, self._restarting):
            each.tend(elapsed)
        self._more = self._deliveries.pump(now, elapsed)
        self._upkeep.watch_syslog()
        self._upkeep.watch_ledger(now)
        if self._turns.has_time(now):
            self._retention.tend(self._turns.agenda.last, now)
            self._upkeep.limit_spools(self._turns.agenda.last, now)
        self._timer.arm(self._next_look())

    def _tell_of_missed(self, now: datetime) -> None:
        missed = self._jumps.take_missed()
        if missed or self._admission.line.missed:
            self._alarms.missed([*missed, *self._admission.line.missed], now)
            self._admission.line.missed.clear()

    def _next_look(self) -> datetime:
        """When there is something to do by the wall clock."""
        others = [self._alarms.next_at, self._outbox.next_at]
        return min([self._turns.next_look(), *(at for at in others if at)])

    def _wait_most(self) -> float | None:
        if self._more:
            return 0.0
        elapsed = clock.elapsed()
        parts = (self._outputs, self._runs, self._launching, self._endings, self._restarting)
        waits = [each.retry_in(elapsed) for each in parts]
        waits += [self._syslogger.retry_in(), self._ledger.file.retry_in(elapsed)]
        return min((wait for wait in waits if wait is not None), default=None)

    # What comes

    def _on_timer(self) -> None:
        self._timer.read()

    def _on_signals(self) -> None:
        came = self._signals.read()
        if signal.SIGCHLD in came:
            self._runs.reap(clock.now())
        if signal.SIGHUP in came:
            self._reloading.reload(clock.now())
        if signal.SIGUSR2 in came:
            self._restarting.begin()
        if came & {signal.SIGTERM, signal.SIGINT}:
            self._stopping.at_once()

    # Restart in place

    def _restart(self, now: datetime) -> None:
        """Become the program that is installed now."""
        self._deliveries.say("RESTART", "in place", now)
        self._farewell(now)
        self._ledger.file.pay()
        if self._ledger.file.owes:
            self._restarting.refuse(f"the ledger cannot be written: {self._ledger.file.trouble}")
        else:
            self._restarting.execute()

    # The end

    def _end(self, now: datetime) -> None:
        """Stop: running jobs are left running, for the next daemon to take over."""
        self._readiness.stopping(self._runs.living)
        self._deliveries.say("SHUTDOWN", f"{counted(self._runs.count, 'job')} left running", now)
        self._farewell(now)
        self._ledger.stop(now)
        self._answering.close()
        self._limits.close()

    def _farewell(self, now: datetime) -> None:
        """Write down all that the next daemon is to know, and tell syslog what it takes at once."""
        self._turns.cancel()
        self._aftermath.take(self._reloading.jobs, now)
        give_up = clock.elapsed() + FAREWELL
        while self._deliveries.pump(now, clock.elapsed()) and clock.elapsed() < give_up:
            pass
        while self._outbox.is_busy and clock.elapsed() < give_up:
            self._poller.wait(0.05)
            self._runs.reap(now)
            self._aftermath.take(self._reloading.jobs, now)
        self._deliveries.store()
