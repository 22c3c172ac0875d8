"""The runs: claimed, started, watched until they end, their output taken from the FIFOs."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from pycrond import clock, process, procfs, users
from pycrond.account import Account
from pycrond.delivery import Deliveries
from pycrond.errors import PycrondError
from pycrond.keeping import End, Keeping
from pycrond.ledger import Ledger
from pycrond.outputs import Output, Outputs
from pycrond.poller import Poller
from pycrond.run import Fire, Outcome, outcome
from pycrond.spool import Spool
from pycrond.starts import Noted, Starts
from pycrond.telling import Telling

AGAIN_EVERY, AGAIN_FOR = 1.0, 60.0  # seconds in which a start that fails for want of room is tried again
PATIENCE = 1.0  # seconds to wait for the keeper's word on how an adopted run ended


@dataclass(slots=True)
class Claimed:
    """A fire that is in the ledger, and all that its start takes, where that could be made ready."""

    fire: Fire
    run: int
    launch: process.Launch | None
    give_up_at: float = 0.0  # by clock.elapsed; 0 before the first try


@dataclass(slots=True, eq=False)
class Running:
    """A run that lives."""

    run: int
    pid: int
    output: Output
    began: float | None = None  # by clock.elapsed; None for an adopted one
    began_at: float | None = None  # Unix seconds
    start: int = 0  # of an adopted one's process, in clock ticks since boot
    pidfd: int = -1  # of an adopted one that is not our child
    give_up_at: float = 0.0  # by clock.elapsed: it has ended, and how is waited for no longer than this
    killed: str = ""  # by us, and why


class Runs:
    """Everything that lives, by pid; and the rows the ledger is owed."""

    def __init__(
        self,
        ledger: Ledger,
        deliveries: Deliveries,
        outputs: Outputs,
        poller: Poller,
        keeping: Keeping,
        *,
        account: Account,
        spools: str,
        starts: Starts,
        search_path: str,
    ) -> None:
        """`account` is the daemon's own; `accounts` are those of the jobs, by name, and change with them."""
        self._ledger = ledger
        self._deliveries = deliveries
        self._outputs = outputs
        self._poller = poller
        self._keeping = keeping
        self._account = account
        self.accounts: Mapping[str, Account] = {account.name: account}
        self._search_path = search_path
        self._spools = spools
        self._starts = starts
        self.living: dict[int, Running] = {}
        self._again: list[Claimed] = []
        self._again_at = 0.0
        self._awaited: list[Running] = []  # adopted ones that have ended, nobody has said yet how
        self._started: list[tuple[int, int, datetime, float]] = []
        self._finished: list[tuple[int, Outcome, datetime, float | None]] = []
        self._done: list[tuple[int, int, int]] = []  # what the keeper may forget: run, pid, start

    @property
    def count(self) -> int:
        """How many run now."""
        return len(self.living)

    @property
    def are_owed(self) -> bool:
        """The ledger does not have all of them: the disk is full."""
        return self._ledger.file.owes

    @property
    def has_keeper(self) -> bool:
        return not self._keeping.is_gone

    # Claiming and starting

    def claim(self, fires: Sequence[Fire], boot: str | None = None) -> list[Claimed]:
        """Write the fires down, durably, and make all ready; leaves out what had been claimed before."""
        runs = self._ledger.claim(fires, boot)
        pairs = zip(fires, runs, strict=True)
        claimed = [
            Claimed(fire, run, None if fire.start_at else self._ready(fire, run))
            for fire, run in pairs
            if run is not None
        ]
        self._keeping.hold([(one.run, one.launch.reader) for one in claimed if one.launch])
        return claimed

    def _ready(self, fire: Fire, run: int) -> process.Launch | None:
        try:
            return self._prepare(fire, run)
        except OSError:
            return None  # tried again at its minute, and then told of

    def _prepare(self, fire: Fire, run: int) -> process.Launch:
        account = self.accounts[fire.job.user]
        groups = None if account is self._account else users.groups(account)
        return process.prepare(fire, run, account, self._outputs.path(run), self._search_path, groups=groups)

    def cancel(self, claimed: Sequence[Claimed]) -> None:
        """Take back what was claimed for a minute that has not come."""
        self._ledger.cancel([one.run for one in claimed])
        for one in claimed:
            self._discard(one)

    def _discard(self, one: Claimed) -> None:
        if one.launch:
            os.close(one.launch.reader)
        self._outputs.remove(one.run)
        self._done.append((one.run, 0, 0))

    def start(self, claimed: Sequence[Claimed]) -> None:
        """Start them all, nothing else being done in between; the ledger hears of it in `store`."""
        for one in claimed:
            self._start(one)

    def _start(self, one: Claimed) -> None:
        now, elapsed = clock.now(), clock.elapsed()  # each start's own: how late it is
        try:
            launch = self._launch(one)
            if launch.owner and users.is_expired(launch.owner.name, int(now.timestamp() // 86400)):
                raise PycrondError(f"the account of {launch.owner.name} has expired")  # noqa: TRY301
            pid = process.start(launch)
        except (PycrondError, OSError) as error:
            self._not_started(one, error, now, elapsed)
            return
        self._starts.note(one.run, Noted(pid))
        output = Output(self._telling(one, pid), launch.reader)
        self._outputs.watch(output)
        self.living[pid] = Running(one.run, pid, output, elapsed, now.timestamp())
        self._started.append((one.run, pid, now, (now - one.fire.at).total_seconds() * 1000))

    def _launch(self, one: Claimed) -> process.Launch:
        if one.launch is None:
            one.launch = self._prepare(one.fire, one.run)
            self._keeping.hold([(one.run, one.launch.reader)])
        return one.launch

    def _telling(self, one: Claimed, pid: int) -> Telling:
        job = one.fire.job
        name = job.key.partition("/")[2]
        telling = Telling(one.run, pid, job.user, job.entry.command, name, Spool(self._spools, one.run))
        telling.logged = job.entry.options.log
        self._deliveries.add(telling)
        return telling

    def _not_started(self, one: Claimed, error: Exception, now: datetime, elapsed: float) -> None:
        """Try once more in a while, if the reason may pass; else it has failed."""
        one.give_up_at = one.give_up_at or elapsed + AGAIN_FOR
        if process.is_passing(error) and elapsed < one.give_up_at:
            if not self._again:
                self._again_at = elapsed + AGAIN_EVERY
            self._again.append(one)
            return
        end = Outcome("failed", f"start-failed: {error}")
        telling = self._telling(one, os.getpid())
        telling.logged = True  # that it did not start is always told
        telling.output_open, telling.ending = False, (end, None)
        self._finished.append((one.run, end, now, None))
        self._discard(one)

    def tend(self, now: datetime, elapsed: float) -> None:
        """Try again what could not be started; wait no longer for words that do not come."""
        self._keeping.flush()
        if self._again and elapsed >= self._again_at:
            again, self._again = self._again, []
            self.start(again)
        for running in [one for one in self._awaited if elapsed >= one.give_up_at]:
            self._awaited.remove(running)
            status = procfs.exit_status(running.pidfd, running.pid, running.start)
            unknown = Outcome("unknown", "its exit status went to another process")
            self.over(running, unknown if status is None else outcome(status), now)

    def retry_in(self, elapsed: float) -> float | None:
        """Seconds until `tend` has something to do; None if nothing waits."""
        times = [one.give_up_at for one in self._awaited] + [self._again_at] * bool(self._again)
        return max(0.0, min(times) - elapsed) if times else None

    # Ends

    def end_all(self, *, hard: bool) -> None:
        """TERM to each run's process group, or KILL; what waits to be started is given up."""
        for one in self._again:
            one.give_up_at = -1.0
        for running in self.living.values():
            running.killed = "stop --kill-jobs"
            if running not in self._awaited:
                process.end_group(running.pid, hard=hard)

    def adopt(self, running: Running) -> None:
        """A run of an earlier daemon that lives."""
        self.living[running.pid] = running
        if running.pidfd >= 0:
            self._poller.register(running.pidfd, lambda: self._adopted_ended(running))

    def wait_for_word(self, running: Running) -> None:
        """Of a run of an earlier daemon that has ended just now: the keeper is about to say how."""
        self.living[running.pid] = running
        running.give_up_at = clock.elapsed() + (0.0 if self._keeping.is_gone else PATIENCE)
        self._awaited.append(running)

    def _adopted_ended(self, running: Running) -> None:
        """Its parent, the keeper, has the status; that comes, or has come already."""
        self._poller.unregister(running.pidfd)
        running.give_up_at = clock.elapsed() + (0.0 if self._keeping.is_gone else PATIENCE)
        self._awaited.append(running)
        self.hear()

    def hear(self) -> None:
        """What the keeper saw ending: an adopted run, or a process that is no run's."""
        self._keeping.flush()
        for end in self._keeping.ends():
            running = self.living.get(end.pid)
            unseen = running in self._awaited and not running.start  # it ended just as it was looked for
            if running and (running.start == end.start or unseen):
                running.start = end.start
                if running.pidfd >= 0:
                    self._poller.unregister(running.pidfd)
                if running in self._awaited:
                    self._awaited.remove(running)
                self.over(running, *how_it_ended(end, running.began_at))
            else:
                self._done.append((0, end.pid, end.start))
        if self._keeping.is_gone and self._keeping.fileno() >= 0:
            self._poller.unregister(self._keeping)
            self._keeping.close()
            said = "the keeper is gone: a daemon that dies now stays dead, and what ends meanwhile is unknown"
            self._deliveries.say("ERROR", said, clock.now(), level="err")

    def reap(self, now: datetime) -> None:
        """Take the exit status of every child that has ended; until the ledger has it, it is noted."""
        while (ended := process.ended_child()) is not None:
            pid, status = ended
            running = self.living.get(pid)
            if running and running.pidfd < 0:
                self._starts.note(running.run, Noted(pid, status, now.timestamp()))
            _, _, usage = os.wait4(pid, 0)
            if running and running.pidfd < 0:
                cpu = round(usage.ru_utime + usage.ru_stime, 3)
                self.over(running, outcome(status, cpu, usage.ru_maxrss), now)

    def over(self, running: Running, end: Outcome, at: datetime, duration: float | None = None) -> None:
        """The main process is over: take its output at once, that of what it left behind as it comes."""
        self.living.pop(running.pid, None)
        if running.killed and end.state != "succeeded":
            end = replace(end, state="killed", reason=running.killed)
        if running.began is not None:
            duration = round(clock.elapsed() - running.began, 6)
        elif duration is None and running.began_at is not None and end.state != "unknown":
            duration = round(max(0.0, at.timestamp() - running.began_at), 3)
        if running.pidfd >= 0:
            os.close(running.pidfd)
        self._finished.append((running.run, end, at, duration))
        self._done.append((0, running.pid, running.start))
        telling = running.output.telling
        telling.ending, telling.end_at = (end, duration), self._outputs.run_ended(running.output)
        self._deliveries.touch(telling)

    def forget(self, done: Iterable[tuple[int, int, int]]) -> None:
        """Run, pid and start of what the keeper need not remember once the ledger has been written."""
        self._done += done

    # What the ledger and the keeper are owed

    def store(self) -> None:
        """Write down what was started and what has ended since the last time."""
        if self._started:
            self._ledger.started(
                [(run, pid, procfs.start_ticks(pid) or 0, at, late) for run, pid, at, late in self._started]
            )
            self._started.clear()
        if self._finished:
            self._ledger.finished(self._finished)
            self._finished.clear()
        if not self._ledger.file.owes:
            self._starts.forget()
        done = [*self._done, *((run, 0, 0) for run in self._outputs.closed)]
        if done and not self._ledger.file.owes:
            self._keeping.done(done)
            self._done.clear()
            self._outputs.closed.clear()


def how_it_ended(end: End, began_at: float | None) -> tuple[Outcome, datetime, float | None]:
    """The keeper's word as an outcome, its time, and how long the run took."""
    duration = None if began_at is None else round(max(0.0, end.at - began_at), 3)
    return outcome(end.status, end.cpu_s, end.max_rss_kb), datetime.fromtimestamp(end.at, UTC), duration
