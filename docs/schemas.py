"""Writes the JSON Schemas of the documents of `--json` into docs/schemas.

    .venv/bin/python docs/schemas.py

`pycrond COMMAND --json-schema` prints the same.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from pycrond.cli.json_schema import json_schema
from pycrond.cli.parser import COMMANDS

DIRECTORY = Path(__file__).parent / "schemas"


def schemas() -> Iterator[tuple[str, str]]:
    """Yield each command that prints a document, and the text of its schema."""
    for name, command in COMMANDS.items():
        parser = argparse.ArgumentParser()
        command.add_arguments(parser)
        for action in parser._actions:  # noqa: SLF001 -- argparse has no public list of options
            if "--json-schema" in action.option_strings:
                yield name, json.dumps(json_schema(action.const), indent=1) + "\n"


def main() -> None:
    """Write the files."""
    DIRECTORY.mkdir(exist_ok=True)
    for name, text in schemas():
        (DIRECTORY / f"{name}.json").write_text(text)


if __name__ == "__main__":
    main()
