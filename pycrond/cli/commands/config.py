"""config: list all settings with their values and origins."""

import argparse
import os
from dataclasses import asdict

from pycrond.cli.arguments import add_json
from pycrond.cli.documents.reports import ConfigDocument, SettingDocument
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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_json(parser, ConfigDocument)


def run(options: argparse.Namespace) -> int:
    """Print the settings of the running daemon; without a daemon, the settings of the next start."""
    given = layers(options)
    values = asdict(settle(given.values()))
    rows: list[SettingDocument] = [
        {
            "setting": setting.key,
            "value": without_password(values[name]) if setting.is_secret else values[name],
            "from": origin(name, given, options),
        }
        for name, setting in SETTINGS.items()
    ]
    if options.json:
        document: ConfigDocument = {
            "config_file": os.path.abspath(config_file(options.config)),
            "settings": rows,
        }
        print_json(document)
        return 0
    texts = [_value_text(setting, row["value"]) for setting, row in zip(SETTINGS.values(), rows, strict=True)]
    columns = [
        TableColumn("SETTING", [Cell(row["setting"]) for row in rows]),
        TableColumn("VALUE", [Cell(text) for text in texts]),
        TableColumn("FROM", [Cell(row["from"]) for row in rows]),
    ]
    terminal.show(lay_out(columns, UNLIMITED_WIDTH))
    return 0


def _value_text(setting: Setting, value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return setting.to_text(value)
