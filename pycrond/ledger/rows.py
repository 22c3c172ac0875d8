"""The rows of the ledger: jobs, runs, pauses, daemons. Times are Unix seconds, UTC."""

from collections.abc import Collection
from typing import NamedTuple

from pycrond import clock
from pycrond.jobs.display_name import display_name
from pycrond.jobs.job import Job
from pycrond.jobs.options import EXPECT_TOLERANCE
from pycrond.jobs.run import Cause, Fire, Outcome, Reason, State, Trigger
from pycrond.text import rfc3339


class VersionRow(NamedTuple):
    """A version of a job, due in the minutes after `since` up to `until` (None: the current version)."""

    key: str
    canonical: str | None
    zone: str
    since: float
    until: float | None
    options: str = "{}"


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
    """A change of the clock by `moved` seconds to the time `at`, or of the daemon's time zone after `at`."""

    at: float
    moved: float
    kind: str = "step"


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

    @property
    def title(self) -> str:
        return display_name(self.key, self.name, self.command)

    @property
    def label(self) -> str:
        """The user and the name for people."""
        return f"{self.user}/{self.title}"


class FileRows(NamedTuple):
    """The jobs of a crontab; a later reading of the file with the same `stamp` gives the same jobs."""

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
    command: str = ""
    """Its first `MAX_COMMAND` characters."""

    @property
    def title(self) -> str:
        """The job's name for people."""
        return display_name(self.key, self.name, self.command)


class StandingRow(NamedTuple):
    """The consecutive failures of a job, and its fires that were passed over since its last run began."""

    key: str
    failing_since: float | None
    failures: int
    passed: int | None
    skipped: int
    missed: int
    elsewhere_at: float | None = None  # when a later run ended well on another node, in Unix seconds


class ExpectedRow(NamedTuple):
    """A job that is to succeed once in `expect` seconds; `succeeded_at` is None before its first success."""

    key: str
    name: str | None
    loaded: int
    expect: float
    since: float
    succeeded_at: float | None

    @property
    def overdue_at(self) -> float:
        """The time by which the next success was expected."""
        return (self.succeeded_at or self.since) + self.expect

    def is_overdue(self, now: float, jitter: float = 0.0) -> bool:
        """Return whether a success is late enough to be reported; `jitter` is the job's option."""
        return self.overdue_at + jitter + EXPECT_TOLERANCE <= now


class ProcessRow(NamedTuple):
    """An unfinished run, with the columns that identify its process and decide about its outcome."""

    id: int
    state: State
    reason_code: Reason
    reason: str
    pid: int | None
    pid_start: int | None
    started_at: float | None
    options: str | None
    boot: str
    """The boot of the latest daemon."""


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
    """A paused job; `until` is None if it stays paused until it is resumed."""

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


def run_json(run: RunRow) -> dict[str, object]:
    """Return a run as `history --json` prints it."""
    values = run._asdict()
    values["count"] = values.pop("folded")
    del values["command"]
    values["display_name"] = run.title
    times = {name: rfc3339(values[name]) for name in ("fire", "started_at", "ended_at", "until")}
    return {**values, **times}


class Unfinished(NamedTuple):
    """A run of an earlier daemon that has not ended, or whose messages are not delivered in full."""

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
    printed: int
    """`printed` and `shown` are like `delivered` and `stage`, for standard output."""
    shown: int
    start_at: float | None
    """When a waiting run is to start; None if it does not wait for a time."""

    def fire_of(self, job: Job) -> Fire:
        """Return the fire that it was claimed for."""
        at = clock.at(self.fire)
        return Fire(job, at, self.wall, self.fold, self.era, self.trigger, attempt=self.attempt)

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
