"""Functions that read the values of options. The text of their ValueError describes the accepted values."""

import re
from collections.abc import Callable

from pycrond.setting_values import LABEL_FORM, RESERVED_LABELS, is_label

MAX_PING_OUTPUT = 1 << 20  # bytes; healthchecks.io keeps 100 kB
BLOCK = 4096  # bytes
MAX_PATH = 4000  # characters
MAX_PORT = 65_535
MAX_DURATION = 36_500 * 86_400  # seconds
GLOBAL_PREFIX = "global:"
"""The prefix of a lock that the jobs of all users share."""
CLUSTER_PREFIX = "cluster:"
"""The prefix of a lock that all nodes of a cluster share; `GLOBAL_PREFIX` may follow."""
SHARED_PREFIX = "one:"
"""The prefix of a label: only one of the nodes with the label runs each fire."""

_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_SIZE_BYTES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def duration(text: str) -> float:
    """Return a number of seconds, as an int if it is whole."""
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


def matching(pattern: str, description: str) -> Callable[[str], str]:
    """Return a reader that accepts the texts that match a pattern."""

    def read(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(description)
        return text

    return read


job_name = matching(r"\w[\w.:@+-]{0,99}", "a name of letters, digits and . _ - : @ +, at most 100 of them")
io_class = matching(
    r"idle|(?:best-effort|realtime)(?::[0-7])?",
    "idle, best-effort or realtime, the last two with a level such as best-effort:7",
)
_LABEL = "[A-Za-z0-9_-]{1,63}"  # of a host's name
_URL = re.compile(
    rf"https?://(?:(?:{_LABEL}\.)*{_LABEL}\.?|\[(?P<address>[0-9A-Fa-f:]+)\])(?::(?P<port>[0-9]{{1,5}}))?(?:[/?#][!-~]*)?"
)
path = matching(
    rf"(?!~[^/])[^\0-\x1f\x7f]{{1,{MAX_PATH}}}", "a path, which begins with / or ~/ or is relative to HOME"
)


def url(text: str) -> str:
    match = _URL.fullmatch(text)
    if not match or not 0 < int(match["port"] or 80) <= MAX_PORT or not _is_ipv6(match["address"] or "::"):
        raise ValueError("a URL that begins with http:// or https://, with a host and without a user")
    return text


def _is_ipv6(text: str) -> bool:
    before, gap, after = text.partition("::")
    groups = [group for part in (before, after) if part for group in part.split(":")]
    return all(0 < len(group) < 5 for group in groups) and (len(groups) < 8 if gap else len(groups) == 8)


def lock_name(text: str) -> str:
    """Return the name of a lock of the job's user. With the prefix `global:` it is a lock of all users, with
    `cluster:` or `cluster:global:` a lock of all nodes.
    """
    name = job_name(text.removeprefix(CLUSTER_PREFIX).removeprefix(GLOBAL_PREFIX))
    for prefix in (GLOBAL_PREFIX, CLUSTER_PREFIX):
        if name.startswith(prefix):
            raise ValueError(f"a name that begins with {prefix} once at most")
    return text


def nodes(text: str) -> str:
    """Return the nodes on which a job runs: `every`, `one`, a label (all nodes with it), or `one:LABEL`."""
    if text not in RESERVED_LABELS and not is_label(text.removeprefix(SHARED_PREFIX)):
        raise ValueError(f"every, one, or {LABEL_FORM}, alone or after one:")
    return text


def command(text: str) -> str:
    if not text.strip():
        raise ValueError("a command")
    return text


def size(text: str) -> int:
    """Return a number of bytes."""
    match = re.fullmatch(r"([0-9]{1,12})([kmgt]?)(?:i?b)?", text.lower())
    if not match or not int(match[1]):
        raise ValueError("a size such as 512M or 2G")
    return int(match[1]) * _SIZE_BYTES[match[2]]


def size_or_none(text: str) -> int:
    """Return a number of bytes: 0, or at least one block of a disk."""
    number = 0 if text == "0" else size(text)
    if 0 < number < BLOCK:
        raise ValueError("a size of at least 4k, or 0")
    return number


def processors(text: str) -> float:
    """Return a number of processors; 1 is the full time of one processor."""
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


def ping_output(text: str) -> str:
    try:
        is_valid = text == "0" or size(text.removeprefix("always:")) <= MAX_PING_OUTPUT
    except ValueError:
        is_valid = False
    if not is_valid:
        raise ValueError("a size such as 10k, always:10k or 0, of at most 1M")
    return text


def optional_path(text: str) -> str:
    return "-" * text.startswith("-") + path(text.removeprefix("-"))


def file_mask(text: str) -> str:
    if not re.fullmatch("0?[0-7]{1,3}", text):
        raise ValueError("an octal number such as 027")
    return f"{int(text, 8):03o}"


def yes_no(text: str) -> bool:
    return choice("yes", "no")(text) == "yes"


def yes_no_or(word: str) -> Callable[[str], bool | str]:
    """Return a reader that accepts `yes`, `no` and the given word."""
    return lambda text: text if choice("yes", "no", word)(text) == word else text == "yes"
