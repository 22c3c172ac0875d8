"""The command of the daemon's program: the settings as its arguments, and back."""

import sys
from collections.abc import Iterable

from pycrond.setting_values import settle
from pycrond.settings import SETTINGS, Settings


def to_arguments(settings: Settings) -> list[str]:
    """Return the settings that differ from the defaults, as arguments of the daemon's program."""
    arguments = []
    for setting in SETTINGS.values():
        value = getattr(settings, setting.name)
        if value != setting.default:
            values = value if isinstance(value, tuple) else (value,)
            arguments += [f"{setting.flag}={part}" for part in values]
    return arguments


def daemon_command(settings: Settings) -> list[str]:
    """Return the command of the daemon's program. Its name is stable: a running keeper executes it again."""
    # -P: Python must not import modules from the working directory.
    return [sys.executable, "-P", "-X", "utf8", "-m", "pycrond.daemon", *to_arguments(settings)]


def from_arguments(arguments: Iterable[str]) -> Settings:
    """Invert `to_arguments`."""
    layer: dict[str, object] = {}
    for argument in arguments:
        key, _, text = argument.removeprefix("--").partition("=")
        name = key.replace("-", "_")
        if name == "crontabs":
            before = layer.get(name, ())
            layer[name] = (*before, text) if isinstance(before, tuple) else (text,)
        else:
            layer[name] = text
    return settle([layer])
