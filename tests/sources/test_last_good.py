"""The last good texts on disk: saved, loaded, replaced atomically, pruned."""

import os
import stat
from pathlib import Path

import pytest

from pycrond.sources.last_good import NAME, LastGood


def text_file(directory: Path) -> Path:
    """Return the only text in a directory."""
    (file,) = (file for file in directory.iterdir() if file.suffix != NAME)
    return file


def test_a_text_survives_a_restart(tmp_path: Path) -> None:
    directory = str(tmp_path / "crontabs")
    LastGood(directory).save("/etc/a", b"\0\xff any bytes\n")
    assert LastGood(directory).load("/etc/a") == b"\0\xff any bytes\n"
    assert LastGood(directory).load("/etc/b") is None


def test_an_empty_text_is_a_text(tmp_path: Path) -> None:
    kept = LastGood(str(tmp_path))
    kept.save("/etc/a", b"")
    assert kept.load("/etc/a") == b""


def test_the_newest_text_is_loaded(tmp_path: Path) -> None:
    kept = LastGood(str(tmp_path))
    for text in (b"one", b"two, which is longer", b"3"):
        kept.save("/etc/a", text)
    assert kept.load("/etc/a") == b"3"
    assert len(os.listdir(tmp_path)) == 2
    assert [*kept.files()] == ["/etc/a"]


def test_the_same_text_is_not_written_again(tmp_path: Path) -> None:
    kept = LastGood(str(tmp_path))
    kept.save("/etc/a", b"one")
    file = text_file(tmp_path)
    before = file.stat().st_ino
    kept.save("/etc/a", b"one")
    assert file.stat().st_ino == before
    kept.save("/etc/a", b"two")
    assert file.stat().st_ino != before  # replaced by a new file, so that a crash leaves no partial text


def test_a_partial_text_left_by_a_crash_is_not_used(tmp_path: Path) -> None:
    kept = LastGood(str(tmp_path))
    kept.save("/etc/a", b"good")
    file = text_file(tmp_path)
    half = Path(f"{file}.new")
    half.write_bytes(b"ha")
    assert LastGood(str(tmp_path)).load("/etc/a") == b"good"
    kept.save("/etc/a", b"better")
    assert (kept.load("/etc/a"), half.exists()) == (b"better", False)


def test_a_pruned_file_has_no_last_good_text(tmp_path: Path) -> None:
    kept = LastGood(str(tmp_path))
    for name in "abc":
        kept.save(f"/etc/{name}", name.encode())
    (tmp_path / "left.new").write_bytes(b"of a crash")
    kept.prune(["/etc/b", "/etc/never"])
    assert [kept.load(f"/etc/{name}") for name in "abc"] == [None, b"b", None]
    assert [*kept.files()] == ["/etc/b"]
    assert len(os.listdir(tmp_path)) == 2
    kept.prune([])
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "name", ["/etc/a", "/etc/wei\u00df", "/etc/caf\udce9", "/" + "x" * 3000, "/etc/a\nb"]
)
def test_any_path(tmp_path: Path, name: str) -> None:
    kept = LastGood(str(tmp_path))
    kept.save(name, b"text")
    assert kept.load(name) == b"text"
    assert [*LastGood(str(tmp_path)).files()] == [name]


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    directory = tmp_path / "crontabs"
    LastGood(str(directory))
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
