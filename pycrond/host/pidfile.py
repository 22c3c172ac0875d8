"""The pidfile: it names the process to signal. Only the lock `STATE/lock` proves that a daemon runs.

The pidfile is not locked: every user may read it, and a process that can read a file can lock it.
"""

import os
import stat

from pycrond.errors import PycrondError, os_reason
from pycrond.host import procfs, safe_paths
from pycrond.host.names import NAMES

MAX_BYTES = 64  # a larger file is not a pidfile
MAX_ARGUMENTS = 1 << 20  # bytes
DAEMON_MODULE = b"pycrond.daemon"  # see `daemon_arguments.daemon_command`


class Pidfile:
    """A file with the daemon's pid, rewritten in place."""

    def __init__(self, path: str, state_dir: str) -> None:
        self.path = path
        self._state_dir = state_dir
        self._descriptor = -1

    def write(self, pid: int) -> None:
        """Write `pid`, mode 0644; raises PycrondError for a link, another user's file or another daemon's."""
        flags = os.O_RDWR | os.O_CREAT | safe_paths.OWN_FILE
        try:
            with safe_paths.place(self.path, follow=False) as entry:
                descriptor = os.open(entry.name, flags, 0o644, dir_fd=entry.directory)
        except OSError as error:
            reason = "it is a symbolic link" if os.path.islink(self.path) else os_reason(error)
            raise PycrondError(f"cannot write pidfile {self.path}: {reason}") from error
        try:
            self._check(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        os.fchmod(descriptor, 0o644)
        # Written before it is truncated: the file is never empty when a restart in place writes the same pid.
        os.ftruncate(descriptor, os.pwrite(descriptor, f"{pid}\n".encode(), 0))

    def _check(self, descriptor: int) -> None:
        """Refuse a file that is not a pidfile or has the pid of a daemon with another state directory."""
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise PycrondError(f"cannot write pidfile {self.path}: it is not a regular file")
        if status.st_uid not in {0, os.geteuid()}:
            raise PycrondError(
                f"cannot write pidfile {self.path}: it belongs to {NAMES.owner_name(status.st_uid)}"
            )
        content = os.pread(descriptor, MAX_BYTES, 0).strip()
        if status.st_size > MAX_BYTES or (content and not content.isdigit()):
            raise PycrondError(f"cannot write pidfile {self.path}: it is not a pidfile, and stays as it is")
        if content and _state_dir_of(int(content)) not in {None, self._state_dir}:
            raise PycrondError(
                f"pidfile {self.path} is in use by another daemon, pid {content.decode()};"
                " give this one its own --pidfile and --state-dir"
            )

    def remove(self) -> None:
        """Remove the file at a planned stop, if the path still leads to it."""
        if self._descriptor < 0:
            return
        try:
            if os.path.samestat(os.fstat(self._descriptor), os.lstat(self.path)):
                os.unlink(self.path)
        except OSError:
            pass  # the file or its directory has been removed already
        os.close(self._descriptor)
        self._descriptor = -1


def read_pid(path: str) -> int | None:
    """Return the pid in a pidfile; None if there is none, or another user could have written it."""
    try:
        text = safe_paths.read_file(path)[:MAX_BYTES].strip()
    except (OSError, PycrondError):
        return None
    return int(text) if text.isdigit() else None


def daemon_pid(path: str, state_dir: str) -> int | None:
    """Return the pid in a pidfile if it is the pid of the daemon with this state directory; else None."""
    pid = read_pid(path)
    return pid if pid is not None and _state_dir_of(pid) == state_dir else None


def _state_dir_of(pid: int) -> str | None:
    """Return the state directory in a daemon's arguments; None if the process is no daemon of this user.

    The real uid is checked, because the user who starts a setuid program of root chooses its arguments.
    """
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            arguments = file.read(MAX_ARGUMENTS).split(b"\0")
    except OSError:
        return None
    prefix = b"--state-dir="
    if procfs.real_uid(pid) != os.geteuid() or DAEMON_MODULE not in arguments:
        return None
    return next((os.fsdecode(word[len(prefix) :]) for word in arguments if word.startswith(prefix)), None)
