"""The command of the daemon's program: settings as arguments, and arguments as settings.

Every user can read the arguments of a process. So the arguments contain no passwords: the daemon reads them
from the recorded settings, a file that only its user can read.
"""

import sys
from collections.abc import Iterable

from pycrond.conninfo import HIDDEN, without_password
from pycrond.errors import PycrondError
from pycrond.host import safe_paths
from pycrond.setting_values import settle
from pycrond.settings import SETTINGS, Settings, recorded_settings_path


def to_arguments(settings: Settings) -> list[str]:
    """Return the settings that differ from the defaults as arguments, with their passwords."""
    arguments = []
    for setting in SETTINGS.values():
        value = getattr(settings, setting.name)
        if value != setting.default:
            values = value if setting.name == "crontabs" else (setting.to_text(value),)
            arguments += [f"{setting.flag}={part}" for part in values]
    return arguments


def daemon_command(settings: Settings) -> list[str]:
    """Return the command of the daemon's program. The module's name must not change: a running keeper
    executes the command again.
    """
    # -P: Python must not import modules from the working directory.
    program = [sys.executable, "-P", "-X", "utf8", "-m", "pycrond.daemon"]
    return [*program, *map(_without_password, to_arguments(settings))]


def _without_password(argument: str) -> str:
    flag, _, text = argument.partition("=")
    return f"{flag}={without_password(text)}" if flag in _SECRET else argument


def read_daemon_arguments(arguments: Iterable[str]) -> Settings:
    """Return the settings in the daemon's arguments, with the passwords from the recorded settings.

    A setting whose password is not recorded stays without it.
    """
    words = list(arguments)
    if not any(_is_incomplete(word) for word in words):
        return from_arguments(words)
    state_dir = from_arguments(words).state_dir
    try:
        recorded = read_recorded_arguments(state_dir)
    except (OSError, PycrondError):
        recorded = []
    complete = {_without_password(word): word for word in recorded if word.partition("=")[0] in _SECRET}
    return from_arguments(complete.get(word, word) for word in words)


def _is_incomplete(argument: str) -> bool:
    flag, _, text = argument.partition("=")
    return flag in _SECRET and HIDDEN in text


def read_recorded_arguments(state_dir: str) -> list[str]:
    """Return the recorded settings of a state directory as arguments; raises OSError."""
    data = safe_paths.read_file(recorded_settings_path(state_dir))
    return data.decode("utf-8", "surrogateescape").splitlines()


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


_SECRET = {setting.flag for setting in SETTINGS.values() if setting.is_secret}
