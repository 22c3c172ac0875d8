"""Fire times as iCalendar (RFC 5545). Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from math import ceil, isfinite
from statistics import median

from pycrond.hashing import digest_words
from pycrond.ledger.rows import JobRow
from pycrond.schedule.fire_times import FireTime
from pycrond.text import split, visible

MAX_LINE = 75  # octets
DEFAULT_DURATION = 60  # seconds, for a job without a measured run
_ESCAPES = str.maketrans({"\\": r"\\", ";": r"\;", ",": r"\,", "\n": r"\n"})


def calendar(
    fires: Iterable[tuple[JobRow, FireTime]],
    durations: Mapping[str, Sequence[float]],
    version: str,
    machine: str,
    now: datetime,
) -> Iterator[bytes]:
    """Yield a calendar's lines. `durations` are the seconds of the latest runs, by job key. `machine`
    distinguishes jobs of the same name on several machines.
    """
    yield folded("BEGIN:VCALENDAR")
    yield folded("VERSION:2.0")
    yield folded(f"PRODID:-//pycrond//pycrond {_text(version)}//EN")
    for job, fire in fires:
        measured = durations.get(job.key)
        length = duration(median(measured) if measured else DEFAULT_DURATION)
        yield from map(folded, _event(job, fire, length, machine, now))
    yield folded("END:VCALENDAR")


def _event(job: JobRow, fire: FireTime, length: str, machine: str, now: datetime) -> Iterator[str]:
    yield "BEGIN:VEVENT"
    yield f"UID:{uid(job.key, fire, machine)}"
    yield f"DTSTAMP:{stamp(now)}"
    yield f"DTSTART:{stamp(fire.at)}"
    yield f"DURATION:{length}"
    yield f"SUMMARY:{_text(job.title)}"
    yield f"DESCRIPTION:{_text(job.command)}\\n{_text(f'{job.schedule} ({job.zone})')}"
    yield "TRANSP:TRANSPARENT"  # the calendar's owner is free while the job runs
    yield "END:VEVENT"


def uid(key: str, fire: FireTime, machine: str) -> str:
    """Return an identifier that depends only on the machine, the job and the scheduled minute."""
    return f"{digest_words(f'{machine} {key} {fire.wall} {fire.fold}')}@pycrond"


def stamp(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def duration(seconds: float) -> str:
    """Return `PT1H2M3S`: whole seconds, rounded up, at least one."""
    minutes, second = divmod(max(1, ceil(seconds)) if isfinite(seconds) else 1, 60)
    hour, minute = divmod(minutes, 60)
    parts = ((hour, "H"), (minute, "M"), (second, "S"))
    return "PT" + "".join(f"{number}{unit}" for number, unit in parts if number)


def _text(text: str) -> str:
    """Return the value of a text property."""
    return visible(text).translate(_ESCAPES)


def folded(line: str) -> bytes:
    """Fold a line into pieces of at most 75 octets, later ones after a space; split no character."""
    first = split(line, MAX_LINE)[0]
    rest = split(line[len(first) :], MAX_LINE - 1) if len(line) > len(first) else []
    return "\r\n ".join([first, *rest]).encode() + b"\r\n"
