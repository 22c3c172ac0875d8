"""Spools: bytes from a FIFO to segments on disk, each exactly once, through full disks and kills."""

import contextlib
import fcntl
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pycrond.output import spool
from pycrond.output.spool import CHUNK_SIZE, SEGMENT_SIZE, Spool


class Fifo:
    """A FIFO with our reading end, and writing ends that come and go."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)
        self.reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._writer = -1

    def write(self, text: bytes) -> None:
        if self._writer < 0:
            self._writer = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
        assert os.write(self._writer, text) == len(text)

    def hang_up(self) -> None:
        os.close(self._writer)
        self._writer = -1

    def close(self) -> None:
        os.close(self.reader)
        if self._writer >= 0:
            self.hang_up()


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[Fifo]:
    one = Fifo(tmp_path / "fifo")
    yield one
    one.close()


def pour(one: Spool, fifo: Fifo, text: bytes) -> None:
    """Through the FIFO into the spool, whatever the size."""
    for start in range(0, len(text), CHUNK_SIZE):
        fifo.write(text[start : start + CHUNK_SIZE])
        while one.move_from(fifo.reader):
            pass


def content(folder: Path, run: int, start: int = 0) -> bytes:
    found, part = b"", b"x"
    while part:
        part = spool.read(str(folder), run, start + len(found), CHUNK_SIZE)
        found += part
    return found


def numbered(size: int) -> bytes:
    """Lines that tell where they belong."""
    text = b"".join(b"%d\n" % number for number in range(size // 4))
    return text[:size]


def test_a_silent_job_makes_no_file(fifo: Fifo, tmp_path: Path) -> None:
    one = Spool(str(tmp_path / "spool"), 7)
    assert one.move_from(fifo.reader) in {0, None}
    fifo.write(b"")
    assert one.move_from(fifo.reader) is None, "a writer, and nothing written"
    fifo.hang_up()
    assert one.move_from(fifo.reader) == 0, "no writer any more"
    assert not (tmp_path / "spool").exists()
    assert (one.size, one.read(0, 10)) == (0, b"")
    assert spool.first_offset(str(tmp_path / "spool"), 7) is None


def test_bytes_arrive_as_they_are(fifo: Fifo, tmp_path: Path) -> None:
    one = Spool(str(tmp_path), 7)
    every = bytes(range(256))
    fifo.write(every)
    assert one.move_from(fifo.reader) == 256
    assert one.move_from(fifo.reader) is None, "empty for now"
    fifo.write(b"more")
    fifo.hang_up()
    assert [one.move_from(fifo.reader) for _ in range(3)] == [4, 0, 0]
    assert (one.size, one.read(0, 1000)) == (260, every + b"more")
    one.close()


def test_an_end_and_then_more(fifo: Fifo, tmp_path: Path) -> None:
    one = Spool(str(tmp_path), 7)
    for text in (b"one", b"two"):
        fifo.write(text)
        fifo.hang_up()
        assert [one.move_from(fifo.reader), one.move_from(fifo.reader)] == [3, 0]
    assert content(tmp_path, 7) == b"onetwo"


def test_an_adopted_fifo_without_writers_shows_its_end(fifo: Fifo, tmp_path: Path) -> None:
    fifo.write(b"left behind")
    fifo.hang_up()
    one = Spool(str(tmp_path), 7)
    one.open()
    assert [one.move_from(fifo.reader), one.move_from(fifo.reader)] == [11, 0]


def test_reading(fifo: Fifo, tmp_path: Path) -> None:
    one = Spool(str(tmp_path), 7)
    pour(one, fifo, b"0123456789")
    assert (one.read(3, 4), one.read(8, 10), one.read(10, 10), one.read(99, 1)) == (b"3456", b"89", b"", b"")
    assert one.read(5 * SEGMENT_SIZE, 1) == b""


@pytest.mark.parametrize(
    "size", [0, 9, 10, 11, SEGMENT_SIZE - 1, SEGMENT_SIZE, SEGMENT_SIZE + 3, 2 * SEGMENT_SIZE + 12]
)
def test_its_end(fifo: Fifo, tmp_path: Path, size: int) -> None:
    text = numbered(size)
    one = Spool(str(tmp_path), 7)
    pour(one, fifo, text)
    assert spool.tail(str(tmp_path), 7, 10) == text[-10:]
    one.drop_before(size)
    kept = text[spool.kept_range(str(tmp_path), 7)[0] :]
    assert spool.tail(str(tmp_path), 7, 10) == kept[-10:], "of what is left"
    assert spool.tail(str(tmp_path), 8, 10) == b""


def test_segments(fifo: Fifo, tmp_path: Path) -> None:
    text = numbered(2 * SEGMENT_SIZE + 12_345)
    one = Spool(str(tmp_path), 1234)
    pour(one, fifo, text)
    assert one.size == len(text)
    assert spool.segments(str(tmp_path), 1234) == [0, 1, 2]
    assert sorted(os.listdir(tmp_path / "1")) == ["1234.0", "1234.1", "1234.2"]
    assert content(tmp_path, 1234) == text
    assert one.read(SEGMENT_SIZE - 10, 100) == text[SEGMENT_SIZE - 10 : SEGMENT_SIZE + 90], "of two segments"
    assert one.read(SEGMENT_SIZE, 100) == text[SEGMENT_SIZE : SEGMENT_SIZE + 100]


def test_it_goes_on_where_an_earlier_one_stopped(fifo: Fifo, tmp_path: Path) -> None:
    text = numbered(3 * SEGMENT_SIZE)
    stops = [
        1,
        CHUNK_SIZE,
        SEGMENT_SIZE - 1,
        SEGMENT_SIZE,
        SEGMENT_SIZE + 1,
        2 * SEGMENT_SIZE,
        3 * SEGMENT_SIZE,
    ]
    for start, stop in zip([0, *stops], stops, strict=False):
        one = Spool(str(tmp_path), 7)
        assert one.size == start
        pour(one, fifo, text[start:stop])
        assert one.size == stop
        one.close()
    assert content(tmp_path, 7) == text


def test_runs_do_not_mix(fifo: Fifo, tmp_path: Path) -> None:
    for run in (1, 10, 100, 1000, 1001, 11):
        pour(Spool(str(tmp_path), run), fifo, b"%d" % run)
    for run in (1, 10, 100, 1000, 1001, 11):
        assert content(tmp_path, run) == b"%d" % run
        assert spool.segments(str(tmp_path), run) == [0]


@pytest.mark.parametrize(
    ("before", "left", "why"),
    [
        (0, [0, 1, 2], "nothing delivered"),
        (SEGMENT_SIZE - 1, [0, 1, 2], "not the whole first one"),
        (SEGMENT_SIZE, [1, 2], "the first one"),
        (2 * SEGMENT_SIZE + 4, [2], "both"),
        (2 * SEGMENT_SIZE + 5, [2], "everything: the last stays, people may want it"),
    ],
)
def test_delivered_segments_go(fifo: Fifo, tmp_path: Path, before: int, left: list[int], why: str) -> None:
    text = numbered(2 * SEGMENT_SIZE + 5)
    one = Spool(str(tmp_path), 7)
    pour(one, fifo, text)
    one.drop_before(before)
    one.drop_before(before)
    assert spool.segments(str(tmp_path), 7) == left, why
    assert spool.first_offset(str(tmp_path), 7) == left[0] * SEGMENT_SIZE
    assert content(tmp_path, 7, left[0] * SEGMENT_SIZE) == text[left[0] * SEGMENT_SIZE :]
    assert one.read(0, 10) == (b"" if left[0] else text[:10])
    again = Spool(str(tmp_path), 7)
    assert again.size == len(text)
    again.drop_before(len(text))
    assert spool.segments(str(tmp_path), 7) == [2]


def test_a_whole_number_of_segments_keeps_the_last(fifo: Fifo, tmp_path: Path) -> None:
    one = Spool(str(tmp_path), 7)
    pour(one, fifo, b"x" * 2 * SEGMENT_SIZE)
    one.drop_before(2 * SEGMENT_SIZE)
    assert 1 in spool.segments(str(tmp_path), 7)
    pour(one, fifo, b"y")
    one.drop_before(2 * SEGMENT_SIZE + 1)
    assert spool.segments(str(tmp_path), 7) == [2]


def test_it_is_nobody_elses(fifo: Fifo, tmp_path: Path) -> None:
    one = Spool(str(tmp_path / "spool"), 7)
    pour(one, fifo, b"secret")
    assert (tmp_path / "spool" / "0").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "spool" / "0" / "7.0").stat().st_mode & 0o777 == 0o600
    assert not os.get_inheritable(one._descriptor)


def test_a_full_disk_keeps_the_rest_in_the_pipe(fifo: Fifo, tmpfs: Path) -> None:
    text = numbered(400 << 10)
    filler = tmpfs / "filler"
    filler.write_bytes(b"x" * (300 << 10))
    one = Spool(str(tmpfs / "spool"), 7)
    poured = 0
    with pytest.raises(OSError, match="No space left"):
        while poured < len(text):
            fifo.write(text[poured : poured + CHUNK_SIZE])
            poured += len(text[poured : poured + CHUNK_SIZE])
            while one.move_from(fifo.reader):
                pass
    assert one.size < poured < len(text)
    with pytest.raises(OSError, match="No space left"):
        one.move_from(fifo.reader)
    filler.unlink()
    while one.move_from(fifo.reader):
        pass
    pour(one, fifo, text[poured:])
    assert content(tmpfs / "spool", 7) == text


def test_a_disk_full_from_the_first_byte_on(fifo: Fifo, tmpfs: Path) -> None:
    with open(tmpfs / "filler", "wb", buffering=0) as filler, contextlib.suppress(OSError):
        while True:
            filler.write(b"x" * 4096)
    one = Spool(str(tmpfs / "spool"), 7)
    fifo.write(b"first")
    for _ in range(3):
        with pytest.raises(OSError, match="No space left"):
            one.move_from(fifo.reader)
    (tmpfs / "filler").unlink()
    assert one.move_from(fifo.reader) == 5
    assert content(tmpfs / "spool", 7) == b"first"


MOVES = """
import os, select, sys
from pycrond.output.spool import Spool
reader = os.open(sys.argv[1], os.O_RDONLY | os.O_NONBLOCK)
spool = Spool(sys.argv[2], 7)
spool.open()
os.write(1, b"begun")
while spool.move_from(reader) is not None or select.select([reader], [], []):
    pass
"""
LINES = 1_500_000


def test_a_kill_in_the_middle_of_moving_loses_no_byte_and_doubles_none(fifo: Fifo, tmp_path: Path) -> None:
    """We hold a reading end, as the keeper does, so that the pipe outlives whoever moves its bytes."""
    spools = tmp_path / "spool"
    with open(fifo.path, "r+b", buffering=0) as entrance:
        writer = subprocess.Popen(["seq", str(LINES)], stdout=entrance)
    expected = b"".join(b"%d\n" % number for number in range(1, LINES + 1))
    kills = 0
    while writer.poll() is None and kills < 8:
        mover = subprocess.Popen(
            [sys.executable, "-c", MOVES, str(fifo.path), str(spools)], stdout=subprocess.PIPE
        )
        assert mover.stdout
        with mover.stdout:
            assert mover.stdout.read(5) == b"begun"
            time.sleep(0.0002 * kills)
            mover.send_signal(signal.SIGKILL)
        mover.wait()
        kills += 1
        waiting = int.from_bytes(fcntl.ioctl(fifo.reader, 0x541B, bytes(4)), "little")
        assert 0 <= waiting <= CHUNK_SIZE
    one = Spool(str(spools), 7)
    while (moved := one.move_from(fifo.reader)) != 0:
        if moved is None:
            select.select([fifo.reader], [], [])
    writer.wait()
    assert one.size == len(expected)
    assert content(spools, 7) == expected
    assert kills > 2
