"""The ledger's rows, as they are read: jobs, runs, daemons. Times are Unix seconds, UTC."""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from pycrond.errors import PycrondError
from pycrond.jobs.run import Cause, Outcome, Reason, State, Trigger
from pycrond.text import rfc3339

BAD_ENDS = frozenset({State.FAILED, State.TIMED_OUT, State.KILLED, State.MISSED, State.LOST, State.UNKNOWN})
"""The states of runs and fires that did not go well."""


class JobRow(NamedTuple):
    """A job that is loaded; `canonical` is its schedule as plain numbers, None for @reboot."""

    key: str
    name: str | None
    user: str
    file: str
    line: int
    schedule: str
    canonical: str | None
    zone: str
    command: str
    options: str


class FileRows(NamedTuple):
    """A crontab's jobs, which two readings with the same `stamp` have in common."""

    file: str
    stamp: str
    rows: Collection[JobRow]


class RunRow(NamedTuple):
    """A run, as `history` shows it. Times are Unix seconds."""

    id: int
    key: str
    name: str | None
    fire: float
    trigger: str
    attempt: int
    state: str
    reason: str
    pid: int | None
    started_at: float | None
    ended_at: float | None
    duration_s: float | None
    exit_status: int | None
    signal: int | None
    cpu_s: float | None
    max_rss_kb: int | None
    lateness_ms: float | None
    bytes: int
    until: float | None
    folded: int | None


class SpanRow(NamedTuple):
    """When a run lived, a fire was passed over or, in one row, `several` were. Times are Unix seconds."""

    start: float
    """Of what is yet to start, when that is."""
    end: float | None
    """None: it lives."""
    state: str
    run: int | None
    several: int
    scheduled: int
    """1: the schedule's doing."""
    key: str


class RunFilter(NamedTuple):
    """Runs that are looked for; those of any state and time without more."""

    states: Sequence[str] = ()
    since: float | None = None
    """Going on, or due, at this time or later."""
    until: float | None = None
    """Due before this time."""


class PauseRow(NamedTuple):
    """A job that is paused. Times are Unix seconds."""

    key: str
    since: float
    until: float | None
    reason: str


class DaemonRow(NamedTuple):
    """The latest daemon there was."""

    pid: int
    version: str
    started_at: float
    ready_at: float | None
    loaded_at: float | None
    stopped_at: float | None


def quoted(path: str) -> str:
    """A path in one of SQLite's file: addresses."""
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def matching_keys(word: str, jobs: Iterable[tuple[str, str | None, str]]) -> list[str]:
    """The keys of the jobs that a word may mean: by name, file:line or key, else by the beginning of a key.

    Of each job: key, name, and file:line, empty for one that is gone, for another may stand there now.
    """
    exact, begins = [], []
    for key, name, place in jobs:
        if word in {key, name} or (place and word in {place, place.rpartition("/")[2]}):
            exact.append(key)
        elif key.startswith(word) or key.partition("/")[2].startswith(word):
            begins.append(key)
    return exact or begins


def require_one(word: str, found: Sequence[str]) -> str:
    """The key of the one job a word means; raises PycrondError where it is none, or several, then named."""
    if not found:
        raise PycrondError(f"no job is called '{word}' (see 'pycrond list')")
    if len(found) > 1:
        raise PycrondError(f"'{word}' may mean {len(found)} jobs: {', '.join(found[:10])}")
    return found[0]


def run_json(run: RunRow) -> dict[str, object]:
    """A run as `history --json` gives it."""
    values = run._asdict()
    values["count"] = values.pop("folded")
    times = {name: rfc3339(values[name]) for name in ("fire", "started_at", "ended_at", "until")}
    return {**values, **times}


class Unfinished(NamedTuple):
    """A run that an earlier daemon left: still open, or not yet told to syslog in full."""

    id: int
    key: str
    fire: float
    wall: int | None
    fold: int
    era: int
    trigger: Trigger
    attempt: int
    state: State
    reason_code: Reason
    reason: str
    pid: int | None
    pid_start: int | None
    started_at: float | None
    duration_s: float | None
    exit_status: int | None
    signal: int | None
    cpu_s: float | None
    max_rss_kb: int | None
    delivered: int
    told: int

    def outcome(self) -> Outcome:
        """How it ended, where that is known."""
        return Outcome(
            State(self.state),
            Cause(Reason(self.reason_code), self.reason),
            exit_status=self.exit_status,
            signal=self.signal,
            cpu_s=self.cpu_s,
            max_rss_kb=self.max_rss_kb,
        )


class WaitingRow(NamedTuple):
    """A fire that was claimed and waits for its start. Times are Unix seconds."""

    id: int
    key: str
    fire: float
    wall: int | None
    fold: int
    era: int
    trigger: Trigger
    attempt: int
    start_at: float | None
    """None: it waits for something else than a time."""


class OldRow(NamedTuple):
    """A run that is to be folded."""

    id: int
    fire: float
    wall: int | None
    fold: int
    era: int
    attempt: int
    state: State
    bytes: int


class FoldedRow(NamedTuple):
    """The runs of a job, a day and a state: what stands for them all, the last fire, and how many."""

    id: int
    fire: float
    wall: int | None
    fold: int
    era: int
    attempt: int
    state: State
    until: float
    folded: int


class GapRow(NamedTuple):
    """Fires of a job that were passed over: the first of them, the last, and how many."""

    key: str
    fire: float
    wall: int
    fold: int
    era: int
    state: State
    reason_code: Reason
    reason: str
    noticed_at: float
    until: float
    folded: int
