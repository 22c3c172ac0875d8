"""Crontabs that have changed since the daemon read them, if it does not watch them."""

import os
import time
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from pycrond.cli.daemon_requests import STATUS_TIMEOUT, ask_daemon
from pycrond.cli.documents.lists import FileChangeDocument
from pycrond.errors import PycrondError
from pycrond.settings import Settings
from pycrond.sources.file_rules import SKIPPED
from pycrond.sources.watch import FileStamp, stamps_of
from pycrond.text import duration, rfc3339


class FileChange(NamedTuple):
    """A crontab, or a crontab directory, that has changed since the daemon read it."""

    file: str
    kind: Literal["changed", "added", "removed"]
    name: str
    """The path, or the file's name if the daemon reads one directory."""
    at: float | None = None
    """The Unix time of the change; None if the file or directory was removed."""

    def __str__(self) -> str:
        ago = "" if self.at is None else f" {duration(max(0.0, time.time() - self.at))} ago"
        effect = "its jobs are still loaded" if self.kind == "removed" else "not loaded"
        return f"{self.name}: {self.kind}{ago}, {effect}: pycrond reload"

    def document(self) -> FileChangeDocument:
        """Return the change as `--json` prints it."""
        return {"file": self.file, "change": self.kind, "at": rfc3339(self.at)}


def unloaded_changes(settings: Settings) -> list[FileChange]:
    """Return the changes since the daemon read its crontabs, sorted; none if no daemon answers."""
    try:
        answer = ask_daemon(settings, "stamps", timeout=STATUS_TIMEOUT)
    except PycrondError:
        return []
    directories = answer["directories"]
    before = [FileStamp(*values) for values in answer["stamps"]]
    return sorted(compare(before, stamps_of(directories), directories))


def compare(
    before: Iterable[FileStamp], now: Iterable[FileStamp], directories: list[str]
) -> Iterator[FileChange]:
    """Yield the differences between two lists of stamps, without file names that are never read."""
    old = {stamp.path: stamp for stamp in before}
    new = {stamp.path: stamp for stamp in now}
    gone = {path for path in directories if new[path].error and not old[path].error}
    for path in (old.keys() | new.keys()) - {*directories}:
        directory, name = os.path.split(path)
        if old.get(path) == new.get(path) or directory in gone or SKIPPED.search(name):
            continue
        shown = name if len(directories) == 1 else path
        if path not in new:
            yield FileChange(path, "removed", shown)
        elif not os.path.isdir(path):
            yield FileChange(path, "changed" if path in old else "added", shown, new[path].ctime_ns / 1e9)
    yield from (FileChange(path, "removed", path) for path in gone)
