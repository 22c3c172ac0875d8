"""JSON Schemas (draft 2020-12) of the documents of `--json`, generated from their types."""

import types
from collections.abc import Callable
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    NotRequired,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

DRAFT = "https://json-schema.org/draft/2020-12/schema"
NAMES: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    types.NoneType: {"type": "null"},
    Any: {},
}


class Format(NamedTuple):
    """The format of a string, as JSON Schema names it."""

    name: str


def json_schema(document: type) -> dict[str, Any]:
    """Return the schema of a TypedDict. It accepts unknown keys, because later versions add keys."""
    definitions: dict[str, Any] = {}
    _define(document, definitions)
    return {"$schema": DRAFT, "$ref": f"#/$defs/{document.__name__}", "$defs": definitions}


def _define(document: type, definitions: dict[str, Any]) -> None:
    schema: dict[str, Any] = {"type": "object", "title": document.__name__.removesuffix("Document")}
    definitions[document.__name__] = schema
    if document.__doc__ and not document.__doc__.startswith("dict("):
        schema["description"] = document.__doc__
    hints = get_type_hints(document, include_extras=True)
    schema["properties"] = {name: _schema(hint, definitions) for name, hint in hints.items()}
    optional = {name for name, hint in hints.items() if get_origin(hint) is NotRequired}
    schema["required"] = sorted(hints.keys() - optional)


def _schema(hint: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a type; add the schemas of the TypedDicts in it to the definitions."""
    if hint in NAMES:
        return NAMES[hint]
    if is_typeddict(hint):
        if hint.__name__ not in definitions:
            _define(hint, definitions)
        return {"$ref": f"#/$defs/{hint.__name__}"}
    return FORMS[get_origin(hint)](hint, lambda part: _schema(part, definitions))


Form = Callable[[Any, Callable[[Any], dict[str, Any]]], dict[str, Any]]
"""Returns the schema of a type; its second argument returns the schema of a part of the type."""
FORMS: dict[Any, Form] = {
    NotRequired: lambda hint, part: part(get_args(hint)[0]),
    Annotated: lambda hint, part: {**part(get_args(hint)[0]), **_notes(hint.__metadata__)},
    Literal: lambda hint, _: {"enum": [*get_args(hint)]},
    types.UnionType: lambda hint, part: {"anyOf": [*map(part, get_args(hint))]},
    Union: lambda hint, part: {"anyOf": [*map(part, get_args(hint))]},
    list: lambda hint, part: {"type": "array", "items": part(get_args(hint)[0])},
    dict: lambda hint, part: {"type": "object", "additionalProperties": part(get_args(hint)[1])},
}


def _notes(metadata: tuple[Any, ...]) -> dict[str, Any]:
    """Return the keys that annotations add to a schema: a text is a description, and the last one counts."""
    notes: dict[str, Any] = {}
    for note in metadata:
        notes |= {"format": note.name} if isinstance(note, Format) else {"description": note}
    return notes
