"""The daemon's program, `python -m pycrond.daemon`: from arguments to an exit status."""

import os
import sys
from collections.abc import Sequence

from pycrond import __version__, clock
from pycrond.daemon.loop import Daemon
from pycrond.daemon.reexec import READY
from pycrond.errors import PycrondError, os_reason
from pycrond.host import pam, users
from pycrond.host.daemon_arguments import read_daemon_arguments
from pycrond.host.names import NAMES
from pycrond.host.pidfile import Pidfile
from pycrond.host.poller import Poller
from pycrond.host.safe_paths import OWN_FILE, TRUST
from pycrond.host.signals import SignalPipe, block
from pycrond.host.spawn import fill_standard_descriptors
from pycrond.host.spawner import SPAWNER
from pycrond.keeper.client import KeeperClient
from pycrond.keeper.readiness import Readiness
from pycrond.ledger.database import check_version
from pycrond.settings import Settings
from pycrond.sources.loader import Loader
from pycrond.text import printable


def main(arguments: Sequence[str]) -> int:
    """Run a daemon until it stops.

    The arguments are the settings and, from the keeper, the descriptors `--keeper` and `--lock`, and
    `--after`, which says how the previous daemon ended. With `--try`, the program only tests that it could
    run as the daemon.
    """
    own, rest = _split(arguments)
    settings = read_daemon_arguments(rest)
    TRUST.others = settings.trust_crontabs
    if own["try"]:
        return rehearse(settings)
    fill_standard_descriptors()
    os.umask(0o022)
    os.chdir("/")
    if own["lock"]:
        os.set_inheritable(int(own["lock"]), False)  # jobs do not inherit it
    keeper = KeeperClient(int(own["keeper"]) if own["keeper"] else None)
    readiness = Readiness(keeper.send, os.environ)
    SPAWNER.pam_service = pam.service(settings)
    if settings.system:
        users.set_groups(users.by_uid(0))
        SPAWNER.open()  # at the start, because it takes 20 ms
    pidfile = Pidfile(settings.pidfile, settings.state_dir)
    try:
        signals = SignalPipe()
        pidfile.write(os.getpid())
        lock = int(own["lock"]) if own["lock"] else None
        Daemon(settings, signals, readiness, keeper, after=own["after"], lock=lock).run()
    except PycrondError as error:
        readiness.failed(str(error))
        print(f"pycrond: {printable(str(error))}", file=sys.stderr)  # noqa: T201 -- visible in the foreground
        return error.status
    except Exception as error:
        readiness.failed(f"a bug in pycrond: {error!r}; {_keep_traceback(settings)}")
        raise
    finally:
        block()  # a TERM while Python exits would kill this process
        pidfile.remove()
    return 0


def _split(arguments: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Return the program's own arguments by name, each empty by default, and the settings."""
    own = {"keeper": "", "lock": "", "after": "", "try": ""}
    rest = []
    for argument in arguments:
        key, _, text = argument.removeprefix("--").partition("=")
        if key in own:
            own[key] = text
        else:
            rest.append(argument)
    return own, rest


def rehearse(settings: Settings) -> int:
    """Load the crontabs and open the ledger without a change, and print READY at the end."""
    NAMES.open(Poller())  # lookups in other processes: the name service may not answer
    try:
        Loader(settings, users.by_uid(os.geteuid()), read_only=True).load()
        check_version(settings.ledger_path)
    except PycrondError as error:
        print(printable(str(error)))  # noqa: T201 -- read by the daemon
        return error.status
    finally:
        NAMES.close()
    print(f"{__version__}{READY.decode()}", end="")  # noqa: T201
    return 0


def _keep_traceback(settings: Settings) -> str:
    """Write the traceback to a file, as standard error is /dev/null; return a text that names the file."""
    import traceback  # noqa: PLC0415 -- hardly ever needed

    path = settings.crash_path
    try:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | OWN_FILE
        with open(os.open(path, flags, 0o600), "a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{clock.now().isoformat()} pycrond {__version__}\n{traceback.format_exc()}\n")
    except OSError as error:
        return f"cannot write {path}: {os_reason(error)}"
    return f"see {path}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
