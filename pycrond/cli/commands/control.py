"""start, reload: the daemon's beginning, and its crontabs read again."""

import argparse
import os
import socket
import sys
import time

from pycrond.cli.commands.show import next_due, print_problems
from pycrond.cli.data.access import control_socket, reload_and_wait
from pycrond.cli.settings_layers import config_dir, configured, layers, record
from pycrond.control import protocol
from pycrond.errors import PycrondError
from pycrond.host import signals
from pycrond.keeper import start as keeper_start
from pycrond.ledger.reader import Reader
from pycrond.settings import Settings, settle, to_arguments
from pycrond.text import counted

PATIENCE = 60.0  # seconds to wait for another daemon to be gone, or for a word of a keeper
RETRY = 0.05  # seconds
NO_SOCKET = (0, 0)


def start(wanted: argparse.Namespace) -> int:
    """Take the lock and become the keeper, or ask the keeper that has it."""
    found = layers(wanted, as_before=False)
    loud = wanted.foreground and not any("log_stderr" in layer for layer in found.values())
    return start_daemon(settle(found.values()), foreground=wanted.foreground, loud=loud)


def start_daemon(settings: Settings, *, foreground: bool = False, loud: bool = False) -> int:
    """`loud`: every message goes to standard error this time."""
    keeper_start.fill_standard_descriptors()
    if settings.system and os.geteuid():
        raise PycrondError("--system: only root can run other users' jobs")
    for directory in settings.crontabs:
        if not os.path.isdir(directory):
            is_default = directory == os.path.join(config_dir(), "crontabs")
            refused = is_default and os.path.isdir("crontabs")
            hint = "; ./crontabs is not taken unless --crontabs names it: others can write above it"
            raise PycrondError(f"no such crontab directory: {directory}{hint if refused else ''}")
    _make_directories(settings)
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up:
        lock = keeper_start.take_lock(settings.state_dir)
        if foreground:
            signals.block()  # from when a daemon says that it is ready they are for it
        answer = (
            _ask_keeper(settings)
            if lock is None
            else _launch(settings, lock, foreground=foreground, loud=loud)
        )
        if answer:
            status = _tell(settings, answer)
            return _stand_in(settings, answer) if foreground else status
        time.sleep(RETRY)  # a keeper that is about to go, or not yet there
    raise PycrondError(f"{settings.state_dir}/lock is held, but no keeper answers: a daemon that hangs?")


def _stand_in(settings: Settings, answer: str) -> int:
    from pycrond.cli.foreground_proxy import stand_in

    return stand_in(settings, int(answer[1:]))


def _make_directories(settings: Settings) -> None:
    for directory, mode in ((settings.state_dir, 0o700), (settings.runtime_dir, 0o755)):
        # Whatever the umask: the control socket, in the second, is for everybody.
        mask = os.umask(0o022) if mode == 0o755 else None
        try:
            os.makedirs(directory, mode=mode, exist_ok=True)
        except OSError as error:
            raise PycrondError(f"cannot make {directory}: {error.strerror}") from error
        finally:
            if mask is not None:
                os.umask(mask)
        status = os.stat(directory)
        if status.st_uid != os.geteuid() or status.st_mode & 0o022:
            raise PycrondError(f"{directory} must belong to the daemon's user and be writable by nobody else")
        if not os.access(directory, os.W_OK | os.X_OK):
            raise PycrondError(f"cannot write to {directory}: Permission denied")


def keeper_socket(settings: Settings) -> str:
    return os.path.join(settings.runtime_dir, "keeper.sock")


def _launch(settings: Settings, lock: int, *, foreground: bool, loud: bool) -> str:
    """With the lock held: become the keeper (foreground), or have one made and wait for its word."""
    record(settings)
    path = keeper_socket(settings)
    listener = protocol.listen(path, 0o600)
    extra = ["--log-stderr=yes"] if loud else []
    daemon = [*_daemon_command(settings), *extra]
    kept = (lock, listener.fileno())

    def command(waiter: int) -> list[str]:
        return keeper_start.keeper_command(
            lock, listener, waiter, path=path, state_dir=settings.state_dir, daemon=daemon
        )

    if foreground:
        keeper_start.become_keeper(command(-1), kept)
    ours, its = socket.socketpair()
    with ours:
        keeper_start.detach(command(its.fileno()), kept, its)
        for each in (listener, its):
            each.close()
        os.close(lock)
        with ours.makefile(encoding="utf-8", errors="replace") as lines:
            return lines.readline().strip() or "Fthe daemon ended before it said a word"


def _daemon_command(settings: Settings) -> list[str]:
    # -P: the working directory must not become a place that modules are taken from.
    return [sys.executable, "-P", "-X", "utf8", "-m", "pycrond.daemon", *to_arguments(settings)]


def _ask_keeper(settings: Settings) -> str:
    """What whoever holds the lock says to a start; empty if it is going or not yet there."""
    try:
        answer = say_to_keeper(settings, "\0".join(["start", *_daemon_command(settings)]))
    except PycrondError:
        answer = ""
    return answer or _ask_daemon(settings)


def say_to_keeper(settings: Settings, said: str) -> str:
    """A word to the keeper, and its answer; empty where it ended without one."""
    with protocol.connect(keeper_socket(settings), PATIENCE) as keeper:
        try:
            keeper.sendall(said.encode("utf-8", "surrogateescape"))
            with keeper.makefile(encoding="utf-8", errors="replace") as lines:
                return lines.readline().strip()
        except TimeoutError as error:
            raise PycrondError("the keeper does not answer") from error
        except OSError:
            return ""


def _ask_daemon(settings: Settings) -> str:
    """The same of a daemon whose keeper was killed: it holds the lock itself."""
    try:
        return f"A{protocol.ask(control_socket(settings), {'command': 'status'}, PATIENCE)['pid']}"
    except PycrondError:
        return ""


def _tell(settings: Settings, answer: str) -> int:
    """R and A name a pid, F says why there is none."""
    kind, text = answer[0], answer[1:]
    if kind == "F":
        raise PycrondError(f"not started: {text}")
    if kind == "A":
        raise PycrondError(f"already running, pid {text}")
    say_what_is_loaded(settings, f"pycrond started, pid {text}")
    return 0


def say_what_is_loaded(settings: Settings, what: str) -> None:
    """`what` has happened, with which jobs, and what is wrong with them."""
    reader = Reader(settings.state_dir)
    jobs, problems = reader.jobs(), reader.problems()
    files = len({job.file for job in jobs})
    print(f"{what}: {loaded(len(jobs), files)}; {next_due(jobs)}")
    print_problems(problems, sys.stderr)


def loaded(jobs: int, files: int) -> str:
    return f"{counted(jobs, 'job')} from {counted(files, 'file')}"


def reload(wanted: argparse.Namespace) -> int:
    """Have the crontabs read, and say what came of it; 1 if a file kept its old version."""
    settings = configured(wanted)
    if wanted.dry_run:
        from pycrond.cli.commands.changes import show_changes

        return show_changes(settings)
    answer = reload_and_wait(settings)
    reader = Reader(settings.state_dir)
    jobs = reader.jobs()
    print(f"pycrond reloaded: {loaded(len(jobs), answer['files'])}; {next_due(jobs)}")
    print_problems(reader.problems(), sys.stderr)
    return 1 if answer["kept"] else 0
