"""Admission: fires that are due start, wait or are skipped, by the decisions of `runs.policy`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from pycrond.jobs.events import Event, Missed, Skipped
from pycrond.jobs.job import Job
from pycrond.jobs.run import NO_CAUSE, Cause, Reason, State
from pycrond.ledger.pauses import Pauses
from pycrond.output.daemon_log import DaemonLog
from pycrond.runs.launcher import ClaimedRun
from pycrond.runs.policy import START, Decision, Situation, Verdict, admit, lock_of
from pycrond.runs.runs import Runs

RETRY_INTERVAL = timedelta(seconds=1)  # until a start that could not be written to a full disk is tried again
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
        self._events: list[Event] = []

    def take_events(self) -> list[Event]:
        """Return the fires that were skipped or missed since the last call."""
        events, self._events = self._events, []
        return events

    def enter(self, claims: Iterable[ClaimedRun], now: datetime) -> list[Decision]:
        """Start the runs that may start, in order, then write down the others; return the decisions."""
        decisions, others, written = [], [], []
        starting: list[ClaimedRun] = []  # several are started at once, which is quicker
        for claimed in claims:
            is_unconditional = self._is_unconditional(claimed)
            if not is_unconditional:  # what runs matters: start the ones before it first
                self._runs.launcher.start(starting)
                starting.clear()
            decision = self._decide(claimed, now)
            decisions.append(decision)
            if decision is not START:
                others.append((claimed, decision))
                self._carry_out(claimed, decision)
            elif not claimed.has_waited:
                starting.append(claimed)
            elif is_unconditional:
                written.append(claimed)  # in one transaction
            else:
                self._start_waiting([claimed], now)
        self._runs.launcher.start(starting)
        self._runs.launcher.discard([claimed for claimed, _ in others])
        self._start_waiting(written, now)
        self._write(others, now)
        return decisions

    def step(self, now: datetime) -> None:
        """Decide again about the waiting runs, if anything has changed."""
        if self.queue.is_due(self._runs.active.ends, now):
            claims, self.queue.claims = self.queue.claims, []
            self.queue.is_full = False
            self.enter(claims, now)

    def look_again(self, now: datetime) -> None:
        """Decide again about the waiting runs in the next step."""
        if self.queue.claims:
            self.queue.look_at = now

    def _is_unconditional(self, claimed: ClaimedRun) -> bool:
        return claimed.run.job.entry.options.is_unconditional and not self.max_running

    def _decide(self, claimed: ClaimedRun, now: datetime) -> Decision:
        job, active = claimed.run.job, self._runs.active
        paused = self._pauses.reason(job.key, now)
        if self._is_unconditional(claimed) and paused is None:
            return START
        lock = lock_of(job)
        holder = active.lock_holders.get(lock) if lock else None
        situation = Situation(
            running=tuple(running.run.id for running in active.of_job.get(job.key, ())),
            waiting=self.queue.count(job.key),
            holder=holder.run.id if holder else 0,
            full=bool(self.max_running) and (self.queue.is_full or active.count >= self.max_running),
            paused=paused,
            late=(now - claimed.run.fire.at).total_seconds(),
        )
        return admit(claimed.run.fire, situation)

    def _carry_out(self, claimed: ClaimedRun, decision: Decision) -> None:
        """Carry out a decision, except for what is written to the ledger."""
        if decision.verdict is Verdict.REPLACE:
            running = self._runs.active.of_job[claimed.run.job.key]
            self._runs.termination.end(running, _replaced_by(claimed))
        if decision.verdict in {Verdict.WAIT, Verdict.REPLACE}:
            self.queue.add(claimed, decision.cause)

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
                earlier = self.queue.take_earlier(claimed)
                skipped += [(other, _replaced_by(claimed)) for other in earlier]
        self._runs.wait(waiting)
        self.settle(skipped, State.SKIPPED, now)
        self.settle(missed, State.MISSED, now)

    def settle(self, claims: Sequence[tuple[ClaimedRun, Cause]], state: State, now: datetime) -> None:
        """Write down and log that these claims become no runs: skipped, missed or killed."""
        self._runs.settle(claims, state, now)
        for claimed, cause in claims:
            run = claimed.run
            is_missed = state == State.MISSED
            self._events.append(
                Missed(run.id, run.job.key) if is_missed else Skipped(run.id, run.job.key, cause)
            )
            detail = f"{run.job.key} {run.fire.at.astimezone():%F %H:%M}: {cause.text}"
            self._log.write(state.upper(), detail, now, level="notice")

    def _start_waiting(self, claims: Sequence[ClaimedRun], now: datetime) -> None:
        if claims and not self._runs.start_waiting(claims):
            for claimed in claims:
                self.queue.add(claimed, NO_CAUSE)
            self.queue.look_at = now + RETRY_INTERVAL

    def replace_jobs(self, jobs: Mapping[str, Job], now: datetime) -> None:
        """Use the jobs that are loaded now for the waiting runs, and look at these again."""
        self.queue.claims = self.update_jobs(self.queue.claims, jobs, now)
        self.queue.look_at = now if self.queue.claims else None

    def update_jobs(
        self, claims: Sequence[ClaimedRun], jobs: Mapping[str, Job], now: datetime
    ) -> list[ClaimedRun]:
        """Give waiting runs the jobs that are loaded now; skip those whose job is gone, return the others."""
        kept = [claimed for claimed in claims if claimed.run.job.key in jobs]
        for claimed in kept:
            claimed.run.fire = replace(claimed.run.fire, job=jobs[claimed.run.job.key])
        gone = [(claimed, REMOVED) for claimed in claims if claimed.run.job.key not in jobs]
        self.settle(gone, State.SKIPPED, now)
        return kept


def _replaced_by(claimed: ClaimedRun) -> Cause:
    return Cause.of(Reason.REPLACED, f"replaced by run {claimed.run.id}")


class WaitingQueue:
    """Runs that wait for something other than a time, in the order of their fires."""

    def __init__(self) -> None:
        self.claims: list[ClaimedRun] = []
        self.is_full = False
        """A run waits because of `max-running`, so all that come after it wait too."""
        self.look_at: datetime | None = None
        """When they are looked at even if nothing has ended: a run may have become too late."""
        self._ends_seen = 0

    def add(self, claimed: ClaimedRun, cause: Cause) -> None:
        self.claims.append(claimed)
        self.claims.sort(key=lambda waiting: (waiting.run.fire.at, waiting.run.id))
        self.is_full = self.is_full or cause.reason is Reason.MAX_RUNNING
        fire = claimed.run.fire
        within = fire.job.entry.options.within
        if within is not None and fire.trigger != "manual":
            too_late = fire.at + timedelta(seconds=within + 0.001)
            self.look_at = min(self.look_at or too_late, too_late)

    def count(self, key: str) -> int:
        """The number of waiting runs of a job."""
        return sum(claimed.run.job.key == key for claimed in self.claims)

    def withdraw(self, claimed: ClaimedRun) -> None:
        """Remove a run, if it waits here."""
        self.claims = [other for other in self.claims if other is not claimed]

    def take_earlier(self, claimed: ClaimedRun) -> list[ClaimedRun]:
        """Remove and return the runs of the same job that have waited longer."""
        before = self.claims[: self.claims.index(claimed)] if claimed in self.claims else []
        earlier = [other for other in before if other.run.job.key == claimed.run.job.key]
        self.claims = [other for other in self.claims if other not in earlier]
        return earlier

    def is_due(self, ends: int, now: datetime) -> bool:
        """Return whether a run has ended since the last call, or the time has come to look."""
        is_time = self.look_at is not None and now >= self.look_at
        if not self.claims or (ends == self._ends_seen and not is_time):
            return False
        self._ends_seen = ends
        if is_time:
            self.look_at = None
        return True
