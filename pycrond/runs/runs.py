"""The runs of one daemon, from the claim of a fire to the end of its run."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

from pycrond import clock
from pycrond.host import machine
from pycrond.host.cgroup import ResourceLimits
from pycrond.host.poller import Poller
from pycrond.jobs.events import Ended, Started
from pycrond.jobs.job import Job
from pycrond.jobs.run import Cause, Fire, Run, State
from pycrond.keeper.client import KeeperClient
from pycrond.ledger.database import Work
from pycrond.ledger.writer import Ledger
from pycrond.output.output import Output
from pycrond.runs.active import NEVER, ActiveRuns, EndedRun
from pycrond.runs.command import CommandBuilder
from pycrond.runs.journal import Journal
from pycrond.runs.launcher import ClaimedRun, Launcher
from pycrond.runs.reaper import Reaper
from pycrond.runs.recovery import Recovery
from pycrond.runs.termination import Termination
from pycrond.settings import Settings

MAX_PREPARED = 40  # runs of a user with a share that are prepared before they are due


class Runs:
    """Claims, starts, adopts and terminates runs; the only writer of their records."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        output: Output,
        keeper: KeeperClient,
        poller: Poller,
        builder: CommandBuilder,
    ) -> None:
        self._ledger = ledger
        self._output = output
        output.copies.start_writer = builder.start_writer
        self.shares = output.shares
        self.active = ActiveRuns()
        self.limits = ResourceLimits(settings.state_dir)
        self.journal = Journal(settings.journal_path, machine.boot_id(), ledger, keeper, output.capture)
        self.reaper = Reaper(self.active, output, keeper, self.journal, poller, self.limits)
        self.launcher = Launcher(output, keeper, self.active, self.journal, builder, self.limits)
        self.termination = Termination(ledger, output.log, self.active, keeper, self.limits)
        self._recovery = Recovery(ledger, output, self.reaper, keeper, poller, settings.ends_path)

    # An earlier daemon's runs

    def recover(self, last_turn: datetime | None, now: datetime) -> None:
        """Take over the runs of an earlier daemon, whose last turn was at `last_turn`."""
        self.limits.find_existing()
        self._recovery.run(last_turn, now)
        for active in self.active.by_pid.values():
            self.limits.renew(active.run.job.entry.options, active.run.id)

    def recovered(self) -> None:
        """Remove the file of saved ends: the ledger has them."""
        self._recovery.done()

    # Claims and starts

    def claim(self, fires: Sequence[Fire], boot: str | None = None) -> list[ClaimedRun]:
        """Write fires to the ledger, durably, and prepare their starts. Leave out fires that were claimed
        before.

        With `boot`, these are the @reboot fires of that boot.
        """
        pairs = zip(fires, self._ledger.claim(fires, boot), strict=True)
        claims = [
            ClaimedRun(Run.claimed(run, fire), has_waited=bool(fire.start_at))
            for fire, run in pairs
            if run is not None
        ]
        self.launcher.prepare(self._to_prepare([claimed for claimed in claims if not claimed.has_waited]))
        return claims

    def _to_prepare(self, claims: Sequence[ClaimedRun]) -> list[ClaimedRun]:
        """Return the claims to prepare now: of each user with a share only as many as may start, and only so
        many that a turn of the loop does not take too long. The others are prepared when they start.
        """
        claimed_places: Counter[str] = Counter()
        kept = []
        for claimed in claims:
            user = claimed.run.job.user
            free = self.free_places(user)
            if free is None or claimed_places[user] < min(free, MAX_PREPARED):
                claimed_places[user] += 1
                kept.append(claimed)
        return kept

    def free_places(self, user: str) -> int | None:
        """Return the number of runs that a user may still start by its share; None: no limit applies."""
        return self.shares.free_places(user, self._output.capture.open_of_user)

    def is_settled(self, user: str) -> bool:
        """Look up a user for a start; return False while the start has to wait for the answer."""
        return self.launcher.builder.is_settled(user)

    def take_freed(self) -> tuple[Sequence[Job], set[str]]:
        """Return jobs whose runs have ended, and users whose FIFOs were closed, since the last call."""
        return self.active.take_ended_jobs(), self._output.capture.take_freed_users()

    def make_ready(self, claims: Sequence[ClaimedRun]) -> None:
        """Write, durably, that waiting runs may be started, and prepare their starts, so that nothing delays
        them when their time comes. If the disk is full, they go on waiting.
        """
        if self._ledger.may_start([claimed.run.id for claimed in claims]):
            for claimed in claims:
                claimed.run.enter(State.CLAIMED)
                claimed.has_waited = False
            self.launcher.prepare(self._to_prepare(claims))

    def cancel(self, claims: Sequence[ClaimedRun]) -> None:
        """Undo claims for a minute that has not come yet."""
        self._ledger.cancel([claimed.run.id for claimed in claims])
        self.launcher.discard(claims)

    def wait(self, claims: Iterable[tuple[ClaimedRun, Cause]]) -> None:
        """Have claimed runs wait."""
        rows = []
        for claimed, cause in claims:
            claimed.has_waited = True
            claimed.run.enter(State.WAITING, cause)
            rows.append((claimed.run.id, cause))
        self._ledger.wait(rows)

    def start_waiting(self, claims: Sequence[ClaimedRun]) -> bool:
        """Start runs that have waited. First write, durably, that they may have been started. If the disk is
        full, start none and return False.
        """
        if not self._ledger.may_start([claimed.run.id for claimed in claims]):
            return False
        for claimed in claims:
            claimed.run.enter(State.CLAIMED)
        self.launcher.start(claims)
        return True

    def settle(self, claims: Sequence[tuple[ClaimedRun, Cause]], state: State, now: datetime) -> None:
        """End claims that are not started: skipped, missed or killed."""
        for claimed, cause in claims:
            claimed.run.enter(state, cause)
        self._ledger.settle([(claimed.run.id, cause) for claimed, cause in claims], state, now)

    # Ends

    def kill_all(self, cause: Cause, latest: float = NEVER) -> None:
        """End all runs: TERM now, KILL after the grace of each run, but not after `latest`, by
        `clock.elapsed`. Starts that have failed temporarily get one more try. A further call ends the runs
        that have started since.
        """
        self.launcher.give_up()
        self.termination.end([*self.active.by_pid.values()], cause)
        if latest != NEVER:
            self.termination.shorten_graces(latest)

    def write_starts(self) -> None:
        """Write the starts since the last call to the ledger, before their ends are written."""
        self.journal.write_starts(self.active.by_pid)

    def take_started(self) -> list[Started]:
        """Return an event for each run that was started since the last call."""
        return [Started(active.run.id, active.run.fire) for active in self.active.take_started()]

    def take_ended(self) -> list[EndedRun]:
        """Return the runs that have ended since the last call, for `write_ends`, and begin to search for the
        processes that they left behind.
        """
        ended = [*self.active.take_ended()]
        for run in ended:
            if run.active:
                self.termination.run_ended(run.active)
        return ended

    def write_ends(self, ended: Sequence[EndedRun], *more: Work) -> None:
        """Write ends to the ledger, and in the same transaction the records in `more` that depend on them."""
        self._ledger.finished([(run.run.id, run.outcome, run.at, run.duration) for run in ended], *more)

    # The loop

    def step(self, now: datetime, elapsed: float) -> None:
        """Reap ended processes."""
        self.reaper.step(now, elapsed)
        # Before the starts are written: most short runs have ended by then. Some were started after `now`.
        self.reaper.reap(clock.now())

    def retry(self, elapsed: float) -> None:
        """Retry starts, and end runs at their timeout."""
        self.launcher.retry(elapsed)
        self.termination.step(elapsed)

    def retry_in(self, elapsed: float) -> float | None:
        """Return the seconds until `step` or `retry` has something to do; None if nothing waits."""
        parts = (self.reaper, self.launcher, self.termination)
        waits = [part.retry_in(elapsed) for part in parts]
        return min((wait for wait in waits if wait is not None), default=None)


def ended_event(ended: EndedRun) -> Ended:
    """Return the event for the end of a run."""
    output = ended.active.output if ended.active else None
    printed = 1 if output is None or output.log.output_open else output.log.spool.size
    run = ended.run
    return Ended(run.id, run.fire, ended.outcome, ended.at, ended.duration, printed)
