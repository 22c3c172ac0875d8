"""Which settings hold: flags, then the environment, then pycrond.toml, then what fits the user."""

import argparse
import contextlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import fields

from pycrond import settings
from pycrond.errors import PycrondError, UnreadableError
from pycrond.hashing import digest
from pycrond.settings import PATHS, Settings
from pycrond.sources import files

RECORD = "settings"
"""In the state directory: what the latest daemon was started with, so that it can be found by that alone."""


def configured(wanted: argparse.Namespace, *, as_before: bool = True) -> Settings:
    """The settings for this command; `as_before`: what the daemon was started with goes before defaults."""
    return settings.settle(layers(wanted, as_before=as_before).values())


def layers(wanted: argparse.Namespace, *, as_before: bool = True) -> dict[str, dict[str, object]]:
    """What `flag`, `variable`, `file`, `latest daemon` and `default` say; the first one decides."""
    flags = {name: value for name in settings.NAMES if (value := getattr(wanted, name, None)) is not None}
    given = {
        "flag": _absolute(flags),
        "variable": _absolute(settings.from_environment(os.environ)),
        "file": _from_file(wanted.config),
    }
    system = str(_first(given.values(), "system")).lower() in settings.TRUE
    of_root = _is_root() or system
    state_dir = str(_first(given.values(), "state_dir") or default_state_dir(of_root=of_root))
    if as_before:
        given["latest daemon"] = _recorded(state_dir)
    defaults = worked_out(state_dir, of_root=of_root or _is_of_root(state_dir))
    if not settings.settle([*given.values(), defaults]).system:
        defaults["crontabs"] = (_default_crontabs(),)
    return given | {"default": defaults}


def _first(layers: Iterable[Mapping[str, object]], name: str) -> object:
    """A setting's value before defaults; None where nobody has given it."""
    return next((layer[name] for layer in layers if name in layer), None)


def record(running: Settings) -> None:
    """Write down what a daemon is started with; renamed into place."""
    path = os.path.join(running.state_dir, RECORD)
    if recorded(running.state_dir) == settings.to_arguments(running):
        return  # a full disk need not keep it from starting
    with open(path + ".new", "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write("\n".join(settings.to_arguments(running)))
    os.replace(path + ".new", path)


def recorded(state_dir: str) -> list[str]:
    """The arguments of the latest daemon; none where there was none, or it is not for us to know."""
    try:
        with open(os.path.join(state_dir, RECORD), encoding="utf-8", errors="surrogateescape") as file:
            return file.read().splitlines()
    except (FileNotFoundError, PermissionError):
        return []  # another user's: the daemon has to be found by what is given and by defaults


def _recorded(state_dir: str) -> dict[str, object]:
    try:
        arguments = recorded(state_dir)
        if not arguments:
            return {}
        before = settings.from_arguments(arguments)
    except (OSError, TypeError) as error:
        raise PycrondError(f"cannot read {os.path.join(state_dir, RECORD)}: {error}") from error
    # Without directories there was --system; --crontabs may come beside it.
    return {one.name: value for one in fields(Settings) if (value := getattr(before, one.name)) != ()}


def config_file(named: str | None) -> str:
    """The pycrond.toml that is read; `named` is what --config says."""
    return named or os.environ.get("PYCROND_CONFIG") or os.path.join(config_dir(), "pycrond.toml")


def _from_file(named: str | None) -> dict[str, object]:
    path = config_file(named)
    try:
        text = files.read_crontab(os.path.abspath(path))
    except UnreadableError as error:
        if named is None and not os.path.lexists(path):
            return {}
        raise PycrondError(f"{path}: {error}") from error
    import tomllib

    try:
        document = tomllib.loads(text.decode())
    except ValueError as error:
        raise PycrondError(f"{path}: {error}") from error
    return _absolute(settings.from_toml(document, path), os.path.dirname(os.path.abspath(path)))


def _absolute(layer: Mapping[str, object], base: str | None = None) -> dict[str, object]:
    """Paths made absolute: the daemon's working directory is `/`."""

    def absolute(path: object) -> str:
        return os.path.abspath(os.path.join(base, str(path)) if base else str(path))

    whole = dict(layer)
    for name in PATHS:
        value = whole.get(name)
        if isinstance(value, str):
            whole[name] = absolute(value)
        elif isinstance(value, (list, tuple)):
            whole[name] = tuple(absolute(one) for one in value)
    return whole


def _is_root() -> bool:
    return os.geteuid() == 0


def _user_dir(variable: str, fallback: str) -> str:
    return os.path.join(os.environ.get(variable) or os.path.expanduser(fallback), "pycrond")


def config_dir() -> str:
    return "/etc/pycrond" if _is_root() else _user_dir("XDG_CONFIG_HOME", "~/.config")


def _is_of_root(state_dir: str) -> bool:
    """Whether it is root's daemon that has this state directory."""
    try:
        return os.stat(state_dir).st_uid == 0
    except OSError:
        return False


def default_state_dir(*, of_root: bool | None = None) -> str:
    """Ours, or with `of_root` that of root's daemon or another's."""
    root = _is_root() if of_root is None else of_root
    return "/var/lib/pycrond" if root else _user_dir("XDG_STATE_HOME", "~/.local/state")


def worked_out(state_dir: str, *, of_root: bool | None = None) -> dict[str, object]:
    """Defaults that depend on who we are; `of_root`: of root's daemon, which users may ask too."""
    short = digest(os.fsencode(os.path.realpath(state_dir)), 6)
    root = _is_root() if of_root is None else of_root
    session = "/run" if root else os.environ.get("XDG_RUNTIME_DIR", "")
    return {
        "state_dir": state_dir,
        "runtime_dir": os.path.join(session, "pycrond", short) if session else os.path.join(state_dir, "run"),
        "pidfile": os.path.join(session or state_dir, "pycrond.pid"),
    }


def _default_crontabs() -> str:
    """`./crontabs` where there is one; root takes only one that nobody else could have put there."""
    with contextlib.suppress(FileNotFoundError):  # the working directory may be gone
        here = os.path.abspath("crontabs")
        if os.path.isdir(here) and (not _is_root() or files.is_safe_directory(here)):
            return here
    return os.path.join(config_dir(), "crontabs")
