"""Completions for shells, made by shtab from the parser of the command line when a wheel is built.

The names of jobs come from `pycrond list --names` when a key is pressed: from the daemon or the ledger. There
are none if neither can be read.
"""

import argparse
from collections.abc import Iterator, Sequence

from pycrond.cli.parser import COMMANDS, build_parser
from pycrond.jobs.options import BY_NAME
from pycrond.jobs.run import State
from pycrond.settings import SETTINGS

SHELLS = ("bash", "zsh", "fish")
Completion = dict[str, str | dict[str, str]]
"""The function or the words that complete an argument, and the text that defines the function, by shell."""
JOBS: Completion = {
    "bash": "_pycrond_jobs",
    "zsh": "_pycrond_jobs",
    "fish": "(pycrond list --names 2>/dev/null)",
    "preamble": {
        # Not by compgen -W, which would expand the names.
        "bash": """\
_pycrond_jobs() {
  local name
  while IFS= read -r name; do
    [[ $name == "$1"* ]] && printf '%s\\n' "$name"
  done < <(pycrond list --names 2>/dev/null)
}""",
        "zsh": """\
_pycrond_jobs() {
  local -a names
  names=(${(f)"$(pycrond list --names 2>/dev/null)"})
  compadd -a names
}""",
    },
}


def script(shell: str) -> str:
    """Return the text for one of SHELLS; raise ImportError where shtab is not installed."""
    import shtab

    kinds = {"FILE": shtab.FILE, "DIR": shtab.DIRECTORY}
    kinds |= dict.fromkeys(("JOB", "JOB|RUN", "RUN|JOB", "JOB|EXPRESSION", "GLOB"), JOBS)
    kinds["STATE"] = _words("states", [*State, "ok"])
    kinds["WORD"] = _words("topics", sorted({*COMMANDS, *BY_NAME, *(row.key for row in SETTINGS.values())}))
    for setting in SETTINGS.values():
        if setting.allowed:
            kinds[setting.flag] = _words(setting.name, setting.allowed)
    parser = build_parser()
    for command in _parsers(parser):
        for action in command._actions:  # noqa: SLF001 -- argparse has no other way to ask
            for kind in (action.metavar, *action.option_strings):
                if kind in kinds:
                    action.complete = kinds[kind]  # type: ignore[attr-defined]
    text: str = shtab.complete(parser, shell=shell)
    return text


def _words(name: str, words: Sequence[str]) -> Completion:
    """Return the completion of an argument that is one of these words."""
    text, function = " ".join(words), f"_pycrond_{name}"
    definition = {
        "bash": f'{function}() {{ compgen -W "{text}" -- "$1"; }}',
        "zsh": f"{function}() {{ compadd {text}; }}",
    }
    return {"bash": function, "zsh": function, "fish": text, "preamble": definition}


def _parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield the parser and the parsers of its commands."""
    yield parser
    for action in parser._actions:  # noqa: SLF001 -- as above
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 -- as above
            yield from action.choices.values()
