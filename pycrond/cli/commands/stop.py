"""stop: stop the daemon, at once or when its jobs have ended."""

import argparse
import contextlib
import time

from pycrond.cli.arguments import seconds
from pycrond.cli.daemon_requests import LOCK_POLL_INTERVAL, ask_daemon
from pycrond.cli.daemon_stop import stop_daemon
from pycrond.cli.printing import print_line
from pycrond.cli.settings_layers import load_settings
from pycrond.errors import NotRunningError
from pycrond.host import cgroup, pidfile
from pycrond.settings import Settings
from pycrond.text import counted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    about = "start no more jobs, stop when none runs; after SECONDS in any case"
    parser.add_argument("--wait", type=seconds(), nargs="?", const=0.0, metavar="SECONDS", help=about)
    about = "end running jobs: TERM, after 10 s KILL, to each job's process group"
    parser.add_argument("--kill-jobs", action="store_true", help=about)
    about = "for a service of systemd: no error if nothing runs; prepares the cgroups for the next start"
    parser.add_argument("--service", action="store_true", help=about)


def run(options: argparse.Namespace) -> int:
    """Stop the daemon and its keeper, which stays while jobs run; 1 if --wait ended before the jobs."""
    settings = load_settings(options)
    pid = pidfile.read_pid(settings.pidfile)
    drained = (options.wait is not None or options.kill_jobs) and _drain(settings, options)
    try:
        left = stop_daemon(settings)
    except NotRunningError:
        if not (drained or options.service):
            raise
        left = 0
    if options.service:
        cgroup.disable_controllers()
        return 0
    running = f"; {counted(left, 'job')} still running, for the next start to take over" if left else ""
    print_line(f"pycrond stopped{f', pid {pid}' if pid else ''}{running}")
    return 1 if left and options.wait is not None else 0


def _drain(settings: Settings, options: argparse.Namespace) -> bool:
    """Have the daemon start no more jobs; wait for its end or the deadline. Return False without a daemon."""
    deadline = time.monotonic() + options.wait if options.wait else None
    try:
        before = ask_daemon(settings, "stop", kill=options.kill_jobs)
    except NotRunningError:
        return False
    with contextlib.suppress(NotRunningError):  # the daemon has ended
        while ask_daemon(settings, "status")["start"] == before["start"]:
            if deadline and time.monotonic() >= deadline:
                break
            time.sleep(LOCK_POLL_INTERVAL)
    return True
