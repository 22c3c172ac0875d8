"""The checkpoint file: it returns the last turn, is overwritten in place, and is ignored when damaged."""

import os
import struct
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pycrond.scheduler.checkpoint import FORMAT, MAGIC, Checkpoint

AT = datetime(2025, 6, 10, 12, 0, tzinfo=UTC)


def test_a_new_state_directory_has_no_last_turn(tmp_path: Path) -> None:
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
def test_the_last_turn_is_read_by_the_next_daemon(
    tmp_path: Path, at: datetime, eras: tuple[int, int]
) -> None:
    path = str(tmp_path / "last-turn")
    Checkpoint(path).write(at, eras)
    assert Checkpoint(path).read()[:2] == (at, eras)


def test_the_file_is_overwritten_in_place(tmp_path: Path) -> None:
    file = tmp_path / "last-turn"
    checkpoint = Checkpoint(str(file))
    checkpoint.write(AT, (0, 0))
    before = file.stat()
    checkpoint.write(AT.replace(minute=1), (0, 1))
    after = file.stat()
    assert (before.st_ino, before.st_size) == (after.st_ino, after.st_size)
    assert checkpoint.read()[:2] == (AT.replace(minute=1), (0, 1))
    checkpoint.close()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "a crash before the first turn"),
        (b"pycrond1", "cut short"),
        (b"\0" * FORMAT.size, "zeros, as some file systems leave after a power cut"),
        (b"x" * FORMAT.size, "a file of another program"),
        (FORMAT.pack(MAGIC, 1 << 60, 0, 0, 0, b"", 0, 0), "a time beyond all clocks"),
        (FORMAT.pack(MAGIC, 1 << 40, 0, 0, 0, b"", 0, 0), "a time beyond all calendars"),
        (FORMAT.pack(MAGIC, -1 << 63, 0, 0, 0, b"", 0, 0), "a time before all calendars"),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_a_damaged_file_counts_as_no_last_turn_and_is_overwritten(
    tmp_path: Path, text: bytes, why: str
) -> None:
    file = tmp_path / "last-turn"
    file.write_bytes(text)
    checkpoint = Checkpoint(str(file))
    assert checkpoint.read()[:2] == (None, (0, 0)), why
    checkpoint.write(AT, (5, 6))
    assert checkpoint.read()[:2] == (AT, (5, 6))


def test_only_the_owner_may_read_the_file_and_no_child_inherits_it(tmp_path: Path) -> None:
    checkpoint = Checkpoint(str(tmp_path / "last-turn"))
    assert (tmp_path / "last-turn").stat().st_mode & 0o777 == 0o600
    assert not os.get_inheritable(checkpoint._descriptor)


def test_the_file_is_overwritten_on_a_full_disk(tmpfs: Path) -> None:
    checkpoint = Checkpoint(str(tmpfs / "last-turn"))
    checkpoint.write(AT, (0, 0))
    with open(tmpfs / "filler", "wb", buffering=0) as filler:
        while filler.tell() < 1 << 20:
            try:
                filler.write(b"x" * 4096)
            except OSError:
                break
    checkpoint.write(AT.replace(minute=1), (2, 3))
    assert checkpoint.read()[:2] == (AT.replace(minute=1), (2, 3))
    checkpoint.close()


def test_the_file_keeps_the_boot_and_the_time_since_when_claims_are_unwritten(tmp_path: Path) -> None:
    checkpoint = Checkpoint(str(tmp_path / "last-turn"))
    checkpoint.unwritten_since, checkpoint.boot = AT, b"0123456789abcdef"
    checkpoint.write(AT, (0, 0))
    next_checkpoint = Checkpoint(str(tmp_path / "last-turn"))
    assert (next_checkpoint.unwritten_since, next_checkpoint.boot) == (AT, b"0123456789abcdef")
    next_checkpoint.unwritten_since = None
    next_checkpoint.write(AT, (0, 0))
    assert Checkpoint(str(tmp_path / "last-turn")).read()[:5] == (AT, (0, 0), None, b"0123456789abcdef", None)


def test_a_file_of_the_first_format_is_read(tmp_path: Path) -> None:
    (tmp_path / "last-turn").write_bytes(struct.pack("<8sqqq", b"pycrond1", int(AT.timestamp()), 2, 3))
    assert Checkpoint(str(tmp_path / "last-turn")).read()[:5] == (AT, (2, 3), None, b"", None)
