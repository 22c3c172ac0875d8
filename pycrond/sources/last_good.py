"""The last error-free text of each crontab, kept on disk: what runs on while an edit of it is broken."""

import contextlib
import os

from pycrond.hashing import digest


class LastGood:
    """A folder of texts by the path of the crontab they came from."""

    def __init__(self, directory: str, *, read_only: bool = False) -> None:
        """`read_only`: for looking, whatever is to be kept or forgotten."""
        self._directory = directory
        self._read_only = read_only
        if not read_only:
            os.makedirs(directory, mode=0o700, exist_ok=True)

    def _place(self, file: str) -> str:
        return os.path.join(self._directory, digest(os.fsencode(file)))

    def load(self, file: str) -> bytes | None:
        """The last good text of the crontab, None if it never had one."""
        try:
            with open(self._place(file), "rb") as kept:
                return kept.read()
        except FileNotFoundError:
            return None

    def save(self, file: str, text: bytes) -> None:
        """Remember a good text; renamed into place, so that a crash leaves the old one or the new one."""
        if self._read_only or self.load(file) == text:
            return
        place = self._place(file)
        with open(place + ".new", "wb") as new:
            new.write(text)
            new.flush()
            os.fsync(new.fileno())
        os.replace(place + ".new", place)

    def prune(self, files: list[str]) -> None:
        """Crontabs that are gone leave nothing behind: a new file of that name starts afresh."""
        if self._read_only:
            return
        kept = {os.path.basename(self._place(file)) for file in files}
        for name in os.listdir(self._directory):
            if name not in kept:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(os.path.join(self._directory, name))
