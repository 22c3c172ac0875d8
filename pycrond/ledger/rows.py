"""The rows of the ledger: jobs, runs, pauses, daemons. Times are Unix seconds, UTC."""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from pycrond.errors import PycrondError
from pycrond.jobs.run import Cause, Outcome, Reason, State, Trigger
from pycrond.text import rfc3339


class VersionRow(NamedTuple):
    """A job as it was for a time: due in the minutes after `since` up to `until` (None: still)."""

    key: str
    canonical: str | None
    zone: str
    since: float
    until: float | None


class VerdictRow(NamedTuple):
    """The verdict on a fire; a folded row stands for `folded` fires up to `until`."""

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
    """A change of the clock by so many seconds, to the time `at`."""

    at: float
    moved: float


BAD_ENDS = frozenset({State.FAILED, State.TIMED_OUT, State.KILLED, State.MISSED, State.LOST, State.UNKNOWN})
"""The states of runs and fires that did not go well."""


class JobRow(NamedTuple):
    """A loaded job; `canonical` is its schedule as plain numbers, None for @reboot."""

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
    """The jobs of a crontab; a file that is read again with the same `stamp` has the same jobs."""

    file: str
    stamp: str
    rows: Collection[JobRow]


class RunRow(NamedTuple):
    """A run, or in one row `folded` runs or fires from `fire` to `until`."""

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
    """The time of a run, of a fire that was skipped or missed, or of `fires` of them."""

    start: float
    """The planned start of a run that has not started."""
    end: float | None
    """None while it runs."""
    state: str
    run: int | None
    fires: int
    scheduled: int
    """1 if the schedule started it."""
    key: str


class PauseRow(NamedTuple):
    """A paused job; `until` is None where it stays paused until it is resumed."""

    key: str
    since: float
    until: float | None
    reason: str


class DaemonRow(NamedTuple):
    """A daemon, from its start to its planned stop."""

    pid: int
    version: str
    started_at: float
    ready_at: float | None
    loaded_at: float | None
    stopped_at: float | None


def quote_path(path: str) -> str:
    """Return a path as it stands in one of SQLite's file: addresses."""
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def matching_keys(word: str, jobs: Iterable[tuple[str, str | None, str]]) -> list[str]:
    """Return the keys of the jobs that have a word as name, file:line or key, else as the beginning of a key.

    `jobs`: key, name and file:line, the last empty for a job that is gone, as another may stand there now.
    """
    exact, partial = [], []
    for key, name, place in jobs:
        if word in {key, name} or (place and word in {place, place.rpartition("/")[2]}):
            exact.append(key)
        elif key.startswith(word) or key.partition("/")[2].startswith(word):
            partial.append(key)
    return exact or partial


def require_one(word: str, keys: Sequence[str]) -> str:
    """Return the key of the only job that a word may mean; raises PycrondError for none, or more than one."""
    if not keys:
        raise PycrondError(f"no job is called '{word}' (see 'pycrond list')")
    if len(keys) > 1:
        raise PycrondError(f"'{word}' may mean {len(keys)} jobs: {', '.join(keys[:10])}")
    return keys[0]


def run_json(run: RunRow) -> dict[str, object]:
    """Return a run as `history --json` prints it."""
    values = run._asdict()
    values["count"] = values.pop("folded")
    times = {name: rfc3339(values[name]) for name in ("fire", "started_at", "ended_at", "until")}
    return {**values, **times}


class Unfinished(NamedTuple):
    """A run of an earlier daemon that is not over, or whose records syslog has not received in full."""

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
    ended_at: float | None
    duration_s: float | None
    exit_status: int | None
    signal: int | None
    cpu_s: float | None
    max_rss_kb: int | None
    delivered: int
    stage: int

    def outcome(self) -> Outcome:
        """Return the outcome, as far as it is known."""
        return Outcome(
            State(self.state),
            Cause(Reason(self.reason_code), self.reason),
            exit_status=self.exit_status,
            signal=self.signal,
            cpu_s=self.cpu_s,
            max_rss_kb=self.max_rss_kb,
        )


class WaitingRow(NamedTuple):
    """A run that was claimed and waits for its start."""

    id: int
    key: str
    fire: float
    wall: int | None
    fold: int
    era: int
    trigger: Trigger
    attempt: int
    start_at: float | None
    """None where it does not wait for a time."""


class OldRow(NamedTuple):
    """A run old enough to be folded."""

    id: int
    fire: float
    wall: int | None
    fold: int
    era: int
    attempt: int
    state: State
    bytes: int


class FoldedRow(NamedTuple):
    """All runs of a job, a day and a state in one row: the first run, the last fire time and their number."""

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
    """Fires of a job that were skipped or missed, in one row: the first, the last and their number."""

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
