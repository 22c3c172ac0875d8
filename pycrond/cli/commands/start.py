"""start: start the daemon and return when it is ready."""

import argparse

from pycrond.cli import start_checks
from pycrond.cli.daemon_start import start_daemon
from pycrond.cli.settings_layers import layers, state_directory
from pycrond.cli.settings_origin import crontabs_origin
from pycrond.settings import settle


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
    log_stderr = options.foreground and not any("log_stderr" in layer for layer in given.values())
    reason = crontabs_origin(given, options)
    return start_daemon(settings, reason, foreground=options.foreground, log_stderr=log_stderr)
