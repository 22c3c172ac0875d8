"""The document of `pycrond status --json`."""

from typing import Annotated, NotRequired, TypedDict

from pycrond.cli.documents.lists import (
    DiskDocument,
    FileChangeDocument,
    NamedOverdueDocument,
    NamedStandingDocument,
    Timestamp,
)


class WaitingDocument(TypedDict):
    """Numbers of runs that wait."""

    for_a_time: int
    for_others: int
    for_room: int


class StartsDocument(TypedDict):
    """All starts by a schedule since the daemon began."""

    starts: int
    seconds: Annotated[float, "the sum of their lateness"]
    within: Annotated[dict[str, int], "the numbers of starts that were at most KEY seconds late"]


class LatenessDocument(TypedDict):
    """Lateness of the latest starts, in milliseconds."""

    starts: int
    median: float | None
    p99: float | None
    worst: float | None
    worst_recent: NotRequired[Annotated[float | None, "the worst of the last 10 minutes"]]
    total: NotRequired[StartsDocument]


class LimitsDocument(TypedDict):
    """The mechanisms by which runs are limited."""

    memory: str
    cpu: str
    max_running: int


class SharesDocument(TypedDict):
    """The limits for each user, and the requests and crontabs that exceeded one."""

    limits: Annotated[dict[str, int], "the settings; 0: no limit"]
    refused_orders: int
    refused_crontabs: list[str]


class RetentionDocument(TypedDict):
    """The size of the ledger, and the limits of ledger, runs and output; 0 is no limit."""

    ledger_bytes: int
    ledger_free_bytes: int
    ledger_limit_bytes: int
    keep_days: int
    keep_runs: int
    keep_output_bytes: int


class NodeDocument(TypedDict):
    """The machine as a node of its cluster."""

    node: str
    name: Annotated[str | None, "the cluster's name; null: the database was never reached"]
    state: Annotated[str, "the database connection's state: idle, asking, stalled, down, fenced, …"]
    detail: str | None
    away_s: Annotated[int, "how long the database has not been connected; 0: it is connected"]
    nodes: int
    alive: int
    draining: bool
    draining_nodes: Annotated[int, "living nodes that are draining"]
    clock_ms: Annotated[int, "by how much this clock is ahead of the median of the nodes"]
    undecided: Annotated[int, "fires without a verdict"]
    untold: Annotated[int, "fires whose verdict the database has not acknowledged"]
    untold_s: Annotated[int, "the age of the first verdict among them"]


class StatusDocument(TypedDict):
    """Printed by `pycrond status`. Without a daemon, most keys are missing."""

    running: bool
    running_jobs: int
    pid: NotRequired[int]
    start: NotRequired[Annotated[int, "the number of this start"]]
    version: NotRequired[str]
    zone: NotRequired[str]
    started_at: NotRequired[Timestamp]
    uptime_s: NotRequired[int]
    minute: NotRequired[Annotated[float, "the latest minute whose jobs were started; seconds since 1970"]]
    jobs: NotRequired[int]
    files: NotRequired[int]
    loaded_files: NotRequired[Annotated[dict[str, int], "the number of jobs of each file"]]
    kept: NotRequired[Annotated[list[str], "crontabs whose last good version is in force"]]
    loads: NotRequired[int]
    errors: NotRequired[int]
    keeper: NotRequired[bool]
    backlog: NotRequired[Annotated[int, "runs whose output or end syslog does not have in full"]]
    start_trouble: NotRequired[Annotated[str | None, "why no job can be started at present"]]
    stopping: NotRequired[bool]
    refusals: NotRequired[Annotated[int, "restarts that were refused"]]
    refused: NotRequired[Annotated[str, "the reason of the last refusal"]]
    waiting: NotRequired[WaitingDocument]
    alarms: NotRequired[Annotated[int, "alarms that are not yet delivered"]]
    dropped_alarms: NotRequired[int]
    paused: NotRequired[Annotated[int, "the number of paused jobs"]]
    lateness_ms: NotRequired[LatenessDocument]
    limits: NotRequired[LimitsDocument]
    shares: NotRequired[SharesDocument]
    disk: NotRequired[DiskDocument]
    retention: NotRequired[RetentionDocument]
    cluster: NotRequired[NodeDocument]
    not_loaded: NotRequired[list[FileChangeDocument]]
    failed: NotRequired[list[NamedStandingDocument]]
    missed: NotRequired[list[NamedStandingDocument]]
    overdue: NotRequired[list[NamedOverdueDocument]]
