"""The JSON Schemas of the documents of --json."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import jsonschema
import pytest

from pycrond.cli.json_schema import Format, json_schema
from pycrond.cli.main import main
from pycrond.cli.parser import COMMANDS
from tests.support import documents

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"
FILES = sorted(SCHEMAS.glob("*.json"))


class Inner(TypedDict):
    """A part."""

    words: list[str]


class Whole(Inner):
    """A document."""

    kind: Literal["a", "b"]
    at: Annotated[str, Format("date-time"), "when"] | None
    parts: dict[str, Inner]
    more: NotRequired[Annotated[Any, "anything"]]


def test_a_schema_of_every_form_of_type() -> None:
    assert json_schema(Whole) == {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$ref": "#/$defs/Whole",
        "$defs": {
            "Whole": {
                "type": "object",
                "title": "Whole",
                "description": "A document.",
                "properties": {
                    "words": {"type": "array", "items": {"type": "string"}},
                    "kind": {"enum": ["a", "b"]},
                    "at": {
                        "anyOf": [
                            {"type": "string", "format": "date-time", "description": "when"},
                            {"type": "null"},
                        ]
                    },
                    "parts": {"type": "object", "additionalProperties": {"$ref": "#/$defs/Inner"}},
                    "more": {"description": "anything"},
                },
                "required": ["at", "kind", "parts", "words"],
            },
            "Inner": {
                "type": "object",
                "title": "Inner",
                "description": "A part.",
                "properties": {"words": {"type": "array", "items": {"type": "string"}}},
                "required": ["words"],
            },
        },
    }


def test_readers_must_expect_new_keys_and_the_tests_refuse_them() -> None:
    document = {"words": [], "new": 1}
    jsonschema.Draft202012Validator(json_schema(Inner)).validate(document)
    closed = jsonschema.Draft202012Validator(documents.closed_schema(Inner))
    assert [error.message for error in closed.iter_errors(document)] == [
        "Additional properties are not allowed ('new' was unexpected)"
    ]


def test_a_key_that_the_types_do_not_name_fails_a_test_and_says_so() -> None:
    with pytest.raises(
        AssertionError, match=r"history --json: runs\.0: .*'extra'.*\n.*pycrond/cli/documents"
    ):
        documents.check("history", {"runs": [{"extra": 1}]})


def test_every_command_with_json_has_a_schema_and_every_schema_a_command() -> None:
    with_json = {name for name in COMMANDS if documents.document_type(name)}
    assert {file.stem for file in FILES} == with_json
    assert {"list", "history", "status", "next", "why", "check", "diff", "audit", "doctor"} < with_json


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_files_in_docs_are_what_the_command_prints(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([file.stem, "--json-schema"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert json.loads(file.read_text()) == printed, "run 'make schemas'"
    jsonschema.Draft202012Validator.check_schema(printed)


@pytest.mark.process
def test_the_script_writes_them_as_they_are(tmp_path: Path) -> None:
    text = (SCHEMAS.parent / "schemas.py").read_text()
    (tmp_path / "schemas.py").write_text(text)
    subprocess.run([sys.executable, tmp_path / "schemas.py"], check=True)
    written = {file.name: file.read_text() for file in (tmp_path / "schemas").iterdir()}
    assert written == {file.name: file.read_text() for file in FILES}
