"""start: start the daemon and return when it is ready."""

import argparse

from pycrond.cli import start_checks
from pycrond.cli.daemon_start import start_daemon
from pycrond.cli.settings_layers import layers, state_directory
from pycrond.cli.settings_origin import crontabs_origin
from pycrond.settings import NO_SYSLOG, SETTINGS, settle


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
    stream = SETTINGS["log_stdout" if settings.syslog == NO_SYSLOG else "log_stderr"]
    is_default = options.foreground and not any(stream.name in layer for layer in given.values())
    more = [f"{stream.flag}=yes"] if is_default else []
    reason = crontabs_origin(given, options)
    return start_daemon(settings, reason, foreground=options.foreground, more=more)
