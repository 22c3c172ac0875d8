"""help: what the manual says of a word."""

import argparse
import difflib
import re
from collections.abc import Iterator

from pycrond.cli.render import mdoc, terminal
from pycrond.cli.setup import data_files
from pycrond.errors import PycrondError

PAGES = {"pycrond(8)": "man/man8/pycrond.8", "pycrond.crontab(5)": "man/man5/pycrond.crontab.5"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="WORD")


def run(options: argparse.Namespace) -> int:
    """The parts of both manual pages that are about a word; without one, what there is."""
    parts = list(_parts())
    if not options.words:
        _overview(parts)
        return 0
    asked = " ".join(options.words)
    word = asked.lower().removesuffix("=")
    found = [(page, part) for page, part in parts if word in _names(part)]
    if not found:
        words = sorted({name for _, part in parts for name in _names(part)})
        near = difflib.get_close_matches(word, words, 3)
        hint = f" (did you mean {', '.join(near)}?)" if near else " (see 'pycrond help')"
        raise PycrondError(f"the manual has no entry '{asked}'{hint}")
    for page, part in found:
        print(f"{part.head}    [{page}, {part.section}]")
        print("\n".join(mdoc.rendered(part.lines, min(terminal.width(), 100), "    ")))
    return 0


def _parts() -> Iterator[tuple[str, mdoc.Part]]:
    files = data_files.files()
    for page, name in PAGES.items():
        if name not in files:
            raise PycrondError(f"the manual page {page} was not installed")
        for part in mdoc.parts(files[name].decode()):
            yield page, part


def _names(part: mdoc.Part) -> set[str]:
    """What an entry can be asked for by: its first words, a flag with and without its dashes."""
    if _is_section(part):
        return {part.head.lower()}
    heads = re.split(r"[ ,]+(?=-|[A-Z_]+\b)", part.head)
    words = [re.split(r"[ =\[(|]", head.removeprefix("(CRON) ").strip(), maxsplit=1)[0] for head in heads]
    words += [word.removeprefix("SIG") for word in words]
    return {name for word in words if word for name in (word.lower(), word.lower().lstrip("-"))}


def _is_section(part: mdoc.Part) -> bool:
    return part.head == part.section


def _overview(parts: list[tuple[str, mdoc.Part]]) -> None:
    commands = [part.head.split()[0] for _, part in parts if part.section == "COMMANDS" and part.is_command]
    print("pycrond help WORD: a command, an option, a setting, a variable, a signal, a section")
    print(f"commands: {' '.join(commands)}")
    for page in PAGES:
        heads = [part.head.lower() for where, part in parts if where == page and _is_section(part)]
        print(f"{page}: {', '.join(heads)}")
