"""Changes of files, detected by stat(2)."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pycrond.sources.watch import stamps_of


def in_place(file: Path) -> None:
    file.write_text("b" * len(file.read_text()))


def renamed_over(file: Path) -> None:
    new_file = file.with_name("other")
    new_file.write_text(file.read_text())
    new_file.rename(file)


def same_size_and_time(file: Path) -> None:
    before = file.stat()
    in_place(file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


CHANGES: list[Callable[[Path], object]] = [
    in_place,
    renamed_over,
    same_size_and_time,
    lambda file: file.unlink(),
    lambda file: file.chmod(0o600),
    lambda file: file.with_name("new").write_text(""),
    lambda file: file.with_name("new").symlink_to(file),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_gives_other_stamps(tmp_path: Path, change: Callable[[Path], object]) -> None:
    file, paths = tmp_path / "jobs", [str(tmp_path)]
    file.write_text("a")
    before = stamps_of(paths)
    assert before, "at first everything is new"
    assert stamps_of(paths) == before
    change(file)
    seen = stamps_of(paths)
    assert seen == stamps_of(paths) != before


def test_the_target_of_a_link_counts(tmp_path: Path) -> None:
    target, directory = tmp_path / "target", tmp_path / "directory"
    target.write_text("a")
    directory.mkdir()
    (directory / "jobs").symlink_to(target)
    before = stamps_of([str(directory)])
    in_place(target)
    assert stamps_of([str(directory)]) != before


def test_a_directory_and_a_file_that_come_and_go(tmp_path: Path) -> None:
    for path in (tmp_path / "directory", tmp_path / "file"):
        assert stamps_of([str(path)]) == stamps_of([str(path)]), "not there, as before"
    directory = tmp_path / "directory"
    missing = stamps_of([str(directory)])
    directory.mkdir()
    made = stamps_of([str(directory)])
    assert made != missing
    directory.rmdir()
    assert stamps_of([str(directory)]) not in (made, frozenset())


def test_reading_a_file_is_no_change(tmp_path: Path) -> None:
    (tmp_path / "jobs").write_text("a")
    before = stamps_of([str(tmp_path)])
    (tmp_path / "jobs").read_text()
    assert stamps_of([str(tmp_path)]) == before
