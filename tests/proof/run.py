"""`make proof`: compare schedules with independent implementations, on all cores.

Every change of offset of every zone from 2000 to 2040, and random expressions over whole years, are compared with cron's
loop run minute by minute and, in UTC, with cronsim. Prints the number of fires compared and fails at the first
difference. `make test` runs samples of the same.
"""

import multiprocessing
import random
import sys
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim

from pycrond.crontab.expression import parse_schedule
from pycrond.schedule.fire_times import fire_times
from pycrond.schedule.timezone import Zone
from tests.schedule.test_schedule import TEXTS, compare
from tests.support.judge import changes

FIRST, END = datetime(2000, 1, 1, tzinfo=UTC), datetime(2041, 1, 1, tzinfo=UTC)
YEARS = 60  # each with its own zone and expressions
ZONES = (
    *("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "Africa/Casablanca"),
    *("America/St_Johns", "Asia/Tehran", "Antarctica/Troll", "Asia/Kolkata", "Pacific/Chatham"),
)
EXPRESSIONS_A_YEAR = 5
MORE_EXPRESSIONS = ("*/7 1-3 * * *", "0,30 2 * * *", "59 23 * * *", "0 0-23/2 * * sun", "0 * * * *")


def nights(zone: str) -> tuple[str, int, int]:
    """Compare all changes of a zone; return the zone and how many nights and fires were compared."""
    days = list(changes(ZoneInfo(zone), FIRST, END))
    texts = (*TEXTS, *MORE_EXPRESSIONS)
    return zone, len(days), sum(compare(zone, day - timedelta(hours=3), 36, texts) for day in days)


def year(seed: int) -> tuple[str, int, int]:
    """Compare random expressions over one year, in a zone with cron's loop, and in UTC with cronsim."""
    choice = random.Random(seed)
    zone = choice.choice(ZONES)
    start = datetime(choice.randrange(1990, 2040), 1, 1, tzinfo=UTC)
    texts = [expression(choice) for _ in range(EXPRESSIONS_A_YEAR)]
    compared = compare(zone, start, 365 * 24, texts)
    return zone, 1, compared + sum(compare_with_cronsim(text, start) for text in texts)


def compare_with_cronsim(text: str, start: datetime) -> int:
    """Compare a year in UTC, which has no clock changes, so that both follow the same rule."""
    until = start + timedelta(days=365)
    ours = [fire.at for fire in fire_times(parse_schedule(text), Zone.of("UTC"), start, until)]
    theirs = []
    coming = CronSim(text, start - timedelta(minutes=1))
    try:
        while (at := next(coming)) < until:
            theirs.append(at)
    except StopIteration:
        pass
    assert ours == theirs, (text, start)
    return len(ours)


def expression(choice: random.Random) -> str:
    """Return five fields that both interpret alike: no reversed ranges, no single value with a step."""
    limits = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
    return " ".join(field(choice, *pair) for pair in limits)


def field(choice: random.Random, low: int, high: int) -> str:
    def term() -> str:
        first, last = sorted(choice.sample(range(low, high + 1), 2))
        step = choice.randint(1, high)
        return choice.choice(["*", "*", str(first), f"{first}-{last}", f"{first}-{last}/{step}", f"*/{step}"])

    return ",".join(term() for _ in range(choice.choice((1, 1, 1, 2, 3))))


def distinct_zones() -> list[str]:
    """Return one name for each set of zones that have the same offsets in these years."""
    seen: dict[tuple[object, ...], str] = {}
    for zone in sorted(available_timezones() - {"localtime", "Factory"}):
        info = ZoneInfo(zone)
        days = (FIRST + timedelta(days=number) for number in range((END - FIRST).days))
        offsets = [day.astimezone(info).utcoffset() for day in days]
        seen.setdefault(tuple(offsets), zone)
    return list(seen.values())


def report(title: str, results: Iterable[tuple[str, int, int]], unit: str) -> None:
    began, units, fires_compared, zones = time.monotonic(), 0, 0, set()
    for zone, number, compared in results:
        units, fires_compared = units + number, fires_compared + compared
        zones.add(zone)
    took = time.monotonic() - began
    print(
        f"{title}: {fires_compared:,} fires of {units:,} {unit} in {len(zones)} zones, {took:.0f} s",
        flush=True,
    )


def main() -> int:
    zones = distinct_zones()
    print(f"{len(zones)} zones that differ in 2000-2040", flush=True)
    with multiprocessing.Pool() as pool:
        report("changes of clocks", pool.imap_unordered(nights, zones), "nights")
        report("whole years", pool.imap_unordered(year, range(YEARS)), "years")
    print("no difference")
    return 0


if __name__ == "__main__":
    sys.exit(main())
