"""The daemon: joins clock, crontabs, ledger, processes and syslog in one loop that waits in one place."""

import contextlib
import os
import signal
from datetime import datetime
from typing import Any

from pycrond import __version__, clock, machine, process, settings, users
from pycrond.agenda import Agenda, first_turn
from pycrond.answering import Answering
from pycrond.delivery import Deliveries
from pycrond.errors import PycrondError
from pycrond.job import SEARCH_PATHS
from pycrond.jumps import Jumps
from pycrond.keeping import Keeping
from pycrond.lastturn import LastTurn
from pycrond.ledger import Ledger
from pycrond.loading import Crontabs, Loaded, job_row
from pycrond.logtext import counted
from pycrond.outputs import Outputs
from pycrond.poller import Poller
from pycrond.readiness import Readiness
from pycrond.recovery import Recovery, survivors
from pycrond.run import Fire
from pycrond.running import Runs
from pycrond.signals import Signals
from pycrond.starts import Starts
from pycrond.syslogger import Syslogger
from pycrond.timer import Timer
from pycrond.turns import Turns

FAREWELL = 1.0  # seconds that a stop spends on telling syslog what is left


class Daemon:
    """One daemon, from its settings to its stop. `step` does all that is to be done, and never blocks."""

    def __init__(
        self,
        wanted: settings.Settings,
        signals: Signals,
        readiness: Readiness,
        keeping: Keeping,
        why: str = "",
    ) -> None:
        """Take everything into possession; raises PycrondError for what cannot be had."""
        self._settings = wanted
        self._signals = signals
        self._readiness = readiness
        self._keeping = keeping
        process.raise_descriptor_limit()
        now = clock.now()
        self._last_turn = LastTurn(os.path.join(wanted.state_dir, "last-turn"))
        self._crontabs = Crontabs(wanted, users.own(os.geteuid()))
        self._ledger = Ledger(os.path.join(wanted.state_dir, "ledger"))
        self._ledger.begin(os.getpid(), __version__, machine.boot(), why, now)
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
            keeping,
            account=self._crontabs.account,
            spools=spools,
            starts=self._starts,
            search_path=SEARCH_PATHS[self._crontabs.dialect],
        )
        self._recovery = Recovery(self._ledger, self._deliveries, self._outputs, self._runs, spools)
        self._started_at = now
        self._loaded = Loaded((), (), 0, ())
        self._stopping = False
        self._more = False
        self._syslog_watched: int | None = None
        self._begin(now, why)

    def _begin(self, now: datetime, why: str) -> None:
        """Recover, load, open the doors; from here on nothing that a user did wrong can end the daemon."""
        last, eras = self._last_turn.read()
        self._zone = machine.zone(machine.zone_name(os.environ))
        agenda = Agenda((), self._zone, first_turn(last, now), eras)
        self._jumps = Jumps(self._ledger, self._deliveries, now)
        self._turns = Turns(agenda, self._last_turn, self._runs, self._jumps)
        self._recover(last, now)
        if last is not None:
            self._jumps.while_down(last, agenda.last, eras, now)
        self._last_turn.write(agenda.last, eras)  # what is loaded from here on has missed nothing before
        self._load(now)
        self._poller.register(self._timer, self._on_timer)
        self._poller.register(self._signals, self._on_signals)
        path = os.path.join(self._settings.runtime_dir, "control.sock")
        self._answering = Answering(path, self._poller, self._answer)
        after = f", after {why} of the one before" if why else ""
        self._deliveries.say("STARTUP", f"{__version__}, {self._loaded}{after}", now)
        self._report()
        self._run_at_boot(now)
        self._ledger.ready(now)
        self._signals.release()
        self._runs.reap(now)  # those that ended before this process was a daemon
        self._readiness.ready(os.getpid())

    def _recover(self, last: datetime | None, now: datetime) -> None:
        """Take over what the daemon before left, and write down what became of it."""
        ends = os.path.join(self._settings.state_dir, "ends")
        found = survivors(self._keeping, self._poller, self._starts.read(), ends)
        self._recovery.run(found, last, now)
        self._starts.forget()
        self._runs.store()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(ends)
        if not self._keeping.is_gone:
            self._poller.register(self._keeping, self._on_keeper)

    def _run_at_boot(self, now: datetime) -> None:
        """The @reboot jobs, once a boot of the machine or container."""
        fires = [
            Fire(job, now, None, trigger="reboot") for job in self._loaded.jobs if not job.entry.schedule
        ]
        self._runs.start(self._runs.claim(fires, machine.boot()))

    # The loop

    def run(self) -> None:
        """Until it is told to stop."""
        while True:
            now = clock.now()
            self.step(now)
            if self._stopping:
                break
            calls = self._poller.wait(self._wait_most())
            now = clock.now()
            self._jumps.notice(now, clock.elapsed())
            self._look_for_changes(now)
            self._turns.take(now)  # what is due comes before whatever else there is
            for call in calls:
                call()
        self._end(clock.now())

    def step(self, now: datetime) -> None:
        """All that is due at `now`, and the little things; never blocks."""
        elapsed = clock.elapsed()
        self._jumps.notice(now, elapsed)
        self._look_for_changes(now)
        self._turns.take(now)
        self._turns.look_ahead(now)
        self._outputs.tend(elapsed)
        self._runs.tend(now, elapsed)
        self._runs.store()
        self._more = self._deliveries.pump(now, elapsed)
        self._watch_syslog()
        self._ledger.tidy()
        self._timer.arm(self._turns.next_look())

    def _wait_most(self) -> float | None:
        if self._more:
            return 0.0
        elapsed = clock.elapsed()
        waits = (self._syslogger.retry_in(), self._outputs.retry_in(elapsed), self._runs.retry_in(elapsed))
        return min((wait for wait in waits if wait is not None), default=None)

    def _watch_syslog(self) -> None:
        """Wait for room in syslog's queue only while there is something for it."""
        number = self._syslogger.fileno() if self._syslogger.wants_write else None
        if number == self._syslog_watched:
            return
        if self._syslog_watched is not None:
            self._poller.unregister(self._syslog_watched)
        if number is not None:
            self._poller.register(number, lambda: None, write=True)
        self._syslog_watched = number

    # What comes

    def _on_timer(self) -> None:
        self._timer.read()

    def _on_keeper(self) -> None:
        self._runs.hear()
        if self._keeping.is_gone:
            self._poller.unregister(self._keeping)
            self._keeping.close()
            said = "the keeper is gone: a daemon that dies now stays dead, and what ends meanwhile is unknown"
            self._deliveries.say("ERROR", said, clock.now(), level="err")

    def _on_signals(self) -> None:
        came = self._signals.read()
        if signal.SIGCHLD in came:
            self._runs.reap(clock.now())
        if signal.SIGHUP in came:
            self.reload(clock.now())
        if came & {signal.SIGTERM, signal.SIGINT}:
            self._stopping = True

    def _answer(self, request: dict[str, Any], uid: int) -> dict[str, Any]:
        if request.get("command") == "status":
            return self._status()
        if request.get("command") != "reload":
            raise PycrondError(f"unknown command {request.get('command')!r} (known: status, reload)")
        if uid not in {0, os.geteuid()}:
            raise PycrondError("only root and the daemon's own user may do that")
        self.reload(clock.now())
        return {**self._status(), "kept": list(self._loaded.kept)}

    def _status(self) -> dict[str, Any]:
        errors = sum(problem.severity == "error" for problem in self._loaded.problems)
        return {
            "pid": os.getpid(),
            "version": __version__,
            "zone": self._zone.name,
            "started_at": self._started_at.timestamp(),
            "jobs": len(self._loaded.jobs),
            "files": self._loaded.files,
            "errors": errors,
            "running": self._runs.count,
            "backlog": self._deliveries.backlog,
        }

    # Crontabs

    def reload(self, now: datetime) -> None:
        """Read every crontab anew; what is the same stays what it is, and what runs goes on."""
        self._load(now)
        self._deliveries.say(
            "RELOAD",
            str(self._loaded),
            now,
        )
        self._report()

    def _look_for_changes(self, now: datetime) -> None:
        """Read the crontabs anew if a file has changed: looked for once before a minute is claimed, and
        once more when it has come, so that an edit counts from the very next minute on.
        """
        if self._crontabs.watched and self._turns.is_new_phase(now) and self._crontabs.have_changed():
            self.reload(now)

    def _load(self, now: datetime) -> None:
        self._loaded = self._crontabs.load(self._loaded.jobs)
        self._runs.accounts = self._loaded.accounts
        self._turns.replace(self._loaded.jobs)
        rows = [job_row(job, self._zone.name) for job in self._loaded.jobs]
        self._ledger.load(rows, self._loaded.problems, now)

    def _report(self) -> None:
        """Every problem of the last load, to syslog."""
        now = clock.now()
        for problem in self._loaded.problems:
            error = problem.severity == "error"
            self._deliveries.say(
                "ERROR" if error else "WARNING", str(problem), now, level="err" if error else "warning"
            )

    # The end

    def _end(self, now: datetime) -> None:
        """Stop: running jobs are left running, for the next daemon to take over."""
        self._readiness.stopping(self._runs.living)
        self._turns.cancel()
        self._deliveries.say("SHUTDOWN", f"{counted(self._runs.count, 'job')} left running", now)
        self._runs.store()
        give_up = clock.elapsed() + FAREWELL
        while self._deliveries.pump(now, clock.elapsed()) and clock.elapsed() < give_up:
            pass
        self._deliveries.store()
        self._ledger.stop(now)
        self._answering.close()
