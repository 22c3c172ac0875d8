"""The last turn in its small file: read back, overwritten in place, doubted when damaged."""

import os
import struct
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pycrond.scheduler.checkpoint import FORMAT, MAGIC, Checkpoint

AT = datetime(2025, 6, 10, 12, 0, tzinfo=UTC)


def test_the_very_first_start(tmp_path: Path) -> None:
    assert Checkpoint(str(tmp_path / "last-turn")).read()[:2] == (None, (0, 0))


@pytest.mark.parametrize(
    ("at", "eras"),
    [
        (AT, (0, 0)),
        (datetime(1970, 1, 1, tzinfo=UTC), (0, 1)),
        (datetime(9999, 12, 29, 23, 59, tzinfo=UTC), (1 << 40, 1 << 62)),
        (datetime(1901, 1, 1, tzinfo=UTC), (3, 4)),
    ],
)
def test_a_turn_survives_the_daemon(tmp_path: Path, at: datetime, eras: tuple[int, int]) -> None:
    path = str(tmp_path / "last-turn")
    Checkpoint(path).write(at, eras)
    assert Checkpoint(path).read()[:2] == (at, eras)


def test_it_is_overwritten_in_place(tmp_path: Path) -> None:
    file = tmp_path / "last-turn"
    turns = Checkpoint(str(file))
    turns.write(AT, (0, 0))
    before = file.stat()
    turns.write(AT.replace(minute=1), (0, 1))
    after = file.stat()
    assert (before.st_ino, before.st_size) == (after.st_ino, after.st_size)
    assert turns.read()[:2] == (AT.replace(minute=1), (0, 1))
    turns.close()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "a crash before the first turn"),
        (b"pycrond1", "cut short"),
        (b"\0" * FORMAT.size, "zeros, as some file systems leave behind a power cut"),
        (b"x" * FORMAT.size, "somebody else's file"),
        (FORMAT.pack(MAGIC, 1 << 60, 0, 0, 0, b""), "a time beyond all clocks"),
        (FORMAT.pack(MAGIC, 1 << 40, 0, 0, 0, b""), "a time beyond all calendars"),
        (FORMAT.pack(MAGIC, -1 << 63, 0, 0, 0, b""), "before all of them"),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_a_damaged_file_is_none(tmp_path: Path, text: bytes, why: str) -> None:
    file = tmp_path / "last-turn"
    file.write_bytes(text)
    turns = Checkpoint(str(file))
    assert turns.read()[:2] == (None, (0, 0)), why
    turns.write(AT, (5, 6))
    assert turns.read()[:2] == (AT, (5, 6))


def test_it_is_our_own(tmp_path: Path) -> None:
    turns = Checkpoint(str(tmp_path / "last-turn"))
    assert (tmp_path / "last-turn").stat().st_mode & 0o777 == 0o600
    assert not os.get_inheritable(turns._descriptor)


def test_a_full_disk_does_not_matter(tmpfs: Path) -> None:
    turns = Checkpoint(str(tmpfs / "last-turn"))
    turns.write(AT, (0, 0))
    with open(tmpfs / "filler", "wb", buffering=0) as filler:
        while filler.tell() < 1 << 20:
            try:
                filler.write(b"x" * 4096)
            except OSError:
                break
    turns.write(AT.replace(minute=1), (2, 3))
    assert turns.read()[:2] == (AT.replace(minute=1), (2, 3))
    turns.close()


def test_unwritten_claims_and_the_boot(tmp_path: Path) -> None:
    turns = Checkpoint(str(tmp_path / "last-turn"))
    turns.unwritten_since, turns.boot = AT, b"0123456789abcdef"
    turns.write(AT, (0, 0))
    again = Checkpoint(str(tmp_path / "last-turn"))
    assert (again.unwritten_since, again.boot) == (AT, b"0123456789abcdef")
    again.unwritten_since = None
    again.write(AT, (0, 0))
    assert Checkpoint(str(tmp_path / "last-turn")).read() == (AT, (0, 0), None, b"0123456789abcdef")


def test_a_file_of_the_first_format(tmp_path: Path) -> None:
    (tmp_path / "last-turn").write_bytes(struct.pack("<8sqqq", b"pycrond1", int(AT.timestamp()), 2, 3))
    assert Checkpoint(str(tmp_path / "last-turn")).read() == (AT, (2, 3), None, b"")
