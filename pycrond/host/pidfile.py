"""The pidfile: whom to signal. It proves nothing; `STATE/lock` does."""

import fcntl
import os
import stat

from pycrond.errors import PycrondError

LONGEST = 64  # bytes of what may be a pidfile


class Pidfile:
    """The daemon's pid in a file, rewritten in place, locked for life so that two daemons cannot share it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor = -1

    def write(self, pid: int) -> None:
        """Put `pid` there, mode 0644; raises PycrondError for a link, a foreign file or another daemon's."""
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
        """Refuse to write over what is no pidfile, or a running daemon's."""
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise PycrondError(f"cannot write pidfile {self.path}: it is not a regular file")
        if status.st_uid not in {0, os.geteuid()}:
            raise PycrondError(f"cannot write pidfile {self.path}: it belongs to uid {status.st_uid}")
        before = os.pread(descriptor, LONGEST, 0)
        if status.st_size > LONGEST or (before.strip() and not before.strip().isdigit()):
            raise PycrondError(f"cannot write pidfile {self.path}: it is no pidfile, and stays as it is")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = before.strip().decode() or "unknown"
            raise PycrondError(
                f"pidfile {self.path} is in use by another daemon, pid {holder};"
                " give this one its own --pidfile and --state-dir"
            ) from error

    def remove(self) -> None:
        """Take it away at a planned stop, if it is still the file that was written."""
        if self._descriptor < 0:
            return
        try:
            if os.path.samestat(os.fstat(self._descriptor), os.lstat(self.path)):
                os.unlink(self.path)
        except OSError:
            pass  # gone already, or its directory is: nothing is owed any more
        os.close(self._descriptor)
        self._descriptor = -1


def read_pid(path: str) -> int | None:
    """The pid in the file, None where there is none to be read."""
    try:
        # O_NONBLOCK: a FIFO in its place must not hang the command line.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            text = file.read(LONGEST).strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def locked_pid(path: str) -> int | None:
    """The pid in the file if a daemon has it locked, so that the number is really its own; else None."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
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
