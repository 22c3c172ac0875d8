"""Readable names of jobs without a name, made from the program that their command starts. Pure.

The name is a label, not an analysis: it takes some microseconds, needs no shell, and is the same in the
daemon and in the command line.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise

from pycrond.text import storable

MAX_COMMAND = 400  # characters of a command that are looked at
MAX_PROGRAM = 20  # characters
MAX_NESTING = 3  # commands within arguments of sh -c
DIGITS = 4  # of the hash, where they are enough
HASH = re.compile(r"[0-9a-f]{12}(?:-[0-9]+)?")
"""The end of a key that was made from the entry."""

_QUOTES = r"""\\.|'[^']*'?|"(?:[^"\\]|\\.)*"?"""
_TOKEN = re.compile(
    r"[ \t]+|(?P<comment>(?<![^ \t\n;&|()])\#[^\n]*)|(?P<redirect>[0-9]*&?[<>]+[&|]?[ \t]*)"
    r"|(?P<end>[;&|\n()`]+)"
    rf"""|(?P<word>(?:{_QUOTES}|\$\((?:{_QUOTES}|[^'"\\)])*\)?|[^\s'"\\;&|()`<>])+)|.""",
    re.DOTALL,
)
_QUOTED = re.compile(r"""\\(.)|'([^']*)'?|"((?:[^"\\]|\\.)*)"?""", re.DOTALL)
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_UNSAFE = re.compile(r"[^\w.+@-]+")
_PREFIXES = frozenset(
    "! { if then else elif while until do time exec command builtin nohup setsid chronic".split()  # noqa: SIM905
)
_GUARDS = frozenset(
    """
    command [ [[ test cd : . source export set unset umask ulimit exit wait trap fi done } type which mkdir
    for case esac in shift local read return
    """.split()  # noqa: SIM905 -- easier to read than a list
)
"""Commands that prepare or guard: they name a job only if it has nothing else."""
_HELPERS = frozenset(("true", "false", "sleep", "echo", "printf", "cat", "date", "pwd"))
"""Commands that wait or report: they name a job only if it has nothing else but guards."""
_WRAPPERS = {
    "env": ("uSC", 0),
    "nice": ("n", 0),
    "ionice": ("cnpPu", 0),
    "timeout": ("ks", 1),
    "flock": ("wEC", 1),
    "sudo": ("ugpCDhRTrt", 0),
    "doas": ("uC", 0),
    "runuser": ("ugGsw", 0),
    "chrt": ("TPD", 1),
    "taskset": ("", 1),
    "stdbuf": ("ioe", 0),
    "systemd-cat": ("tpP", 0),
    "busybox": ("", 0),
    "xargs": ("IndPLs", 0),
    "cronitor": ("", 1),
}
"""Programs that start the one that matters: their short options with a value, and their own arguments."""
_SHELLS = frozenset(("sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "su", "flock", "runuser"))
"""Programs whose -c has a command."""
_INTERPRETER = re.compile(r"(?:ba|da|a|k|mk|z)?sh|(?:python|pypy|perl|ruby|node|php|lua)[0-9.]*|java|Rscript")
_OPTION_WITH_VALUE = {"W", "X", "I", "d", "o", "O", "D", "r"}


def display_name(key: str, name: str | None, command: str) -> str:
    """Return the name of a job for people: its own, or `backup.py~3f2a` from its command and its key."""
    return _display_name(key, name, command, DIGITS)


def display_names(jobs: Iterable[tuple[str, str | None, str]]) -> dict[str, str]:
    """Return the names by key of jobs given as key, name and command; with all digits where two are equal."""
    jobs = list(jobs)
    names = {key: display_name(key, name, command) for key, name, command in jobs}
    counts = Counter(names.values())
    for key, name, command in jobs if len(counts) < len(names) else ():
        if counts[names[key]] > 1:
            names[key] = _display_name(key, name, command, None)
    return names


def is_named(word: str, key: str, name: str | None, command: str) -> bool:
    """Return whether a word is the display name of a job, with any number of digits from `DIGITS`."""
    _, tilde, digits = word.rpartition("~")
    short = key.partition("/")[2]
    number, _, copy = digits.partition("-")
    if not tilde or len(number) < DIGITS or not short.startswith(number) or short.partition("-")[2] != copy:
        return False
    return _display_name(key, name, command, len(number)) == word


def _display_name(key: str, name: str | None, command: str, digits: int | None) -> str:
    short = key.partition("/")[2]
    if short == name or not HASH.fullmatch(short):
        return short or key
    number, dash, copy = short.partition("-")
    return f"{name or program(command)}~{number[:digits]}{dash}{copy}"


@lru_cache(maxsize=4096)
def program(command: str) -> str:
    """Return the program or script that matters in a command: letters, digits and . _ + @ - only.

    It is `job` where there is none.
    """
    name = _program(storable(command)[:MAX_COMMAND], MAX_NESTING)
    return _safe(name) or "job"


def _safe(text: str) -> str:
    text = "".join(char for char in _UNSAFE.sub("-", text) if char.isprintable())
    return text.strip("-.")[:MAX_PROGRAM].rstrip("-.")


def _program(command: str, nesting: int) -> str:
    names = [_of_words(words, nesting) for words in _simple_commands(command)]
    return max(names, key=lambda name: name[1], default=("", 0))[0]


def _simple_commands(command: str) -> Iterator[list[str]]:
    """Yield the words of each simple command, without redirections, roughly as a shell splits them."""
    words: list[str] = []
    skip = False
    for token in _TOKEN.finditer(command):
        kind = token.lastgroup
        if kind == "word" and not skip:
            words.append(_unquoted(token[0]))
        elif kind == "end":
            yield words
            words = []
        skip = kind == "redirect" or (skip and kind is None)
    yield words


def _unquoted(word: str) -> str:
    return _QUOTED.sub(lambda match: match[1] or match[2] or match[3] or "", word)


def _of_words(words: Sequence[str], nesting: int) -> tuple[str, int]:
    """Return the name of a simple command, and how well it names a job: from 0, nothing, to 3."""
    place = 0
    while place < len(words):
        word = words[place]
        name = _base(word)
        if _ASSIGNMENT.match(word) or (
            word in _PREFIXES and words[place + 1 : place + 2] not in (["-v"], ["-V"])
        ):
            place += 1
            continue
        inner = _inner_command(words[place:]) if name in _SHELLS else None
        if inner is not None and nesting:
            return _program(inner, nesting - 1) or name, 3
        if name not in _WRAPPERS:
            return _of_program(name, words[place + 1 :])
        after = _after_wrapper(words, place + 1, *_WRAPPERS[name])
        if after >= len(words):
            return name, 3
        place = after
    return "", 0


def _base(word: str) -> str:
    return word.rstrip("/").rpartition("/")[2]


def _inner_command(words: Sequence[str]) -> str | None:
    """Return the command of `sh -c COMMAND`, also with other letters before the c."""
    for option, value in pairwise(words[1:]):
        if re.fullmatch(r"-[a-zA-Z]*c|--command", option):
            return value
    return None


def _after_wrapper(words: Sequence[str], place: int, with_value: str, own: int) -> int:
    """Return the place of the program that a wrapper starts."""
    while place < len(words):
        word = words[place]
        if word.startswith("-") and len(word) > 1:
            place += 1 + (len(word) == 2 and word[1] in with_value)
        elif _ASSIGNMENT.match(word):
            place += 1
        elif own:
            own -= 1
            place += 1
        else:
            break
    return place


def _of_program(name: str, arguments: Sequence[str]) -> tuple[str, int]:
    """Return the name and worth of a program: of an interpreter its script, of run-parts its directory."""
    operands = [word for word in arguments if not word.startswith("-")]
    if name == "run-parts" and operands:
        return f"run-parts-{_base(operands[-1])}", 3
    if _INTERPRETER.fullmatch(name):
        script = _script(arguments)
        return script or name, 3 if script else 2  # code in an argument often only waits
    return name, 1 if name in _GUARDS else 2 if name in _HELPERS else 3


def _script(arguments: Sequence[str]) -> str:
    """Return the script, module or archive that an interpreter runs; empty for code in its arguments."""
    words = iter(arguments)
    for word in words:
        if word in {"-m", "-jar", "-f", "--file"}:
            return _base(next(words, ""))
        if word in {"-c", "-e", "-E", "--eval", "-"}:
            return ""
        if not word.startswith("-"):
            return _base(word)
        if len(word) == 2 and word[1] in _OPTION_WITH_VALUE:
            next(words, None)
    return ""
