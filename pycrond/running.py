"""The runs: claimed, started, watched until they end, their output taken from the FIFOs."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pycrond import clock, process, users
from pycrond.account import Account
from pycrond.delivery import Deliveries
from pycrond.errors import PycrondError
from pycrond.ledger import Ledger
from pycrond.outputs import TAKES, Output, Outputs
from pycrond.poller import Poller
from pycrond.run import Fire, Outcome, Unfinished, outcome
from pycrond.spool import CHUNK, Spool
from pycrond.telling import Place, Telling


@dataclass(frozen=True, slots=True)
class Claimed:
    """A fire that is in the ledger, and all that its start takes."""

    fire: Fire
    run: int
    launch: process.Launch


@dataclass(slots=True, eq=False)
class Running:
    """A run that lives."""

    run: int
    pid: int
    began: float | None  # by clock.elapsed; None for an adopted one
    output: Output
    pidfd: int = -1  # of an adopted one, which is not our child


class Runs:
    """Everything that lives, by pid; and the rows the ledger is owed."""

    def __init__(
        self,
        ledger: Ledger,
        deliveries: Deliveries,
        outputs: Outputs,
        poller: Poller,
        *,
        account: Account,
        spools: str,
        search_path: str,
    ) -> None:
        """`account` is the daemon's own; `accounts` are those of the jobs, by name, and change with them."""
        self._ledger = ledger
        self._deliveries = deliveries
        self._outputs = outputs
        self._poller = poller
        self._account = account
        self.accounts: Mapping[str, Account] = {account.name: account}
        self._search_path = search_path
        self._spools = spools
        self._living: dict[int, Running] = {}
        self._started: list[tuple[int, int, datetime, float]] = []
        self._finished: list[tuple[int, Outcome, datetime, float | None]] = []

    @property
    def count(self) -> int:
        """How many run now."""
        return len(self._living)

    # Claiming and starting

    def claim(self, fires: Sequence[Fire], boot: str | None = None) -> list[Claimed]:
        """Write the fires down, durably, and make all ready; leaves out what had been claimed before."""
        runs = self._ledger.claim(fires, boot)
        return [
            Claimed(fire, run, self._prepare(fire, run))
            for fire, run in zip(fires, runs, strict=True)
            if run is not None
        ]

    def _prepare(self, fire: Fire, run: int) -> process.Launch:
        account = self.accounts[fire.job.user]
        groups = None if account is self._account else users.groups(account)
        return process.prepare(fire, run, account, self._outputs.path(run), self._search_path, groups=groups)

    def cancel(self, claimed: Sequence[Claimed]) -> None:
        """Take back what was claimed for a minute that has not come."""
        self._ledger.cancel([one.run for one in claimed])
        for one in claimed:
            self._outputs.remove(one.run)

    def start(self, claimed: Sequence[Claimed]) -> None:
        """Start them all, nothing else being done in between; the ledger hears of it in `store`."""
        for one in claimed:
            self._start(one)

    def _start(self, one: Claimed) -> None:
        now = clock.now()  # each start's own: they are told apart by how late they are
        job = one.fire.job
        name = job.key.partition("/")[2]
        telling = Telling(
            one.run, os.getpid(), job.user, job.entry.command, name, Spool(self._spools, one.run)
        )
        telling.logged = job.entry.options.log
        self._deliveries.add(telling)
        try:
            if one.launch.owner and users.is_expired(one.launch.owner.name, int(now.timestamp() // 86400)):
                raise PycrondError(f"the account of {one.launch.owner.name} has expired")  # noqa: TRY301
            telling.pid, reader = process.start(one.launch)
        except (PycrondError, OSError) as error:
            end = Outcome("failed", f"start-failed: {error}")
            telling.logged = True  # that it did not start is always told
            telling.output_open, telling.ending = False, (end, None)
            self._finished.append((one.run, end, now, None))
            self._outputs.remove(one.run)
            return
        output = Output(telling, reader)
        self._outputs.watch(output)
        self._living[telling.pid] = Running(one.run, telling.pid, clock.elapsed(), output)
        late = (now - one.fire.at).total_seconds() * 1000
        self._started.append((one.run, telling.pid, now, late))

    # What an earlier daemon left

    def recover(self, last_turn: datetime | None, now: datetime) -> None:
        """Take over what lives, close what does not, and go on telling where the last one stopped.

        What was claimed for a minute after `last_turn` was not started, and is taken back to be claimed
        anew. What was claimed up to it may have been, and is not started again.
        """
        not_begun = []
        for left in self._ledger.unfinished():
            if left.state == "claimed" and last_turn is not None and left.fire > last_turn.timestamp():
                not_begun.append(left.id)
            else:
                self._take_over(left, now)
        self._ledger.cancel(not_begun)
        for run in not_begun:
            self._outputs.remove(run)

    def _take_over(self, left: Unfinished, now: datetime) -> None:
        name = left.key.partition("/")[2]
        telling = Telling(left.id, left.pid or 0, left.user, left.command, name, Spool(self._spools, left.id))
        telling.handed = telling.taken = telling.shown = Place(left.delivered, left.told)
        telling.logged = json.loads(left.options).get("log", True)
        self._deliveries.add(telling)
        output = Output(telling, process.open_fifo(self._outputs.path(left.id)), run_over=True)
        telling.output_open = output.reader >= 0
        pidfd = process.adopt(left.pid, left.pid_start or 0) if left.state == "running" and left.pid else -1
        running = Running(left.id, left.pid or 0, None, output, pidfd)
        if pidfd >= 0:
            output.run_over = False
            self._living[running.pid] = running
            self._poller.register(pidfd, lambda: self._adopted_ended(running))
        elif left.state in {"claimed", "running"}:
            reason = "ended while no daemon ran" if left.pid else "claimed, and the daemon died"
            self._end(running, Outcome("unknown" if left.pid else "lost", reason), now, None)
        else:
            telling.ending, telling.end_at = (left.outcome(), left.duration_s), telling.spool.size
        self._deliveries.touch(telling)
        if output.reader >= 0:
            telling.spool.open()  # of a FIFO that nobody writes to, only splice itself shows the end
            self._outputs.watch(output)
            self._outputs.take(output, TAKES * CHUNK)

    def _adopted_ended(self, running: Running) -> None:
        self._poller.unregister(running.pidfd)
        os.close(running.pidfd)
        self._end(running, Outcome("unknown", "its exit status went to another process"), clock.now(), None)

    # Ends

    def reap(self, now: datetime) -> None:
        """Take the exit status of every child that has ended."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            running = self._living.get(pid)
            if running and running.began is not None:
                self._end(running, outcome(status, usage), now, round(clock.elapsed() - running.began, 6))

    def _end(self, running: Running, end: Outcome, now: datetime, duration: float | None) -> None:
        """The main process is over: take its output at once, that of what it left behind as it comes."""
        self._living.pop(running.pid, None)
        self._finished.append((running.run, end, now, duration))
        telling = running.output.telling
        telling.ending, telling.end_at = (end, duration), self._outputs.run_ended(running.output)
        self._deliveries.touch(telling)

    # What the ledger is owed

    def store(self) -> None:
        """Write down what was started and what has ended since the last time."""
        if self._started:
            self._ledger.started(
                [(run, pid, process.start_ticks(pid) or 0, at, late) for run, pid, at, late in self._started]
            )
            self._started.clear()
        if self._finished:
            self._ledger.finished(self._finished)
            self._finished.clear()
