"""The effect of a reload: jobs added, removed and changed, and fire times gained and lost."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, NamedTuple

from pycrond.cli.next_fire import plan_of
from pycrond.ledger.rows import JobRow
from pycrond.schedule.fire_times import fire_times

COMPARED = ("schedule", "zone", "command", "options", "user")
"""The columns that matter; a job's file and line may change freely."""


class JobChange(NamedTuple):
    """A job before and after a reload, with the fire times won and lost in the compared period."""

    before: JobRow | None
    after: JobRow | None
    differences: tuple[str, ...]
    """The members of `COMPARED` that have changed."""
    won: tuple[datetime, ...]
    lost: tuple[datetime, ...]

    @property
    def kind(self) -> Literal["added", "removed", "changed"]:
        if self.before is None:
            return "added"
        return "changed" if self.after else "removed"

    @property
    def job(self) -> JobRow:
        """The new version of the job; if it is removed, the old version."""
        job = self.after or self.before
        assert job  # noqa: S101 -- at least one of them is given
        return job


def compare(
    before: Sequence[JobRow], after: Sequence[JobRow], start: datetime, until: datetime
) -> list[JobChange]:
    """Return the changes in the order of the files.

    As the key of a job without a name depends on its schedule, a removed and an added job with the same
    command are one changed job.
    """

    def times_of(job: JobRow | None) -> set[datetime]:
        plan = plan_of(job) if job else None
        return {fire.at for fire in fire_times(*plan, start, until)} if plan else set()

    def change(old: JobRow | None, new: JobRow | None) -> JobChange:
        had, has = times_of(old), times_of(new)
        differences = _differences(old, new) if old and new else ()
        return JobChange(old, new, differences, tuple(sorted(has - had)), tuple(sorted(had - has)))

    loaded, keys = {job.key: job for job in before}, {job.key for job in after}
    removed = [job for job in before if job.key not in keys]
    pairs = [(loaded.get(job.key) or _take_predecessor(job, removed), job) for job in after]
    changes = [change(old, new) for old, new in pairs if old is None or _differences(old, new)]
    return changes + [change(job, None) for job in removed]


def _take_predecessor(job: JobRow, removed: list[JobRow]) -> JobRow | None:
    """Return the job as it was before its schedule was edited, and delete it from `removed`."""
    for old in removed:
        if (old.command, old.user, old.file, old.name) == (job.command, job.user, job.file, job.name):
            removed.remove(old)
            return old
    return None


def _differences(before: JobRow, after: JobRow) -> tuple[str, ...]:
    return tuple(column for column in COMPARED if getattr(before, column) != getattr(after, column))
