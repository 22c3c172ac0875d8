"""Clock changes, sleep of the machine, absence of the daemon: the fires that did not run are recorded."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import NamedTuple

from pycrond import clock
from pycrond.errors import PycrondError
from pycrond.host import machine
from pycrond.jobs.events import Event, Missed
from pycrond.jobs.options import CRON
from pycrond.jobs.run import NO_LABEL, Cause, Reason, State, check_transition
from pycrond.jobs.user_shares import Shares
from pycrond.ledger.codec import decode_options, decode_schedule
from pycrond.ledger.rows import GapRow
from pycrond.ledger.writer import Ledger
from pycrond.output.daemon_log import DaemonLog
from pycrond.schedule.fire_times import FireTime, fire_times
from pycrond.schedule.missed import find_gap, find_gaps, latest_fire_times
from pycrond.schedule.timezone import MINUTE, Zone
from pycrond.scheduler.agenda import DueMinute, PassedJob
from pycrond.text import counted, duration

MIN_STEP = 5.0  # seconds; smaller steps and sleeps are not reported
MAX_CATCH_UPS = 10_000  # fires of a job whose user has no limit; older fires stay missed
HELD_UP = Cause.of(Reason.DAEMON_DOWN, "the daemon was delayed")
REPEATED = Cause.of(Reason.CLOCK_STEP, "the clock was set back, and forward again")
NOT_WRITTEN = Cause.of(Reason.DISK_FULL, "the run could not be recorded")
NOT_HERE = Cause.of(Reason.ELSEWHERE, "no daemon ran on this node")
STATE_OF = {
    Reason.CLOCK_STEP: State.SKIPPED,
    Reason.ELSEWHERE: State.SKIPPED,
    Reason.DISK_FULL: State.UNKNOWN,
}
"""The states of fires that were passed over, by reason. They are skipped by cron's rule for clock changes, or
because other nodes run them. They are unknown if they may have run. For all other reasons they are missed.
"""


class CatchUp(NamedTuple):
    """A missed fire that is to be caught up."""

    key: str
    fire: FireTime
    era: int


class MissedSpan(NamedTuple):
    """The time from `start` (inclusive) to `until` (exclusive), in which fires were passed over."""

    start: datetime
    until: datetime
    now: datetime
    latest: datetime | None
    """Fires up to this time had their verdicts before the clock was set back."""


class ClockChanges:
    """Detects changes of the clocks between two turns, and records the fires that were passed over."""

    def __init__(self, ledger: Ledger, log: DaemonLog, shares: Shares, now: datetime) -> None:
        self._ledger = ledger
        self._shares = shares
        self._log = log
        self._last_clocks = (now, clock.elapsed(), clock.suspended())
        self._cause = HELD_UP
        self._catch_ups: list[CatchUp] = []
        self._events: list[Event] = []
        self.node_labels: Collection[str] | None = None
        """The labels of this node of a cluster; None without a cluster. Other nodes may have run the fires of
        shared jobs that this node missed. Jobs with another label do not run on this node.
        """
        self._away_since: datetime | None = None

    def detect(self, now: datetime, elapsed: float) -> float:
        """Record a change of the clock or a sleep of the machine. The agenda decides which fires are due.

        Return the seconds by which the clock was set, or 0: the caller moves all waiting times by them.
        """
        last, last_elapsed, last_suspended = self._last_clocks
        suspended = clock.suspended()
        self._last_clocks = (now, elapsed, suspended)
        step = (now - last).total_seconds() - (elapsed - last_elapsed)
        asleep = suspended - last_suspended
        if abs(step) >= MIN_STEP:
            direction = "forward" if step > 0 else "back"
            self._report("step", step, f"the clock was set {direction} by {duration(abs(step))}", now)
            self._cause = Cause.of(Reason.CLOCK_STEP, f"{'+' if step > 0 else ''}{duration(step)}")
            self._ledger.jobs.begin_by(now.timestamp())
            return step
        if asleep >= MIN_STEP:
            self._report("suspend", asleep, f"the machine slept for {duration(asleep)}", now)
            self._cause = Cause.of(Reason.SUSPENDED, duration(asleep))
        return 0.0

    def record_clock_behind(self, last: datetime, now: datetime) -> None:
        """Record that the clock shows an earlier time than at the last turn of the previous daemon."""
        step = (now - last).total_seconds()
        detail = f"the clock is {duration(-step)} behind the last minute in which jobs ran"
        self._report("step", step, detail, now)
        self._ledger.jobs.begin_by(now.timestamp())

    def record_zone_change(self, before: Zone, after: Zone, last: datetime, now: datetime) -> None:
        """Record that the time zone changes after the minute `last`."""
        if before.name != after.name:
            moved = 60.0 * (after.wall(last) - before.wall(last))
            self._ledger.clock_event("zone", moved, last)
        detail = f"the time zone is now {after.name}, it was {before.name}"
        if before.name == after.name:
            detail = f"the rules of the time zone {after.name} were read again"
        self._log.write("INFO", detail, now, level="notice")

    def _report(self, kind: str, seconds: float, detail: str, now: datetime) -> None:
        self._ledger.clock_event(kind, round(seconds, 3), now)
        self._log.write("INFO", detail, now, level="notice")

    # Fires that were passed over

    def record_absence(
        self, last: datetime, through: datetime, eras: tuple[int, int], now: datetime, latest: datetime | None
    ) -> None:
        """Record the fires of the previous daemon's jobs from its last turn to the first turn of this one."""
        if through <= last:
            return
        jobs = [job for job, _ in self._previous_jobs(eras, now)]
        since = max(last, latest or last)
        cause = Cause.of(Reason.DAEMON_DOWN, f"{since.astimezone():%F %H:%M} to {now.astimezone():%F %H:%M}")
        self._pass_over(jobs, MissedSpan(last + MINUTE, through + MINUTE, now, latest), cause)

    def record_unwritten_claims(
        self, since: datetime, last: datetime, eras: tuple[int, int], now: datetime
    ) -> None:
        """Record the fires that were due while the disk was full, before a crash: they may have run."""
        latest = self._ledger.latest()
        for job, begins in self._previous_jobs(eras, now):
            known = clock.at(max(begins, latest.get(job.key, 0.0)))
            self._record([job], max(since, known + MINUTE), last + MINUTE, NOT_WRITTEN, now)

    def _previous_jobs(self, eras: tuple[int, int], now: datetime) -> list[tuple[PassedJob, float]]:
        """Return the jobs of the ledger with the times after which they are due. Jobs with values that are no
        longer valid are left out and reported.
        """
        read_schedule, read_zone = cache(decode_schedule), cache(machine.load_zone)
        jobs, reasons = [], Counter[str]()
        for key, text, zone, options, begins in self._ledger.jobs.loaded_schedules():
            try:
                schedule, in_zone = read_schedule(text), read_zone(zone)
            except PycrondError as error:
                reasons[str(error)] += 1
                continue
            has_policy = '"missed"' in options or '"on"' in options  # 100,000 jobs may have other options
            policy = decode_options(options) if has_policy else CRON
            jobs.append((PassedJob(key, schedule, in_zone, eras[schedule.wildcard], policy), begins))
        for reason, count in reasons.items():
            detail = f"cannot find the missed fires of {counted(count, 'job')}: {reason}"
            self._log.write("ERROR", detail, now, level="err")
        return jobs

    def turn(self, last: datetime, due: DueMinute, now: datetime, latest: datetime | None) -> None:
        """Record the fires that cron's rule leaves out between the turn at `last` and this one."""
        if due.left_out:
            if self._cause.reason is not Reason.CLOCK_STEP and latest and latest >= due.at:
                latest = None  # no step, time has passed: since the clock was set back, no verdict was given
            self._pass_over(due.left_out, MissedSpan(last + MINUTE, due.at, now, latest), self._cause)
        self._cause = HELD_UP

    def take_catch_ups(self) -> list[CatchUp]:
        """Return the passed-over fires since the last call that are to be caught up."""
        catch_ups, self._catch_ups = self._catch_ups, []
        return catch_ups

    def take_away_since(self) -> datetime | None:
        """Return the first minute since the last call in which fires of shared jobs were passed over."""
        since, self._away_since = self._away_since, None
        return since

    def take_events(self) -> list[Event]:
        """Return the fires that were missed for good since the last call."""
        events, self._events = self._events, []
        return events

    def _pass_over(self, jobs: Sequence[PassedJob], span: MissedSpan, cause: Cause) -> None:
        """Queue the fires that the jobs' `missed` options catch up; record the others."""
        if span.latest and span.latest >= span.start:
            repeated_until = min(span.latest + MINUTE, span.until)
            self._record(jobs, span.start, repeated_until, REPEATED, span.now)
            span = span._replace(start=repeated_until)
        limits = self._catch_up_limits(job.key for job in jobs if job.options.missed == "all")
        jobs = self._record_elsewhere(jobs, span)
        for job in jobs:
            if job.options.missed not in {"once", "all"}:
                continue
            limit = limits.get(_user_of(job.key), 1)
            first = _catch_up_from(job, span, limit)
            fires = [*fire_times(job.schedule, job.zone, first, span.until)]
            self._catch_ups += [CatchUp(job.key, fire, job.era) for fire in fires]
            if job.options.missed == "all" and len(fires) >= limit:
                row = self._ledger.jobs.job(job.key)
                label = row.label if row else job.key
                detail = f"{label}: at most the latest {counted(limit, 'missed fire')} are caught up"
                self._log.write("INFO", detail, span.now, level="notice")
            self._record([job], span.start, first, cause, span.now)
        plain = [job for job in jobs if job.options.missed not in {"once", "all"}]
        self._record(plain, span.start, span.until, cause, span.now)

    def _record_elsewhere(self, jobs: Sequence[PassedJob], span: MissedSpan) -> Sequence[PassedJob]:
        """Record the fires that other nodes of the cluster run; return the jobs that run on this node."""
        if self.node_labels is None:
            return jobs
        own: list[PassedJob] = []
        shared: list[PassedJob] = []
        unlabelled: list[PassedJob] = []
        for job in jobs:
            if job.options.is_shared:
                shared.append(job)
            elif job.options.label is None or job.options.label in self.node_labels:
                own.append(job)
            else:
                unlabelled.append(job)
        if shared:
            self._away_since = min(span.start, self._away_since or span.start)
        self._record(shared, span.start, span.until, NOT_HERE, span.now)
        self._record(unlabelled, span.start, span.until, NO_LABEL, span.now)
        return own

    def _catch_up_limits(self, keys: Iterable[str]) -> dict[str, int]:
        """Return by user how many fires of each of the user's jobs may be caught up."""
        jobs = Counter(map(_user_of, keys))
        share = self._shares.catch_ups
        return {
            user: max(1, share // count) if share and self._shares.is_limited(user) else MAX_CATCH_UPS
            for user, count in jobs.items()
        }

    def _record(
        self, jobs: Iterable[PassedJob], start: datetime, until: datetime, cause: Cause, now: datetime
    ) -> None:
        """Record the fires of jobs from `start` (inclusive) to `until` (exclusive) as passed over."""
        state = STATE_OF.get(cause.reason, State.MISSED)
        rows = [
            GapRow(
                job.key,
                gap.first.at.timestamp(),
                gap.first.wall,
                gap.first.fold,
                job.era,
                state,
                *cause,
                now.timestamp(),
                gap.last.at.timestamp(),
                gap.count,
            )
            for job, gap in find_gaps(((job, job.schedule, job.zone) for job in jobs), start, until)
        ]
        if rows:
            check_transition(0, None, state)
            runs = self._ledger.pass_over(rows)
            if state == State.MISSED:
                self._events += [Missed(run, row.key) for row, run in zip(rows, runs, strict=True)]
            fire_count = counted(sum(row.folded for row in rows), "fire")
            detail = f"{fire_count} of {counted(len(rows), 'job')}, {cause.text}"
            self._log.write(state.upper(), detail, now, level="warning")


def _user_of(key: str) -> str:
    return key.partition("/")[0]


def _catch_up_from(job: PassedJob, span: MissedSpan, limit: int) -> datetime:
    """Return the instant from which a job's missed fires are caught up, at most `limit`; earlier fires stay
    missed.
    """
    within = job.options.within
    start = span.start if within is None else max(span.start, span.now - timedelta(seconds=within))
    start = start.replace(second=0, microsecond=0) + MINUTE * bool(start.second or start.microsecond)
    if start >= span.until:
        return span.until
    if job.options.missed == "once":
        passed = find_gap(job.schedule, job.zone, start, span.until)
        return passed.last.at if passed else span.until
    newest = latest_fire_times(job.schedule, job.zone, start, span.until, limit)
    return newest[0].at if newest else span.until
