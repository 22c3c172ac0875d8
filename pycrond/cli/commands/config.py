"""config: every setting, its value, and who says so."""

import argparse
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, asdict, fields
from typing import NamedTuple

from pycrond import settings
from pycrond.cli.render import terminal
from pycrond.cli.render.formatting import Cell
from pycrond.cli.render.table import TableColumn, lay_out
from pycrond.cli.settings_layers import config_file, layers
from pycrond.settings import Settings, flag

UNCUT = 100_000  # characters


class Known(NamedTuple):
    """A setting as the next `start` would have it."""

    name: str
    value: object
    origin: str
    """A flag, a variable, file:line, `latest daemon` or `default`."""


def config(wanted: argparse.Namespace) -> int:
    """The table; what the daemon was started with counts as for all commands but start."""
    known = list(_known(wanted))
    if wanted.json:
        document = [{"setting": flag(one.name)[2:], "value": one.value, "from": one.origin} for one in known]
        print(json.dumps({"config_file": os.path.abspath(config_file(wanted.config)), "settings": document}))
        return 0
    columns = [
        TableColumn("SETTING", [Cell(flag(one.name)[2:]) for one in known]),
        TableColumn("VALUE", [Cell(_shown(one.value)) for one in known]),
        TableColumn("FROM", [Cell(one.origin) for one in known]),
    ]
    terminal.show(lay_out(columns, UNCUT))
    return 0


def _known(wanted: argparse.Namespace) -> Iterator[Known]:
    found = layers(wanted)
    values = asdict(settings.settle(found.values()))
    path = os.path.abspath(config_file(wanted.config))
    for one in fields(Settings):
        place = next((name for name, layer in found.items() if one.name in layer), "default")
        if place == "latest daemon" and values[one.name] == _default(one.name, found["default"]):
            place = "default"  # what it was not told to do otherwise
        yield Known(one.name, values[one.name], _origin(place, one.name, path))


def _default(name: str, worked_out: Mapping[str, object]) -> object:
    about = next(one for one in fields(Settings) if one.name == name)
    return worked_out.get(name, None if about.default is MISSING else about.default)


def _origin(place: str, name: str, path: str) -> str:
    if place == "flag":
        return flag(name)
    if place == "variable":
        return f"PYCROND_{name.upper()}"
    return f"{path}:{_line(path, flag(name)[2:])}" if place == "file" else place


def _line(path: str, key: str) -> int:
    """Where a key stands in a file that has been read without errors, and has no tables."""
    pattern = re.compile(rf"""[ \t]*["']?{re.escape(key)}["']?[ \t]*=""")
    with open(path, encoding="utf-8") as file:
        return next((number for number, line in enumerate(file, 1) if pattern.match(line)), 1)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ":".join(value) if isinstance(value, tuple) else str(value)
