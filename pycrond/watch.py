"""Whether crontab files have changed, told from what stat(2) says of them."""

import contextlib
import os
from collections.abc import Iterable

Mark = tuple[object, ...]


class Watch:
    """Directories and files, and how they looked when last asked."""

    def __init__(self) -> None:
        self._marks: list[Mark] = []

    def has_changed(self, paths: Iterable[str]) -> bool:
        """Whether anything in or of these looks other than at the last call; at the first, it has."""
        before, self._marks = self._marks, [mark for path in paths for mark in _marks(path)]
        return self._marks != before


def _marks(path: str) -> list[Mark]:
    """Of a file and of what it is a link to; of a folder, of all that is in it."""
    found = [_mark(path)]
    with contextlib.suppress(OSError):  # a plain file, or not there
        found += [_mark(os.path.join(path, name)) for name in sorted(os.listdir(path))]
    return found


def _mark(path: str) -> Mark:
    """The change time is in it: a file of the same size may be written twice in one tick of its clock."""
    try:
        one = os.stat(path)
    except OSError as error:
        return (path, error.errno)
    return (path, one.st_dev, one.st_ino, one.st_size, one.st_mtime_ns, one.st_ctime_ns)
