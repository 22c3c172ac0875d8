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

MAX_COMMAND = 400  # characters of a command that are parsed
MAX_PROGRAM = 20  # characters
MAX_NESTING = 3  # levels of sh -c
DIGITS = 4  # digits of the hash in a name, if they identify the job
HASH = re.compile(r"[0-9a-f]{12}(?:-[0-9]+)?")
"""Matches the end of a key that contains the hash of the entry."""

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
"""Commands that prepare or test: they name a job only if it has no other command."""
_HELPERS = frozenset(("true", "false", "sleep", "echo", "printf", "cat", "date", "pwd"))
"""Commands that wait or print: they name a job only if its other commands are guards."""
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
"""Programs that start another program: their short options with a value, and their number of arguments."""
_SHELLS = frozenset(("sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "su", "flock", "runuser"))
"""Programs whose option -c has a command as its value."""
_INTERPRETER = re.compile(r"(?:ba|da|a|k|mk|z)?sh|(?:python|pypy|perl|ruby|node|php|lua)[0-9.]*|java|Rscript")
_OPTION_WITH_VALUE = {"W", "X", "I", "d", "o", "O", "D", "r"}


def display_name(key: str, name: str | None, command: str) -> str:
    """Return the name of a job for people: its own, or one like `backup.py~3f2a` from its command and key."""
    return _display_name(key, name, command, DIGITS)


def display_names(jobs: Iterable[tuple[str, str | None, str]]) -> dict[str, str]:
    """Return the names by key of jobs given as key, name and command. Equal names get all digits."""
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
    """Return the main program or script of a command, with letters, digits and . _ + @ - only.

    It is `job` for a command without a program.
    """
    name = _program(storable(command)[:MAX_COMMAND], MAX_NESTING)
    return _safe(name) or "job"


def _safe(text: str) -> str:
    text = "".join(char for char in _UNSAFE.sub("-", text) if char.isprintable())
    return text.strip("-.")[:MAX_PROGRAM].rstrip("-.")


def _program(command: str, nesting: int) -> str:
    names = [_weighted_name(words, nesting) for words in _simple_commands(command)]
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


def _weighted_name(words: Sequence[str], nesting: int) -> tuple[str, int]:
    """Return the name of a simple command and the weight of the name: 0 (no name) to 3 (names a job well)."""
    index = 0
    while index < len(words):
        word = words[index]
        name = _base(word)
        if _ASSIGNMENT.match(word) or (
            word in _PREFIXES and words[index + 1 : index + 2] not in (["-v"], ["-V"])
        ):
            index += 1
            continue
        inner = _inner_command(words[index:]) if name in _SHELLS else None
        if inner is not None and nesting:
            return _program(inner, nesting - 1) or name, 3
        if name not in _WRAPPERS:
            return _weighted_program(name, words[index + 1 :])
        after = _after_wrapper(words, index + 1, *_WRAPPERS[name])
        if after >= len(words):
            return name, 3
        index = after
    return "", 0


def _base(word: str) -> str:
    return word.rstrip("/").rpartition("/")[2]


def _inner_command(words: Sequence[str]) -> str | None:
    """Return the command of `sh -c COMMAND`; other letters may precede the c."""
    for option, value in pairwise(words[1:]):
        if re.fullmatch(r"-[a-zA-Z]*c|--command", option):
            return value
    return None


def _after_wrapper(words: Sequence[str], index: int, with_value: str, argument_count: int) -> int:
    """Return the index of the program that a wrapper starts."""
    while index < len(words):
        word = words[index]
        if word.startswith("-") and len(word) > 1:
            index += 1 + (len(word) == 2 and word[1] in with_value)
        elif _ASSIGNMENT.match(word):
            index += 1
        elif argument_count:
            argument_count -= 1
            index += 1
        else:
            break
    return index


def _weighted_program(name: str, arguments: Sequence[str]) -> tuple[str, int]:
    """Return the name and weight of a program: the script of an interpreter, the directory of run-parts."""
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
