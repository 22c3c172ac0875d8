"""The options of a job, set by `#:` lines and PYCROND_ assignments: their types, readers and defaults."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple, get_args

Overlap = Literal["allow", "skip", "queue", "replace"]
Missed = Literal["skip", "once", "all"]
Mail = Literal["always", "failure", "never"]
Nodes = Literal["every", "one"]


@dataclass(frozen=True, slots=True)
class Options:
    """The options of one job. Durations are in seconds, `memory` is in bytes; None means not set."""

    name: str | None = None
    timeout: float | None = None
    grace: float = 10
    overlap: Overlap = "allow"
    lock: str | None = None
    missed: Missed | None = None
    """None: cron's rule for clock steps, and `skip` for fire times that passed while no daemon ran."""
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
    """A size, with `always:` before it if successes send output, too; `0`: none."""
    ping_redirects: bool = False
    log: bool = True
    on: Nodes = "every"
    mailto: str | None = None
    """The variable MAILTO: empty means no mail, None means mail to the job's user."""
    mailfrom: str | None = None
    """The variable MAILFROM."""

    @property
    def may_be_mailed(self) -> bool:
        """Return whether a run's output may go by mail."""
        return self.mail != "never" and self.mailto != ""

    @property
    def is_unconditional(self) -> bool:
        """Return whether a fire of such a job starts whatever else runs, a pause and `max-running` apart."""
        return self.overlap == "allow" and self.lock is None and self.within is None


CRON = Options()
"""The options that give plain cron's behaviour."""

Value = str | int | float | bool | tuple[int, ...]


class Option(NamedTuple):
    """A row of the table of options. `read` parses a value; its ValueError describes the accepted values."""

    name: str
    read: Callable[[str], Value]
    needs_root: Callable[[Value], bool]
    """Returns whether only root's crontabs may have a value: one that the kernel refuses to a user's process,
    or that concerns other users.
    """
    implemented: bool = True

    @property
    def attribute(self) -> str:
        """The name of the field of `Options`."""
        return self.name.replace("-", "_")


MAX_PING_OUTPUT = 1 << 20  # bytes; healthchecks.io keeps 100 kB
MAX_DURATION = 36_500 * 86_400  # seconds
EXPECT_TOLERANCE = 60.0
"""Seconds by which a success may be later than `expect` and `jitter` allow."""

_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_SIZE_BYTES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def duration(text: str) -> float:
    """Return seconds, as an int if they are a whole number."""
    if text == "0":
        return 0
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([smhd])", text)
    if not match:
        raise ValueError("a duration such as 90s, 5m, 2h or 1d")
    seconds = float(match[1]) * _UNIT_SECONDS[match[2]]
    if seconds > MAX_DURATION:
        raise ValueError("a duration of at most 36500d")
    return int(seconds) if seconds.is_integer() else seconds


def positive_duration(text: str) -> float:
    seconds = duration(text)
    if not seconds:
        raise ValueError("a duration of more than 0s")
    return seconds


def choice(*words: str) -> Callable[[str], str]:
    """Return a reader that accepts one of these words."""

    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"one of {', '.join(words)}")
        return text

    return read


def integer(first: int, last: int) -> Callable[[str], int]:
    """Return a reader that accepts the integers from `first` to `last`."""

    def read(text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,9}", text) or not first <= int(text) <= last:
            raise ValueError(f"a whole number from {first} to {last}")
        return int(text)

    return read


def job_name(text: str) -> str:
    if not re.fullmatch(r"\w[\w.:@+-]{0,99}", text):
        raise ValueError("a name of letters, digits and . _ - : @ +, at most 100 of them")
    return text


def lock_name(text: str) -> str:
    """Return the name of a lock of the job's user, or with the prefix `global:` of all users."""
    name = job_name(text.removeprefix("global:"))
    if name.startswith("global:"):
        raise ValueError("a name that begins with global: once at most")
    return text


def command(text: str) -> str:
    if not text.strip():
        raise ValueError("a command")
    return text


def io_class(text: str) -> str:
    if not re.fullmatch(r"idle|(?:best-effort|realtime)(?::[0-7])?", text):
        raise ValueError("idle, best-effort or realtime, the last two with a level such as best-effort:7")
    return text


def size(text: str) -> int:
    """Return a number of bytes."""
    match = re.fullmatch(r"([0-9]{1,12})([kmgt]?)(?:i?b)?", text.lower())
    if not match or not int(match[1]):
        raise ValueError("a size such as 512M or 2G")
    return int(match[1]) * _SIZE_BYTES[match[2]]


def processors(text: str) -> float:
    """Return a number of processors, 1 for the whole time of one."""
    match = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,6})?)(%?)", text)
    share = float(match[1]) / (100 if match[2] else 1) if match else 0
    if not share:
        raise ValueError("a number of processors such as 0.5 or 50%")
    return share


def exit_statuses(text: str) -> tuple[int, ...]:
    statuses: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"([0-9]{1,3})(?:-([0-9]{1,3}))?", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not first <= last <= 255:
            raise ValueError("exit statuses such as 0,1 or 0-3, up to 255")
        statuses.update(range(first, last + 1))
    return tuple(sorted(statuses))


def url(text: str) -> str:
    if not re.fullmatch(r"https?://[!-~]+", text):
        raise ValueError("a URL that begins with http:// or https://")
    return text


def ping_output(text: str) -> str:
    try:
        is_valid = text == "0" or size(text.removeprefix("always:")) <= MAX_PING_OUTPUT
    except ValueError:
        is_valid = False
    if not is_valid:
        raise ValueError("a size such as 10k, always:10k or 0, of at most 1M")
    return text


def yes_no(text: str) -> bool:
    return choice("yes", "no")(text) == "yes"


def no_value(_value: Value) -> bool:
    return False


def below_zero(value: Value) -> bool:
    return isinstance(value, int) and value < 0


def is_realtime(value: Value) -> bool:
    return str(value).startswith("realtime")


def is_global(value: Value) -> bool:
    return str(value).startswith("global:")


OPTIONS = (
    Option("name", job_name, no_value),
    Option("timeout", positive_duration, no_value),
    Option("grace", duration, no_value),
    Option("overlap", choice("allow", "skip", "queue", "replace"), no_value),
    Option("lock", lock_name, is_global),
    Option("missed", choice("skip", "once", "all"), no_value),
    Option("within", positive_duration, no_value),
    Option("retries", integer(0, 1_000), no_value),
    Option("retry-delay", duration, no_value),
    Option("jitter", duration, no_value),
    Option("nice", integer(-20, 19), below_zero),
    Option("ionice", io_class, is_realtime),
    Option("memory", size, no_value),
    Option("cpu", processors, no_value),
    Option("success", exit_statuses, no_value),
    Option("mail", choice("always", "failure", "never"), no_value),
    Option("on-failure", command, no_value),
    Option("on-success", command, no_value),
    Option("on-recovery", command, no_value),
    Option("on-missed", command, no_value),
    Option("alarm-repeat", positive_duration, no_value),
    Option("expect", positive_duration, no_value),
    Option("ping", url, no_value),
    Option("ping-output", ping_output, no_value),
    Option("ping-redirects", yes_no, bool),
    Option("log", yes_no, lambda value: value is False),
    Option("on", choice("every", "one"), no_value, implemented=False),
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
    """Return the options that `to_json` wrote; unknown names and impossible values are ignored."""
    known = {name.replace("-", "_"): value for name, value in document.items()}
    if isinstance(known.get("success"), list):
        known["success"] = tuple(known["success"])
    values = {field.name: known[field.name] for field in fields(Options) if field.name in known}
    return Options(**{name: value for name, value in values.items() if _is_possible(value, _TYPES[name])})


_TYPES = {field.name: field.type for field in fields(Options)}


def _is_possible(value: object, kind: Any) -> bool:
    """Return whether a value may be that of a field with this type."""
    if isinstance(value, tuple):
        return kind == tuple[int, ...] and all(type(part) is int for part in value)
    kinds = get_args(kind) or (kind,)
    if type(value) in {int, float} and float in kinds:
        return 0 <= value <= MAX_DURATION  # type: ignore[operator] # it is a number
    if type(value) is int:
        return int in kinds and abs(value) < 1 << 63
    return type(value) in kinds or value in [word for part in kinds for word in get_args(part)]
