"""From fires to runs: claimed in the ledger, made ready, started."""

import contextlib
import functools
import os
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from pycrond import clock
from pycrond.errors import PycrondError
from pycrond.host import spawn, users
from pycrond.host.cgroup import ResourceLimits
from pycrond.host.parked_fds import parked_fds
from pycrond.host.privileges import Become
from pycrond.host.spawn import Launch
from pycrond.jobs.job import Account
from pycrond.jobs.run import Fire, Outcome
from pycrond.keeper.client import KeeperClient
from pycrond.ledger.writer import Ledger
from pycrond.output.capture import Capture, CapturedOutput
from pycrond.output.delivery import Delivery
from pycrond.output.run_log import RunLog
from pycrond.output.spool import Spool
from pycrond.runs.active import ActiveRun, ActiveRuns, EndedRun
from pycrond.runs.command import describe
from pycrond.runs.journal import BEGINS, NOT_BEGUN, Journal, JournalEntry
from pycrond.runs.policy import may_be_mailed

AGAIN_EVERY, AGAIN_FOR = 1.0, 60.0  # seconds in which a start that fails for want of room is tried again
LATENESS_OF = 10_000  # starts whose lateness is remembered


@dataclass(slots=True)
class ClaimedRun:
    """A fire that is in the ledger, and all that its start takes, where that could be made ready."""

    fire: Fire
    run: int
    launch: Launch | None = None
    reader: int = -1  # our end of its FIFO
    give_up_at: float = 0.0  # by clock.elapsed; 0 before the first try
    waits: bool = False  # in the ledger: a start must be written down first


class _Tried(NamedTuple):
    """What came of a start: a pid, or an error."""

    one: ClaimedRun
    at: datetime
    elapsed: float
    pid: int = 0
    error: Exception | None = None


class Launcher:
    """Claims fires and starts them; what cannot be started for want of room is tried again."""

    def __init__(
        self,
        ledger: Ledger,
        deliveries: Delivery,
        outputs: Capture,
        keeping: KeeperClient,
        *,
        runs: ActiveRuns,
        starts: Journal,
        limits: ResourceLimits,
        account: Account,
        become: Become,
        spools: str,
        search_path: str,
        inherited: Mapping[str, str],
    ) -> None:
        """`account` is the daemon's own; `accounts` are those of the jobs, by name, and change with them."""
        self._ledger = ledger
        self._delivery = deliveries
        self._outputs = outputs
        self._keeper = keeping
        self._runs = runs
        self._starts = starts
        self._limits = limits
        self._account = account
        self._become = become
        self.accounts: Mapping[str, Account] = {account.name: account}
        self._search_path = search_path
        self._inherited = inherited
        self._spools = spools
        self.again: list[ClaimedRun] = []
        """Could not be started for want of room, and are tried again."""
        self._again_at = 0.0
        self.lateness: deque[float] = deque(maxlen=LATENESS_OF)
        """Of the latest starts that a schedule asked for, in ms."""

    @property
    def are_owed(self) -> bool:
        """The ledger does not have all runs: the disk is full."""
        return self._ledger.file.owes

    def claim(self, fires: Sequence[Fire], boot: str | None = None) -> list[ClaimedRun]:
        """Write the fires down, durably, and make all ready; leaves out what had been claimed before."""
        runs = self._ledger.claim(fires, boot)
        pairs = zip(fires, runs, strict=True)
        claimed = [ClaimedRun(fire, run, waits=bool(fire.start_at)) for fire, run in pairs if run is not None]
        groups = functools.cache(users.groups)  # looking them up takes as long as all the rest
        for one in claimed:
            if not one.waits:
                with contextlib.suppress(OSError):  # tried again at its minute, and then told of
                    self._make_ready(one, groups)
        self._hold(claimed)
        return claimed

    def _make_ready(self, one: ClaimedRun, groups: Callable[[Account], Sequence[int]]) -> Launch:
        """All that its start takes, with its FIFO on disk. Raises OSError where there is no room."""
        account = self.accounts[one.fire.job.user]
        launch = describe(
            one.fire,
            one.run,
            account,
            self._outputs.path(one.run),
            self._search_path,
            groups=None if account is self._account else groups(account),
            become=self._become,
            prefix=self._limits.prefix(one.fire.job.entry.options, one.run),
            state_dir=self._limits.state_dir,
            inherited=self._inherited,
        )
        one.reader = spawn.make_fifo(launch)
        one.launch = launch
        return launch

    def _hold(self, several: Iterable[ClaimedRun]) -> None:
        """Have the keeper hold the read ends too, before the runs are started."""
        self._keeper.hold([(one.run, one.reader) for one in several if one.launch])

    def cancel(self, claimed: Sequence[ClaimedRun]) -> None:
        """Take back what was claimed for a minute that has not come."""
        self._ledger.cancel([one.run for one in claimed])
        self.discard(claimed)

    def discard(self, claimed: Sequence[ClaimedRun]) -> None:
        """They will not be started, or not now: nothing of them is kept ready, here or by the keeper.
        He is told at once: a run that is made ready anew has another FIFO.
        """
        held = [(one.run, 0, 0) for one in claimed if one.launch]
        for one in claimed:
            if one.launch:
                os.close(one.reader)
                one.launch = None
            self._outputs.remove(one.run)
            self._limits.remove(one.run)
        self._keeper.done(held)

    def start(self, claimed: Sequence[ClaimedRun]) -> None:
        """Start them all, nothing else being done in between; the ledger hears of it later."""
        ready = self._made_ready(claimed)
        if not ready:
            return
        with parked_fds([one.reader for one, _ in ready]) as readers, spawn.Starter() as starter:
            tried = [self._begin(starter, one, launch) for one, launch in ready]
        for each, reader in zip(tried, readers, strict=True):
            each.one.reader = reader
            if each.error:
                self._not_started(each.one, each.error, each.at, each.elapsed)
        self._follow([each for each in tried if not each.error])

    def _made_ready(self, claimed: Sequence[ClaimedRun]) -> list[tuple[ClaimedRun, Launch]]:
        """Those that may start, each with what it takes."""
        now, elapsed = clock.now(), clock.elapsed()
        groups = functools.cache(users.groups)
        is_expired = functools.cache(functools.partial(users.is_expired, today=int(now.timestamp() // 86400)))
        new = [one for one in claimed if one.launch is None]
        ready = []
        for one in claimed:
            try:
                launch = one.launch or self._make_ready(one, groups)
                if launch.owner and is_expired(launch.owner.name):
                    raise PycrondError(f"the account of {launch.owner.name} has expired")  # noqa: TRY301
            except (PycrondError, OSError) as error:
                self._not_started(one, error, now, elapsed)
            else:
                ready.append((one, launch))
        self._hold(new)
        return ready

    def _begin(self, starter: spawn.Starter, one: ClaimedRun, launch: Launch) -> _Tried:
        now, elapsed = clock.now(), clock.elapsed()  # each start's own: how late it is
        self._starts.note(one.run, BEGINS)
        try:
            pid = starter.start(launch)
        except (PycrondError, OSError) as error:
            self._starts.note(one.run, NOT_BEGUN)
            return _Tried(one, now, elapsed, error=error)
        self._starts.note(one.run, JournalEntry(pid))
        return _Tried(one, now, elapsed, pid)

    def _follow(self, started: Sequence[_Tried]) -> None:
        """Watch them, and have them told."""
        tellings = [self._telling(each.one, each.pid) for each in started]
        self._delivery.add(tellings)
        for (one, at, elapsed, pid, _), telling in zip(started, tellings, strict=True):
            late = (at - one.fire.at).total_seconds() * 1000
            output = CapturedOutput(telling, one.reader)
            self._runs.begun(ActiveRun(one.run, one.fire, pid, output, elapsed, at.timestamp()), late)
            if one.fire.trigger == "schedule" and not one.waits:
                self.lateness.append(late)

    def _telling(self, one: ClaimedRun, pid: int) -> RunLog:
        job = one.fire.job
        name = job.key.partition("/")[2]
        telling = RunLog(
            one.run, pid, job.user, job.entry.command, name, Spool(self._spools, one.run, is_new=True)
        )
        telling.logged = job.entry.options.log
        telling.mailed = may_be_mailed(job.entry.options)
        return telling

    def _not_started(self, one: ClaimedRun, error: Exception, now: datetime, elapsed: float) -> None:
        """Try once more in a while, if the reason may pass; else it has failed."""
        one.give_up_at = one.give_up_at or elapsed + AGAIN_FOR
        if spawn.is_passing(error) and elapsed < one.give_up_at:
            if not self.again:
                self._again_at = elapsed + AGAIN_EVERY
            self.again.append(one)
            return
        end = Outcome("failed", f"start-failed: {error}")
        telling = self._telling(one, os.getpid())
        telling.logged = True  # that it did not start is always told
        telling.output_open, telling.ending = False, (end, None)
        self._delivery.add([telling])
        self._runs.never_began(EndedRun(one.run, one.fire, end, now))
        self.discard([one])

    def withdraw(self, one: ClaimedRun) -> None:
        """It is not tried again, if it waits here."""
        self.again = [each for each in self.again if each is not one]

    def give_up(self) -> None:
        """What waits to be started again is tried once more, and then has failed."""
        for one in self.again:
            one.give_up_at = -1.0

    def tick(self, elapsed: float) -> None:
        """Try again what could not be started."""
        if self.again and elapsed >= self._again_at:
            again, self.again = self.again, []
            self.start(again)

    def retry_in(self, elapsed: float) -> float | None:
        """Seconds until `tend` has something to do; None if nothing waits."""
        return max(0.0, self._again_at - elapsed) if self.again else None
