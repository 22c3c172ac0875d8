"""start: start the daemon and return when it is ready."""

import argparse

from pycrond.cli.daemon_start import start_daemon
from pycrond.cli.settings_layers import layers
from pycrond.settings import settle


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--foreground", action="store_true", help="stay in the terminal")


def run(options: argparse.Namespace) -> int:
    """Start with the settings given now, not with those of the latest daemon."""
    given = layers(options, use_recorded=False)
    log_stderr = options.foreground and not any("log_stderr" in layer for layer in given.values())
    return start_daemon(settle(given.values()), foreground=options.foreground, log_stderr=log_stderr)
