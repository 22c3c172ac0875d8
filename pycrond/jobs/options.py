"""The options of a job, set by `#:` lines and PYCROND_ assignments: their types, readers and defaults."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple, get_args, get_origin

from pycrond.jobs import option_values as values
from pycrond.jobs.option_values import CLUSTER_PREFIX, GLOBAL_PREFIX, MAX_DURATION, SHARED_PREFIX
from pycrond.setting_values import RESERVED_LABELS

Overlap = Literal["allow", "skip", "queue", "replace"]
Missed = Literal["skip", "once", "all"]
Mail = Literal["always", "failure", "never"]


@dataclass(frozen=True, slots=True)
class Options:
    """The options of one job. Durations are in seconds, `memory` is in bytes; None means not set."""

    name: str | None = None
    timeout: float | None = None
    grace: float = 10
    overlap: Overlap = "allow"
    lock: str | None = None
    missed: Missed | None = None
    """None: cron's rule for clock changes, and `skip` for fire times that passed while no daemon ran."""
    within: float | None = None
    retries: int = 0
    retry_delay: float = 60
    jitter: float = 0
    nice: int = 0
    ionice: str | None = None
    memory: int | None = None
    cpu: float | None = None
    success: tuple[int, ...] = (0,)
    mail: Mail = "always"
    on_failure: str | None = None
    on_success: str | None = None
    on_recovery: str | None = None
    on_missed: str | None = None
    alarm_repeat: float | None = None
    expect: float | None = None
    ping: str | None = None
    ping_output: str = "10k"
    """A size; with `always:` before it, successes also send output; `0`: no output."""
    ping_redirects: bool = False
    log: bool | Literal["split"] = True
    """`split`: like `yes`, and standard output and standard error are stored as separate streams."""
    dir: str | None = None
    """A path. It may begin with `~/` or be relative to HOME, as may `env_file` and `output`."""
    env_file: str | None = None
    """A path; with `-` before it, the file may be missing."""
    umask: str | None = None
    """An octal number."""
    output: str | None = None
    """A path."""
    keep_runs: int | None = None
    keep_days: int | None = None
    keep_output: int | None = None
    """Bytes."""
    on: str = "every"
    """`every`, `one`, a label, or `one:` and a label."""
    node_loss: Literal["skip", "rerun"] = "skip"
    on_partition: Literal["skip", "run"] = "skip"
    mailto: str | None = None
    """The variable MAILTO: empty means no mail, None means mail to the job's user."""
    mailfrom: str | None = None
    """The variable MAILFROM."""

    @property
    def may_be_mailed(self) -> bool:
        """Return whether a run's output may be sent by mail."""
        return self.mail != "never" and self.mailto != ""

    @property
    def is_shared(self) -> bool:
        """Return whether the nodes of a cluster claim the job's fires, so that each runs once."""
        return self.on == "one" or self.on.startswith(SHARED_PREFIX)

    @property
    def label(self) -> str | None:
        """The label of the nodes on which the job may run; None: all nodes."""
        word = self.on.removeprefix(SHARED_PREFIX)
        return None if word in RESERVED_LABELS else word

    @property
    def cluster_lock(self) -> str | None:
        """The name of the job's lock in the cluster: the text after `cluster:`; None without such a lock."""
        lock = self.lock or ""
        return lock.removeprefix(CLUSTER_PREFIX) if lock.startswith(CLUSTER_PREFIX) else None

    @property
    def is_clustered(self) -> bool:
        """Return whether a fire of the job needs the cluster's consent."""
        return self.is_shared or self.cluster_lock is not None

    @property
    def needs_spawner(self) -> bool:
        """Return whether only the process that executes the command can apply the options."""
        return any((self.dir, self.env_file, self.umask, self.output))

    @property
    def is_unconditional(self) -> bool:
        """Return whether a fire starts whatever else runs; only a pause or `max-running` can prevent it."""
        return self.overlap == "allow" and self.lock is None and self.within is None


CRON = Options()
"""The options that give plain cron's behaviour."""

Value = str | int | float | bool | tuple[int, ...]


class Option(NamedTuple):
    """A row of the table of options. `read` parses a value; its ValueError describes the accepted values."""

    name: str
    read: Callable[[str], Value]
    needs_root: Callable[[Value], bool]
    """Returns whether only root's crontabs may have the value: the kernel refuses it to a user's process, or
    it concerns other users.
    """

    @property
    def attribute(self) -> str:
        """The name of the field of `Options`."""
        return self.name.replace("-", "_")


EXPECT_TOLERANCE = 60.0
"""Seconds by which a success may be later than `expect` and `jitter` allow."""


def no_value(_value: Value) -> bool:
    return False


def below_zero(value: Value) -> bool:
    return isinstance(value, int) and value < 0


def is_realtime(value: Value) -> bool:
    return str(value).startswith("realtime")


def is_global(value: Value) -> bool:
    """Return whether the jobs of all users share a lock."""
    return str(value).removeprefix(CLUSTER_PREFIX).startswith(GLOBAL_PREFIX)


OPTIONS = (
    Option("name", values.job_name, no_value),
    Option("timeout", values.positive_duration, no_value),
    Option("grace", values.duration, no_value),
    Option("overlap", values.choice("allow", "skip", "queue", "replace"), no_value),
    Option("lock", values.lock_name, is_global),
    Option("missed", values.choice("skip", "once", "all"), no_value),
    Option("within", values.positive_duration, no_value),
    Option("retries", values.integer(0, 1_000), no_value),
    Option("retry-delay", values.duration, no_value),
    Option("jitter", values.duration, no_value),
    Option("nice", values.integer(-20, 19), below_zero),
    Option("ionice", values.io_class, is_realtime),
    Option("memory", values.size, no_value),
    Option("cpu", values.processors, no_value),
    Option("success", values.exit_statuses, no_value),
    Option("mail", values.choice("always", "failure", "never"), no_value),
    Option("on-failure", values.command, no_value),
    Option("on-success", values.command, no_value),
    Option("on-recovery", values.command, no_value),
    Option("on-missed", values.command, no_value),
    Option("alarm-repeat", values.positive_duration, no_value),
    Option("expect", values.positive_duration, no_value),
    Option("ping", values.url, no_value),
    Option("ping-output", values.ping_output, no_value),
    Option("ping-redirects", values.yes_no, bool),
    Option("log", values.yes_no_or("split"), lambda value: value is False),
    Option("dir", values.path, no_value),
    Option("env-file", values.optional_path, no_value),
    Option("umask", values.file_mask, no_value),
    Option("output", values.path, no_value),
    Option("keep-runs", values.integer(1, 999_999_999), no_value),
    Option("keep-days", values.integer(1, 36_500), no_value),
    Option("keep-output", values.size_or_none, no_value),
    Option("on", values.nodes, no_value),
    Option("node-loss", values.choice("skip", "rerun"), no_value),
    Option("on-partition", values.choice("skip", "run"), no_value),
)


BY_NAME = {option.name: option for option in OPTIONS}


def to_json(options: Options) -> dict[str, object]:
    """Return the options that differ from cron's defaults, under the names used in a crontab."""
    return {
        field.name.replace("_", "-"): getattr(options, field.name)
        for field in fields(options)
        if getattr(options, field.name) != field.default
    }


def from_json(document: Mapping[str, Any]) -> Options:
    """Return the options in a document of `to_json`; unknown names and impossible values are ignored."""
    known = {name.replace("-", "_"): value for name, value in document.items()}
    if isinstance(known.get("success"), list):
        known["success"] = tuple(known["success"])
    return Options(
        **{
            field.name: known[field.name]
            for field in fields(Options)
            if field.name in known and _is_possible(known[field.name], field.type)
        }
    )


def _is_possible(value: object, kind: Any) -> bool:
    """Return whether a field of this type may have the value."""
    if isinstance(value, tuple):
        return kind == tuple[int, ...] and all(type(part) is int for part in value)
    kinds = (kind,) if get_origin(kind) is Literal else get_args(kind) or (kind,)
    if type(value) in {int, float} and float in kinds:
        return 0 <= value <= MAX_DURATION  # type: ignore[operator] # it is a number
    if type(value) is int:
        return int in kinds and abs(value) < 1 << 63
    return type(value) in kinds or value in [word for part in kinds for word in get_args(part)]
