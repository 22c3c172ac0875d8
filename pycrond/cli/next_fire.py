"""The next fire time of jobs, from the ledger's rows."""

from datetime import datetime
from functools import cache

from pycrond.cli.printing import print_error
from pycrond.errors import PycrondError
from pycrond.host import machine
from pycrond.ledger import codec
from pycrond.ledger.rows import JobRow
from pycrond.schedule.fire_times import fire_times
from pycrond.schedule.schedule import Schedule
from pycrond.schedule.timezone import Zone


def next_fire(job: JobRow, now: datetime) -> datetime | None:
    """Return the next fire time of a job after this minute; None for @reboot, or if there is none."""
    plan = plan_of(job)
    return plan and _next_fire(*plan, now)


def plan_of(job: JobRow) -> tuple[Schedule, Zone] | None:
    """Return a job's schedule and zone; None for @reboot and for invalid values, which are reported once."""
    if job.canonical is None:
        return None
    try:
        return codec.decode_schedule(job.canonical), _load_zone(job.zone)
    except PycrondError as error:
        _report(f"pycrond: {job.title}: {error}")
        return None


_report, _load_zone = cache(print_error), cache(machine.load_zone)


@cache  # thousands of jobs have no more than a few hundred schedules
def _next_fire(schedule: Schedule, zone: Zone, now: datetime) -> datetime | None:
    return next((fire.at for fire in fire_times(schedule, zone, now)), None)
