"""The times at which output was read: written beside the spool, and read again by any process."""

import os
import sys
from pathlib import Path

import pytest

from pycrond.output import line_times
from pycrond.output.line_times import SPARE_SIZE, LineTimes, by_time
from pycrond.output.spool import SEGMENT_SIZE, Spool

AT = 1_700_000_000.0


def test_a_byte_has_the_time_of_the_mark_before_it(tmp_path: Path) -> None:
    times = LineTimes(str(tmp_path), 7)
    for position, at in ((0, AT), (10, AT + 1.5), (30, AT - 60)):
        times.note(0, position, at)
    for known in (times, LineTimes(str(tmp_path), 7)):
        assert known.between(0, 0, 10) == [(0, AT)]
        assert known.between(0, 5, 31) == [(5, AT), (10, AT + 1.5), (30, AT - 60)]
        assert known.between(0, 29, 30) == [(29, AT + 1.5)]
        assert known.between(0, 99, 100) == [(99, AT - 60)]


def test_most_runs_need_no_file_of_their_own(tmp_path: Path) -> None:
    for run in range(999, 1003):
        times = LineTimes(str(tmp_path), run)
        times.note(0, 0, AT + run)
        times.note(0, 8, AT + run + 0.001)  # too soon for a mark
    names = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert names == ["times/0/first", "times/1/first"]
    for run in range(999, 1003):
        assert LineTimes(str(tmp_path), run).between(0, 0, 20) == [(0, AT + run)]
    assert LineTimes(str(tmp_path), 1003).between(0, 0, 20) == []


def test_marks_are_hardly_larger_than_the_output(tmp_path: Path) -> None:
    times = LineTimes(str(tmp_path), 1)
    for position in range(3000):  # a job that prints single bytes, slowly
        times.note(0, position, AT + position)
    assert os.path.getsize(line_times.path(str(tmp_path), 1, 0)) <= 3000 + SPARE_SIZE + 8


@pytest.mark.parametrize(
    ("lines", "marks", "expected"),
    [
        (b"a\nb\n", [(100, 1.0)], [(1.0, b"a\nb\n")]),
        (b"a\nb\n", [(100, 1.0), (102, 2.0)], [(1.0, b"a\n"), (2.0, b"b\n")]),
        (b"a\nb\n", [(100, 1.0), (101, 2.0)], [(2.0, b"a\nb\n")]),  # complete at the time of the newline
        (b"abc\nd", [(100, 1.0), (101, 2.0), (102, 3.0), (104, 4.0)], [(3.0, b"abc\n"), (4.0, b"d")]),
        (b"a", [(100, 1.0)], [(1.0, b"a")]),
        (b"", [(100, 1.0)], []),
    ],
)
def test_a_line_has_the_time_of_its_last_byte(
    lines: bytes, marks: list[tuple[int, float]], expected: list[tuple[float, bytes]]
) -> None:
    assert [*by_time(lines, 100, marks)] == expected


def test_times_in_several_segments_and_after_a_restart(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    output = Spool(str(tmp_path), 3)
    for number in range(40):
        os.write(writer, b"x" * 60_000)
        while output.move_from(reader, AT + number):
            pass
    output.close()
    end = 40 * 60_000
    for known in (output, Spool(str(tmp_path), 3)):
        marks = known.times(0, end)
        assert [at for _, at in marks if at >= AT + 17][:2] == [AT + 17, AT + 17], (
            "a segment begins with a mark"
        )
        assert {offset: at for offset, at in marks if offset % 60_000 == 0} == {
            60_000 * number: AT + number for number in range(40)
        }
        assert known.times(SEGMENT_SIZE - 1, SEGMENT_SIZE + 1) == [
            (SEGMENT_SIZE - 1, AT + 17),
            (SEGMENT_SIZE, AT + 17),
        ]
    output.drop_before(end)
    assert sorted(os.listdir(tmp_path / "times" / "0")) == ["3.2", "first"]
    for descriptor in (reader, writer):
        os.close(descriptor)


def test_output_of_an_older_version_has_the_time_of_its_last_change(tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "5.0").write_bytes(b"a\nb\n")
    os.utime(tmp_path / "0" / "5.0", (AT, AT))
    assert Spool(str(tmp_path), 5).times(2, 4) == [(2, AT)]
    assert Spool(str(tmp_path), 6).times(0, 4) == []


def test_the_keepers_marks_and_incomplete_marks(tmp_path: Path) -> None:
    """The keeper writes each mark into the segment's own file; a full disk may cut one."""
    (tmp_path / "times" / "0").mkdir(parents=True)
    marks = b"".join(
        (position << 43 | int(at * 1000)).to_bytes(8, sys.byteorder)
        for position, at in ((0, AT), (4, AT + 9))
    )
    (tmp_path / "times" / "0" / "5.0").write_bytes(marks + b"\1\2\3")
    assert LineTimes(str(tmp_path), 5).between(0, 2, 9) == [(2, AT), (4, AT + 9)]
