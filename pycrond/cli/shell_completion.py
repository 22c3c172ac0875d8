"""Completions for shells, made by shtab from the parser of the command line when a wheel is built."""

import argparse
from collections.abc import Iterator

from pycrond.cli.parser import build_parser

SHELLS = ("bash", "zsh", "fish")


def script(shell: str) -> str:
    """Return the text for one of SHELLS; raise ImportError where shtab is not installed."""
    import shtab

    kinds = {"FILE": shtab.FILE, "DIR": shtab.DIRECTORY}
    parser = build_parser()
    for command in _parsers(parser):
        for action in command._actions:  # noqa: SLF001 -- argparse has no other way to ask
            if action.metavar in kinds:
                action.complete = kinds[action.metavar]  # type: ignore[attr-defined]
    text: str = shtab.complete(parser, shell=shell)
    return text


def _parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield the parser and those of its commands."""
    yield parser
    for action in parser._actions:  # noqa: SLF001 -- as above
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 -- as above
            yield from action.choices.values()
