"""The DST rule of Debian's cron: the times at which schedules run when the wall clock of a zone moves.

Pure. A *wall minute* is an int: minutes from 1970-01-01T00:00 of a time zone's wall clock.
"""

from typing import NamedTuple


class ClockStep(NamedTuple):
    """The wall minutes that are due when the clock shows a new minute: from `wild_from` (wildcard schedules)
    or `fixed_from` (fixed-time schedules) up to the new minute. A start after the new minute means none.
    """

    wild_from: int
    fixed_from: int
    through: int
    """The wall minute up to which jobs have run after this step."""


def step(through: int, wall: int) -> ClockStep:
    """Apply cron's rule, with Debian's limits: the clock shows `wall`, and jobs have run up to `through`."""
    ahead = wall - through
    if -180 < ahead <= 0:  # set back: fixed times wait until the clock shows a minute that has not run
        return ClockStep(wall, wall + 1, through)
    if 1 < ahead <= 5:  # a late wake-up
        return ClockStep(through + 1, through + 1, wall)
    if 5 < ahead <= 180:  # set forward
        return ClockStep(wall, through + 1, wall)
    return ClockStep(wall, wall, wall)
