"""Admission: due fires start, wait or are skipped, as `runs.policy` decides."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from pycrond.jobs.events import Abandoned, Event, Missed, Skipped
from pycrond.jobs.job import Job
from pycrond.jobs.run import NO_CAUSE, OPEN, Cause, Fire, Reason, State
from pycrond.ledger.pauses import Pauses
from pycrond.output.daemon_log import DaemonLog
from pycrond.runs.launcher import ClaimedRun
from pycrond.runs.policy import Decision, Situation, Verdict, admit, lock_of, replaced_by
from pycrond.runs.runs import Runs
from pycrond.scheduler.user_turns import UserTurns
from pycrond.scheduler.waiting_queue import DISK, Lane, WaitingQueue, lane_of

RETRY_INTERVAL = timedelta(seconds=1)  # between two attempts to record a start on a full disk
MAX_DECIDED = 10  # decisions about runs of limited users in half a turn: each takes 1 ms
REMOVED = Cause.of(Reason.REMOVED, "the job is gone")


class Admission:
    """Decides about claimed runs, and carries the decisions out."""

    def __init__(self, log: DaemonLog, runs: Runs, pauses: Pauses, max_running: int) -> None:
        """`max_running` is the setting; 0: no limit."""
        self._log = log
        self._runs = runs
        self._pauses = pauses
        self.max_running = max_running
        self.queue = WaitingQueue()
        self.user_turns = UserTurns(runs.is_settled)
        self._events: list[Event] = []
        self._starting: list[ClaimedRun] = []  # they are started together, which is faster
        self._starting_of_user: Counter[str] = Counter()
        self._decided: list[tuple[ClaimedRun, Decision]] = []  # to record in the ledger
        self._held_lanes: list[Lane] = []  # their first run could start, but its user must be looked up
        self._rechecked: list[ClaimedRun] = []  # waiting runs to decide about again in the next step

    def take_events(self) -> list[Event]:
        """Return the fires that were skipped or missed since the last call."""
        events, self._events = self._events, []
        return events

    def enter(self, claims: Iterable[ClaimedRun], now: datetime) -> None:
        """Start the runs that may start, then record the others in the ledger.

        Runs of root and the daemon's user come first, in order. The other users take turns, and a turn of
        the loop decides only about some of their runs, so that it stays short.
        """
        self.step(now)  # runs that have waited longer come first
        for claimed in claims:
            if self._runs.shares.is_limited(claimed.run.job.user):
                self.user_turns.add(claimed)
            else:
                self._carry_out(claimed, self._decide(claimed, now), now)
        self._decide_in_turn(now)

    def enter_at_once(self, claimed: ClaimedRun, now: datetime) -> Decision:
        """Decide about a run before all others, and return the decision."""
        self.step(now)
        decision = self._admit(claimed, now)
        self._finish(now)
        return decision

    def _admit(self, claimed: ClaimedRun, now: datetime) -> Decision:
        """Decide about a run; return it to `user_turns` if the account of its user must be looked up."""
        decision = self._decide(claimed, now)
        if self._is_held(claimed, decision):
            self.user_turns.add(claimed)
        else:
            self._carry_out(claimed, decision, now)
        return decision

    def _is_held(self, claimed: ClaimedRun, decision: Decision) -> bool:
        """Return whether a run could start, but must wait until the account of its user is looked up."""
        return decision.verdict is Verdict.START and not self._runs.is_settled(claimed.run.job.user)

    def _decide_in_turn(self, now: datetime) -> None:
        for _ in range(min(MAX_DECIDED, self.user_turns.count)):
            claimed = self.user_turns.pop()
            if claimed.run.state in OPEN:  # it was not killed meanwhile
                self._admit(claimed, now)
        self._finish(now)

    def next_at(self, now: datetime) -> datetime | None:
        """Return the time at which `step` has something to do if no run ends before; None: never."""
        return now if self.user_turns.count or self.queue.next_woken() else self.queue.next_at

    def step(self, now: datetime) -> None:
        """Decide about new runs, and again about waiting runs whose situation may have changed."""
        self._wake(now)
        rechecked, self._rechecked = self._rechecked, []
        for claimed in filter(self.queue.is_waiting, rechecked):
            decision = self._decide(claimed, now)
            if self._is_held(claimed, decision):
                self._rechecked.append(claimed)
            else:
                self._carry_out(claimed, decision, now)
        self._finish(now)
        self._serve(now)
        self.user_turns.settle()
        self._decide_in_turn(now)

    def _serve(self, now: datetime) -> None:
        """Decide about the first runs of woken lanes, until none of them can start."""
        while woken := self.queue.next_woken():
            while woken:
                self._serve_lane(*woken, now)
                woken = self.queue.next_woken()
            self._finish(now)  # a start that fails frees its place

    def _serve_lane(self, claimed: ClaimedRun, lane: Lane, now: datetime) -> None:
        decision = self._decide(claimed, now)
        waits = decision.verdict in {Verdict.WAIT, Verdict.REPLACE}
        if is_held := self._is_held(claimed, decision):
            self._held_lanes.append(lane)
        stays = is_held or (waits and lane_of(claimed, decision.cause) == lane)
        if not stays or decision.verdict is Verdict.REPLACE:
            self._carry_out(claimed, decision, now)
        if stays:
            self.queue.sleep(lane)
        else:
            self.queue.end_turn(claimed.run.job.user)

    def _wake(self, now: datetime) -> None:
        while self._held_lanes:
            self.queue.wake(self._held_lanes.pop())
        ended, users = self._runs.take_freed()
        if not self.queue:
            self.queue.retry_at = None
            return
        for job in ended:
            self.queue.wake(Lane(Reason.OVERLAP, job.key))
            self.queue.wake(Lane(Reason.LOCK, lock_of(job) or ""))
        if ended:
            self.queue.wake_places()
        for user in users:
            self.queue.wake(Lane(Reason.MAX_RUNNING, user))
        if self.queue.retry_at and now >= self.queue.retry_at:
            self.queue.retry_at = None
            self.queue.wake(DISK)
        self._rechecked += self.queue.pop_too_late(now)

    def recheck(self, keys: Iterable[str]) -> None:
        """Decide again, in the next step, about the waiting runs of these jobs."""
        self._rechecked += self.queue.of_jobs(keys)

    # Decisions

    def _decide(self, claimed: ClaimedRun, now: datetime) -> Decision:
        job = claimed.run.job
        if not job.entry.options.is_unconditional:
            self._start(now)  # the decision depends on the running runs: start those admitted before
        is_waiting = self.queue.is_waiting(claimed)
        situation = self._situation(job, now)._replace(
            waiting=len(self.queue.earlier(claimed)) if is_waiting else self.queue.count(job.key),
            queue_full=not is_waiting and self._is_queue_full(job.user),
            late=claimed.late(now).total_seconds(),
        )
        return admit(claimed.run.fire, situation)

    def _situation(self, job: Job, now: datetime) -> Situation:
        """Return the running runs and the waiting fires that concern a job."""
        active, lock = self._runs.active, lock_of(job)
        holder = active.lock_holders.get(lock) if lock else None
        return Situation(
            running=tuple(running.run.id for running in active.of_job.get(job.key, ())),
            holder=holder.run.id if holder else 0,
            full=self._free_places(job.user) == 0,
            paused=self._pauses.reason(job.key, now),
        )

    def obstacle(self, job: Job, now: datetime) -> Reason:
        """Return the reason why a job could not start now; NONE if it could."""
        return admit(Fire(job, now, None), self._situation(job, now)).cause.reason

    def _free_places(self, user: str) -> int | None:
        """Return how many more runs of a user may start now; None: no limit applies."""
        free = self._runs.free_places(user)
        free = None if free is None else max(0, free - self._starting_of_user[user])
        if self.max_running:
            all_free = max(0, self.max_running - self._runs.active.count - len(self._starting))
            free = all_free if free is None else min(free, all_free)
        return free

    def _is_queue_full(self, user: str) -> bool:
        shares = self._runs.shares
        limit = shares.waiting if shares.is_limited(user) else 0
        return 0 < limit <= self.queue.count_of_user(user)

    def _carry_out(self, claimed: ClaimedRun, decision: Decision, now: datetime) -> None:
        """Carry out a decision; `_finish` then starts runs and writes to the ledger."""
        if decision.verdict in {Verdict.WAIT, Verdict.REPLACE}:
            if decision.verdict is Verdict.REPLACE:
                running = self._runs.active.of_job[claimed.run.job.key]
                self._runs.termination.end(running, replaced_by(claimed.run))
            self.queue.add(claimed, lane_of(claimed, decision.cause))
        else:
            self.queue.remove(claimed)
        if decision.verdict is Verdict.START:
            self._starting.append(claimed)
            self._starting_of_user[claimed.run.job.user] += 1
            if not claimed.run.job.entry.options.is_unconditional:
                self._start(now)
        else:
            self._decided.append((claimed, decision))

    def _start(self, now: datetime) -> None:
        """Start the admitted runs. Runs that have waited are first recorded in one transaction."""
        if not self._starting:
            return
        claims, self._starting = self._starting, []
        self._starting_of_user.clear()
        self._runs.launcher.start([claimed for claimed in claims if not claimed.has_waited])
        waited = [claimed for claimed in claims if claimed.has_waited]
        if waited and not self._runs.start_waiting(waited):
            for claimed in waited:
                self.queue.add(claimed, DISK)
            self.queue.sleep(DISK)
            self.queue.retry_at = now + RETRY_INTERVAL
        if any(claimed.run.state is not State.RUNNING for claimed in claims):
            self.queue.wake_places()  # a run whose start has failed needs no place

    def _finish(self, now: datetime) -> None:
        self._start(now)
        if self._decided:
            decided, self._decided = self._decided, []
            self._runs.launcher.discard([claimed for claimed, _ in decided])
            self._write(decided, now)

    def _write(self, decided: Sequence[tuple[ClaimedRun, Decision]], now: datetime) -> None:
        skipped, missed, waiting = [], [], []
        for claimed, decision in decided:
            if decision.verdict is Verdict.SKIP:
                skipped.append((claimed, decision.cause))
            elif decision.verdict is Verdict.MISS:
                missed.append((claimed, decision.cause))
            elif not claimed.has_waited:
                waiting.append((claimed, decision.cause))
            if decision.verdict is Verdict.REPLACE:
                for replaced in self.queue.earlier(claimed):
                    self.queue.remove(replaced)
                    skipped.append((replaced, replaced_by(claimed.run)))
        self._runs.wait(waiting)
        self.settle(skipped, State.SKIPPED, now)
        self.settle(missed, State.MISSED, now)

    def settle(self, claims: Sequence[tuple[ClaimedRun, Cause]], state: State, now: datetime) -> None:
        """Record and log that these claims do not start: they are skipped, missed or killed."""
        self._runs.settle(claims, state, now)
        for claimed, cause in claims:
            run, key = claimed.run, claimed.run.job.key
            self._events.append(Missed(run.id, key) if state == State.MISSED else Skipped(run.id, key, cause))
            if run.fire.attempt > 1:
                self._events.append(Abandoned(run.id, run.fire, cause))
            detail = f"{run.job.label} {run.fire.at.astimezone():%F %H:%M}: {cause.text}"
            self._log.write(state.upper(), detail, now, level="notice")

    def suspend(self) -> None:
        """Record runs without a decision as waiting, for the next daemon."""
        claims = self.user_turns.take_all()
        self._runs.launcher.discard(claims)
        self._runs.wait([(claimed, NO_CAUSE) for claimed in claims if not claimed.has_waited])

    # The jobs

    def replace_jobs(self, jobs: Mapping[str, Job], now: datetime) -> None:
        """Give waiting runs the jobs that are loaded now; decide again about runs whose job has changed."""
        entering, waiting = self.user_turns.take_all(), self.queue.claims
        old = {claimed.run.id: claimed.run.job for claimed in (*entering, *waiting)}
        for claimed in self.update_jobs(entering, jobs, now):
            if claimed.run.job != old[claimed.run.id]:
                self._runs.launcher.discard([claimed])  # the old command was prepared
            self.user_turns.add(claimed)
        for claimed in self.update_jobs(waiting, jobs, now):
            if claimed.run.job != old[claimed.run.id]:
                self.queue.add_deadline(claimed)
                self._rechecked.append(claimed)

    def update_jobs(
        self, claims: Sequence[ClaimedRun], jobs: Mapping[str, Job], now: datetime
    ) -> list[ClaimedRun]:
        """Give waiting runs the jobs that are loaded now; skip runs of removed jobs, return the others."""
        kept = [claimed for claimed in claims if claimed.run.job.key in jobs]
        removed = [(claimed, REMOVED) for claimed in claims if claimed.run.job.key not in jobs]
        for claimed, _ in removed:
            self.queue.remove(claimed)
        self._runs.launcher.discard([claimed for claimed, _ in removed])
        self.settle(removed, State.SKIPPED, now)
        for claimed in kept:
            claimed.run.fire = claimed.run.fire._replace(job=jobs[claimed.run.job.key])
        return kept
