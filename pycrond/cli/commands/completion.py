"""Completions for shells, made by shtab from the command line's own table when a wheel is built."""

import argparse

from pycrond.cli.parser import build_parser

SHELLS = ("bash", "zsh", "fish")
FILES, FOLDERS = {"FILE"}, {"DIR"}


def script(shell: str) -> str:
    """The text for one of SHELLS; raises ImportError where shtab is not installed."""
    import shtab

    whole = build_parser()
    for one in _all(whole):
        for action in one._actions:  # noqa: SLF001 -- argparse has no other way to ask
            if action.metavar in FILES or action.dest in {"pidfile", "mailer_password_file"}:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
            elif action.metavar in FOLDERS:
                action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
    text: str = shtab.complete(whole, shell=shell)
    return text


def _all(whole: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    found = [whole]
    for action in whole._actions:  # noqa: SLF001
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            found += action.choices.values()
    return found
