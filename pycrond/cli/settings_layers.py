"""The settings in force: flags, then the environment, then pycrond.toml, then defaults that fit the user."""

import argparse
import contextlib
import os
from collections.abc import Iterable, Mapping
from typing import Literal

from pycrond import settings
from pycrond.cli.daemon_requests import is_locked
from pycrond.errors import PycrondError, UnreadableError, os_reason
from pycrond.hashing import digest
from pycrond.host import safe_paths
from pycrond.host.daemon_arguments import from_arguments, read_recorded_arguments, to_arguments
from pycrond.setting_values import TRUE, settle
from pycrond.settings import SETTINGS, Settings
from pycrond.sources import files


def load_settings(options: argparse.Namespace) -> Settings:
    """Return the settings for this command: flags precede the settings of the running daemon.

    Without a daemon, the settings are those that a start would use. Raise PycrondError if the command needs
    the cluster of a daemon whose settings this user may not read.
    """
    values = settle(layers(options).values())
    if getattr(options, "of_cluster", False) and not values.cluster:
        try:
            read_recorded_arguments(values.state_dir)
        except PermissionError as error:
            raise PycrondError("only root and the daemon's own user may do that") from error
        except OSError:
            pass  # no daemon has run here
    return values


def layers(
    options: argparse.Namespace, daemon: Literal["running daemon", "latest daemon", ""] = "running daemon"
) -> dict[str, dict[str, object]]:
    """Return the settings of each layer, the layer with the highest precedence first.

    The layers are `flag`, `running daemon`, `variable`, `file` and `default`. While a daemon runs with this
    state directory, commands use its settings; without one, they use those that a start would use. For
    `start`, `daemon` is empty; for `restart`, the settings of the `latest daemon`, running or not, precede
    defaults.
    """
    given = _given(options)
    state_dir, of_root = _state_dir(given)
    if daemon:
        safe_paths.check_directory(state_dir)  # its files name the daemon's process and socket
    if daemon == "latest daemon":
        given[daemon] = _recorded(state_dir)
    elif daemon and is_locked(state_dir):
        given = {"flag": given.pop("flag"), daemon: _recorded(state_dir), **given}
    if not given.get(daemon, {}).get("crontabs") and (
        daemon == "latest daemon" or given["flag"].get("system") is False
    ):
        given.get(daemon, {}).pop("crontabs", None)  # with --system alone: other layers may name crontabs
    defaults = user_defaults(state_dir, of_root=of_root or _belongs_to_root(state_dir))
    if not settle([*given.values(), defaults]).system:
        defaults["crontabs"] = (_default_crontabs(),)
    if os.path.exists(settings.JOURNAL_SOCKET):
        defaults["syslog"] = "journal"
    return given | {"default": defaults}


def state_directory(options: argparse.Namespace) -> str:
    """Return the state directory of this command, even if its settings have errors."""
    try:
        return _state_dir(_given(options))[0]
    except PycrondError:  # in pycrond.toml
        return _state_dir({"flag": _flags(options), "variable": _variables()})[0]


def _given(options: argparse.Namespace) -> dict[str, dict[str, object]]:
    given = {"flag": _flags(options), "variable": _variables()}
    _set_trust(given)  # flags and variables decide whether the file is trusted
    given["file"] = _from_file(options.config)
    _set_trust(given)
    return given


def _set_trust(given: Mapping[str, Mapping[str, object]]) -> None:
    safe_paths.TRUST.others = str(_first(given.values(), "trust_crontabs")).lower() in TRUE


def _flags(options: argparse.Namespace) -> dict[str, object]:
    return _absolute(
        {name: value for name in SETTINGS if (value := getattr(options, name, None)) is not None}
    )


def _variables() -> dict[str, object]:
    return _absolute(from_environment(os.environ))


def _state_dir(given: Mapping[str, Mapping[str, object]]) -> tuple[str, bool]:
    """Return the state directory by these layers, and whether the daemon would be root's."""
    of_root = _is_root() or str(_first(given.values(), "system")).lower() in TRUE
    return str(_first(given.values(), "state_dir") or default_state_dir(of_root=of_root)), of_root


def _first(layers: Iterable[Mapping[str, object]], name: str) -> object:
    """Return a setting's value in the first layer that has it, or None."""
    return next((layer[name] for layer in layers if name in layer), None)


def record_settings(running: Settings) -> None:
    """Record the settings of a daemon that is about to start."""
    record_arguments(running.state_dir, to_arguments(running))


def record_arguments(state_dir: str, arguments: list[str]) -> None:
    """Record the settings of a daemon that is about to start, as arguments."""
    path = settings.recorded_settings_path(state_dir)
    if recorded_arguments(state_dir) == arguments:
        return  # nothing to write: a full disk does not prevent a start
    try:
        safe_paths.write_file(path, "\n".join(arguments).encode("utf-8", "surrogateescape"), 0o600)
    except OSError as error:
        raise PycrondError(f"cannot write {path}: {os_reason(error)}") from error


def recorded_arguments(state_dir: str) -> list[str]:
    """Return the arguments of the latest daemon; empty if there was none or they are not readable."""
    try:
        return read_recorded_arguments(state_dir)
    except (FileNotFoundError, PermissionError):
        return []  # another user's daemon is located by flags, variables and defaults


def recorded_settings(state_dir: str) -> Settings | None:
    """Return the settings of the latest daemon; None if there was none or they are not readable."""
    path = settings.recorded_settings_path(state_dir)
    try:
        arguments = recorded_arguments(state_dir)
    except OSError as error:
        raise PycrondError(f"cannot read {path}: {os_reason(error)}") from error
    try:
        return from_arguments(arguments) if arguments else None
    except (KeyError, TypeError, ValueError, PycrondError) as error:
        raise PycrondError(f"{path} is damaged: {error}; 'pycrond start' writes it anew") from error


def _recorded(state_dir: str) -> dict[str, object]:
    latest = recorded_settings(state_dir)
    # The state directory may have been moved since.
    return {name: getattr(latest, name) for name in SETTINGS if name != "state_dir"} if latest else {}


def config_file(path: str | None) -> str:
    """Return the pycrond.toml that is read; `path` is the value of --config."""
    return path or os.environ.get("PYCROND_CONFIG") or os.path.join(config_dir(), "pycrond.toml")


def _from_file(option: str | None) -> dict[str, object]:
    path = config_file(option)
    try:
        safe_paths.check_directory(os.path.dirname(os.path.abspath(path)))
        text = files.read_crontab(os.path.abspath(path))
    except UnreadableError as error:
        if option is None and not os.path.lexists(path):
            return {}
        raise PycrondError(f"{path}: {error}") from error
    import tomllib

    try:
        document = tomllib.loads(text.decode())
    except ValueError as error:
        raise PycrondError(f"{path}: {error}") from error
    return _absolute(from_toml(document, path), os.path.dirname(os.path.abspath(path)))


def from_environment(environ: Mapping[str, str]) -> dict[str, object]:
    """Return the settings named in the environment; PYCROND_CRONTABS separates directories by colons."""
    layer: dict[str, object] = {}
    for setting in SETTINGS.values():
        text = environ.get(setting.variable, "")
        # An empty name in the list would be the working directory.
        value = tuple(part for part in text.split(":") if part) if setting.name == "crontabs" else text
        if value:
            layer[setting.name] = value
    return layer


def from_toml(document: Mapping[str, object], file: str) -> dict[str, object]:
    """Return the settings of a parsed pycrond.toml; raise PycrondError for an unknown key."""
    names = {setting.key: setting.name for setting in SETTINGS.values()}
    for key in document:
        if key not in names:
            raise PycrondError(f"{file}: unknown setting '{key}' (known: {', '.join(names)})")
    return {names[key]: value for key, value in document.items()}


def _absolute(layer: Mapping[str, object], base: str = "") -> dict[str, object]:
    """Make paths absolute, for the daemon's working directory is `/`; an empty one, an error, stays empty."""

    def absolute(path: object) -> str:
        return os.path.abspath(os.path.join(base, str(path))) if path else ""

    resolved = dict(layer)
    for name, value in layer.items():
        if SETTINGS[name].is_path and isinstance(value, str):
            resolved[name] = absolute(value)
        elif SETTINGS[name].is_path and isinstance(value, (list, tuple)):
            resolved[name] = tuple(absolute(path) for path in value)
    return resolved


def _is_root() -> bool:
    return os.geteuid() == 0


def _user_dir(variable: str, fallback: str) -> str:
    return os.path.join(os.environ.get(variable) or os.path.expanduser(fallback), "pycrond")


def config_dir() -> str:
    """Return the directory of pycrond.toml and of a user's crontabs."""
    return "/etc/pycrond" if _is_root() else _user_dir("XDG_CONFIG_HOME", "~/.config")


def _belongs_to_root(state_dir: str) -> bool:
    try:
        return os.stat(state_dir).st_uid == 0
    except OSError:
        return False


def default_state_dir(*, of_root: bool | None = None) -> str:
    """Return this user's state directory, or root's or a user's if `of_root` is True or False."""
    root = _is_root() if of_root is None else of_root
    return "/var/lib/pycrond" if root else _user_dir("XDG_STATE_HOME", "~/.local/state")


def user_defaults(state_dir: str, *, of_root: bool | None = None) -> dict[str, object]:
    """Return the defaults that depend on the user; `of_root` as in `default_state_dir`."""
    short = digest(os.fsencode(os.path.realpath(state_dir)), 6)
    root = _is_root() if of_root is None else of_root
    session = "/run" if root else os.environ.get("XDG_RUNTIME_DIR", "")
    return {
        "state_dir": state_dir,
        "runtime_dir": os.path.join(session, "pycrond", short) if session else os.path.join(state_dir, "run"),
        "pidfile": os.path.join(session or state_dir, "pycrond.pid"),
    }


def _default_crontabs() -> str:
    """Return `./crontabs` if it exists and may be used, else the crontabs of the configuration directory."""
    with contextlib.suppress(FileNotFoundError):  # the working directory may have been removed
        here = os.path.abspath("crontabs")
        if os.path.isdir(here) and not refused_crontabs():
            return here
    return os.path.join(config_dir(), "crontabs")


def refused_crontabs() -> str:
    """Return the reason why root does not use `./crontabs`, which another user could have made; or empty."""
    try:
        if _is_root() and os.path.isdir("crontabs"):
            safe_paths.check_directory(os.path.abspath("crontabs"))
    except safe_paths.UnsafePathError as error:
        return str(error)
    return ""
