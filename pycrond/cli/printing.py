"""The printing of all commands to standard output and standard error.

Commands print untrusted texts: names, commands, messages about files. Each line passes through `printable`
or, if it is output of a job, through `visible`, so that no text can move the cursor or begin a line.
"""

import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TextIO

from pycrond.errors import Problem, PycrondError, os_reason
from pycrond.host import safe_paths
from pycrond.text import counted, printable, visible

if TYPE_CHECKING:
    from pycrond.cli.render.formatting import Cell
    from pycrond.cli.render.table import StyledLine

MAX_PROBLEMS = 10  # printed after a start or a reload
EXCERPT_LENGTH = 100  # characters of a line above its caret
_DESCRIPTOR = re.compile(r"/dev/(?:fd/([0-9]{1,9})|std(out|err))")


def print_line(text: str, stream: TextIO | None = None) -> None:
    """Print a text as one line, whatever it contains; on standard output unless a stream is given."""
    print(printable(text), file=stream or sys.stdout)


def print_error(text: str) -> None:
    """Print a text as one line on standard error."""
    print_line(text, sys.stderr)


def ask(question: str) -> None:
    """Print a question on standard error without a newline: the answer stands behind it."""
    print(printable(question), end="", file=sys.stderr, flush=True)  # noqa: T201


def print_text(text: str, stream: TextIO | None = None) -> None:
    """Print a text of several lines; its line breaks must not come from users' texts."""
    for line in text.split("\n"):
        print_line(line, stream)


def print_json(document: object) -> None:
    """Print a JSON document as one line of printable ASCII; a number that JSON lacks is null."""
    try:
        text = json.dumps(document, allow_nan=False)
    except ValueError:
        text = json.dumps(json.loads(json.dumps(document), parse_constant=lambda _: None))
    # json.dumps leaves no other control character as it is.
    print(text.replace("\x7f", "\\u007f"))  # noqa: T201


def print_output(line: str, head: str = "", paint: "Callable[[StyledLine], str] | None" = None) -> None:
    """Print a line of a job's output, with `paint` after a head such as the job's name; TABs stay."""
    before = f"{paint([(head, 'dim')])} " if paint else ""
    print(before + visible(line))  # noqa: T201


def write_bytes(data: bytes) -> None:
    """Write a user's text unchanged, for a program that reads it back; on a terminal, as escaped lines."""
    if sys.stdout.isatty():
        for line in data.decode("utf-8", "surrogateescape").splitlines():
            print_output(line)
    else:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


def print_table(rows: "Sequence[Sequence[Cell]]") -> None:
    """Print a table: plain into a pipe; with colours and fitted to the width on a terminal."""
    from pycrond.cli.render import table, terminal

    terminal.show(table.lay_out(table.columns_of(rows), terminal.width()))


def print_problems(problems: Sequence[Problem]) -> None:
    """Print the first problems on standard error, one per line as file:line:column, and count the others."""
    first, more = first_problems(problems)
    for line in (*map(str, first), *([more] if more else [])):
        print_error(line)


def first_problems(problems: Sequence[Problem]) -> tuple[Sequence[Problem], str]:
    """Return at most `MAX_PROBLEMS` problems, errors first if there are more, and a line about the others."""
    if len(problems) <= MAX_PROBLEMS:
        return problems, ""
    ordered = sorted(problems, key=lambda problem: problem.severity)
    others = [problem.severity for problem in ordered[MAX_PROBLEMS:]]
    kinds = [counted(others.count(kind), kind) for kind in ("error", "warning") if kind in others]
    return ordered[:MAX_PROBLEMS], f"and {' and '.join(kinds)} more: pycrond check shows them all"


def print_with_carets(problems: Sequence[Problem], data: bytes) -> None:
    """Print problems of a text on standard error, each with its line and a caret at its column."""
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    for problem in problems:
        for line in (str(problem), *caret(problem, lines)):
            print_error(line)


def caret(problem: Problem, lines: Sequence[str]) -> Sequence[str]:
    """Return a problem's line, or an excerpt, and a caret below its column; nothing without a column."""
    if not (problem.line and problem.column and problem.line <= len(lines)):
        return ()
    line, offset = lines[problem.line - 1], problem.column - 1
    begin = max(0, offset - EXCERPT_LENGTH // 2) if len(line) > EXCERPT_LENGTH else 0
    before, after = printable(line[begin:offset]), printable(line[offset : begin + EXCERPT_LENGTH])
    return f"    {before}{after}", f"    {' ' * len(before)}^"


def write_document(file: str, text: str, mode: int | None = None) -> None:
    """Write a text to a file that only root and this user can replace; `-` is standard output.

    An existing file is replaced, with its mode unless one is given. Raises PycrondError, or BrokenPipeError.
    """
    data = text.encode("utf-8", "surrogateescape")
    descriptor = _DESCRIPTOR.fullmatch(file)
    try:
        if file == "-":
            print_text(text.removesuffix("\n"))
        elif descriptor:
            number = int(descriptor[1] or {"out": 1, "err": 2}[descriptor[2]])
            with open(number, "wb", closefd=False) as stream:
                stream.write(data)
        else:
            with safe_paths.place(file) as entry:
                old = entry.status.st_mode & 0o777 if entry.status else 0o666 & ~_umask()
                safe_paths.replace(entry, data, old if mode is None else mode)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise PycrondError(f"cannot write {file}: {os_reason(error)}") from error


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
