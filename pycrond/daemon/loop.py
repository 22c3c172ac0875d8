"""The daemon: joins clock, crontabs, ledger, processes and syslog in one loop that waits in one place."""

import os
import signal
from datetime import datetime

from pycrond import __version__, clock, settings
from pycrond.control.server import ControlServer
from pycrond.daemon.parts import Parts
from pycrond.hashing import digest
from pycrond.host import machine, spawn
from pycrond.host.signals import Signals
from pycrond.jobs.run import Fire
from pycrond.keeper.client import KeeperClient
from pycrond.keeper.readiness import Readiness
from pycrond.text import counted

FAREWELL = 1.0  # seconds that a stop spends on telling syslog what is left


class Daemon:
    """One daemon, from its settings to its stop. `step` does all that is to be done, and waits for nobody."""

    def __init__(
        self,
        wanted: settings.Settings,
        signals: Signals,
        readiness: Readiness,
        keeping: KeeperClient,
        *,
        after: str = "",
        lock: int | None = None,
    ) -> None:
        """Take everything into possession; raises PycrondError for what cannot be had.

        `after` is how the daemon before this one ended, if it should not have. `lock` is held, and handed on
        to the one that comes in its place at a restart.
        """
        self._signals = signals
        self._readiness = readiness
        spawn.raise_descriptor_limit()
        now = clock.now()
        self.parts = Parts(wanted, keeping, now, after=after, lock=lock)
        self._more = False
        self._begin(now, after)

    def _begin(self, now: datetime, after: str) -> None:
        """Recover, load, open the doors; from here on nothing that a user did wrong can end the daemon."""
        parts = self.parts
        last, eras, owed, _ = parts.last_turn.read()
        parts.limits.adopt()
        parts.recovery.run(parts.keeping, parts.starts, last, now)
        parts.deliveries.keep_for_mail(parts.outbox.mails())
        if last is not None and owed is not None:
            parts.jumps.while_owed(owed, last, eras, now)
            parts.last_turn.owed = owed if parts.ledger.file.owes else None
        if last is not None:
            parts.jumps.while_down(last, parts.turns.agenda.last, eras, now)
        # What is loaded from here on has missed nothing before.
        parts.last_turn.write(parts.turns.agenda.last, eras)
        parts.reloading.load(now)
        parts.waiting.restore(parts.reloading.jobs, now)
        parts.aftermath.take(parts.reloading.jobs, now)
        parts.recovery.done()
        parts.waiting.catch_up(parts.jumps.missed(), parts.reloading.jobs, now)
        parts.poller.register(parts.timer, self._on_timer)
        parts.poller.register(self._signals, self._on_signals)
        path = os.path.join(parts.settings.runtime_dir, "control.sock")
        self._answering = ControlServer(path, parts.poller, parts.orders(now).answer)
        how = f", after {after} of the one before" if after else ""
        parts.deliveries.say("STARTUP", f"{__version__}, {parts.reloading.loaded}{how}", now)
        parts.reloading.report()
        self._run_at_boot(now)
        parts.ledger.ready(now)
        self._signals.release()
        parts.runs.reap(now)  # those that ended before this process was a daemon
        self._readiness.ready(os.getpid())

    def _run_at_boot(self, now: datetime) -> None:
        """The @reboot jobs, once a boot of the machine or container."""
        parts = self.parts
        boot = machine.boot()
        mark = digest(boot.encode(), 8).encode()
        if parts.last_turn.boot == mark:
            return  # also where the ledger that knew it was set aside
        jobs = [job for job in parts.reloading.loaded.jobs if not job.entry.schedule]
        fires = [Fire(job, now, None, trigger="reboot") for job in jobs]
        claimed = parts.launching.claim(fires, boot)
        parts.last_turn.boot = mark
        parts.last_turn.write(parts.turns.agenda.last, parts.turns.agenda.eras)
        parts.admission.enter(claimed, now)

    # The loop

    def run(self) -> None:
        """Until it is told to stop."""
        parts = self.parts
        while True:
            now = clock.now()
            self.step(now)
            if parts.stopping.is_due:
                break
            if parts.restarting.is_tried and parts.turns.has_time(now):
                self._restart(now)
            calls = parts.poller.wait(self._wait_most())
            self._take_turns(clock.now())  # what is due comes before whatever else there is
            for call in calls:
                call()
        self._end(clock.now())

    def _take_turns(self, now: datetime) -> None:
        parts = self.parts
        parts.jumps.notice(now, clock.elapsed())
        parts.reloading.tick(now, clock.elapsed())
        if not parts.stopping.is_wanted:
            parts.turns.take(now)

    def step(self, now: datetime) -> None:
        """All that is due at `now`, and the little things; blocks for milliseconds at most."""
        parts = self.parts
        self._take_turns(now)
        if not parts.stopping.is_wanted:
            parts.turns.look_ahead(now)
        elapsed = clock.elapsed()
        parts.runs.tick(now, elapsed)
        parts.runs.reap(now)  # before it is written what started: of most it is known by then how they ended
        parts.aftermath.take(parts.reloading.jobs, now)
        self._tell_of_missed(now)
        parts.alarms.tick(now)
        parts.outbox.tick(now)
        tended = (parts.outputs, parts.launching, parts.endings, parts.restarting, self._answering)
        for each in tended:
            each.tick(elapsed)
        self._more = parts.deliveries.pump(now, elapsed)
        parts.upkeep.watch_syslog()
        parts.upkeep.watch_ledger(now)
        if parts.turns.has_time(now):
            parts.retention.tick(parts.turns.agenda.last, parts.ledger.last_run, now)
            parts.upkeep.limit_spools(parts.turns.agenda.last, now)
        parts.timer.arm(self._next_look())

    def _tell_of_missed(self, now: datetime) -> None:
        parts = self.parts
        missed = parts.jumps.take_missed()
        if missed or parts.admission.line.missed:
            parts.alarms.missed([*missed, *parts.admission.line.missed], now)
            parts.admission.line.missed.clear()

    def _next_look(self) -> datetime:
        """When there is something to do by the wall clock."""
        parts = self.parts
        others = [parts.alarms.next_at, parts.outbox.next_at]
        return min([parts.turns.next_look(), *(at for at in others if at)])

    def _wait_most(self) -> float | None:
        parts = self.parts
        if self._more:
            return 0.0
        elapsed = clock.elapsed()
        tended = (parts.outputs, parts.runs, parts.launching, parts.endings, parts.restarting)
        waits = [each.retry_in(elapsed) for each in (*tended, parts.reloading, parts.ledger.file)]
        waits.append(parts.syslogger.retry_in())
        return min((wait for wait in waits if wait is not None), default=None)

    # What comes

    def _on_timer(self) -> None:
        self.parts.timer.read()

    def _on_signals(self) -> None:
        parts = self.parts
        came = self._signals.read()
        if signal.SIGCHLD in came:
            parts.runs.reap(clock.now())
        if signal.SIGHUP in came:
            parts.reloading.ask()
        if signal.SIGUSR2 in came:
            parts.restarting.begin()
        if came & {signal.SIGTERM, signal.SIGINT}:
            parts.stopping.at_once()

    # Restart in place

    def _restart(self, now: datetime) -> None:
        """Become the program that is installed now."""
        parts = self.parts
        parts.deliveries.say("RESTART", "in place", now)
        self._farewell(now)
        parts.ledger.file.flush()
        if parts.ledger.file.owes:
            parts.restarting.refuse(f"the ledger cannot be written: {parts.ledger.file.trouble}")
        else:
            parts.restarting.execute()

    # The end

    def _end(self, now: datetime) -> None:
        """Stop: running jobs are left running, for the next daemon to take over."""
        parts = self.parts
        self._readiness.stopping(parts.runs.living)
        parts.deliveries.say("SHUTDOWN", f"{counted(parts.runs.count, 'job')} left running", now)
        self._farewell(now)
        parts.ledger.stop(now)
        self._answering.close()
        parts.limits.close()

    def _farewell(self, now: datetime) -> None:
        """Write down all that the next daemon is to know, and tell syslog what it takes at once."""
        parts = self.parts
        parts.turns.cancel()
        parts.aftermath.take(parts.reloading.jobs, now)
        give_up = clock.elapsed() + FAREWELL
        while parts.deliveries.pump(now, clock.elapsed()) and clock.elapsed() < give_up:
            pass
        while parts.outbox.is_busy and clock.elapsed() < give_up:
            parts.poller.wait(0.05)
            parts.runs.reap(now)
            parts.aftermath.take(parts.reloading.jobs, now)
        parts.deliveries.store()
