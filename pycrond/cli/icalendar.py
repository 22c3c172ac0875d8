"""Fire times as iCalendar (RFC 5545). Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil
from statistics import median

from pycrond.hashing import digest_words
from pycrond.schedule.schedule import FireTime
from pycrond.text import split, visible

OCTETS = 75  # in a line
UNKNOWN = 60  # seconds that a run takes where none has been timed
_ESCAPED = str.maketrans({"\\": r"\\", ";": r"\;", ",": r"\,", "\n": r"\n"})


@dataclass(frozen=True, slots=True)
class Planned:
    """A job, and how long its latest runs took, in seconds."""

    key: str
    title: str
    command: str
    schedule: str
    zone: str
    took: tuple[float, ...] = ()


def calendar(
    fires: Iterable[tuple[Planned, FireTime]], version: str, machine: str, now: datetime
) -> Iterator[bytes]:
    """A calendar's lines. `machine` is what tells this machine's jobs from another's of the same names."""
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", f"PRODID:-//pycrond//pycrond {_text(version)}//EN"]
    yield from map(folded, lines)
    for job, fire in fires:
        yield from map(folded, _fire(job, fire, machine, now))
    yield folded("END:VCALENDAR")


def _fire(job: Planned, fire: FireTime, machine: str, now: datetime) -> Iterator[str]:
    yield "BEGIN:VEVENT"
    yield f"UID:{uid(job.key, fire, machine)}"
    yield f"DTSTAMP:{stamp(now)}"
    yield f"DTSTART:{stamp(fire.at)}"
    yield f"DURATION:{duration(median(job.took) if job.took else UNKNOWN)}"
    yield f"SUMMARY:{_text(job.title)}"
    yield f"DESCRIPTION:{_text(job.command)}\\n{_text(f'{job.schedule} ({job.zone})')}"
    yield "TRANSP:TRANSPARENT"  # nobody is busy while it runs
    yield "END:VEVENT"


def uid(key: str, fire: FireTime, machine: str) -> str:
    """The same whenever it is asked for: of the job and the minute that the fire is named after."""
    return f"{digest_words(f'{machine} {key} {fire.wall} {fire.fold}')}@pycrond"


def stamp(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def duration(seconds: float) -> str:
    """In whole seconds, at least one, as PT1H2M3S."""
    minutes, second = divmod(max(1, ceil(seconds)), 60)
    hour, minute = divmod(minutes, 60)
    parts = ((hour, "H"), (minute, "M"), (second, "S"))
    return "PT" + "".join(f"{number}{unit}" for number, unit in parts if number)


def _text(text: str) -> str:
    """A value of a property; what no text may hold is made visible."""
    return visible(text.encode("utf-8", "surrogateescape")).translate(_ESCAPED)


def folded(line: str) -> bytes:
    """In pieces of at most 75 octets, none ending inside a character; a blank begins all but the first."""
    first = split(line, OCTETS)[0]
    rest = split(line[len(first) :], OCTETS - 1) if len(line) > len(first) else []
    return "\r\n ".join([first, *rest]).encode() + b"\r\n"
