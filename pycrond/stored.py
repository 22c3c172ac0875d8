"""A schedule as the ledger keeps it: plain numbers, so that it can be read without its crontab."""

from pycrond.days import DayPart
from pycrond.schedule import Schedule, restore


def to_text(schedule: Schedule) -> str:
    """Its bit masks in hexadecimal, day part, flags; the inverse of `from_text`."""
    part = schedule.part
    words = [
        f"{schedule.minutes:x}",
        f"{schedule.hours:x}",
        f"{part.days_of_month:x}",
        f"{part.months:x}",
        f"{part.days_of_week:x}",
        "or" if part.day_or else "and",
        "wildcard" if schedule.wildcard else "fixed",
        str(schedule.period),
        ",".join(part.specials) or "-",
        ",".join(part.special_weekdays) or "-",
    ]
    return " ".join(words)


def from_text(text: str) -> Schedule:
    """The schedule again, the very object where it is in use."""
    minutes, hours, days, months, weekdays, day_or, kind, period, specials, special_weekdays = text.split()
    part = DayPart(
        int(days, 16),
        int(months, 16),
        int(weekdays, 16),
        day_or == "or",
        _words(specials),
        _words(special_weekdays),
    )
    return restore(int(minutes, 16), int(hours, 16), part, wildcard=kind == "wildcard", period=int(period))


def _words(text: str) -> tuple[str, ...]:
    return () if text == "-" else tuple(text.split(","))
