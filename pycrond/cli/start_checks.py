"""The checks before a start: for a running daemon, for other crontabs than before, for another cron."""

import argparse
import contextlib
import os
from collections.abc import Mapping

from pycrond.cli.daemon_requests import STATUS_TIMEOUT, ask_daemon
from pycrond.cli.doctor import probe
from pycrond.cli.doctor.rules import reads_same
from pycrond.cli.render import formatting, terminal
from pycrond.cli.settings_layers import recorded_settings
from pycrond.cli.settings_origin import crontab_paths, origin
from pycrond.errors import PycrondError
from pycrond.host import safe_paths
from pycrond.keeper.lock import is_locked
from pycrond.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `start` and `restart` that leave out a check."""
    about = "read ./crontabs also if this state directory was last used with other crontabs"
    parser.add_argument("--yes", action="store_true", help=about)
    about = "with --system: start also while another cron runs the same crontabs"
    parser.add_argument("--beside-cron", action="store_true", help=about)


def check_not_running(state_dir: str) -> None:
    """Raise PycrondError if a daemon runs with this state directory and answers."""
    running, status = None, None
    with contextlib.suppress(PycrondError):
        safe_paths.check_directory(state_dir)
        running = recorded_settings(state_dir) if is_locked(state_dir) else None
        status = running and ask_daemon(running, "status", timeout=STATUS_TIMEOUT)
    if running and status:
        since = formatting.moment(status["started_at"], terminal.here())
        crontabs = ", ".join(crontab_paths(running))
        raise PycrondError(
            f"already running, pid {status['pid']}, since {since}, with the crontabs {crontabs}"
        )


def latest_settings(state_dir: str) -> Settings | None:
    """Return the settings of the latest daemon, for a comparison; None if they cannot be read."""
    with contextlib.suppress(PycrondError):
        safe_paths.check_directory(state_dir)
        return recorded_settings(state_dir)
    return None


def check_same_crontabs(
    settings: Settings, given: Mapping[str, Mapping[str, object]], options: argparse.Namespace
) -> None:
    """Raise PycrondError if the crontabs differ from the last ones only because of the working directory."""
    latest = latest_settings(settings.state_dir)
    before = crontab_paths(latest) if latest else []
    variable = os.environ.get("PYCROND_CRONTABS", "")
    is_relative = any(path and not os.path.isabs(path) for path in variable.split(":"))
    layer = next((layer for layer, values in given.items() if "crontabs" in values), "default")
    by_directory = layer == "default" or (layer == "variable" and is_relative)
    if not before or settings.system or not by_directory:
        return
    if {*map(os.path.realpath, before)} == {*map(os.path.realpath, settings.crontabs)}:
        return
    former = "--system" if latest and latest.system else " ".join(f"--crontabs {path}" for path in before)
    raise PycrondError(
        f"not started: {settings.state_dir} was last used with the crontabs {', '.join(before)}, and now with"
        f" {', '.join(settings.crontabs)} ({origin('crontabs', given, options)});"
        f" give {former} to use the former, or --yes to use the latter"
    )


def check_no_other_cron(settings: Settings) -> None:
    """Raise PycrondError if another cron of this machine would run the same crontabs."""
    if not settings.system:
        return
    paths = probe.crontab_paths(settings)
    for cron in probe.other_crons(probe.processes(), of_system=True):
        if reads_same(paths, cron):
            raise PycrondError(
                f"not started: {cron.name} runs, and reads the same crontabs: every job would run twice;"
                f" stop it ({cron.stop}), or give --beside-cron"
            )
