"""A stretch of time as lanes of bars, one a job: what the ledger's rows and the schedules say of it. Pure.

Times are Unix seconds, as in the ledger; minutes are whole ones since 1970.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

from pycrond.cli.render import formatting
from pycrond.ledger.rows import JobRow, SpanRow

COMING = "coming"
"""The state of a fire that is yet to come; all others are the ledger's."""
BAD = frozenset({"failed", "timed-out", "killed"})
AHEAD = frozenset({COMING, "claimed", "waiting"})
STARTS = BAD | AHEAD | {"running", "succeeded", "lost", "unknown"}


@dataclass(frozen=True, slots=True)
class Window:
    """From `start` up to but not including `until`, whole minutes, looked at `now`."""

    start: float
    until: float
    now: float


@dataclass(frozen=True, slots=True)
class Lane:
    """A job with all that is to be drawn of it, and what it is judged by when there is no room for all."""

    key: str
    name: str | None
    title: str
    bars: Sequence[SpanRow]
    starts: int
    failed: int
    longest: float
    """Seconds, of a run."""


@dataclass(frozen=True, slots=True)
class Picture:
    """All lanes, in the order of the jobs, and what starts in each minute by schedule and otherwise."""

    lanes: tuple[Lane, ...]
    window: Window
    starts: Mapping[int, int]
    fires: Mapping[int, Sequence[str]]
    """Of what starts by schedule, the keys."""

    @property
    def total(self) -> int:
        return sum(lane.starts for lane in self.lanes)

    @property
    def failed(self) -> int:
        return sum(lane.failed for lane in self.lanes)


def foreseen(
    coming: Mapping[str, Iterable[float]], paused: Mapping[str, float], now: float
) -> Iterator[SpanRow]:
    """What becomes of fires that the ledger does not know: those that have passed are missed, as no daemon
    ran, and those of jobs that are `paused` until later will be skipped.
    """
    for key, times in coming.items():
        until = paused.get(key, 0.0)
        for at in times:
            state = "missed" if at <= now else "skipped" if at < until else COMING
            yield SpanRow(at, at, state, None, 1, 1, key)


def picture(
    jobs: Iterable[JobRow],
    spans: Iterable[SpanRow],
    window: Window,
    gone: Mapping[str, str | None],
) -> Picture:
    """`spans` are what the ledger has and what is foreseen, `gone` the names of jobs not loaded any more."""
    bars: dict[str, list[SpanRow]] = defaultdict(list)
    starts: dict[int, int] = defaultdict(int)
    fires: dict[int, list[str]] = defaultdict(list)
    for bar in spans:
        bars[bar.key].append(bar)
        if bar.state in STARTS and bar.start >= window.start and bar.several == 1:  # of folded: who knows
            minute = int(bar.start // 60)
            starts[minute] += 1
            if bar.scheduled:
                fires[minute].append(bar.key)
    names = [(job.key, job.name, formatting.title(job.key, job.name, job.command)) for job in jobs]
    names += [(key, name, name or key) for key, name in gone.items()]
    lanes = (_lane(key, name, title, bars[key], window) for key, name, title in names if key in bars)
    return Picture(tuple(lanes), window, starts, fires)


def _lane(key: str, name: str | None, title: str, bars: list[SpanRow], window: Window) -> Lane:
    starts, failed, longest = 0, 0, 0.0
    for bar in bars:
        if bar.state in STARTS and bar.start >= window.start:
            starts += bar.several
        if bar.state in BAD:
            failed += bar.several
        if bar.several == 1:
            longest = max(longest, (window.now if bar.end is None else bar.end) - bar.start)
    bars.sort(key=itemgetter(0))
    return Lane(key, name, title, bars, starts, failed, longest)


def foremost(lanes: Sequence[Lane], most: int, slot: float) -> list[Lane]:
    """As many lanes as there is room for: all in their order, or of more than `most` those that matter.

    First jobs that failed, then those that run the longest, then those that start the most often. `slot` is
    the shortest time, in seconds, that can be seen: what runs for less is no longer than anything else.
    """
    if len(lanes) <= most:
        return list(lanes)
    return sorted(lanes, key=lambda lane: (-lane.failed, -(lane.longest // slot), -lane.starts))[:most]
