"""A check of every document that a test has pycrond print with --json against its JSON Schema."""

import argparse
import functools
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pycrond.cli.json_schema import json_schema
from pycrond.cli.parser import COMMANDS

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

MOST = 50  # members of a list or an object that are checked: the first and the last


@functools.cache
def document_type(command: str) -> type | None:
    """Return the type of a command's document; None if it has none."""
    parser = argparse.ArgumentParser()
    COMMANDS[command].add_arguments(parser)
    types = [action.const for action in parser._actions if "--json-schema" in action.option_strings]
    return types[0] if types else None


def closed_schema(kind: type) -> dict[str, Any]:
    """Return the schema of a document, made to accept no keys that it does not name."""
    schema = json_schema(kind)
    for definition in schema["$defs"].values():
        definition["additionalProperties"] = False
    return schema


@functools.cache
def validator(command: str) -> "Validator":
    """Return a validator that also refuses keys which the schema does not name."""
    import jsonschema

    kind = document_type(command)
    assert kind, f"pycrond {command} has no document"
    return jsonschema.Draft202012Validator(closed_schema(kind))


def check_printed(words: Sequence[str], printed: str) -> None:
    """Check the output of a command line, if it is a document."""
    if "--json" in words and words[0] in COMMANDS and printed:
        check(words[0], json.loads(printed))


def check(command: str, document: Any) -> None:
    """Fail if a command's document differs from its schema, above all by a key that has no type."""
    import jsonschema

    errors = [
        deepest
        for error in validator(command).iter_errors(_shortened(document))
        if (deepest := jsonschema.exceptions.best_match([error]))
    ]
    for error in sorted(errors, key=lambda error: error.validator != "additionalProperties"):
        place = ".".join(map(str, error.absolute_path)) or "the document"
        raise AssertionError(
            f"pycrond {command} --json: {place}: {error.message[:500]}\n"
            "The types in pycrond/cli/documents name every key: add it there, then run 'make schemas'."
        )


def _shortened(value: Any) -> Any:
    """Return a document with the first and last members of its long lists: a check of all members would take long."""
    if isinstance(value, dict):
        return {name: _shortened(part) for name, part in value.items()}
    if isinstance(value, list):
        parts = value if len(value) <= MOST else value[: MOST // 2] + value[-MOST // 2 :]
        return [_shortened(part) for part in parts]
    return value
