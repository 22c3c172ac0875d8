"""Notices that the clock was turned, the machine slept or no daemon ran; accounts for what was not run."""

from collections.abc import Iterable
from datetime import datetime

from pycrond import clock, machine
from pycrond.agenda import MINUTE, Turn
from pycrond.delivery import Deliveries
from pycrond.gaps import Gap, gaps
from pycrond.ledger import Ledger
from pycrond.logtext import counted
from pycrond.run import GapRow, State
from pycrond.stored import from_text

JUMP = 5.0  # seconds by which the clocks must have moved apart for us to speak of it
HELD_UP = "daemon-down: it was held up"


class Jumps:
    """How the clocks stood when last looked at."""

    def __init__(self, ledger: Ledger, deliveries: Deliveries, now: datetime) -> None:
        self._ledger = ledger
        self._deliveries = deliveries
        self._seen = (now, clock.elapsed(), clock.suspended())
        self._reason = HELD_UP

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
        self._deliveries.say("INFO", text, now, level="notice")

    def while_down(self, last: datetime, through: datetime, eras: tuple[int, int], now: datetime) -> None:
        """What the jobs of the daemon before should have run after its last turn, and nobody did."""
        jobs = [(key, from_text(text), machine.zone(zone)) for key, text, zone, _ in self._ledger.expected()]
        era = {key: eras[schedule.wildcard] for key, schedule, _ in jobs}
        span = f"{last.astimezone():%F %H:%M} to {now.astimezone():%F %H:%M}"
        self._write(gaps(jobs, last + MINUTE, through + MINUTE), era, f"daemon-down: {span}", now)

    def while_owed(self, since: datetime, last: datetime, eras: tuple[int, int], now: datetime) -> None:
        """What was due while the disk was full, and may have run, but was not written down before the end."""
        for key, text, zone, begins in self._ledger.expected():
            schedule = from_text(text)
            first = max(since, datetime.fromtimestamp(begins, since.tzinfo) + MINUTE)
            found = gaps([(key, schedule, machine.zone(zone))], first, last + MINUTE)
            self._write(found, {key: eras[schedule.wildcard]}, "disk-full: it was not written down", now)

    def at_turn(self, last: datetime, turn: Turn, now: datetime) -> None:
        """What cron's rule leaves out between the turn before, at `last`, and this one."""
        if turn.passed:
            jobs = [
                (job.key, schedule, zone) for job, zone, _ in turn.passed if (schedule := job.entry.schedule)
            ]
            era = {job.key: era for job, _, era in turn.passed}
            self._write(gaps(jobs, last + MINUTE, turn.at), era, self._reason, now)
        self._reason = HELD_UP

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
            self._ledger.pass_over(rows)
            fires = counted(sum(row.folded for row in rows), "fire")
            detail = f"{fires} of {counted(len(rows), 'job')}, {reason}"
            self._deliveries.say(state.upper(), detail, now, level="warning")


def _state(reason: str) -> State:
    """Skipped is what cron's rule for a turned clock leaves out, missed what nobody looked at in time."""
    states: dict[str, State] = {"clock-step": "skipped", "disk-full": "unknown"}
    return states.get(reason.partition(":")[0], "missed")
