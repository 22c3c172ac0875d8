"""config: list all settings with their values and origins."""

import argparse
import os
from collections.abc import Iterator
from dataclasses import asdict
from typing import NamedTuple

from pycrond.cli.arguments import add_json
from pycrond.cli.documents.reports import ConfigDocument
from pycrond.cli.printing import print_json
from pycrond.cli.render import terminal
from pycrond.cli.render.formatting import Cell
from pycrond.cli.render.table import TableColumn, lay_out
from pycrond.cli.settings_layers import config_file, layers
from pycrond.cli.settings_origin import origin
from pycrond.conninfo import without_password
from pycrond.setting_values import settle
from pycrond.settings import SETTINGS, Setting

UNLIMITED_WIDTH = 100_000  # characters: values are never cut


class Assignment(NamedTuple):
    """A setting with its value, in the running daemon or for the next `start`."""

    setting: Setting
    value: object
    origin: str
    """A flag, a variable, file:line, `running daemon` or `default`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_json(parser, ConfigDocument)


def run(options: argparse.Namespace) -> int:
    rows = list(_assignments(options))
    if options.json:
        document: ConfigDocument = {
            "config_file": os.path.abspath(config_file(options.config)),
            "settings": [
                {"setting": row.setting.key, "value": row.value, "from": row.origin} for row in rows
            ],
        }
        print_json(document)
        return 0
    columns = [
        TableColumn("SETTING", [Cell(row.setting.key) for row in rows]),
        TableColumn("VALUE", [Cell(_value_text(row.setting, row.value)) for row in rows]),
        TableColumn("FROM", [Cell(row.origin) for row in rows]),
    ]
    terminal.show(lay_out(columns, UNLIMITED_WIDTH))
    return 0


def _assignments(options: argparse.Namespace) -> Iterator[Assignment]:
    """Yield all settings: those of the running daemon, or those that a start would use."""
    given = layers(options)
    values = asdict(settle(given.values()))
    for name, setting in SETTINGS.items():
        value = without_password(values[name]) if setting.is_secret else values[name]
        yield Assignment(setting, value, origin(name, given, options))


def _value_text(setting: Setting, value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return setting.to_text(value)
