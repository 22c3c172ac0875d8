"""Changes of files, detected by stat(2)."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pycrond.sources.watch import Watch


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
def test_a_change_is_reported_until_it_is_recorded(tmp_path: Path, change: Callable[[Path], object]) -> None:
    file = tmp_path / "jobs"
    file.write_text("a")
    watch = Watch()
    assert watch.changed([str(tmp_path)]), "at first everything is new"
    watch.record([str(tmp_path)])
    assert not watch.changed([str(tmp_path)])
    change(file)
    seen = watch.changed([str(tmp_path)])
    assert seen == watch.changed([str(tmp_path)]) != frozenset()
    watch.record([str(tmp_path)])
    assert not watch.changed([str(tmp_path)])


def test_the_target_of_a_link_counts(tmp_path: Path) -> None:
    target, directory = tmp_path / "target", tmp_path / "directory"
    target.write_text("a")
    directory.mkdir()
    (directory / "jobs").symlink_to(target)
    watch = Watch()
    watch.record([str(directory)])
    in_place(target)
    assert watch.changed([str(directory)])


def test_a_directory_and_a_file_that_come_and_go(tmp_path: Path) -> None:
    watch = Watch()
    for path in (tmp_path / "directory", tmp_path / "file"):
        watch.record([str(path)])
        assert not watch.changed([str(path)]), "not there, as before"
    (tmp_path / "directory").mkdir()
    assert watch.changed([str(tmp_path / "directory")])
    watch.record([str(tmp_path / "directory")])
    (tmp_path / "directory").rmdir()
    assert watch.changed([str(tmp_path / "directory")])


def test_reading_a_file_is_no_change(tmp_path: Path) -> None:
    (tmp_path / "jobs").write_text("a")
    watch = Watch()
    watch.record([str(tmp_path)])
    (tmp_path / "jobs").read_text()
    assert not watch.changed([str(tmp_path)])
