"""The documents of `--json`, as types: their JSON Schemas are generated from these.

Keys are only added, and a key keeps its type within a major version.
"""

from typing import Annotated, Any, Literal, NotRequired, TypedDict

from pycrond.cli.json_schema import Format

Time = Annotated[str, Format("date-time")]
"""A time in UTC as in RFC 3339."""
Timestamp = Annotated[float, "seconds since 1970"]
Seconds = Annotated[float, "seconds"]
Key = Annotated[str, "the user and the job's name, or a hash of its schedule and command"]
DisplayName = Annotated[str, "the name for people: the job's name, or one made from command and key"]


class FileProblemDocument(TypedDict):
    """An error or a warning about a file."""

    line: Annotated[int, "from 1; 0 for the whole file"]
    column: Annotated[int, "from 1; 0 for the whole line"]
    severity: Literal["error", "warning"]
    code: Annotated[str, "the code by which a warning can be suppressed"]
    message: str


class ProblemDocument(FileProblemDocument):
    """An error or a warning about a crontab."""

    file: str


class FileChangeDocument(TypedDict):
    """A crontab that has changed since the daemon read it."""

    file: str
    change: Literal["changed", "added", "removed"]
    at: Time | None


class RunDocument(TypedDict):
    """A run, a skipped or missed fire, or a row that stands for `count` of them."""

    id: int
    key: Key
    name: str | None
    display_name: DisplayName
    fire: Annotated[
        Time, "for a manual run the time of the request, for a retry the fire time of the first attempt"
    ]
    trigger: Annotated[str, "schedule, catch-up, retry, reboot or manual"]
    attempt: Annotated[int, "from 1"]
    state: Annotated[
        str,
        "claimed, waiting, running, succeeded, failed, timed-out, killed (by pycrond), skipped, missed, lost"
        " or unknown",
    ]
    reason: Annotated[str, "begins with the kind of reason; may be empty"]
    pid: int | None
    started_at: Time | None
    ended_at: Time | None
    duration_s: Seconds | None
    exit_status: int | None
    signal: int | None
    cpu_s: Seconds | None
    max_rss_kb: Annotated[int | None, "peak memory in KiB; null where it is not known"]
    lateness_ms: float | None
    bytes: Annotated[int, "the bytes of output"]
    until: Annotated[Time | None, "the last fire time of a row that stands for several fires"]
    count: Annotated[int | None, "the number of fires that the row stands for; null for one"]
    node: NotRequired[Annotated[str, "with --cluster: the node of the run"]]
    uuid: NotRequired[Annotated[str, "with --cluster: the run in the whole cluster; `id` counts on its node"]]


class FailingDocument(TypedDict):
    """Failures in a row."""

    since: Time
    times: Annotated[int, "fires in a row that failed; their retries do not count"]


class OverdueDocument(TypedDict):
    """An expected success that has not come."""

    since: Time
    expect_s: Seconds
    succeeded_at: Time | None


class GoneOverdueDocument(OverdueDocument):
    """An expected success of a removed job that has not come."""

    key: Key


class NamedOverdueDocument(GoneOverdueDocument):
    """An expected success of a job that has not come."""

    name: str | None


class StandingDocument(TypedDict):
    """A job's failures in a row, and its skipped and missed fires."""

    failing: FailingDocument | None
    skipped_since: Annotated[int, "skipped fires since the last run began"]
    missed_since: Annotated[int, "missed fires since the last run began"]
    succeeded_elsewhere_at: Annotated[Time | None, "the end of a later run on another node of the cluster"]


class NamedStandingDocument(StandingDocument):
    """A job with its failures in a row, and its skipped and missed fires."""

    key: Key
    name: str | None


class PauseDocument(TypedDict):
    """A pause of a job."""

    until: Annotated[Time | None, "null: until it is resumed"]
    reason: str


class JobDocument(StandingDocument):
    """A loaded job."""

    key: Key
    name: str | None
    display_name: DisplayName
    user: str
    file: str
    line: int
    schedule: Annotated[str, "as written"]
    zone: str
    command: str
    options: Annotated[dict[str, Any], "those that differ from the defaults"]
    next: Time | None
    running: Annotated[list[int], "the numbers of running runs"]
    waiting: Annotated[list[int], "the numbers of waiting runs"]
    last: Annotated[RunDocument | None, "the run that ended last"]
    paused: PauseDocument | None
    median_s: Annotated[Seconds | None, "the usual duration"]
    last_line: Annotated[str | None, "the last line of output of a failed run"]
    overdue: OverdueDocument | None
    nodes: NotRequired[Annotated[list[str], "with --cluster: the nodes on which it runs"]]


class DaemonDocument(TypedDict):
    """The latest daemon."""

    running: bool
    pid: int | None
    started_at: Time | None
    loaded_at: Annotated[Time | None, "when the crontabs were last read"]
    jobs_left: Annotated[int, "jobs that run without a daemon"]


class DiskDocument(TypedDict):
    """Output and ledger rows that wait for the disk, and output on the disk."""

    trouble: Annotated[str | None, "why output cannot be written"]
    since: Timestamp | None
    blocked_runs: Annotated[int, "runs whose output waits in pipes"]
    blocked_bytes: int
    waiting_runs: Annotated[int, "runs whose output waits for syslog"]
    waiting_bytes: int
    kept_bytes: Annotated[int, "delivered output that is still on disk"]
    limit_bytes: Annotated[int, "the setting spool-limit; 0: none"]
    dropped_bytes: int
    dropped_at: Timestamp | None
    ledger: Annotated[str | None, "why the ledger cannot be written"]
    ledger_pending: NotRequired[Annotated[int, "rows that are in memory until the ledger can be written"]]


class ListDocument(TypedDict):
    """Printed by `pycrond list`."""

    daemon: DaemonDocument
    jobs: list[JobDocument]
    gone_overdue: list[GoneOverdueDocument]
    problems: list[ProblemDocument]
    disk: Annotated[DiskDocument | None, "null where no daemon answers"]
    not_loaded: list[FileChangeDocument]


class HistoryDocument(TypedDict):
    """Printed by `pycrond history`."""

    runs: Annotated[list[RunDocument], "the newest first"]
