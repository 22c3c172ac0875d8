"""The crontabs that differ from what the daemon has read."""

import os
from pathlib import Path

import pytest

from pycrond.cli import not_loaded
from pycrond.sources.watch import stamps_of


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    for name in ("same", "changed", "removed"):
        (tmp_path / name).write_text("1 1 * * * true\n")
    (tmp_path / "inner").mkdir()
    return tmp_path


def test_changes_of_files(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = stamps_of([str(directory)])
    (directory / "changed").write_text("2 2 * * * true\n# longer\n")
    (directory / "removed").unlink()
    (directory / "inner" / "file").touch()
    for name in ("added", ".hidden", "saved~", "changed.swp"):
        (directory / name).touch()
    changes = sorted(not_loaded.compare(before, stamps_of([str(directory)]), [str(directory)]))
    at = os.stat(directory / "changed").st_ctime
    monkeypatch.setattr("time.time", lambda: at + 180)
    assert [str(change) for change in changes] == [
        "added: added 3 m ago, not loaded: pycrond reload",
        "changed: changed 3 m ago, not loaded: pycrond reload",
        "removed: removed, its jobs are still loaded: pycrond reload",
    ]
    assert [change.document()["change"] for change in changes] == ["added", "changed", "removed"]


def test_a_directory_that_is_gone_is_one_change(directory: Path, tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    (inner / "jobs").touch()
    paths = [str(directory), str(inner)]
    before = stamps_of(paths)
    (inner / "jobs").rename(directory / "jobs")
    inner.rmdir()
    changes = sorted(not_loaded.compare(before, stamps_of(paths), paths))
    assert [(change.name, change.kind) for change in changes] == [
        (str(inner), "removed"),
        (str(directory / "jobs"), "added"),
    ]


def test_nothing_has_changed(directory: Path) -> None:
    before = stamps_of([str(directory)])
    assert not [*not_loaded.compare(before, stamps_of([str(directory)]), [str(directory)])]
