"""Detecting changes of crontab files, by what stat(2) reports about them."""

import contextlib
import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple


class FileStamp(NamedTuple):
    """The identity and times of a file or directory; after an error of stat(2) only path and error number."""

    path: str
    error: int = 0
    device: int = 0
    inode: int = 0
    size: int = 0
    mtime_ns: int = 0
    ctime_ns: int = 0


def stamps_of(paths: Iterable[str]) -> frozenset[FileStamp]:
    """Return the stamps of files, following links, or of directories and all files in them."""
    return frozenset(stamp for path in paths for stamp in _stamps_in(path))


def _stamps_in(path: str) -> Iterator[FileStamp]:
    """Yield the stamp of a file, following links, or those of a directory and of all files in it."""
    yield file_stamp(path)
    with contextlib.suppress(OSError):  # not a directory, or it does not exist
        for name in os.listdir(path):
            yield file_stamp(os.path.join(path, name))


def file_stamp(path: str) -> FileStamp:
    try:
        status = os.stat(path)
    except OSError as error:
        return FileStamp(path, error.errno or 0)
    times = status.st_mtime_ns, status.st_ctime_ns
    return FileStamp(path, 0, status.st_dev, status.st_ino, status.st_size, *times)
