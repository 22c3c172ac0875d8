"""config: list all settings with their values and origins."""

import argparse
import os
import re
from collections.abc import Iterator
from dataclasses import asdict
from typing import NamedTuple

from pycrond import settings
from pycrond.cli.arguments import add_json
from pycrond.cli.printing import print_json
from pycrond.cli.render import terminal
from pycrond.cli.render.formatting import Cell
from pycrond.cli.render.table import TableColumn, lay_out
from pycrond.cli.settings_layers import config_file, layers
from pycrond.settings import SETTINGS, Setting
from pycrond.sources import files

UNLIMITED_WIDTH = 100_000  # characters: values are never cut


class Assignment(NamedTuple):
    """A setting with the value that the next `start` would use."""

    setting: Setting
    value: object
    origin: str
    """A flag, a variable, file:line, `latest daemon` or `default`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    rows = list(_assignments(options))
    if options.json:
        document = [{"setting": row.setting.key, "value": row.value, "from": row.origin} for row in rows]
        print_json({"config_file": os.path.abspath(config_file(options.config)), "settings": document})
        return 0
    columns = [
        TableColumn("SETTING", [Cell(row.setting.key) for row in rows]),
        TableColumn("VALUE", [Cell(_value_text(row.value)) for row in rows]),
        TableColumn("FROM", [Cell(row.origin) for row in rows]),
    ]
    terminal.show(lay_out(columns, UNLIMITED_WIDTH))
    return 0


def _assignments(options: argparse.Namespace) -> Iterator[Assignment]:
    """Yield all settings; those of the latest daemon count as for all commands except start."""
    given = layers(options)
    values = asdict(settings.settle(given.values()))
    path = os.path.abspath(config_file(options.config))
    for name, setting in SETTINGS.items():
        layer = next((layer for layer, assigned in given.items() if name in assigned), "default")
        if layer == "latest daemon" and values[name] == given["default"].get(name, setting.default):
            layer = "default"  # the daemon was started without this setting
        yield Assignment(setting, values[name], _origin(layer, setting, path))


def _origin(layer: str, setting: Setting, path: str) -> str:
    if layer == "flag":
        return setting.flag
    if layer == "variable":
        return setting.variable
    return f"{path}:{_line_number(path, setting.key)}" if layer == "file" else layer


def _line_number(path: str, key: str) -> int:
    """Return the line of a key in a file that has been read without errors, and has no tables."""
    pattern = re.compile(rf"""[ \t]*["']?{re.escape(key)}["']?[ \t]*=""")
    lines = files.read_crontab(path).decode().split("\n")
    return next((number for number, line in enumerate(lines, 1) if pattern.match(line)), 1)


def _value_text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ":".join(value) if isinstance(value, tuple) else str(value)
