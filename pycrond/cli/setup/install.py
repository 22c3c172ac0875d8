"""Placing and removing the program's files below a root, with a record of the placed files."""

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pycrond.cli.setup.plan import Record, SetupStep, plan_placement, record_after, record_during
from pycrond.errors import PycrondError, os_reason
from pycrond.hashing import digest
from pycrond.host import safe_paths


class Installation:
    """The files that setup placed below a root, and their record. Paths begin with ``/``."""

    def __init__(self, root: str, record: str) -> None:
        """`record` is the path of the record, below the root like all others."""
        self._root = root
        self._record = record
        self._placed: Record = {}
        self._directories: list[str] = []
        with contextlib.suppress(FileNotFoundError), self._reported(record):
            document = json.loads(safe_paths.read_file(self._below_root(record)))
            self._placed = {path: tuple(digests) for path, digests in document["files"].items()}
            self._directories = list(document["folders"])

    def _below_root(self, path: str) -> str:
        return os.path.join(self._root, path.lstrip("/"))

    @property
    def is_empty(self) -> bool:
        return not self._placed

    def plan(self, files: Mapping[str, bytes]) -> list[SetupStep]:
        """Return the steps that place these files and remove all others of ours."""
        digests = {path: digest(content) for path, content in files.items()}
        return plan_placement(digests, self._existing({*digests, *self._placed}), self._placed)

    def _existing(self, paths: Iterable[str]) -> dict[str, str]:
        """Return the digests of the existing files; for a link or a directory, a text that is no digest."""
        digests = {}
        for path in paths:
            full_path = self._below_root(path)
            with (
                contextlib.suppress(FileNotFoundError, NotADirectoryError),
                safe_paths.place(full_path, follow=False) as entry,
            ):
                try:
                    digests[path] = digest(safe_paths.read(entry))
                except safe_paths.IrregularFileError:
                    digests[path] = "not a regular file"
        return digests

    def place(self, steps: Sequence[SetupStep], files: Mapping[str, bytes]) -> None:
        """Carry out the steps planned for `files`."""
        digests = {path: digest(content) for path, content in files.items()}
        during = record_during(steps, digests, self._placed)
        if during == self._placed:
            return
        self._make_directory(os.path.dirname(self._record))
        self._write_record(during)
        placed: Record = during
        try:
            for step in steps:
                self._apply(step, files)
            placed = record_after(steps, during)
        finally:
            self._write_record(placed)  # now with the created directories

    def undo(self, steps: Sequence[SetupStep]) -> None:
        """Carry out the steps planned for no files, and remove the created directories if they are empty."""
        for step in steps:
            self._apply(step, {})
        with contextlib.suppress(FileNotFoundError):
            self._remove(self._record)
        for directory in reversed(self._directories):
            with contextlib.suppress(OSError), self._entry(directory) as entry:
                os.rmdir(entry.name, dir_fd=entry.directory)

    def _apply(self, step: SetupStep, files: Mapping[str, bytes]) -> None:
        if step.action == "write":
            self._make_directory(os.path.dirname(step.path))
        with self._reported(step.path):
            if step.action == "write":
                self._write(step.path, files[step.path])
            elif step.action == "remove":
                self._remove(step.path)

    def _entry(self, path: str) -> contextlib.AbstractContextManager[safe_paths.Place]:
        """Open an entry below the root, without following a link."""
        return safe_paths.place(self._below_root(path), follow=False)

    def _remove(self, path: str) -> None:
        with self._entry(path) as entry:
            os.unlink(entry.name, dir_fd=entry.directory)

    def _make_directory(self, path: str) -> None:
        missing = []
        while path != "/" and not os.path.isdir(self._below_root(path)):
            missing.append(path)
            path = os.path.dirname(path)
        for directory in reversed(missing):
            with self._reported(directory):
                safe_paths.make_directory(self._below_root(directory), 0o755)
            self._directories.append(directory)

    def _write_record(self, placed: Record) -> None:
        self._placed = placed
        document = {"files": placed, "folders": self._directories}
        with self._reported(self._record):
            self._write(self._record, (json.dumps(document, indent=1) + "\n").encode())

    def _write(self, path: str, content: bytes) -> None:
        with self._entry(path) as entry:
            safe_paths.replace(entry, content, 0o755 if "/bin/" in path else 0o644)

    @contextlib.contextmanager
    def _reported(self, path: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except (OSError, ValueError, KeyError) as error:
            raise PycrondError(f"{self._below_root(path)}: {os_reason(error)}") from error
