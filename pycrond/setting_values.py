"""The values of settings: merges the layers of settings and checks the values against the table."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pycrond import conninfo
from pycrond.errors import PycrondError
from pycrond.settings import SETTINGS, Setting, Settings

TRUE, FALSE = ("1", "yes", "true", "on"), ("0", "no", "false", "off")
MAX_NUMBER_DIGITS = 9
RESERVED_LABELS = {"every", "one"}
"""Words with a meaning in the option `on`; they cannot be labels."""
LABEL_FORM = "a label of small letters, digits and . _ - (at most 64 characters, not every or one)"

_PORT = "(?:[0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
_HOST = r"(?:\[[^\[\]]+\]|[^\[\]:/@\s]+)"
ADDRESSES = {
    "syslog": (
        re.compile(
            rf"/.*|journal(?::/.*)?|none|udp://{_HOST}(?::{_PORT})?/?|tcp://{_HOST}:{_PORT}/?", re.DOTALL
        ),
        "a path that begins with /, udp://host[:port], tcp://host:port, journal or none",
    ),
    "mailer": (
        re.compile(rf"(?:(?!://).)+|smtps?://(?:[^:/@\s]*@)?{_HOST}(?::{_PORT})?(?:/.*)?", re.DOTALL),
        "a program, smtp://[user@]host[:port] or smtps://[user@]host[:port]",
    ),
}
"""The forms of settings that may be addresses, and a description."""


def settle(layers: Iterable[Mapping[str, object]]) -> Settings:
    """Return the settings, each from the first layer that has it; raises PycrondError for a bad value."""
    merged: dict[str, object] = {}
    for layer in layers:
        for name, value in layer.items():
            merged.setdefault(name, value)
    values: dict[str, Any] = {name: _read(SETTINGS[name], value) for name, value in merged.items()}
    if values.get("system") and values.get("trust_crontabs"):
        raise PycrondError(
            "setting 'trust-crontabs' must be no with --system: every user who can write to a system crontab"
            " or to its directory could run commands as root"
        )
    return Settings(**values)


def _read(setting: Setting, value: object) -> object:
    if setting.name == "crontabs":
        return _read_directories(value)
    if isinstance(setting.default, tuple):
        return _read_labels(setting, value)
    if isinstance(setting.default, bool):
        return _read_bool(setting, value)
    if isinstance(setting.default, int):
        return _read_number(setting, value)
    if value == "" and not setting.may_be_empty:
        raise PycrondError(f"setting '{setting.key}' is empty (leave it out for its default)")
    if not isinstance(value, str):
        shown = "a value of another kind" if setting.is_secret else repr(value)
        raise PycrondError(f"setting '{setting.key}' must be text, not {shown}")
    _check_cluster(setting, value)
    _check_text(setting, value)
    return value


def _check_text(setting: Setting, value: str) -> None:
    form, description = ADDRESSES.get(setting.name, (None, ""))
    if form and not form.fullmatch(value):  # the value may have a password
        raise PycrondError(f"setting '{setting.key}' must be {description}")
    if setting.allowed and value not in setting.allowed:
        raise PycrondError(f"setting '{setting.key}': '{value}' is not one of {', '.join(setting.allowed)}")


def is_label(text: str) -> bool:
    """Return whether a text may be the label of a node."""
    return bool(re.fullmatch(r"[a-z0-9][a-z0-9_.-]{0,63}", text)) and text not in RESERVED_LABELS


def _read_directories(value: object) -> tuple[str, ...]:
    directories = (value,) if isinstance(value, str) else value
    if (
        isinstance(directories, (list, tuple))
        and (directories or directories == ())
        and all(directory and isinstance(directory, str) for directory in directories)
    ):
        return tuple(directories)
    raise PycrondError("setting 'crontabs' must be a list of directories")


def _read_labels(setting: Setting, value: object) -> tuple[str, ...]:
    """Return the labels in a text, separated by commas, or in a list of such texts."""
    texts = (value,) if isinstance(value, str) else value
    if not isinstance(texts, (list, tuple)) or not all(isinstance(text, str) for text in texts):
        raise PycrondError(f"setting '{setting.key}' must be a list of labels, not {value!r}")
    labels = dict.fromkeys(label for text in texts for part in text.split(",") if (label := part.strip()))
    for label in labels:
        if not is_label(label):
            raise PycrondError(f"setting '{setting.key}': '{label}' is not {LABEL_FORM}")
    return tuple(labels)


def _check_cluster(setting: Setting, value: str) -> None:
    """Check a setting that concerns the cluster. An empty value is always allowed."""
    if value and setting.is_secret:
        try:
            conninfo.check(value)
        except ValueError as error:
            raise PycrondError(f"setting '{setting.key}': {error}") from None
    elif value and setting.name == "node" and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", value):
        raise PycrondError(
            f"setting 'node': '{value}' is not a name of letters, digits and . _ -, at most 64"
        )


def _read_bool(setting: Setting, value: object) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).lower()
    if word not in TRUE + FALSE:
        raise PycrondError(f"setting '{setting.key}': '{value}' is neither yes nor no")
    return word in TRUE


def _read_number(setting: Setting, value: object) -> int:
    text = str(value)
    if isinstance(value, bool) or not (text.isascii() and text.isdigit()) or len(text) > MAX_NUMBER_DIGITS:
        raise PycrondError(f"setting '{setting.key}' must be a whole number from 0, not '{value}'")
    return int(text)
