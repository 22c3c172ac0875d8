"""The daemon: joins clock, crontabs, ledger, processes and syslog in one loop that waits in one place."""

import os
import signal
from datetime import datetime

from pycrond import __version__, clock
from pycrond.control.protocol import request_limit
from pycrond.control.server import ControlServer
from pycrond.daemon.commands import Commands
from pycrond.daemon.ledger_watch import LedgerWatch
from pycrond.daemon.retention import Retention
from pycrond.daemon.run_completion import RunCompletion
from pycrond.daemon.runtime_directory import RuntimeDirectory
from pycrond.daemon.subsystems import build
from pycrond.host import spawn
from pycrond.host.names import NAMES
from pycrond.host.signals import SignalPipe, unblock
from pycrond.host.timerfd import WallClockTimer
from pycrond.jobs.run import Cause, Reason
from pycrond.keeper.client import KeeperClient
from pycrond.keeper.readiness import Readiness
from pycrond.schedule.timezone import MINUTE
from pycrond.settings import Settings
from pycrond.text import counted, duration

SAME_STOP_TIME = 1.0  # seconds: Ctrl-C reaches this process from the terminal and from the keeper
STOPPED = Cause.of(Reason.STOP, "the daemon was stopped")
RESTART_FLUSH_TIME = 1.0  # maximum seconds in which a restart sends output and alarms that are left
STOP_FLUSH_TIME = 5.0  # maximum seconds in which a stop sends output that standard output accepts


class Daemon:
    """A daemon, from its settings to its stop. `step` does everything that is due, and does not wait."""

    def __init__(
        self,
        settings: Settings,
        signals: SignalPipe,
        readiness: Readiness,
        keeper: KeeperClient,
        *,
        after: str = "",
        lock: int | None = None,
    ) -> None:
        """Open all resources and start. Raises PycrondError if one of them is not available.

        `after` is how the previous daemon ended, if it was not stopped. `lock` is the held lock's descriptor,
        which a restart hands on to the new program.
        """
        self._signals = signals
        self._readiness = readiness
        spawn.raise_fd_limit()
        now = clock.now()
        self.subsystems = build(settings, keeper, now, after=after, lock=lock)
        self._timer = WallClockTimer()
        self._completion = RunCompletion(
            self.subsystems.runs, self.subsystems.scheduler, self.subsystems.alarms
        )
        self._retention = Retention(
            self.subsystems.ledger.archive,
            self.subsystems.scheduler.pauses,
            self.subsystems.output.delivery.kept,
            settings,
        )
        self._ledger_watch = LedgerWatch(self.subsystems)
        self._stop_now = False
        self._second_stop_at = 0.0  # by clock.elapsed: a later stop ends the jobs that the daemon waits for
        self._jobs_end_at: float | None = None  # by clock.elapsed: a stop kills the jobs that still run then
        self._has_more = False
        self._begin(now, after)

    def _begin(self, now: datetime, after: str) -> None:
        """Recover, load the crontabs, listen; errors in crontabs are logged and do not end the daemon."""
        daemon = self.subsystems
        daemon.runs.recover(daemon.scheduler.last_turn, now)
        daemon.output.delivery.keep_for_mail(daemon.alarms.outbox.mailed_runs())
        daemon.scheduler.account_for_absence(now)
        daemon.reloader.load(now)
        daemon.scheduler.resume(now)
        self._completion.step(daemon.reloader.jobs, now)
        daemon.runs.recovered()
        daemon.scheduler.catch_up(now)
        daemon.poller.register(self._timer, self._on_timer)
        daemon.poller.register(self._signals, self._on_signals)
        commands = Commands(daemon, now)
        self._server = ControlServer(
            daemon.settings.control_socket,
            daemon.poller,
            commands.answer,
            NAMES.is_owner_settled if daemon.settings.system else lambda _uid: True,
            request_limit(daemon.settings.max_crontab_size),
        )
        self._runtime_directory = RuntimeDirectory(
            daemon.settings, daemon.runs.journal, self._server, daemon.output.log
        )
        ended = f", after {after} of the previous daemon" if after else ""
        daemon.output.log.write("STARTUP", f"{__version__}, {daemon.reloader.loaded}{ended}", now)
        daemon.reloader.report_problems()
        daemon.scheduler.run_at_boot(daemon.reloader.loaded.jobs, now)
        daemon.ledger.ready(now)
        NAMES.stop_waiting()
        unblock()
        daemon.runs.reaper.reap(clock.now())  # children that ended before this process was a daemon
        self._readiness.ready(os.getpid())

    # The loop

    def run(self) -> None:
        """Run until a stop ends the daemon."""
        daemon = self.subsystems
        while True:
            now = clock.now()
            self.step(now)
            if self._stop_now or (daemon.scheduler.is_draining and daemon.is_idle):
                break
            if daemon.reexec.is_tried and daemon.scheduler.has_time(now):
                self._restart(now)
            callbacks = daemon.poller.wait(self._max_wait())
            self._turn(clock.now())  # due jobs come before everything else
            for callback in callbacks:
                callback()
        self._end(clock.now())

    def _turn(self, now: datetime) -> None:
        """Bring the crontabs up to date, and start the due jobs."""
        daemon = self.subsystems
        elapsed = clock.elapsed()
        if step := daemon.scheduler.clock_changes.detect(now, elapsed):
            daemon.clock_was_turned(step, now)
        daemon.reloader.step(now, elapsed)
        if daemon.scheduler.is_draining:
            daemon.scheduler.drain(now)
        else:
            daemon.scheduler.turn(now)

    def step(self, now: datetime) -> None:
        """Do everything that is due at `now`; blocks for milliseconds at most."""
        daemon = self.subsystems
        self._turn(now)
        next_minute = daemon.scheduler.agenda.last + MINUTE
        self._server.step(clock.elapsed(), (next_minute - clock.now()).total_seconds())
        if not daemon.scheduler.is_draining:  # a request may have begun a stop
            daemon.scheduler.claim_ahead(now)
        elapsed = clock.elapsed()
        daemon.runs.step(now, elapsed)
        self._completion.step(daemon.reloader.jobs, now)
        daemon.alarms.step(now, elapsed)
        if self._jobs_end_at is not None:
            daemon.runs.kill_all(STOPPED, self._jobs_end_at)
        daemon.runs.retry(elapsed)
        daemon.reexec.step(elapsed)
        self._has_more = daemon.output.step(now, elapsed)
        self._ledger_watch.step(now)
        self._runtime_directory.step(now, elapsed)
        NAMES.step()
        while NAMES.messages:
            daemon.output.log.write("WARNING", NAMES.messages.pop(0), now, level="warning")
        if daemon.scheduler.has_time(now):
            self._retention.step(daemon.scheduler.agenda.last, daemon.ledger.last_run, now)
        self._timer.arm(self._next_time())

    def _next_time(self) -> datetime:
        """Return the next time to act by the wall clock."""
        daemon = self.subsystems
        alarms_at = daemon.alarms.next_at
        is_draining = daemon.scheduler.is_draining  # then no minute is processed
        next_time = clock.now() + MINUTE if is_draining else daemon.scheduler.next_time()
        return min(next_time, alarms_at) if alarms_at else next_time

    def _max_wait(self) -> float | None:
        """Return the seconds until there is something to do by elapsed time; None: there is nothing."""
        if self._has_more:
            return 0.0
        daemon, elapsed = self.subsystems, clock.elapsed()
        waiting = (
            *(daemon.output, daemon.runs, daemon.alarms, self._server),
            *(daemon.reexec, daemon.reloader, daemon.ledger.file, NAMES, self._retention),
        )
        waits = [part.retry_in(elapsed) for part in waiting]
        if daemon.scheduler.cluster:
            waits.append(daemon.scheduler.cluster.retry_in(elapsed))
        return min((wait for wait in waits if wait is not None), default=None)

    # Events

    def _on_timer(self) -> None:
        self._timer.read()

    def _on_signals(self) -> None:
        daemon = self.subsystems
        received = self._signals.read()
        if signal.SIGCHLD in received:
            daemon.runs.reaper.reap(clock.now())
        if signal.SIGHUP in received:
            daemon.reloader.request()
        if signal.SIGUSR2 in received:
            daemon.reexec.begin()
        if received & {signal.SIGTERM, signal.SIGINT}:
            self._stop(clock.now())

    def _stop(self, now: datetime) -> None:
        """Stop as the setting `stop-jobs` says; a second stop ends the jobs that the daemon waits for."""
        daemon, is_draining = self.subsystems, self.subsystems.scheduler.is_draining
        mode, grace = daemon.settings.stop_jobs, daemon.settings.stop_grace
        running = counted(daemon.runs.active.count, "job")
        daemon.scheduler.is_draining = True
        daemon.scheduler.cancel()
        if mode == "leave":
            self._stop_now = True
        elif mode == "wait" and not is_draining:
            self._second_stop_at = clock.elapsed() + SAME_STOP_TIME
            daemon.output.log.write("STOP", f"waits for {running}", now)
        elif self._jobs_end_at is None and clock.elapsed() >= self._second_stop_at:
            self._jobs_end_at = clock.elapsed() + grace
            daemon.output.log.write("STOP", f"ends {running} within {duration(grace)}", now)

    # Restart in place

    def _restart(self, now: datetime) -> None:
        """Execute the installed program."""
        daemon = self.subsystems
        daemon.output.log.write("RESTART", "in place", now)
        self._flush(now, RESTART_FLUSH_TIME)
        daemon.ledger.file.flush()
        if daemon.ledger.file.has_pending:
            daemon.reexec.refuse(f"the ledger cannot be written: {daemon.ledger.file.trouble}")
        else:
            daemon.reexec.execute()

    # The end

    def _end(self, now: datetime) -> None:
        """Stop. Running jobs continue; the next daemon adopts them."""
        daemon = self.subsystems
        self._readiness.stopping(daemon.runs.active.by_pid)
        running = counted(daemon.runs.active.count, "job")
        daemon.output.log.write("SHUTDOWN", f"{running} left running", now)
        self._flush(now, STOP_FLUSH_TIME)
        self._leave_cluster(now)
        daemon.ledger.stop(now)
        self._server.close()
        NAMES.close()
        daemon.runs.limits.close()

    def _leave_cluster(self, now: datetime) -> None:
        """Report ended runs to the other nodes, and end the agent."""
        cluster, give_up_at = self.subsystems.scheduler.cluster, clock.elapsed() + RESTART_FLUSH_TIME
        if cluster:
            while cluster.report_last(now, clock.elapsed()) and clock.elapsed() < give_up_at:
                self.subsystems.poller.wait(0.02)
            cluster.close()

    def _flush(self, now: datetime, send_time: float) -> None:
        """Record everything that the next daemon needs, and send the output that the targets accept now."""
        daemon = self.subsystems
        daemon.scheduler.suspend()
        self._completion.step(daemon.reloader.jobs, now)
        daemon.output.drain(now, clock.elapsed() + send_time)
        give_up_at = clock.elapsed() + RESTART_FLUSH_TIME
        while daemon.alarms.outbox.is_busy and clock.elapsed() < give_up_at:
            daemon.poller.wait(0.05)
            daemon.runs.reaper.reap(now)
            self._completion.step(daemon.reloader.jobs, now)
        daemon.output.copies.finish()
        daemon.output.delivery.store()
