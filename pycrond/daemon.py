"""The daemon: joins clock, crontabs, ledger, processes and syslog in one loop that waits in one place."""

import os
import signal
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from pycrond import __version__, clock, control, machine, process, settings, sources
from pycrond.agenda import MINUTE, Agenda, Turn, first_turn
from pycrond.delivery import Deliveries
from pycrond.errors import PycrondError
from pycrond.lastgood import LastGood
from pycrond.lastturn import LastTurn
from pycrond.ledger import Ledger
from pycrond.loading import Loaded, job_row, load
from pycrond.pidfile import Pidfile
from pycrond.poller import Poller
from pycrond.readiness import Readiness
from pycrond.run import Fire
from pycrond.running import Claimed, Runs
from pycrond.signals import Signals
from pycrond.syslogger import Syslogger
from pycrond.timer import Timer

JUMP = 5.0  # seconds by which the clock must have been turned for us to speak of it
FAREWELL = 1.0  # seconds that a stop spends on telling syslog what is left
AHEAD = timedelta(
    seconds=1
)  # before its minute all that is due is claimed, so that no disk stands in the way


class Daemon:
    """One daemon, from its settings to its stop. `step` does all that is to be done, and never blocks."""

    def __init__(
        self, wanted: settings.Settings, signals: Signals, readiness: Readiness, why: str = ""
    ) -> None:
        """Take everything into possession; raises PycrondError for what cannot be had."""
        self._settings = wanted
        self._signals = signals
        self._readiness = readiness
        self._pidfile = Pidfile(wanted.pidfile)
        self._pidfile.write(os.getpid())
        process.raise_descriptor_limit()
        now = clock.now()
        self._account = sources.account(os.geteuid())
        self._seed = machine.identity()
        self._last_turn = LastTurn(os.path.join(wanted.state_dir, "last-turn"))
        self._last_good = LastGood(os.path.join(wanted.state_dir, "crontabs"))
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
        spools = os.path.join(wanted.state_dir, "spool")
        self._runs = Runs(
            self._ledger, self._deliveries, self._poller, account=self._account, spools=spools, fifos=fifos
        )
        self._listener = control.listen(os.path.join(wanted.runtime_dir, "control.sock"), 0o666)
        self._listener.setblocking(False)
        self._started_at = now
        self._loaded = Loaded((), (), 0, ())
        self._ahead: tuple[Turn, list[Claimed]] | None = None
        self._stopping = False
        self._more = False
        self._syslog_watched: int | None = None
        self._begin(now, why)

    def _begin(self, now: datetime, why: str) -> None:
        """Recover, load, open the doors; from here on nothing that a user did wrong can end the daemon."""
        last, eras = self._last_turn.read()
        self._zone = machine.zone(machine.zone_name(os.environ))
        self._agenda = Agenda((), self._zone, first_turn(last, now), eras)
        self._runs.recover(last, now)
        self._load(now)
        self._poller.register(self._timer, self._on_timer)
        self._poller.register(self._signals, self._on_signals)
        self._poller.register(self._listener, self._on_connection)
        self._seen = (now, clock.elapsed())
        after = f", after {why} of the one before" if why else ""
        self._deliveries.say("STARTUP", f"{__version__}, {len(self._agenda.jobs)} jobs{after}", now)
        self._report()
        self._run_at_boot(now)
        self._ledger.ready(now)
        self._signals.release()
        self._readiness.ready(os.getpid())

    def _run_at_boot(self, now: datetime) -> None:
        """The @reboot jobs, once a boot of the machine or container."""
        fires = [
            Fire(job, now, None, trigger="reboot") for job in self._agenda.jobs if not job.entry.schedule
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
            self._take_turns(clock.now())  # what is due comes before whatever else there is
            for call in calls:
                call()
        self._end(clock.now())

    def step(self, now: datetime) -> None:
        """All that is due at `now`, and the little things; never blocks."""
        elapsed = clock.elapsed()
        self._notice_jump(now, elapsed)
        self._take_turns(now)
        self._look_ahead(now)
        self._runs.tend(elapsed)
        self._runs.store()
        self._more = self._deliveries.pump(now, elapsed)
        self._watch_syslog()
        self._ledger.tidy()
        self._timer.arm(self._next_look())

    def _wait_most(self) -> float | None:
        if self._more:
            return 0.0
        elapsed = clock.elapsed()
        waits = (self._syslogger.retry_in(), self._runs.retry_in(elapsed))
        return min((wait for wait in waits if wait is not None), default=None)

    def _take_turns(self, now: datetime) -> None:
        """Start what is due, a turn a minute when late."""
        while (turn := self._agenda.due(now)) is not None:
            claimed = self._claimed_for(turn)
            self._last_turn.write(turn.at, turn.eras)  # before the first start: see `recover`
            self._runs.start(claimed)
            self._agenda.done(turn)

    def _claimed_for(self, turn: Turn) -> Sequence[Claimed]:
        ahead, self._ahead = self._ahead, None
        if ahead and ahead[0].at == turn.at and ahead[0].fires == turn.fires:
            return ahead[1]
        if ahead:
            self._runs.cancel(ahead[1])
        return self._runs.claim(turn.fires) if turn.fires else ()

    def _look_ahead(self, now: datetime) -> None:
        """Claim the next minute's fires in the second before it."""
        coming = self._agenda.last + MINUTE
        if self._ahead is None and timedelta(0) < coming - now <= AHEAD:
            turn = self._agenda.due(coming)
            if turn:
                self._ahead = (turn, self._runs.claim(turn.fires) if turn.fires else [])

    def _next_look(self) -> datetime:
        coming = self._agenda.last + MINUTE
        if self._ahead is None:
            turn = self._agenda.due(coming)
            if turn and turn.fires:
                return coming - AHEAD
        return coming

    def _notice_jump(self, now: datetime, elapsed: float) -> None:
        """Write down that the clock was turned; what that means for the jobs, the agenda decides."""
        seen, seen_elapsed = self._seen
        self._seen = (now, elapsed)
        moved = (now - seen).total_seconds() - (elapsed - seen_elapsed)
        if abs(moved) >= JUMP:
            self._ledger.clock_event("step", round(moved, 3), now)
            self._deliveries.say("INFO", f"the clock was turned by {moved:+.0f} s", now, level="notice")

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

    def _on_signals(self) -> None:
        came = self._signals.read()
        if signal.SIGCHLD in came:
            self._runs.reap(clock.now())
        if signal.SIGHUP in came:
            self.reload(clock.now())
        if came & {signal.SIGTERM, signal.SIGINT}:
            self._stopping = True

    def _on_connection(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        client = control.Client(connection)
        self._poller.register(client, lambda: self._on_client(client))

    def _on_client(self, client: control.Client) -> None:
        if not client.serve(self._answer):
            self._poller.unregister(client)
            client.close()

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
            "started_at": self._started_at.timestamp(),
            "jobs": len(self._agenda.jobs),
            "files": self._loaded.files,
            "errors": errors,
            "running": self._runs.count,
            "backlog": self._deliveries.backlog,
        }

    # Crontabs

    def reload(self, now: datetime) -> None:
        """Read every crontab anew; what is the same stays what it is, and what runs goes on."""
        if self._ahead:
            self._runs.cancel(self._ahead[1])
            self._ahead = None
        self._load(now)
        self._deliveries.say("RELOAD", f"{len(self._agenda.jobs)} jobs in {self._loaded.files} files", now)
        self._report()

    def _load(self, now: datetime) -> None:
        self._loaded = load(
            self._settings.crontabs, self._last_good, self._account, self._seed, running=self._agenda.jobs
        )
        self._agenda = self._agenda.replaced_by(self._loaded.jobs)
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
        self._readiness.stopping()
        if self._ahead:
            self._runs.cancel(self._ahead[1])
        self._deliveries.say("SHUTDOWN", f"{self._runs.count} jobs left running", now)
        self._runs.store()
        give_up = clock.elapsed() + FAREWELL
        while self._deliveries.pump(now, clock.elapsed()) and clock.elapsed() < give_up:
            pass
        self._deliveries.store()
        self._ledger.stop(now)
        self._pidfile.remove()


def main(arguments: Sequence[str]) -> int:
    """The daemon's own program: settings, and of the keeper `--keeper`, `--lock` and `--after` a death."""
    own = {"keeper": "", "lock": "", "after": ""}
    rest = []
    for argument in arguments:
        key, _, text = argument.removeprefix("--").partition("=")
        if key in own:
            own[key] = text
        else:
            rest.append(argument)
    os.umask(0o022)
    os.chdir("/")
    if own["lock"]:
        os.set_inheritable(int(own["lock"]), False)  # held for life, and no job's to hold
    readiness = Readiness(int(own["keeper"]) if own["keeper"] else None, os.environ)
    wanted = settings.from_arguments(rest)
    try:
        Daemon(wanted, Signals(), readiness, own["after"]).run()
    except PycrondError as error:
        readiness.failed(str(error))
        print(f"pycrond: {error}", file=sys.stderr)  # noqa: T201 -- seen in the foreground only
        return error.status
    except Exception as error:
        readiness.failed(f"a bug in pycrond: {error!r}; {_keep_traceback(wanted)}")
        raise
    return 0


def _keep_traceback(wanted: settings.Settings) -> str:
    """Standard error is /dev/null: what it takes to mend a bug goes to a file."""
    import traceback  # noqa: PLC0415 -- never needed

    path = os.path.join(wanted.state_dir, "crash")
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write(f"{clock.now().isoformat()} pycrond {__version__}\n{traceback.format_exc()}\n")
    except OSError as error:
        return f"cannot write {path}: {error.strerror}"
    return f"see {path}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
