"""The audit: the fire times that the loaded versions of each job imply, compared with the ledger's verdicts.

Pure. A fire is known by its job, its wall minute and its instant. In an interval that was repeated because
the clock was set back, cron's rule lets jobs run once or twice: there, one verdict is enough.
"""

from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from pycrond import clock
from pycrond.errors import PycrondError
from pycrond.jobs.run import ENDS, State
from pycrond.ledger.codec import decode_schedule
from pycrond.ledger.rows import StepRow, VerdictRow, VersionRow
from pycrond.schedule.fire_times import fire_times
from pycrond.schedule.timezone import ChangedZone, Zone, tick_from

MINUTE = timedelta(minutes=1)
MAX_REPEATED = 180 * 60.0 + 120.0  # seconds; a clock that is set back by more repeats all jobs
STARTED = {State.RUNNING, *ENDS}
FireId = tuple[int, float]
"""The wall minute and the instant of a fire."""


class Unaccounted(NamedTuple):
    """A fire whose verdict is missing or wrong."""

    key: str
    at: float
    what: str


@dataclass(slots=True)
class Audit:
    """The number of fires and jobs that were compared, and the findings."""

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
    """Compare all fires after `since` up to and including `until`; `zone` returns a time zone by its name."""
    expected = expected_fires(versions, steps, since=since, until=until, zone=zone)
    due, findings, repeated = expected.due, expected.findings, expected.repeated
    given: dict[str, list[VerdictRow]] = defaultdict(list)
    for verdict in verdicts:
        if since.timestamp() < (verdict.until or verdict.fire) and verdict.fire <= until.timestamp():
            given[verdict.key].append(verdict)
    for key in sorted(due.keys() | given.keys()):
        findings += _compare(key, due[key], given[key], repeated, since.timestamp())
    return Audit(sum(map(len, due.values())), len(due), tuple(findings))


class Expected(NamedTuple):
    """The fires that versions of jobs imply."""

    due: dict[str, set[FireId]]
    """The fires by job key."""
    findings: list[Unaccounted]
    """Versions that cannot be judged."""
    repeated: list[tuple[float, float]]
    """The intervals that were repeated because the clock was set back."""


def expected_fires(
    versions: Iterable[VersionRow],
    steps: Iterable[StepRow],
    *,
    since: datetime,
    until: datetime,
    zone: Callable[[str], Zone],
) -> Expected:
    """Return all fires after `since` up to and including `until`; `zone` returns a time zone by its name."""
    steps = [*steps]
    turned_back = [step for step in steps if step.moved < 0 and step.kind == "step"]
    repeated = [(step.at - 60, step.at - step.moved + 60) for step in turned_back]
    zone_changes = {step.at for step in steps if step.kind == "zone"}
    due: dict[str, set[FireId]] = defaultdict(set)
    findings: list[Unaccounted] = []
    before: dict[str, tuple[VersionRow, Zone]] = {}
    by_schedule: dict[object, list[FireId]] = {}  # equal schedules are computed once
    for version in versions:
        key = version.key
        try:
            in_zone = _zone_of(version, before.get(key), zone_changes, zone)
            first = _without_repeated(version, since, repeated)
            schedule = (version.canonical, in_zone, *_bounds(version, first, until))
            if schedule not in by_schedule:
                by_schedule[schedule] = [*_due(*schedule)]
            due[key].update(by_schedule[schedule])
            before[key] = version, in_zone
        except PycrondError as error:
            findings.append(Unaccounted(key, version.since, f"cannot be judged from then on: {error}"))
    return Expected(due, findings, repeated)


def _zone_of(
    version: VersionRow,
    before: tuple[VersionRow, Zone] | None,
    zone_changes: Container[float],
    zone: Callable[[str], Zone],
) -> Zone:
    """Return the zone of a version; if the daemon's zone changed at its begin, the zone of `before` until
    then. Raises PycrondError for an unknown one.
    """
    known = zone(version.zone)
    is_changed = before is not None and before[0].zone != version.zone and before[0].until == version.since
    if before is None or not is_changed or version.since not in zone_changes:
        return known
    return ChangedZone(before[1], tick_from(_minute(version.since)) + 1, known)


def _without_repeated(
    version: VersionRow, since: datetime, repeated: Iterable[tuple[float, float]]
) -> datetime:
    """Return the time after which a version has fires. In minutes repeated after the clock was set back,
    cron's rule does not run fixed-time jobs again, not even jobs that were loaded meanwhile.
    """
    if version.canonical is None or decode_schedule(version.canonical).wildcard:
        return since
    ends = [end for start, end in repeated if start <= version.since <= end and end - start < MAX_REPEATED]
    return max([since, *(clock.at(end) for end in ends)])


def _bounds(version: VersionRow, since: datetime, until: datetime) -> tuple[datetime, datetime]:
    """Return the first and the last minute in which a version may have fires."""
    last = until if version.until is None else min(_minute(version.until), until)
    return max(_minute(version.since), since) + MINUTE, last


def _due(canonical: str | None, zone: Zone, first: datetime, last: datetime) -> Iterator[FireId]:
    """Yield the fires of a schedule."""
    if canonical is not None:
        for fire in fire_times(decode_schedule(canonical), zone, first, last + MINUTE):
            yield fire.wall, fire.at.timestamp()


def _minute(seconds: float) -> datetime:
    return clock.at(seconds).replace(second=0, microsecond=0)


def _compare(
    key: str,
    due: set[FireId],
    given: Sequence[VerdictRow],
    repeated: Sequence[tuple[float, float]],
    since: float,
) -> Iterator[Unaccounted]:
    """Yield the findings about one job."""
    single = _by_fire(given)
    without_own = sorted(at for _, at in due - single.keys())
    spans = _spans(given)
    for at in without_own:
        if not any(span.first <= at <= span.last for span in spans):
            yield Unaccounted(key, at, "no verdict")
    for fire, verdicts in single.items():
        if not any(start <= fire[1] <= end for start, end in repeated):
            yield from _misplaced(verdicts, is_due=fire in due)
    for span in spans:
        is_repeated = any(start <= span.last and span.first <= end for start, end in repeated)
        if span.first > since and not is_repeated:
            yield from _miscounted(key, span, without_own)


class _Span(NamedTuple):
    """Overlapping folded rows of a job, and the number of fires that they stand for together."""

    first: float
    last: float
    fires: int
    states: str


def _spans(given: Iterable[VerdictRow]) -> list[_Span]:
    """Return the spans in order. The rows of a day, one for each state, overlap. Retries do not count."""
    spans: list[_Span] = []
    for row in sorted(given, key=lambda row: row.fire):
        if row.folded is None or row.wall is None or row.attempt != 1:
            continue
        span = _Span(row.fire, row.until or row.fire, row.folded, row.state)
        if spans and span.first <= spans[-1].last:
            before = spans.pop()
            states = before.states if span.states in before.states else f"{before.states}, {span.states}"
            last = max(before.last, span.last)
            span = _Span(before.first, last, before.fires + span.fires, states)
        spans.append(span)
    return spans


def _by_fire(given: Iterable[VerdictRow]) -> dict[FireId, list[VerdictRow]]:
    """Return the verdicts on single fires, without those on @reboot and on retries."""
    verdicts: dict[FireId, list[VerdictRow]] = defaultdict(list)
    for row in given:
        if row.wall is not None and row.attempt == 1 and row.folded is None:
            verdicts[row.wall, row.fire].append(row)
    return verdicts


def _misplaced(verdicts: Sequence[VerdictRow], *, is_due: bool) -> Iterator[Unaccounted]:
    """Yield the findings about one fire: it must be due, and started once at most."""
    first = verdicts[0]
    if not is_due:
        yield Unaccounted(first.key, first.fire, f"a verdict without a fire: {first.state}, run {first.id}")
    started = ", ".join(str(row.id) for row in verdicts if row.state in STARTED)
    if "," in started:
        yield Unaccounted(first.key, first.fire, f"started more than once: runs {started}")


def _miscounted(key: str, span: _Span, without_own: Iterable[float]) -> Iterator[Unaccounted]:
    """Yield a finding if folded rows do not stand for exactly the fires without a verdict of their own."""
    count = sum(span.first <= at <= span.last for at in without_own)
    if count != span.fires:
        yield Unaccounted(key, span.first, f"{span.states} stands for {span.fires} fires, not {count}")
