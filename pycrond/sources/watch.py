"""Whether crontab files have changed, told from what stat(2) says of them."""

import contextlib
import os
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple


class FileStamp(NamedTuple):
    """How a file or a folder looks; of one that cannot be looked at only the error's number is set."""

    path: str
    error: int = 0
    device: int = 0
    inode: int = 0
    size: int = 0
    mtime_ns: int = 0
    ctime_ns: int = 0
    """It is in it, for a file of the same size may be written twice in one tick of its clock."""


class Watch:
    """Directories and files, and how they looked when that was noted last; at first they have changed."""

    def __init__(self) -> None:
        self._noted: frozenset[FileStamp] = frozenset()

    def note(self, paths: Iterable[str], but: Collection[str] = ()) -> None:
        """From now on they have changed if they look other than now; those in `but` have at once."""
        self._noted = frozenset(stamp for stamp in _marks(paths) if stamp.path not in but)

    def changed(self, paths: Iterable[str]) -> frozenset[FileStamp]:
        """How what has changed in or of these looked, and looks now."""
        return _marks(paths) ^ self._noted


def _marks(paths: Iterable[str]) -> frozenset[FileStamp]:
    return frozenset(one for path in paths for one in _marks_in(path))


def _marks_in(path: str) -> Iterator[FileStamp]:
    """Of a file and of what it is a link to; of a folder, of all that is in it."""
    yield file_stamp(path)
    with contextlib.suppress(OSError):  # a plain file, or not there
        for name in os.listdir(path):
            yield file_stamp(os.path.join(path, name))


def file_stamp(path: str) -> FileStamp:
    """How it looks."""
    try:
        one = os.stat(path)
    except OSError as error:
        return FileStamp(path, error.errno or 0)
    return FileStamp(path, 0, one.st_dev, one.st_ino, one.st_size, one.st_mtime_ns, one.st_ctime_ns)
