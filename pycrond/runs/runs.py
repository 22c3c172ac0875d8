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

MAX_PREPARED = 40  # runs of a user that has a share, before they are due


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
        """Take over from an earlier daemon whose last turn was at that minute."""
        self.limits.find_existing()
        self._recovery.run(last_turn, now)
        for active in self.active.by_pid.values():
            self.limits.renew(active.run.job.entry.options, active.run.id)

    def recovered(self) -> None:
        """The ends that recovery found are in the ledger."""
        self._recovery.done()

    # Claims and starts

    def claim(self, fires: Sequence[Fire], boot: str | None = None) -> list[ClaimedRun]:
        """Write fires down, durably, and make their starts ready; fires that were claimed before are left
        out.

        With `boot`, these are the @reboot fires of that boot.
        """
        pairs = zip(fires, self._ledger.claim(fires, boot), strict=True)
        claims = [
            ClaimedRun(Run.claimed(run, fire), has_waited=bool(fire.start_at))
            for fire, run in pairs
            if run is not None
        ]
        self.launcher.prepare(self._with_places([claimed for claimed in claims if not claimed.has_waited]))
        return claims

    def _with_places(self, claims: Sequence[ClaimedRun]) -> list[ClaimedRun]:
        """Return the claims that find a place now, of each user that has a share a few, so that this takes no
        longer than a turn of the loop may; the others are made ready when they start.
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
        """Return how many more runs of a user may start by its share; None: no limit applies."""
        return self.shares.free_places(user, self._output.capture.open_of_user)

    def is_settled(self, user: str) -> bool:
        """Have a user looked up for a start; return whether the start need not wait for that."""
        return self.launcher.builder.is_settled(user)

    def take_freed(self) -> tuple[Sequence[Job], set[str]]:
        """Return jobs whose runs have ended, and users whose FIFOs were closed, since the last call."""
        return self.active.take_ended_jobs(), self._output.capture.take_freed_users()

    def make_ready(self, claims: Sequence[ClaimedRun]) -> None:
        """Write, durably, that waiting runs may be started, and make their starts ready, so that nothing
        stands between their time and the start. On a full disk they go on waiting.
        """
        if self._ledger.may_start([claimed.run.id for claimed in claims]):
            for claimed in claims:
                claimed.run.enter(State.CLAIMED)
                claimed.has_waited = False
            self.launcher.prepare(self._with_places(claims))

    def cancel(self, claims: Sequence[ClaimedRun]) -> None:
        """Undo claims for a minute that has not come."""
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
        """Start runs that have waited. First it is written down, durably, that they may have been started;
        they are not, and False is returned, where the disk is full.
        """
        if not self._ledger.may_start([claimed.run.id for claimed in claims]):
            return False
        for claimed in claims:
            claimed.run.enter(State.CLAIMED)
        self.launcher.start(claims)
        return True

    def settle(self, claims: Sequence[tuple[ClaimedRun, Cause]], state: State, now: datetime) -> None:
        """End claims that become no run: skipped, missed or killed."""
        for claimed, cause in claims:
            claimed.run.enter(state, cause)
        self._ledger.settle([(claimed.run.id, cause) for claimed, cause in claims], state, now)

    # Ends

    def kill_all(self, cause: Cause, latest: float = NEVER) -> None:
        """End all runs: TERM now, KILL after each one's grace, and not later than at `latest`, by
        `clock.elapsed`; starts that wait for room get one more try. Called again, it ends those that were
        started since.
        """
        self.launcher.give_up()
        self.termination.end([*self.active.by_pid.values()], cause)
        if latest != NEVER:
            self.termination.shorten_graces(latest)

    def write_starts(self) -> None:
        """Write the starts since the last call to the ledger: before the ends are written."""
        self.journal.write_starts(self.active.by_pid)

    def take_started(self) -> list[Started]:
        """Return an event for each run that was started since the last call."""
        return [Started(active.run.id, active.run.fire) for active in self.active.take_started()]

    def take_ended(self) -> list[EndedRun]:
        """Return the runs that have ended since the last call, to be given to `write_ends`; what they left
        behind is looked for.
        """
        ended = [*self.active.take_ended()]
        for run in ended:
            if run.active:
                self.termination.run_ended(run.active)
        return ended

    def write_ends(self, ended: Sequence[EndedRun], *more: Work) -> None:
        """Write ends to the ledger, and in the same transaction what follows from them."""
        self._ledger.finished([(run.run.id, run.outcome, run.at, run.duration) for run in ended], *more)

    # The loop

    def step(self, now: datetime, elapsed: float) -> None:
        """Reap what has ended."""
        self.reaper.step(now, elapsed)
        # Before the starts are written: of most it is known by then how they ended. Some started after `now`.
        self.reaper.reap(clock.now())

    def retry(self, elapsed: float) -> None:
        """Retry starts, and end what has run for too long."""
        self.launcher.retry(elapsed)
        self.termination.step(elapsed)

    def retry_in(self, elapsed: float) -> float | None:
        """Seconds until `step` or `retry` has something to do; None if nothing waits."""
        parts = (self.reaper, self.launcher, self.termination)
        waits = [part.retry_in(elapsed) for part in parts]
        return min((wait for wait in waits if wait is not None), default=None)


def ended_event(ended: EndedRun) -> Ended:
    """The event of an end."""
    output = ended.active.output if ended.active else None
    printed = 1 if output is None or output.log.output_open else output.log.spool.size
    run = ended.run
    return Ended(run.id, run.fire, ended.outcome, ended.at, ended.duration, printed)
