"""help: the help of a command, an option of a job or a setting."""

import argparse
import textwrap
from collections.abc import Iterable

from pycrond.cli.option_texts import TEXTS
from pycrond.cli.parser import COMMANDS, build_parser, parse, suggestion
from pycrond.cli.printing import print_line, print_text
from pycrond.cli.render import terminal
from pycrond.errors import PycrondError
from pycrond.settings import SETTINGS

MAX_WIDTH = 100  # columns


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("word", nargs="?", metavar="WORD", help="a command, an option of a job or a setting")


def run(options: argparse.Namespace) -> int:
    """Print the help of a word, or without one the names of all commands, options and settings."""
    settings = {setting.key: setting for setting in SETTINGS.values()}
    if options.word is None:
        _print_overview(settings)
        return 0
    word = options.word.lower()
    name = word.removesuffix("=").removeprefix("pycrond_").removeprefix("--").replace("_", "-")
    if word in COMMANDS:
        parse([word, "--help"])  # prints and exits
    elif name in TEXTS:
        print_line(f"{name}={TEXTS[name].form}    (an option of a job)")
        print_text("\n\n".join(_wrapped(text.replace("`", "'")) for text in TEXTS[name].paragraphs))
    elif name in settings:
        print_line(f"{settings[name].flag}, {settings[name].variable}    (a setting)")
        print_text(_wrapped(settings[name].help))
    else:
        hint = suggestion(name, {**COMMANDS, **TEXTS, **settings}) or "; see 'pycrond help'"
        raise PycrondError(f"'{options.word}' is no command, option or setting{hint}")
    return 0


def _print_overview(settings: Iterable[str]) -> None:
    build_parser(with_arguments=False).print_help()
    for title, names in (("options of a job", TEXTS), ("settings", settings)):
        print_text(f"\n{title}, for 'pycrond help NAME':\n{_wrapped(' '.join(names))}")


def _wrapped(text: str) -> str:
    width = min(terminal.width(), MAX_WIDTH)
    return textwrap.fill(text, width, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)
