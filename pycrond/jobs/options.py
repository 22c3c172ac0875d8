"""The options of a job: what `#:` lines and PYCROND_ assignments may say, each typed, with cron's default."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

Overlap = Literal["allow", "skip", "queue", "replace"]
Missed = Literal["skip", "once", "all"]
Mail = Literal["always", "failure", "never"]
Nodes = Literal["every", "one"]


@dataclass(frozen=True, slots=True)
class Options:
    """How a job is to be run. Durations are in seconds, `memory` in bytes; None: no such limit or wish."""

    name: str | None = None
    timeout: float | None = None
    grace: float = 10
    overlap: Overlap = "allow"
    lock: str | None = None
    missed: Missed | None = None
    """None is cron's rule for clock steps, and `skip` for what came while no daemon ran."""
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
    log: bool = True
    on: Nodes = "every"
    mailto: str | None = None
    """What MAILTO says, empty for nobody; None is the job's user. As MAILFROM, no option but a variable."""
    mailfrom: str | None = None

    @property
    def may_be_mailed(self) -> bool:
        """Whether a run's output may go by mail."""
        return self.mail != "never" and self.mailto != ""

    @property
    def is_unconditional(self) -> bool:
        """Whether a fire of such a job starts whatever else runs, a pause and `max-running` apart."""
        return self.overlap == "allow" and self.lock is None and self.within is None


CRON = Options()
"""What plain cron does."""

Value = str | int | float | bool | tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Option:
    """A row of the table of options. `read` makes the value; its ValueError says what is wanted."""

    name: str
    read: Callable[[str], Value]
    meaning: str
    carried_out: bool = True

    @property
    def attribute(self) -> str:
        return self.name.replace("-", "_")


LONGEST = 36_500 * 86_400
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_SIZES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def duration(text: str) -> float:
    """Seconds, an int where they are whole."""
    if text == "0":
        return 0
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([smhd])", text)
    if not found:
        raise ValueError("a duration such as 90s, 5m, 2h or 1d")
    seconds = float(found[1]) * _UNITS[found[2]]
    if seconds > LONGEST:
        raise ValueError("a duration of at most 36500d")
    return int(seconds) if seconds.is_integer() else seconds


def positive_duration(text: str) -> float:
    seconds = duration(text)
    if not seconds:
        raise ValueError("a duration of more than 0s")
    return seconds


def one_of(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"one of {', '.join(words)}")
        return text

    return read


def whole(first: int, last: int) -> Callable[[str], int]:
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
    return job_name(text.removeprefix("global:")) and text


def command(text: str) -> str:
    if not text.strip():
        raise ValueError("a command")
    return text


def io_class(text: str) -> str:
    if not re.fullmatch(r"idle|(?:best-effort|realtime)(?::[0-7])?", text):
        raise ValueError("idle, best-effort or realtime, the last two with a level such as best-effort:7")
    return text


def size(text: str) -> int:
    """Bytes."""
    found = re.fullmatch(r"([0-9]{1,12})([kmgt]?)(?:i?b)?", text.lower())
    if not found or not int(found[1]):
        raise ValueError("a size such as 512M or 2G")
    return int(found[1]) * _SIZES[found[2]]


def processors(text: str) -> float:
    """How many processors' worth of time."""
    found = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,6})?)(%?)", text)
    share = float(found[1]) / (100 if found[2] else 1) if found else 0
    if not share:
        raise ValueError("a number of processors such as 0.5 or 50%")
    return share


def exit_statuses(text: str) -> tuple[int, ...]:
    statuses: set[int] = set()
    for part in text.split(","):
        found = re.fullmatch(r"([0-9]{1,3})(?:-([0-9]{1,3}))?", part)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if not first <= last <= 255:
            raise ValueError("exit statuses such as 0,1 or 0-3, up to 255")
        statuses.update(range(first, last + 1))
    return tuple(sorted(statuses))


def url(text: str) -> str:
    if not re.fullmatch(r"https?://[!-~]+", text):
        raise ValueError("a URL that begins with http:// or https://")
    return text


def yes_no(text: str) -> bool:
    return one_of("yes", "no")(text) == "yes"


OPTIONS = (
    Option("name", job_name, "what the job is called"),
    Option("timeout", positive_duration, "end the run after this long"),
    Option("grace", duration, "wait this long between TERM and KILL"),
    Option("overlap", one_of("allow", "skip", "queue", "replace"), "when it is due while still running"),
    Option("lock", lock_name, "of the jobs with this lock one runs at a time"),
    Option("missed", one_of("skip", "once", "all"), "what to do about fire times that were missed"),
    Option("within", positive_duration, "catch up only what was missed no longer ago"),
    Option("retries", whole(0, 1_000), "try again so many times after a failure"),
    Option("retry-delay", duration, "wait before the first retry, doubling"),
    Option("jitter", duration, "start up to this much later"),
    Option("nice", whole(-20, 19), "the niceness of the run"),
    Option("ionice", io_class, "the I/O class of the run"),
    Option("memory", size, "the most memory a run may use"),
    Option("cpu", processors, "the most processor time a run may use, in processors"),
    Option("success", exit_statuses, "the exit statuses that count as success"),
    Option("mail", one_of("always", "failure", "never"), "when the output is mailed"),
    Option("on-failure", command, "run after a failure"),
    Option("on-success", command, "run after a success"),
    Option("on-recovery", command, "run after the first success that follows a failure"),
    Option("on-missed", command, "run when a fire time was missed"),
    Option("alarm-repeat", positive_duration, "repeat an alarm after this long"),
    Option("expect", positive_duration, "sound an alarm if it has not succeeded for this long"),
    Option("ping", url, "tell this URL of starts and endings"),
    Option("log", yes_no, "whether starts and endings are logged"),
    Option("on", one_of("every", "one"), "on how many machines of a cluster it runs", carried_out=False),
)

BY_NAME = {option.name: option for option in OPTIONS}


def to_json(options: Options) -> dict[str, object]:
    """What differs from cron's defaults, under the names used in a crontab."""
    return {
        field.name.replace("_", "-"): getattr(options, field.name)
        for field in fields(options)
        if getattr(options, field.name) != field.default
    }


def from_json(document: Mapping[str, Any]) -> Options:
    """The inverse of `to_json`; names that are unknown here are left out."""
    known = {name.replace("-", "_"): value for name, value in document.items()}
    values = {field.name: known[field.name] for field in fields(Options) if field.name in known}
    if "success" in values:
        values["success"] = tuple(values["success"])
    return Options(**values)
