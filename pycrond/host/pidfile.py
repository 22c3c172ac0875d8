"""The pidfile: it tells the process to signal. It proves nothing; the lock `STATE/lock` does."""

import fcntl
import os
import stat

from pycrond.errors import PycrondError

MAX_BYTES = 64  # a larger file is not a pidfile
READ_FLAGS = (
    os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
)  # O_NONBLOCK: a FIFO at the path must not hang anybody


class Pidfile:
    """A file with the daemon's pid, rewritten in place and locked, so that no two daemons share it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor = -1

    def write(self, pid: int) -> None:
        """Write `pid`, mode 0644; raises PycrondError for a link, another user's file or another daemon's."""
        try:
            descriptor = os.open(
                self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644
            )
        except OSError as error:
            reason = "it is a symbolic link" if os.path.islink(self.path) else error.strerror
            raise PycrondError(f"cannot write pidfile {self.path}: {reason}") from error
        try:
            self._claim(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        os.fchmod(descriptor, 0o644)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{pid}\n".encode(), 0)

    def _claim(self, descriptor: int) -> None:
        """Lock the file; refuse one that is not a pidfile or belongs to a running daemon."""
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise PycrondError(f"cannot write pidfile {self.path}: it is not a regular file")
        if status.st_uid not in {0, os.geteuid()}:
            raise PycrondError(f"cannot write pidfile {self.path}: it belongs to uid {status.st_uid}")
        content = os.pread(descriptor, MAX_BYTES, 0).strip()
        if status.st_size > MAX_BYTES or (content and not content.isdigit()):
            raise PycrondError(f"cannot write pidfile {self.path}: it is not a pidfile, and stays as it is")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise PycrondError(
                f"pidfile {self.path} is in use by another daemon, pid {content.decode() or 'unknown'};"
                " give this one its own --pidfile and --state-dir"
            ) from error

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
    """Return the pid in a pidfile; None if there is none."""
    try:
        with open(os.open(path, READ_FLAGS), "rb") as file:
            text = file.read(MAX_BYTES).strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def locked_pid(path: str) -> int | None:
    """Return the pid in a pidfile that a daemon has locked, so that the pid is really its own; else None."""
    try:
        descriptor = os.open(path, READ_FLAGS)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return read_pid(path)
    else:
        return None
    finally:
        os.close(descriptor)
