"""Spools: each byte of a FIFO is written to disk exactly once, also with full disks and killed processes."""

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

NOW = 1_900_000_000.0


class Fifo:
    """A FIFO with a reading end, and a writing end that is opened when needed."""

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
    fifo = Fifo(tmp_path / "fifo")
    yield fifo
    fifo.close()


def write_through(output: Spool, fifo: Fifo, text: bytes) -> None:
    """Write any amount of text to the FIFO and move it to the spool."""
    for start in range(0, len(text), CHUNK_SIZE):
        fifo.write(text[start : start + CHUNK_SIZE])
        while output.move_from(fifo.reader, NOW):
            pass


def content(directory: Path, run: int, start: int = 0) -> bytes:
    data, part = b"", b"x"
    while part:
        part = spool.read(str(directory), run, start + len(data), CHUNK_SIZE)
        data += part
    return data


def numbered(size: int) -> bytes:
    """Return numbered lines, so that a lost or moved line is noticed."""
    text = b"".join(b"%d\n" % number for number in range(size // 4))
    return text[:size]


def test_a_job_without_output_has_no_file(fifo: Fifo, tmp_path: Path) -> None:
    output = Spool(str(tmp_path / "spool"), 7)
    assert output.move_from(fifo.reader, NOW) in {0, None}
    fifo.write(b"")
    assert output.move_from(fifo.reader, NOW) is None, "a writer, and nothing written"
    fifo.hang_up()
    assert output.move_from(fifo.reader, NOW) == 0, "no writer is left"
    assert not (tmp_path / "spool").exists()
    assert (output.size, output.read(0, 10)) == (0, b"")


def test_bytes_arrive_as_they_are(fifo: Fifo, tmp_path: Path) -> None:
    output = Spool(str(tmp_path), 7)
    every = bytes(range(256))
    fifo.write(every)
    assert output.move_from(fifo.reader, NOW) == 256
    assert output.move_from(fifo.reader, NOW) is None, "empty for now"
    fifo.write(b"more")
    fifo.hang_up()
    assert [output.move_from(fifo.reader, NOW) for _ in range(3)] == [4, 0, 0]
    assert (output.size, output.read(0, 1000)) == (260, every + b"more")
    output.close()


def test_more_output_after_the_end_of_the_fifo(fifo: Fifo, tmp_path: Path) -> None:
    output = Spool(str(tmp_path), 7)
    for text in (b"one", b"two"):
        fifo.write(text)
        fifo.hang_up()
        assert [output.move_from(fifo.reader, NOW), output.move_from(fifo.reader, NOW)] == [3, 0]
    assert content(tmp_path, 7) == b"onetwo"


def test_an_adopted_fifo_without_writers_shows_its_end(fifo: Fifo, tmp_path: Path) -> None:
    fifo.write(b"left behind")
    fifo.hang_up()
    output = Spool(str(tmp_path), 7)
    output.open()
    assert [output.move_from(fifo.reader, NOW), output.move_from(fifo.reader, NOW)] == [11, 0]


def test_parts_can_be_read(fifo: Fifo, tmp_path: Path) -> None:
    output = Spool(str(tmp_path), 7)
    write_through(output, fifo, b"0123456789")
    assert (output.read(3, 4), output.read(8, 10), output.read(10, 10), output.read(99, 1)) == (
        b"3456",
        b"89",
        b"",
        b"",
    )
    assert output.read(5 * SEGMENT_SIZE, 1) == b""


@pytest.mark.parametrize(
    "size", [0, 9, 10, 11, SEGMENT_SIZE - 1, SEGMENT_SIZE, SEGMENT_SIZE + 3, 2 * SEGMENT_SIZE + 12]
)
def test_tail(fifo: Fifo, tmp_path: Path, size: int) -> None:
    text = numbered(size)
    output = Spool(str(tmp_path), 7)
    write_through(output, fifo, text)
    assert spool.tail(str(tmp_path), 7, 10) == text[-10:]
    output.drop_before(size)
    kept = text[Spool(str(tmp_path), 7).kept_start :]
    assert spool.tail(str(tmp_path), 7, 10) == kept[-10:], "the same from the rest"
    assert spool.tail(str(tmp_path), 8, 10) == b""


def test_long_output_has_several_segments(fifo: Fifo, tmp_path: Path) -> None:
    text = numbered(2 * SEGMENT_SIZE + 12_345)
    output = Spool(str(tmp_path), 1234)
    write_through(output, fifo, text)
    assert output.size == len(text)
    assert spool.segments(str(tmp_path), 1234) == [0, 1, 2]
    assert sorted(os.listdir(tmp_path / "1")) == ["1234.0", "1234.1", "1234.2"]
    assert content(tmp_path, 1234) == text
    assert output.read(SEGMENT_SIZE - 10, 100) == text[SEGMENT_SIZE - 10 : SEGMENT_SIZE + 90], (
        "of two segments"
    )
    assert output.read(SEGMENT_SIZE, 100) == text[SEGMENT_SIZE : SEGMENT_SIZE + 100]


def test_a_spool_goes_on_where_an_earlier_spool_stopped(fifo: Fifo, tmp_path: Path) -> None:
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
        output = Spool(str(tmp_path), 7)
        assert output.size == start
        write_through(output, fifo, text[start:stop])
        assert output.size == stop
        output.close()
    assert content(tmp_path, 7) == text


def test_runs_do_not_mix(fifo: Fifo, tmp_path: Path) -> None:
    for run in (1, 10, 100, 1000, 1001, 11):
        write_through(Spool(str(tmp_path), run), fifo, b"%d" % run)
    for run in (1, 10, 100, 1000, 1001, 11):
        assert content(tmp_path, run) == b"%d" % run
        assert spool.segments(str(tmp_path), run) == [0]


@pytest.mark.parametrize(
    ("before", "left", "why"),
    [
        (0, [0, 1, 2], "nothing delivered"),
        (SEGMENT_SIZE - 1, [0, 1, 2], "the first segment is incomplete"),
        (SEGMENT_SIZE, [1, 2], "the first segment"),
        (2 * SEGMENT_SIZE + 4, [2], "both complete segments"),
        (2 * SEGMENT_SIZE + 5, [2], "all is delivered: the last segment stays for users"),
    ],
)
def test_delivered_segments_are_deleted(
    fifo: Fifo, tmp_path: Path, before: int, left: list[int], why: str
) -> None:
    text = numbered(2 * SEGMENT_SIZE + 5)
    output = Spool(str(tmp_path), 7)
    write_through(output, fifo, text)
    output.drop_before(before)
    output.drop_before(before)
    assert spool.segments(str(tmp_path), 7) == left, why
    again = Spool(str(tmp_path), 7)
    assert again.kept_start == left[0] * SEGMENT_SIZE
    assert content(tmp_path, 7, left[0] * SEGMENT_SIZE) == text[left[0] * SEGMENT_SIZE :]
    assert output.read(0, 10) == (b"" if left[0] else text[:10])
    assert again.size == len(text)
    again.drop_before(len(text))
    assert spool.segments(str(tmp_path), 7) == [2]


def test_a_whole_number_of_segments_keeps_the_last(fifo: Fifo, tmp_path: Path) -> None:
    output = Spool(str(tmp_path), 7)
    write_through(output, fifo, b"x" * 2 * SEGMENT_SIZE)
    output.drop_before(2 * SEGMENT_SIZE)
    assert 1 in spool.segments(str(tmp_path), 7)
    write_through(output, fifo, b"y")
    output.drop_before(2 * SEGMENT_SIZE + 1)
    assert spool.segments(str(tmp_path), 7) == [2]


def test_only_its_owner_can_read_it(fifo: Fifo, tmp_path: Path) -> None:
    output = Spool(str(tmp_path / "spool"), 7)
    write_through(output, fifo, b"secret")
    assert (tmp_path / "spool" / "0").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "spool" / "0" / "7.0").stat().st_mode & 0o777 == 0o600
    assert not os.get_inheritable(output._descriptor)


def test_a_full_disk_keeps_the_rest_in_the_pipe(fifo: Fifo, tmpfs: Path) -> None:
    text = numbered(400 << 10)
    filler = tmpfs / "filler"
    filler.write_bytes(b"x" * (300 << 10))
    output = Spool(str(tmpfs / "spool"), 7)
    written = 0
    with pytest.raises(OSError, match="No space left"):
        while written < len(text):
            fifo.write(text[written : written + CHUNK_SIZE])
            written += len(text[written : written + CHUNK_SIZE])
            while output.move_from(fifo.reader, NOW):
                pass
    assert output.size < written < len(text)
    with pytest.raises(OSError, match="No space left"):
        output.move_from(fifo.reader, NOW)
    filler.unlink()
    while output.move_from(fifo.reader, NOW):
        pass
    write_through(output, fifo, text[written:])
    assert content(tmpfs / "spool", 7) == text


def test_a_disk_full_from_the_first_byte_on(fifo: Fifo, tmpfs: Path) -> None:
    with open(tmpfs / "filler", "wb", buffering=0) as filler, contextlib.suppress(OSError):
        while True:
            filler.write(b"x" * 4096)
    output = Spool(str(tmpfs / "spool"), 7)
    fifo.write(b"first")
    for _ in range(3):
        with pytest.raises(OSError, match="No space left"):
            output.move_from(fifo.reader, NOW)
    (tmpfs / "filler").unlink()
    assert output.move_from(fifo.reader, NOW) == 5
    assert content(tmpfs / "spool", 7) == b"first"


MOVE_PROGRAM = """
import os, select, sys
from pycrond.output.spool import Spool
reader = os.open(sys.argv[1], os.O_RDONLY | os.O_NONBLOCK)
spool = Spool(sys.argv[2], 7)
spool.open()
os.write(1, b"begun")
while spool.move_from(reader, 0.0) is not None or select.select([reader], [], []):
    pass
"""
LINE_COUNT = 1_500_000


def test_a_kill_in_the_middle_of_moving_loses_no_byte_and_doubles_none(fifo: Fifo, tmp_path: Path) -> None:
    """The test holds a reading end, as the keeper does, so that the pipe outlives the killed process."""
    spool_dir = tmp_path / "spool"
    with open(fifo.path, "r+b", buffering=0) as entrance:
        writer = subprocess.Popen(["seq", str(LINE_COUNT)], stdout=entrance)
    expected = b"".join(b"%d\n" % number for number in range(1, LINE_COUNT + 1))
    kills = 0
    while writer.poll() is None and kills < 8:
        mover = subprocess.Popen(
            [sys.executable, "-c", MOVE_PROGRAM, str(fifo.path), str(spool_dir)], stdout=subprocess.PIPE
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
    output = Spool(str(spool_dir), 7)
    while (moved := output.move_from(fifo.reader, NOW)) != 0:
        if moved is None:
            select.select([fifo.reader], [], [])
    writer.wait()
    assert output.size == len(expected)
    assert content(spool_dir, 7) == expected
    assert kills > 2
