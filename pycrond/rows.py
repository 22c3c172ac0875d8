"""The ledger's rows, as they are read: jobs, runs, daemons. Times are Unix seconds, UTC."""

from typing import NamedTuple


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


def storable(text: str) -> str:
    r"""SQLite keeps UTF-8: bytes of a crontab or a path that are not become \xNN."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def quoted(path: str) -> str:
    """A path in one of SQLite's file: addresses."""
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
