"""start: start the daemon and return when it is ready."""

import argparse
import os
from collections.abc import Mapping

from pycrond.cli import start_checks
from pycrond.cli.daemon_start import start_daemon
from pycrond.cli.settings_layers import layers, state_directory
from pycrond.cli.settings_origin import crontabs_origin
from pycrond.setting_values import settle
from pycrond.settings import NO_SYSLOG, SETTINGS, Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--foreground", action="store_true", help="stay in the terminal")
    start_checks.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Start with the settings given now, not with those of the latest daemon."""
    start_checks.check_not_running(state_directory(options))
    given = layers(options, daemon="")
    settings = settle(given.values())
    if not options.beside_cron:
        start_checks.check_no_other_cron(settings)
    if not options.yes:
        start_checks.check_same_crontabs(settings, given, options)
    arguments = _foreground_arguments(given, settings) if options.foreground else []
    reason = crontabs_origin(given, options)
    return start_daemon(settings, reason, foreground=options.foreground, arguments=arguments)


def _foreground_arguments(given: Mapping[str, Mapping[str, object]], settings: Settings) -> list[str]:
    """Return arguments for settings that a start in the foreground sets unless the user does.

    They are not recorded. The daemon logs to standard output or, with syslog, to standard error. It fails
    without a crontab, unless it is a service of systemd: there a user may write the first crontab later. As
    process 1 it ends its jobs when it stops, because they cannot outlive it.
    """
    is_first = os.getpid() == 1
    is_service = settings.system or ("NOTIFY_SOCKET" in os.environ and not is_first)
    stream = SETTINGS["log_stdout" if settings.syslog == NO_SYSLOG else "log_stderr"]
    defaults = {
        stream.name: f"{stream.flag}=yes",
        "require_crontabs": f"--require-crontabs={'no' if is_service else 'yes'}",
        "stop_jobs": f"--stop-jobs={'term' if is_first else 'leave'}",
    }
    return [word for name, word in defaults.items() if not any(name in layer for layer in given.values())]
