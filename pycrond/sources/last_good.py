"""The last version without errors of each crontab, on disk. It stays in use while an edit has errors."""

import contextlib
import os
from collections.abc import Iterator

from pycrond.hashing import digest
from pycrond.host.safe_paths import OWN_FILE, IrregularFileError, open_regular

NAME = ".path"
"""The suffix of the file that has the path of a crontab."""


class LastGood:
    """Crontab texts in files named by a hash of the crontab's path; other files have the paths."""

    def __init__(self, directory: str, *, read_only: bool = False) -> None:
        """With `read_only` nothing is saved or removed."""
        self._directory = directory
        self._read_only = read_only
        if not read_only:
            os.makedirs(directory, mode=0o700, exist_ok=True)

    def _path(self, file: str) -> str:
        return os.path.join(self._directory, digest(os.fsencode(file)))

    def load(self, file: str) -> bytes | None:
        """Return the last good text of a crontab; None if none was saved, or it cannot be read."""
        return _read(self._path(file))

    def files(self) -> Iterator[str]:
        """Yield the paths of the crontabs with a last good text; none if the directory cannot be read."""
        with contextlib.suppress(OSError):
            for name in sorted(os.listdir(self._directory)):
                path = _read(os.path.join(self._directory, name)) if name.endswith(NAME) else None
                if path:
                    yield os.fsdecode(path)

    def save(self, file: str, text: bytes) -> None:
        """Save a good text. It is renamed into place, so that a crash leaves the old or the new text."""
        if self._read_only:
            return
        path = self._path(file)
        for place, content in ((path + NAME, os.fsencode(file)), (path, text)):
            if _read(place) == content:
                continue
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | OWN_FILE
            with open(os.open(path + ".new", flags, 0o600), "wb") as new:
                new.write(content)
                new.flush()
                os.fsync(new.fileno())
            os.replace(path + ".new", place)

    def prune(self, files: list[str]) -> None:
        """Remove the texts of all crontabs but these, so that a new file does not get an old file's text.

        Texts that cannot be removed (no descriptor is free) stay until the next load.
        """
        if self._read_only:
            return
        current = {os.path.basename(self._path(file)) for file in files}
        with contextlib.suppress(OSError):
            for name in os.listdir(self._directory):
                if name.removesuffix(NAME) not in current:
                    os.unlink(os.path.join(self._directory, name))


def _read(path: str) -> bytes | None:
    try:
        with open(open_regular(path, os.O_RDONLY), "rb") as saved:
            return saved.read()
    except (OSError, IrregularFileError):
        return None
