"""The fire times that should have been, from what was loaded when, against the verdicts that there are.

Pure. A fire is known by its job, its wall minute and its instant. In an interval that a clock turned back has
gone through twice, jobs may have run once or twice, as cron's rule has it: there, one verdict is enough.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from pycrond.ledger.codec import from_text
from pycrond.schedule.schedule import Zone, fires

MINUTE = timedelta(minutes=1)
STARTED = {"running", "succeeded", "failed", "timed-out", "killed", "lost", "unknown"}


class VersionRow(NamedTuple):
    """A job as it was for a time: due in the minutes after `since` up to `until` (None: still)."""

    key: str
    canonical: str | None
    zone: str
    since: float
    until: float | None


class VerdictRow(NamedTuple):
    """What the ledger says of a fire; of a folded row, of `folded` fires up to `until`."""

    id: int
    key: str
    fire: float
    wall: int | None
    trigger: str
    attempt: int
    state: str
    until: float | None
    folded: int | None


class StepRow(NamedTuple):
    """The clock was turned by so many seconds, and was `at` afterwards."""

    at: float
    moved: float


@dataclass(frozen=True, slots=True)
class Unaccounted:
    """A fire that is not accounted for as it should be."""

    key: str
    at: float
    what: str


@dataclass(slots=True)
class Audit:
    """What was compared."""

    fires: int = 0
    jobs: int = 0
    findings: tuple[Unaccounted, ...] = ()


def audit(
    versions: Iterable[VersionRow],
    verdicts: Iterable[VerdictRow],
    steps: Iterable[StepRow],
    *,
    since: datetime,
    until: datetime,
    zone: Callable[[str], Zone],
) -> Audit:
    """Compare all that was due after `since` up to and including `until`; `zone` finds a zone by its name."""
    twice = [(one.at - 60, one.at - one.moved + 60) for one in steps if one.moved < 0]
    wanted: dict[str, dict[tuple[int, float], float]] = defaultdict(dict)
    for version in versions:
        wanted[version.key].update(_wanted(version, since, until, zone))
    given: dict[str, list[VerdictRow]] = defaultdict(list)
    for verdict in verdicts:
        if since.timestamp() < (verdict.until or verdict.fire) and verdict.fire <= until.timestamp():
            given[verdict.key].append(verdict)
    findings: list[Unaccounted] = []
    for key in sorted(wanted.keys() | given.keys()):
        findings += _compare(key, wanted[key], given[key], twice, since.timestamp())
    return Audit(sum(map(len, wanted.values())), len(wanted), tuple(findings))


def _wanted(
    version: VersionRow, since: datetime, until: datetime, zone: Callable[[str], Zone]
) -> Iterator[tuple[tuple[int, float], float]]:
    """Wall minute and instant of each fire of a version, and the instant."""
    if version.canonical is None:
        return
    first = max(_at(version.since), since) + MINUTE
    last = until if version.until is None else min(_at(version.until), until)
    for fire in fires(from_text(version.canonical), zone(version.zone), first, last + MINUTE):
        at = fire.at.timestamp()
        yield (fire.wall, at), at


def _at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC).replace(second=0, microsecond=0)


def _compare(
    key: str,
    wanted: dict[tuple[int, float], float],
    given: Sequence[VerdictRow],
    twice: Sequence[tuple[float, float]],
    since: float,
) -> Iterator[Unaccounted]:
    """What is wrong with one job's verdicts."""
    seen = _by_fire(given)
    left = [at for place, at in wanted.items() if place not in seen]
    spans = _spans(given)
    for at in left:
        if not any(span.first <= at <= span.last for span in spans):
            yield Unaccounted(key, at, "no verdict")
    for place, several in seen.items():
        if not any(start <= place[1] <= end for start, end in twice):
            yield from _misplaced(several, is_wanted=place in wanted)
    for span in spans:
        disturbed = any(start <= span.last and span.first <= end for start, end in twice)
        if span.first > since and not disturbed:
            yield from _miscounted(key, span, left)


class _Span(NamedTuple):
    """Folded rows of a job that overlap: they stand for so many fires together."""

    first: float
    last: float
    fires: int
    states: str


def _spans(given: Iterable[VerdictRow]) -> list[_Span]:
    """In order; a day's runs are a row for each state, in one stretch of time. Retries are no fires."""
    spans: list[_Span] = []
    for one in sorted(given, key=lambda row: row.fire):
        if one.folded is None or one.wall is None or one.attempt != 1:
            continue
        span = _Span(one.fire, one.until or one.fire, one.folded, one.state)
        if spans and span.first <= spans[-1].last:
            before = spans.pop()
            states = before.states if span.states in before.states else f"{before.states}, {span.states}"
            last = max(before.last, span.last)
            span = _Span(before.first, last, before.fires + span.fires, states)
        spans.append(span)
    return spans


def _by_fire(given: Iterable[VerdictRow]) -> dict[tuple[int, float], list[VerdictRow]]:
    """The verdicts on single fires: not those on @reboot, nor further attempts."""
    seen: dict[tuple[int, float], list[VerdictRow]] = defaultdict(list)
    for one in given:
        if one.wall is not None and one.attempt == 1 and one.folded is None:
            seen[one.wall, one.fire].append(one)
    return seen


def _misplaced(several: Sequence[VerdictRow], *, is_wanted: bool) -> Iterator[Unaccounted]:
    """The verdicts on one fire: there must be such a fire, and one start of it at most."""
    first = several[0]
    if not is_wanted:
        yield Unaccounted(first.key, first.fire, f"a verdict without a fire: {first.state}, run {first.id}")
    started = ", ".join(str(one.id) for one in several if one.state in STARTED)
    if "," in started:
        yield Unaccounted(first.key, first.fire, f"started more than once: runs {started}")


def _miscounted(key: str, span: _Span, left: Iterable[float]) -> Iterator[Unaccounted]:
    """Folded rows that do not stand for as many fires as there are without a verdict of their own."""
    count = sum(span.first <= at <= span.last for at in left)
    if count != span.fires:
        yield Unaccounted(key, span.first, f"{span.states} stands for {span.fires} fires, not {count}")
