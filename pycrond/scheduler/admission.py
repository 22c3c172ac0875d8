"""Fires that have come, until they start or never will: the verdicts of `policy`, carried out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pycrond.jobs.job import Job
from pycrond.ledger.paused import Pauses
from pycrond.ledger.writer import Ledger
from pycrond.output.delivery import Delivery
from pycrond.runs.active import ActiveRuns
from pycrond.runs.launcher import ClaimedRun, Launcher
from pycrond.runs.policy import START, Decision, Situation, Verdict, admit, is_plain, lock_of
from pycrond.runs.termination import Termination

RETRY_FULL = timedelta(seconds=1)  # until it is tried again to write down a start that a full disk refused


@dataclass(frozen=True, slots=True)
class Admission:
    """The parts that a verdict is made of and carried out by, and those that wait."""

    ledger: Ledger
    deliveries: Delivery
    launching: Launcher
    runs: ActiveRuns
    endings: Termination
    pauses: Pauses
    most: int
    """`max-running`; 0: no limit."""
    line: "WaitingQueue"

    def enter(self, claimed: Iterable[ClaimedRun], now: datetime) -> list[Decision]:
        """Start those that may, in order; the ledger hears of the others after that."""
        decisions, others, written = [], [], []
        starting: list[ClaimedRun] = []  # at once, for it is quicker
        for one in claimed:
            is_free = self._is_free(one)
            if not is_free:  # then it matters what runs
                self.launching.start(starting)
                starting.clear()
            decision = self._decide(one, now)
            decisions.append(decision)
            if decision is not START:
                others.append((one, decision))
                self._carry_out(one, decision)
            elif not one.waits:
                starting.append(one)
            elif is_free:
                written.append(one)  # in one transaction
            else:
                self._start_written([one], now)
        self.launching.start(starting)
        self.launching.discard([one for one, _ in others])
        self._start_written(written, now)
        self._write(others, now)
        return decisions

    def take(self, now: datetime) -> None:
        """Look again at those that wait, if anything has changed."""
        if self.line.is_to_be_looked_at(self.runs.changes, now):
            waiting, self.line.waiting = self.line.waiting, []
            self.line.full = False
            self.enter(waiting, now)

    def look_again(self, now: datetime) -> None:
        """Something has changed that those that wait may wait for."""
        if self.line.waiting:
            self.line.look_at = now

    def _is_free(self, one: ClaimedRun) -> bool:
        return is_plain(one.fire.job.entry.options) and not self.most

    def _decide(self, one: ClaimedRun, now: datetime) -> Decision:
        job = one.fire.job
        paused = self.pauses.why(job.key, now)
        if self._is_free(one) and paused is None:
            return START
        lock = lock_of(job)
        holder = self.runs.holders.get(lock) if lock else None
        situation = Situation(
            tuple(running.run for running in self.runs.of_job.get(job.key, ())),
            sum(other.fire.job.key == job.key for other in self.line.waiting),
            holder.run if holder else 0,
            bool(self.most) and (self.line.full or self.runs.count >= self.most),
            paused,
            (now - one.fire.at).total_seconds(),
        )
        return admit(one.fire, situation)

    def _carry_out(self, one: ClaimedRun, decision: Decision) -> None:
        """All but what is written down."""
        if decision.verdict is Verdict.REPLACE:
            running = self.runs.of_job[one.fire.job.key]
            self.endings.end(running, "killed", f"overlap: replaced by run {one.run}")
        if decision.verdict in {Verdict.WAIT, Verdict.REPLACE}:
            self.line.add(one, decision)

    def _write(self, decided: Sequence[tuple[ClaimedRun, Decision]], now: datetime) -> None:
        skipped, missed, waiting = [], [], []
        for one, decision in decided:
            if decision.verdict is Verdict.SKIP:
                skipped.append((one, decision.reason))
            elif decision.verdict is Verdict.MISS:
                missed.append((one, decision.reason))
            elif not one.waits:
                one.waits = True
                waiting.append((one.run, decision.reason))
            if decision.verdict is Verdict.REPLACE:
                replaced = self.line.earlier_than(one)
                skipped += [(other, f"overlap: replaced by run {one.run}") for other in replaced]
        self.ledger.wait(waiting)
        self.close(skipped, "skipped", now)
        self.close(missed, "missed", now)

    def close(self, several: Sequence[tuple[ClaimedRun, str]], state: str, now: datetime) -> None:
        """They will not run: written down, with the reason, and said."""
        self.ledger.settle([(one.run, reason) for one, reason in several], state, now)
        if state == "missed":
            self.line.missed += [(one.fire.job.key, one.run) for one, _ in several]
        for one, reason in several:
            detail = f"{one.fire.job.key} {one.fire.at.astimezone():%F %H:%M}: {reason}"
            self.deliveries.say(state.upper(), detail, now, level="notice")

    def _start_written(self, claimed: Sequence[ClaimedRun], now: datetime) -> None:
        """First it is written down that they may have been started: they are not, where the disk is full."""
        if not claimed:
            return
        if self.ledger.may_start([one.run for one in claimed]):
            self.launching.start(claimed)
            return
        for one in claimed:
            self.line.add(one, Decision(Verdict.WAIT))
        self.line.look_at = now + RETRY_FULL

    def replace(self, jobs: Mapping[str, Job], now: datetime) -> None:
        """The jobs that are loaded now: what waits of one that has changed is of the new one."""
        gone = [one for one in self.line.waiting if one.fire.job.key not in jobs]
        self.line.waiting = [one for one in self.line.waiting if one.fire.job.key in jobs]
        for one in self.line.waiting:
            one.fire = replace(one.fire, job=jobs[one.fire.job.key])
        self.line.look_at = now if self.line.waiting else None
        self.close([(one, "removed: the job is gone") for one in gone], "skipped", now)


class WaitingQueue:
    """Those that wait for something else than a time."""

    def __init__(self) -> None:
        self.waiting: list[ClaimedRun] = []
        self.full = False
        """One of them waits for a place among those that may run, and so must all that come after it."""
        self.look_at: datetime | None = None
        """When they are to be looked at whatever happens: one may have become too late."""
        self._seen = 0
        self.missed: list[tuple[str, int]] = []
        """Key and run of what has become too late; whoever tells of it empties this."""

    def add(self, one: ClaimedRun, decision: Decision) -> None:
        self.waiting.append(one)
        self.waiting.sort(key=lambda each: (each.fire.at, each.run))
        self.full = self.full or decision.reason.startswith("max-running")
        within = one.fire.job.entry.options.within
        if within is not None and one.fire.trigger != "manual":
            late = one.fire.at + timedelta(seconds=within + 0.001)
            self.look_at = min(self.look_at or late, late)

    def withdraw(self, one: ClaimedRun) -> None:
        """It is not to start, if it waits here."""
        self.waiting = [each for each in self.waiting if each is not one]

    def earlier_than(self, one: ClaimedRun) -> list[ClaimedRun]:
        """Those of the same job that wait longer than this one; they are taken out."""
        before = self.waiting[: self.waiting.index(one)] if one in self.waiting else []
        found = [each for each in before if each.fire.job.key == one.fire.job.key]
        self.waiting = [each for each in self.waiting if each not in found]
        return found

    def is_to_be_looked_at(self, changes: int, now: datetime) -> bool:
        """Whether something has ended since, or a time has come."""
        timed = self.look_at is not None and now >= self.look_at
        if not self.waiting or (changes == self._seen and not timed):
            return False
        self._seen = changes
        if timed:
            self.look_at = None
        return True
