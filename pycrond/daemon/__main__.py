"""The daemon's own program, `python -m pycrond.daemon`: from arguments to an exit status."""

import os
import sys
from collections.abc import Sequence

from pycrond import __version__, clock, settings
from pycrond.daemon.loop import Daemon
from pycrond.daemon.reexec import READY
from pycrond.errors import PycrondError
from pycrond.host import users
from pycrond.host.pidfile import Pidfile
from pycrond.host.signals import Signals
from pycrond.keeper.client import KeeperClient
from pycrond.keeper.readiness import Readiness
from pycrond.keeper.start import fill_standard_descriptors
from pycrond.ledger import database
from pycrond.sources.loader import Loader


def main(arguments: Sequence[str]) -> int:
    """The daemon's own program: settings, and `--keeper`, `--lock`, `--after` what end of the one before.

    With `--try` it only shows that it could be the daemon: see `Restarting`.
    """
    own = {"keeper": "", "lock": "", "after": "", "try": ""}
    rest = []
    for argument in arguments:
        key, _, text = argument.removeprefix("--").partition("=")
        if key in own:
            own[key] = text
        else:
            rest.append(argument)
    if own["try"]:
        return rehearse(settings.from_arguments(rest))
    fill_standard_descriptors()
    os.umask(0o022)
    os.chdir("/")
    if own["lock"]:
        os.set_inheritable(int(own["lock"]), False)  # held for life, and no job's to hold
    keeping = KeeperClient(int(own["keeper"]) if own["keeper"] else None)
    readiness = Readiness(keeping.say, os.environ)
    wanted = settings.from_arguments(rest)
    pidfile = Pidfile(wanted.pidfile)
    try:
        signals = Signals()
        pidfile.write(os.getpid())
        lock = int(own["lock"]) if own["lock"] else None
        Daemon(wanted, signals, readiness, keeping, after=own["after"], lock=lock).run()
    except PycrondError as error:
        readiness.failed(str(error))
        print(f"pycrond: {error}", file=sys.stderr)  # noqa: T201 -- seen in the foreground only
        return error.status
    except Exception as error:
        readiness.failed(f"a bug in pycrond: {error!r}; {_keep_traceback(wanted)}")
        raise
    finally:
        pidfile.remove()
    return 0


def rehearse(wanted: settings.Settings) -> int:
    """Load the crontabs and open the ledger, change nothing, and say so at the end."""
    try:
        Loader(wanted, users.own(os.geteuid()), read_only=True).load()
        database.look(os.path.join(wanted.state_dir, "ledger"))
    except PycrondError as error:
        print(error)  # noqa: T201 -- read by the daemon
        return error.status
    print(f"{__version__}{READY.decode()}", end="")  # noqa: T201
    return 0


def _keep_traceback(wanted: settings.Settings) -> str:
    """Standard error is /dev/null: what it takes to mend a bug goes to a file."""
    import traceback  # noqa: PLC0415 -- hardly ever needed

    path = os.path.join(wanted.state_dir, "crash")
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write(f"{clock.now().isoformat()} pycrond {__version__}\n{traceback.format_exc()}\n")
    except OSError as error:
        return f"cannot write {path}: {error.strerror}"
    return f"see {path}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
