"""The origins of settings, in words: a flag, a variable, a line of pycrond.toml, the daemon, a default."""

import argparse
import os
import re
from collections.abc import Mapping
from typing import Any

from pycrond.cli.settings_layers import config_dir, config_file
from pycrond.setting_values import settle
from pycrond.settings import SETTINGS, Setting, Settings
from pycrond.sources import files, system

Layers = Mapping[str, Mapping[str, object]]


def origin(name: str, given: Layers, options: argparse.Namespace) -> str:
    """Return the origin of a setting's value: `--watch`, `PYCROND_WATCH`, `pycrond.toml:3`, `default`.

    If a start would take the running daemon's value from another layer, too, that layer is the origin.
    """
    layer, following, *_ = [layer for layer, values in given.items() if name in values] + ["default"] * 2
    words = _words(layer, name, given, options)
    if not layer.endswith("daemon"):
        return words
    elsewhere = _words(following, name, given, options)
    if _value(name, layer, given) == _value(name, following, given):
        return elsewhere
    return words if elsewhere == "default" else f"{words}; {elsewhere} differs"


def _value(name: str, layer: str, given: Layers) -> Any:
    """Return a layer's value of a setting, converted as in `Settings`."""
    value = given[layer].get(name, SETTINGS[name].default)
    return getattr(settle([{name: value}, *given.values()]), name)


def _words(layer: str, name: str, given: Layers, options: argparse.Namespace) -> str:
    setting = SETTINGS[name]
    if layer == "flag":
        return setting.flag
    if layer == "variable":
        return setting.variable
    if layer == "file":
        path = os.path.abspath(config_file(options.config))
        return f"{path}:{_line_number(path, setting)}"
    is_here = (layer, name) == ("default", "crontabs") and given[layer].get(name) not in (
        None,
        (os.path.join(config_dir(), "crontabs"),),
    )
    return "./crontabs of the working directory" if is_here else layer


def _line_number(path: str, setting: Setting) -> int:
    """Return the line of a key in a file that has been read without errors, and has no tables."""
    pattern = re.compile(rf"""[ \t]*["']?{re.escape(setting.key)}["']?[ \t]*=""")
    lines = files.read_crontab(path).decode().split("\n")
    return next((number for number, line in enumerate(lines, 1) if pattern.match(line)), 1)


def crontab_paths(values: Settings) -> list[str]:
    """Return the directories and files that a daemon with these settings reads."""
    return [*values.crontabs, *(system.system_paths(values.root) if values.system else ())]


def crontabs_origin(given: Layers, options: argparse.Namespace) -> str:
    """Return the crontabs that are read, each with the reason: `/srv/jobs (--crontabs)`."""
    values = settle(given.values())
    parts = []
    if values.system:
        parts.append(f"{', '.join(system.system_paths(values.root))} ({origin('system', given, options)})")
    if values.crontabs:
        parts.append(f"{', '.join(values.crontabs)} ({origin('crontabs', given, options)})")
    return ", ".join(parts)
