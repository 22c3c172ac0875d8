"""The runs that live: watched until they end, whoever started them."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from pycrond import clock
from pycrond.host import procfs, spawn
from pycrond.host.poller import Poller
from pycrond.jobs.run import Fire, Outcome, State
from pycrond.keeper.client import KeeperClient, ProcessEnd
from pycrond.output.capture import Capture, CapturedOutput
from pycrond.output.delivery import Delivery
from pycrond.runs.journal import Journal, JournalEntry
from pycrond.runs.outcome import outcome
from pycrond.runs.pending import PendingWrites
from pycrond.runs.policy import judged, lock_of

PATIENCE = 1.0  # seconds to wait for the keeper's word on how an adopted run ended
NEVER = float("inf")


@dataclass(slots=True, eq=False)
class ActiveRun:
    """A run that lives. Times are of clock.elapsed, but for `began_at`."""

    run: int
    fire: Fire
    pid: int
    output: CapturedOutput
    began: float | None = None  # None for an adopted one
    began_at: float | None = None  # Unix seconds
    start: int = 0  # of an adopted one's process, in clock ticks since boot
    pidfd: int = -1  # of an adopted one that is not our child
    give_up_at: float = 0.0  # it has ended, and how is waited for no longer than this
    ended_by: tuple[State, str] | None = None  # us: what it will have been, and why
    signalled: str = ""  # by hand, with a signal that ends most programs: by whom
    act_at: float = NEVER  # when its time is over, or its grace


class EndedRun(NamedTuple):
    """A run that is over."""

    run: int
    fire: Fire
    outcome: Outcome
    at: datetime
    duration: float | None = None  # seconds, where it was measured
    running: ActiveRun | None = None  # what it was; None for one that could not be started


class ActiveRuns:
    """Everything that lives, by pid; what has ended, until somebody takes it."""

    def __init__(
        self,
        deliveries: Delivery,
        outputs: Capture,
        poller: Poller,
        *,
        keeping: KeeperClient,
        starts: Journal,
        owed: PendingWrites,
    ) -> None:
        self._delivery = deliveries
        self._outputs = outputs
        self._poller = poller
        self._keeper = keeping
        self._starts = starts
        self._pending = owed
        self.living: dict[int, ActiveRun] = {}
        self.of_job: dict[str, list[ActiveRun]] = {}  # in the order of their starts
        self.holders: dict[str, ActiveRun] = {}  # of each lock that is held
        self.act_at = NEVER
        """No later than the earliest of the runs'."""
        self.changes = 0
        """Counts the ends: what waits for one is worth a look when this has grown."""
        self._awaited: list[ActiveRun] = []  # adopted ones that have ended, nobody has said yet how
        self._ended: list[EndedRun] = []
        self._begun: list[ActiveRun] = []  # with a URL to be told of it
        self._strangers: list[tuple[int, int]] = []  # children that ended and are no runs: pid and status

    @property
    def count(self) -> int:
        """How many run now."""
        return len(self.living)

    @property
    def has_keeper(self) -> bool:
        return not self._keeper.is_gone

    def rows(self) -> list[tuple[int, str, float, str, int, int, int, float | None]]:
        """All that lives, for a ledger that has taken the place of the one that knew it."""
        return [
            (
                one.run,
                one.fire.job.key,
                one.fire.at.timestamp(),
                one.fire.trigger,
                one.fire.attempt,
                pid,
                one.start or procfs.start_ticks(pid) or 0,
                one.began_at,
            )
            for pid, one in self.living.items()
        ]

    # What begins

    def begun(self, running: ActiveRun, late: float) -> None:
        """A run was started just now, `late` ms after its time; the ledger hears of it later."""
        self._outputs.watch(running.output)
        self._pending.began(running.run, running.pid, running.began_at or 0.0, late)
        self._add(running)
        if running.fire.job.entry.options.ping:
            self._begun.append(running)

    def take_begun(self) -> list[ActiveRun]:
        """Those with `ping` that began since this was asked last."""
        begun, self._begun = self._begun, []
        return begun

    def _add(self, running: ActiveRun) -> None:
        job = running.fire.job
        self.living[running.pid] = running
        self.of_job.setdefault(job.key, []).append(running)
        if lock := lock_of(job):
            self.holders[lock] = running
        timeout = job.entry.options.timeout
        if timeout is not None:
            now = running.began or clock.elapsed() - max(
                0.0, clock.now().timestamp() - (running.began_at or 0)
            )
            self.act_when(running, now + timeout)

    def act_when(self, running: ActiveRun, elapsed: float) -> None:
        """Something is to be done to it then."""
        running.act_at = elapsed
        self.act_at = min(self.act_at, elapsed)

    def adopt(self, running: ActiveRun) -> None:
        """A run of an earlier daemon that lives."""
        self._add(running)
        if running.ended_by and running.ended_by[0] == "killed":  # its grace begins anew
            self.act_when(running, clock.elapsed() + running.fire.job.entry.options.grace)
        if running.pidfd >= 0:
            self._poller.register(running.pidfd, lambda: self._adopted_ended(running))

    # What ends

    def wait_for_word(self, running: ActiveRun) -> None:
        """Of a run of an earlier daemon that has ended just now: the keeper is about to say how."""
        self._add(running)
        self._await(running)

    def _await(self, running: ActiveRun) -> None:
        running.act_at = NEVER
        running.give_up_at = clock.elapsed() + (0.0 if self._keeper.is_gone else PATIENCE)
        self._awaited.append(running)

    def _adopted_ended(self, running: ActiveRun) -> None:
        """Its parent, the keeper, has the status; that comes, or has come already."""
        self._poller.unregister(running.pidfd)
        self._await(running)
        self.hear()

    def hear(self) -> None:
        """What the keeper saw ending: an adopted run, or a process that is no run's."""
        self._keeper.flush()
        for end in self._keeper.ends():
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
                self._pending.forget([(end.pid, end.start)])
        if self._keeper.is_gone and self._keeper.fileno() >= 0:
            self._poller.unregister(self._keeper)
            self._keeper.close()
            said = "the keeper is gone: a daemon that dies now stays dead, and what ends meanwhile is unknown"
            self._delivery.say("ERROR", said, clock.now(), level="err")

    def reap(self, now: datetime) -> None:
        """Take the exit status of every child that has ended; until the ledger has it, it is noted."""
        while (ended := spawn.ended_child()) is not None:
            pid, status = ended
            running = self.living.get(pid)
            if running and running.pidfd < 0:
                self._starts.note(running.run, JournalEntry(pid, status, now.timestamp()))
            _, _, usage = os.wait4(pid, 0)
            if running is None:
                self._strangers.append((pid, status))
            elif running.pidfd < 0:
                cpu = round(usage.ru_utime + usage.ru_stime, 3)
                self.over(running, outcome(status, cpu, usage.ru_maxrss), now)

    def tick(self, now: datetime, elapsed: float) -> None:
        """Wait no longer for words that do not come."""
        self._keeper.flush()
        for running in [one for one in self._awaited if elapsed >= one.give_up_at]:
            self._awaited.remove(running)
            status = procfs.exit_status(running.pidfd, running.pid, running.start)
            unknown = Outcome("unknown", "its exit status went to another process")
            self.over(running, unknown if status is None else outcome(status), now)

    def retry_in(self, elapsed: float) -> float | None:
        """Seconds until `tend` has something to do; None if nothing waits."""
        first = min((one.give_up_at for one in self._awaited), default=None)
        return None if first is None else max(0.0, first - elapsed)

    def signal(self, running: ActiveRun, number: int) -> bool:
        """To its process group, while its leader has not been reaped; whether it could be."""
        return running not in self._awaited and spawn.signal_group(running.pid, number)

    def over(self, running: ActiveRun, end: Outcome, at: datetime, duration: float | None = None) -> None:
        """The main process is over: take its output at once, that of what it left behind as it comes."""
        self._drop(running)
        success = running.fire.job.entry.options.success
        end = judged(end, success, ended_by=running.ended_by, signalled=running.signalled)
        if running.began is not None:
            duration = round(clock.elapsed() - running.began, 6)
        elif duration is None and running.began_at is not None and end.state != "unknown":
            duration = round(max(0.0, at.timestamp() - running.began_at), 3)
        if running.pidfd >= 0:
            os.close(running.pidfd)
        self._ended.append(EndedRun(running.run, running.fire, end, at, duration, running))
        self._pending.forget([(running.pid, running.start)])
        telling = running.output.log
        telling.ending, telling.end_at = (end, duration), self._outputs.run_ended(running.output)
        self._delivery.touch(telling)

    def _drop(self, running: ActiveRun) -> None:
        self.changes += 1
        if self.living.pop(running.pid, None) is None:
            return
        key, lock = running.fire.job.key, lock_of(running.fire.job)
        several = self.of_job[key]
        several.remove(running)
        if not several:
            del self.of_job[key]
        if lock and self.holders.get(lock) is running:
            del self.holders[lock]

    def take_strangers(self) -> list[tuple[int, int]]:
        """Children that have ended since this was asked last, and are no runs."""
        strangers, self._strangers = self._strangers, []
        return strangers

    def never_began(self, ended: EndedRun) -> None:
        """It could not be started."""
        self._ended.append(ended)

    def ended(self) -> list[EndedRun]:
        """What has ended since this was asked last."""
        ended, self._ended = self._ended, []
        return ended


def how_it_ended(end: ProcessEnd, began_at: float | None) -> tuple[Outcome, datetime, float | None]:
    """The keeper's word as an outcome, its time, and how long the run took."""
    duration = None if began_at is None else round(max(0.0, end.at - began_at), 3)
    return outcome(end.status, end.cpu_s, end.max_rss_kb), datetime.fromtimestamp(end.at, UTC), duration
