"""Putting files in place and taking them away again, by a record of what was placed."""

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pycrond.cli.setup.plan import Record, Step, afterwards, meanwhile, to_place, to_remove
from pycrond.errors import PycrondError
from pycrond.hashing import digest


class Installation:
    """Files below a root, and the record of those that were placed there by us. Paths begin with ``/``."""

    def __init__(self, root: str, record: str) -> None:
        """`record` is the path of that record, below the root like all others."""
        self._root = root
        self._record = record
        self._placed: Record = {}
        self._folders: list[str] = []
        with (
            contextlib.suppress(FileNotFoundError),
            self._reported(record),
            open(self._at(record), "rb") as file,
        ):
            document = json.loads(file.read())
            self._placed = {path: tuple(digests) for path, digests in document["files"].items()}
            self._folders = list(document["folders"])

    def _at(self, path: str) -> str:
        return os.path.join(self._root, path.lstrip("/"))

    @property
    def is_there(self) -> bool:
        return bool(self._placed)

    def plan(self, files: Mapping[str, bytes]) -> list[Step]:
        """What would have to be done for these files to be there, and no others of ours."""
        wanted = {path: digest(content) for path, content in files.items()}
        return to_place(wanted, self._found({*wanted, *self._placed}), self._placed)

    def plan_undo(self) -> list[Step]:
        return to_remove(self._found(self._placed), self._placed)

    def _found(self, paths: Iterable[str]) -> dict[str, str]:
        found = {}
        for path in paths:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                found[path] = self._digest(path)
        return found

    def _digest(self, path: str) -> str:
        """Of what is no plain file it is none that a file could have."""
        if os.path.islink(self._at(path)) or os.path.isdir(self._at(path)):
            return "no file"
        with open(self._at(path), "rb") as file:
            return digest(file.read())

    def place(self, steps: Sequence[Step], files: Mapping[str, bytes]) -> None:
        """Do what was planned for `files`."""
        during = meanwhile(steps, {path: digest(content) for path, content in files.items()}, self._placed)
        if during == self._placed:
            return
        self._make_folder(os.path.dirname(self._record))
        self._write_record(during)
        placed: Record = during
        try:
            for step in steps:
                self._do(step, files)
            placed = afterwards(steps, during)
        finally:
            self._write_record(placed)  # with the folders that were made

    def _do(self, step: Step, files: Mapping[str, bytes]) -> None:
        if step.action == "write":
            self._make_folder(os.path.dirname(step.path))
        with self._reported(step.path):
            if step.action == "write":
                self._write(step.path, files[step.path])
            elif step.action == "remove":
                os.unlink(self._at(step.path))

    def undo(self, steps: Sequence[Step]) -> None:
        """Do what was planned, and remove the folders that were made, where nothing else is in them."""
        for step in steps:
            self._do(step, {})
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._at(self._record))
        for folder in reversed(self._folders):
            with contextlib.suppress(OSError):
                os.rmdir(self._at(folder))

    def _make_folder(self, path: str) -> None:
        os.makedirs(self._root, exist_ok=True)
        missing = []
        while not os.path.isdir(self._at(path)):
            missing.append(path)
            path = os.path.dirname(path)
        for folder in reversed(missing):
            with self._reported(folder):
                os.mkdir(self._at(folder), 0o755)
            os.chmod(self._at(folder), 0o755)  # noqa: S103 -- whatever the umask
            self._folders.append(folder)

    def _write_record(self, placed: Record) -> None:
        self._placed = placed
        document = {"files": placed, "folders": self._folders}
        with self._reported(self._record):
            self._write(self._record, (json.dumps(document, indent=1) + "\n").encode())

    def _write(self, path: str, content: bytes) -> None:
        """Renamed into place: what is there is always whole."""
        new = self._at(path) + ".new"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new)
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644), "wb") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(content)
        os.replace(new, self._at(path))

    @contextlib.contextmanager
    def _reported(self, path: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except (OSError, ValueError, KeyError) as error:
            raise PycrondError(f"{self._at(path)}: {getattr(error, 'strerror', error)}") from error
