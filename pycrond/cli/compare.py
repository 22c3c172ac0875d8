"""What a reload would change: jobs that come, go and change, and fire times won and lost. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from pycrond.ledger.codec import from_text
from pycrond.ledger.rows import JobRow
from pycrond.schedule.schedule import Schedule, Zone, fires

CHANGES = ("schedule", "zone", "command", "options", "user")
"""What makes a job with the same key another one; its file and line may change freely."""


@dataclass(frozen=True, slots=True)
class Change:
    """One job before and after, and what that does to its fire times in the time looked at."""

    before: JobRow | None
    after: JobRow | None
    what: tuple[str, ...]
    """Which of `CHANGES` differ."""
    won: tuple[datetime, ...]
    lost: tuple[datetime, ...]

    @property
    def kind(self) -> str:
        if self.before is None:
            return "added"
        return "changed" if self.after else "removed"

    @property
    def job(self) -> JobRow:
        """The job as it will be, or was."""
        job = self.after or self.before
        assert job  # noqa: S101 -- one of the two is there
        return job


def compare(
    before: Sequence[JobRow],
    after: Sequence[JobRow],
    zone: Callable[[str], Zone],
    start: datetime,
    until: datetime,
) -> list[Change]:
    """In the order of the files; what stays as it is, is left out. `zone` finds a zone by its stored name.

    A job that goes and one that comes with the same command are one that is changed: keys hold schedules.
    """
    old = {job.key: job for job in before}
    new = {job.key: job for job in after}
    gone = [job for job in before if job.key not in new]
    found = []
    for job in after:
        was = old.get(job.key) or _twin(job, gone)
        if was is None:
            found.append(_change(None, job, zone, start, until))
        elif _differences(was, job):
            found.append(_change(was, job, zone, start, until))
    return found + [_change(job, None, zone, start, until) for job in gone]


def _twin(job: JobRow, gone: list[JobRow]) -> JobRow | None:
    """The job that this one was before its schedule was edited; taken out of those that are gone."""
    for one in gone:
        if (one.command, one.user, one.file, one.name) == (job.command, job.user, job.file, job.name):
            gone.remove(one)
            return one
    return None


def _differences(before: JobRow, after: JobRow) -> tuple[str, ...]:
    return tuple(name for name in CHANGES if getattr(before, name) != getattr(after, name))


def _change(
    before: JobRow | None, after: JobRow | None, zone: Callable[[str], Zone], start: datetime, until: datetime
) -> Change:
    had, has = (_fires(job, zone, start, until) if job else frozenset[datetime]() for job in (before, after))
    what = _differences(before, after) if before and after else ()
    return Change(before, after, what, tuple(sorted(has - had)), tuple(sorted(had - has)))


def _fires(job: JobRow, zone: Callable[[str], Zone], start: datetime, until: datetime) -> frozenset[datetime]:
    if job.canonical is None:
        return frozenset()
    schedule: Schedule = from_text(job.canonical)
    return frozenset(one.at for one in fires(schedule, zone(job.zone), start, until))
