"""restart: have the daemon execute the installed program, or stop it and start another."""

import argparse
import contextlib
import time

from pycrond.cli import start_checks
from pycrond.cli.daemon_requests import LOCK_POLL_INTERVAL, ask_daemon
from pycrond.cli.daemon_start import start_daemon
from pycrond.cli.daemon_stop import stop_daemon
from pycrond.cli.load_report import print_load_report
from pycrond.cli.settings_layers import layers, recorded_arguments, recorded_settings
from pycrond.cli.settings_origin import crontabs_origin
from pycrond.errors import NotRunningError, PycrondError
from pycrond.host.daemon_arguments import to_arguments
from pycrond.setting_values import settle
from pycrond.settings import Settings
from pycrond.text import duration

RESTART_TIMEOUT = 60.0  # seconds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    start_checks.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Restart in place if the settings are the same; else stop the daemon, if there is one, and start."""
    given = layers(options, daemon="latest daemon")
    settings = settle(given.values())
    latest = recorded_settings(settings.state_dir)
    if to_arguments(settings) == recorded_arguments(settings.state_dir):
        with contextlib.suppress(NotRunningError):
            return _restart_in_place(settings)
    if not (options.beside_cron or (latest and latest.system)):
        start_checks.check_no_other_cron(settings)
    if not options.yes:
        start_checks.check_same_crontabs(settings, given, options)
    with contextlib.suppress(NotRunningError):
        stop_daemon(latest or settings)
    return start_daemon(settings, crontabs_origin(given, options))


def _restart_in_place(settings: Settings) -> int:
    """Have the daemon execute the installed program; raise NotRunningError if a new start is needed."""
    if not ask_daemon(settings, "status")["keeper"]:
        raise NotRunningError("the keeper has ended; only a new start makes another")
    before = ask_daemon(settings, "restart")
    deadline = time.monotonic() + RESTART_TIMEOUT
    while time.monotonic() < deadline:
        with contextlib.suppress(NotRunningError):  # while the program starts, no process listens
            now = ask_daemon(settings, "status")
            if now["start"] != before["start"]:
                print_load_report(settings, f"pycrond restarted in place, pid {now['pid']}")
                return 0
            if now["refusals"] != before["refusals"]:
                raise PycrondError(f"not restarted, the old version still runs: {now['refused']}")
        time.sleep(LOCK_POLL_INTERVAL)
    raise PycrondError(
        f"timed out after {duration(RESTART_TIMEOUT)}: the daemon does not answer after its restart;"
        " see its messages in syslog"
    )
