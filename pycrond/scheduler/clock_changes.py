"""Notices that the clock was turned, the machine slept or no daemon ran; accounts for what was not run."""

import json
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from pycrond import clock
from pycrond.host import machine
from pycrond.jobs.options import to_json
from pycrond.jobs.run import State
from pycrond.ledger.codec import from_text
from pycrond.ledger.rows import GapRow
from pycrond.ledger.writer import Ledger
from pycrond.output.delivery import Delivery
from pycrond.schedule.missed import Gap, gap, gaps
from pycrond.schedule.schedule import FireTime, Schedule, Zone, fires
from pycrond.scheduler.agenda import MINUTE, DueMinute
from pycrond.text import counted

JUMP = 5.0  # seconds by which the clocks must have moved apart for us to speak of it
CAUGHT_MOST = 10_000  # of a job; older ones stay missed
HELD_UP = "daemon-down: it was held up"


class CatchUp(NamedTuple):
    """A fire that was missed and is to run all the same."""

    key: str
    fire: FireTime
    era: int


class MissedSpan(NamedTuple):
    """From `start` up to but not including `until`, noticed `now`."""

    start: datetime
    until: datetime
    now: datetime


class ClockChanges:
    """How the clocks stood when last looked at."""

    def __init__(self, ledger: Ledger, deliveries: Delivery, now: datetime) -> None:
        self._ledger = ledger
        self._delivery = deliveries
        self._seen = (now, clock.elapsed(), clock.suspended())
        self._reason = HELD_UP
        self._caught: list[CatchUp] = []
        self._missed: list[tuple[str, int]] = []

    def notice(self, now: datetime, elapsed: float) -> None:
        """Write down that the clock was turned or stood; what that means for the jobs, the agenda decides."""
        seen, seen_elapsed, seen_suspended = self._seen
        suspended = clock.suspended()
        self._seen = (now, elapsed, suspended)
        moved = (now - seen).total_seconds() - (elapsed - seen_elapsed)
        asleep = suspended - seen_suspended
        if abs(moved) >= JUMP:
            self._tell("step", moved, f"the clock was turned by {moved:+.0f} s", now)
            self._reason = f"clock-step: {moved:+.0f} s"
        elif asleep >= JUMP:
            self._tell("suspend", asleep, f"the machine slept for {asleep:.0f} s", now)
            self._reason = f"suspended: {asleep:.0f} s"

    def _tell(self, kind: str, seconds: float, text: str, now: datetime) -> None:
        self._ledger.clock_event(kind, round(seconds, 3), now)
        self._delivery.say("INFO", text, now, level="notice")

    def while_down(self, last: datetime, through: datetime, eras: tuple[int, int], now: datetime) -> None:
        """What the jobs of the daemon before should have run after its last turn, and nobody did."""
        if through <= last:
            return
        expected = self._ledger.jobs.expected()
        schedules = {text: from_text(text) for text in {text for _, text, *_ in expected}}
        zones = {zone: machine.zone(zone) for zone in {zone for _, _, zone, *_ in expected}}
        jobs = [(key, schedules[text], zones[zone]) for key, text, zone, _, _ in expected]
        policies = {key: json.loads(options) for key, _, _, options, _ in expected if "missed" in options}
        era = {key: eras[schedule.wildcard] for key, schedule, _ in jobs}
        span = f"{last.astimezone():%F %H:%M} to {now.astimezone():%F %H:%M}"
        jobs = self._leave(
            jobs, policies, era, MissedSpan(last + MINUTE, through + MINUTE, now), f"daemon-down: {span}"
        )
        self._write(gaps(jobs, last + MINUTE, through + MINUTE), era, f"daemon-down: {span}", now)

    def while_owed(self, since: datetime, last: datetime, eras: tuple[int, int], now: datetime) -> None:
        """What was due while the disk was full, and may have run, but was not written down before the end."""
        known = self._ledger.latest()
        for key, text, zone, _, begins in self._ledger.jobs.expected():
            schedule = from_text(text)
            first = max(
                since, datetime.fromtimestamp(max(begins, known.get(key, 0.0)), since.tzinfo) + MINUTE
            )
            found = gaps([(key, schedule, machine.zone(zone))], first, last + MINUTE)
            self._write(found, {key: eras[schedule.wildcard]}, "disk-full: it was not written down", now)

    def at_turn(self, last: datetime, turn: DueMinute, now: datetime) -> None:
        """What cron's rule leaves out between the turn before, at `last`, and this one."""
        if turn.passed:
            jobs = [
                (job.key, schedule, zone) for job, zone, _ in turn.passed if (schedule := job.entry.schedule)
            ]
            era = {job.key: era for job, _, era in turn.passed}
            policies = {
                job.key: to_json(job.entry.options) for job, _, _ in turn.passed if job.entry.options.missed
            }
            jobs = self._leave(jobs, policies, era, MissedSpan(last + MINUTE, turn.at, now), self._reason)
            self._write(gaps(jobs, last + MINUTE, turn.at), era, self._reason, now)
        self._reason = HELD_UP

    def missed(self) -> list[CatchUp]:
        """What was passed over since this was asked last, and is to be caught up."""
        caught, self._caught = self._caught, []
        return caught

    def take_missed(self) -> list[tuple[str, int]]:
        """Key and run of what was missed for good since this was asked last."""
        missed, self._missed = self._missed, []
        return missed

    def _leave(
        self,
        jobs: Sequence[tuple[str, Schedule, Zone]],
        policies: Mapping[str, Mapping[str, Any]],
        era: dict[str, int],
        span: MissedSpan,
        reason: str,
    ) -> list[tuple[str, Schedule, Zone]]:
        """The jobs that nothing is caught up of; of the others, that is remembered, and the rest written."""
        plain = []
        for key, schedule, zone in jobs:
            policy = policies.get(key, {})
            if policy.get("missed") not in {"once", "all"}:
                plain.append((key, schedule, zone))
                continue
            cut = _cut(policy, schedule, zone, span)
            self._caught += [CatchUp(key, one, era[key]) for one in fires(schedule, zone, cut, span.until)]
            self._write(gaps([(key, schedule, zone)], span.start, cut), era, reason, span.now)
        return plain

    def _write(
        self, found: Iterable[tuple[str, Gap]], era: dict[str, int], reason: str, now: datetime
    ) -> None:
        state = _state(reason)
        rows = [
            GapRow(
                key,
                gap.first.at.timestamp(),
                gap.first.wall,
                gap.first.fold,
                era[key],
                state,
                reason,
                now.timestamp(),
                gap.last.at.timestamp(),
                gap.count,
            )
            for key, gap in found
        ]
        if rows:
            numbers = self._ledger.pass_over(rows)
            if state == "missed":
                self._missed += [(row.key, number) for row, number in zip(rows, numbers, strict=True)]
            fires = counted(sum(row.folded for row in rows), "fire")
            detail = f"{fires} of {counted(len(rows), 'job')}, {reason}"
            self._delivery.say(state.upper(), detail, now, level="warning")


def _cut(policy: Mapping[str, Any], schedule: Schedule, zone: Zone, span: MissedSpan) -> datetime:
    """The instant from which on a job's missed fires are caught up: those before stay missed."""
    within = policy.get("within")
    start = span.start if within is None else max(span.start, span.now - timedelta(seconds=within))
    start = start.replace(second=0, microsecond=0) + MINUTE * bool(start.second or start.microsecond)
    if start >= span.until:
        return span.until
    if policy["missed"] == "once":
        found = gap(schedule, zone, start, span.until)
        return found.last.at if found else span.until
    newest = deque(fires(schedule, zone, start, span.until), maxlen=CAUGHT_MOST)
    return newest[0].at if newest else span.until


def _state(reason: str) -> State:
    """Skipped is what cron's rule for a turned clock leaves out, missed what nobody looked at in time."""
    states: dict[str, State] = {"clock-step": "skipped", "disk-full": "unknown"}
    return states.get(reason.partition(":")[0], "missed")
