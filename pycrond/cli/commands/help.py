"""help: the help of a command, an option of a job or a setting."""

import argparse
import difflib
import textwrap
from collections.abc import Iterable
from dataclasses import fields

from pycrond.cli.option_texts import TEXTS
from pycrond.cli.parser import build_parser
from pycrond.cli.render import terminal
from pycrond.errors import PycrondError
from pycrond.settings import Settings, flag

MAX_WIDTH = 100  # columns


def help(arguments: argparse.Namespace) -> int:  # noqa: A001 -- as the command is called
    """Print the help of a word, or without one the names of all commands, options and settings."""
    parser = build_parser()
    settings = {flag(setting.name)[2:]: setting for setting in fields(Settings)}
    if arguments.word is None:
        _overview(parser, settings)
        return 0
    word = arguments.word.lower()
    name = word.removesuffix("=").removeprefix("pycrond_").replace("_", "-")
    commands = _commands(parser)
    if word in commands:
        commands[word].print_help()
    elif name in TEXTS:
        print(f"{name}={TEXTS[name].form}    (an option of a job)")
        print("\n\n".join(_wrapped(text.replace("`", "'")) for text in TEXTS[name].paragraphs))
    elif name in settings:
        print(f"--{name}, PYCROND_{settings[name].name.upper()}    (a setting)")
        print(_wrapped(settings[name].metadata["help"]))
    else:
        matches = difflib.get_close_matches(name, [*commands, *TEXTS, *settings], 3)
        hint = f"did you mean {', '.join(matches)}?" if matches else "see 'pycrond help'"
        raise PycrondError(f"there is no command, option or setting '{arguments.word}' ({hint})")
    return 0


def _commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    action = next(
        action
        for action in parser._actions  # noqa: SLF001 -- argparse has no other way to ask
        if isinstance(action, argparse._SubParsersAction)  # noqa: SLF001
    )
    return dict(action.choices)


def _overview(parser: argparse.ArgumentParser, settings: Iterable[str]) -> None:
    parser.print_help()
    for title, names in (("options of a job", TEXTS), ("settings", settings)):
        print(f"\n{title}, for 'pycrond help NAME':\n{_wrapped(' '.join(names))}")


def _wrapped(text: str) -> str:
    width = min(terminal.width(), MAX_WIDTH)
    return textwrap.fill(text, width, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)
