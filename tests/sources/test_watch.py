"""Changes of files, seen by stat alone."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pycrond.sources.watch import Watch


def in_place(file: Path) -> None:
    file.write_text("b" * len(file.read_text()))


def renamed_over(file: Path) -> None:
    other = file.with_name("other")
    other.write_text(file.read_text())
    other.rename(file)


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
def test_a_change_is_seen_until_it_is_noted(tmp_path: Path, change: Callable[[Path], object]) -> None:
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


def test_what_a_link_leads_to_counts(tmp_path: Path) -> None:
    target, folder = tmp_path / "target", tmp_path / "folder"
    target.write_text("a")
    folder.mkdir()
    (folder / "jobs").symlink_to(target)
    watch = Watch()
    watch.record([str(folder)])
    in_place(target)
    assert watch.changed([str(folder)])


def test_a_folder_and_a_file_that_come_and_go(tmp_path: Path) -> None:
    watch = Watch()
    for path in (tmp_path / "folder", tmp_path / "file"):
        watch.record([str(path)])
        assert not watch.changed([str(path)]), "not there, as before"
    (tmp_path / "folder").mkdir()
    assert watch.changed([str(tmp_path / "folder")])
    watch.record([str(tmp_path / "folder")])
    (tmp_path / "folder").rmdir()
    assert watch.changed([str(tmp_path / "folder")])


def test_reading_is_no_change(tmp_path: Path) -> None:
    (tmp_path / "jobs").write_text("a")
    watch = Watch()
    watch.record([str(tmp_path)])
    (tmp_path / "jobs").read_text()
    assert not watch.changed([str(tmp_path)])
