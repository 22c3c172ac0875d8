"""Lanes of bars, one lane for each job, made from the ledger's rows and the schedules. Pure.

Times are Unix seconds, as in the ledger; minutes are whole minutes since 1970.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import NamedTuple

from pycrond.jobs.display_name import display_names
from pycrond.jobs.run import ENDS, State
from pycrond.ledger.rows import JobRow, RunRow, SpanRow
from pycrond.text import printable

COMING = "coming"
"""The state of a fire in the future; all other states are the ledger's."""
FAILURES = frozenset({State.FAILED, State.TIMED_OUT, State.KILLED})
STARTS: Collection[str] = ENDS | {COMING, State.CLAIMED, State.WAITING, State.RUNNING}
LABELS: Mapping[str, str] = {
    COMING: "to come",
    State.SUCCEEDED: "ok",
    State.RUNNING: "running",
    State.SKIPPED: "skipped",
    State.MISSED: "missed",
    State.LOST: "lost or unknown",
    State.FAILED: "failed, timed out or killed",
}
"""The states that a chart distinguishes, and their labels in its legend."""
SHOWN_STATES = tuple(LABELS)
"""Where bars overlap, the later state in this order is drawn on top."""
_SHOWN_AS: Mapping[str, str] = {
    State.TIMED_OUT: State.FAILED,
    State.KILLED: State.FAILED,
    State.UNKNOWN: State.LOST,
    State.CLAIMED: COMING,
    State.WAITING: COMING,
}


class TimeWindow(NamedTuple):
    """The whole minutes from `start` up to but not including `until`, and the present."""

    start: float
    until: float
    now: float


class Lane(NamedTuple):
    """A job's bars, and the figures by which lanes are chosen if there is no room for all."""

    key: str
    name: str | None
    title: str
    """Printable."""
    bars: Sequence[SpanRow]
    starts: int
    failed: int
    longest: float
    """Seconds that the longest run took."""


class Timeline(NamedTuple):
    """All lanes, in the order of the jobs, and the starts in each minute."""

    lanes: tuple[Lane, ...]
    window: TimeWindow
    starts: Mapping[int, int]
    fires: Mapping[int, Sequence[str]]
    """The keys of the jobs that start by schedule, by minute."""

    @property
    def total(self) -> int:
        return sum(lane.starts for lane in self.lanes)

    @property
    def failed(self) -> int:
        return sum(lane.failed for lane in self.lanes)

    @property
    def titles(self) -> dict[str, str]:
        """The titles of jobs by key; first the jobs that have a name."""
        return {lane.key: lane.title for lane in sorted(self.lanes, key=lambda lane: lane.name is None)}


def foreseen(
    coming: Mapping[str, Iterable[float]], paused: Mapping[str, float], now: float
) -> Iterator[SpanRow]:
    """Yield bars for fire times that the ledger does not know, by job key.

    Past fires are missed, as no daemon ran; `paused` has the time up to which a job's fires will be skipped.
    """
    for key, times in coming.items():
        until = paused.get(key, 0.0)
        for at in times:
            state = "missed" if at <= now else "skipped" if at < until else COMING
            yield SpanRow(at, at, state, None, 1, 1, key)


def build_timeline(
    jobs: Iterable[JobRow], spans: Iterable[SpanRow], window: TimeWindow, gone: Mapping[str, RunRow]
) -> Timeline:
    """Sort bars into lanes. `gone` has a run of each job that is no longer loaded, by key."""
    bars: dict[str, list[SpanRow]] = defaultdict(list)
    starts: dict[int, int] = defaultdict(int)
    fires: dict[int, list[str]] = defaultdict(list)
    for bar in spans:
        bars[bar.key].append(bar)
        # Of several runs in one row only the first start is known: they are not counted.
        if bar.state in STARTS and bar.start >= window.start and bar.fires == 1:
            minute = int(bar.start // 60)
            starts[minute] += 1
            if bar.scheduled:
                fires[minute].append(bar.key)
    known: list[JobRow | RunRow] = [*jobs, *gone.values()]
    named = [(job.key, job.name, job.command) for job in known if job.key in bars]
    titles = display_names(named)
    lanes = (_lane(key, name, titles[key], bars[key], window) for key, name, _ in named)
    return Timeline(tuple(lanes), window, starts, fires)


def _lane(key: str, name: str | None, title: str, bars: list[SpanRow], window: TimeWindow) -> Lane:
    bars.sort(key=itemgetter(0))
    starts = sum(bar.fires for bar in bars if bar.state in STARTS and bar.start >= window.start)
    failed = sum(bar.fires for bar in bars if bar.state in FAILURES)
    took = ((window.now if bar.end is None else bar.end) - bar.start for bar in bars if bar.fires == 1)
    longest = max(took, default=0.0)
    return Lane(key, name, printable(title), bars, starts, failed, longest)


def foremost(lanes: Sequence[Lane], most: int, slot: float) -> list[Lane]:
    """Return all lanes in their order or, if there are more than `most`, the most important ones.

    These are jobs that failed, then those with the longest runs, then those that start most often. `slot` is
    the shortest time, in seconds, that a chart can show: shorter differences do not count.
    """
    if len(lanes) <= most:
        return list(lanes)
    return sorted(lanes, key=lambda lane: (-lane.failed, -(lane.longest // slot), -lane.starts))[:most]


def shown_state(state: str) -> str:
    """Return the member of `SHOWN_STATES` that stands for a state of the ledger."""
    shown = _SHOWN_AS.get(state, state)
    return shown if shown in LABELS else State.LOST


def legend(lanes: Iterable[Lane]) -> list[tuple[str, str]]:
    """Return the states that occur in lanes, in the order of `LABELS`, each with its label."""
    states = {shown_state(bar.state) for lane in lanes for bar in lane.bars}
    return [(state, label) for state, label in LABELS.items() if state in states]
