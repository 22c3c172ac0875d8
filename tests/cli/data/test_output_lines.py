"""Lines of output with their times: of one run, and of several merged."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pycrond.cli.data.output_lines import Line, Stream, interleaved, tail
from pycrond.output import line_times, split_streams
from pycrond.output.line_times import STDERR, STDOUT, LineTimes
from pycrond.output.spool import Spool

AT = 1_700_000_000.0


@pytest.fixture
def records(tmp_path: Path) -> Any:
    """The output of run 5: three lines and a partial one, read at intervals of a second."""
    text = b"one\ntwo\nthree\nrest"
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "5.0").write_bytes(text)
    times = LineTimes(str(tmp_path), 5)
    for number, position in enumerate((0, 4, 8, 14)):
        times.note(0, position, AT + number)
    output = Spool(str(tmp_path), 5)
    return SimpleNamespace(
        kept=lambda run: (output.kept_start, output.size),
        output=lambda run, offset, most: (output.kept_start, output.size, output.read(offset, 6)),
        times=lambda run, start, end: output.times(start, end),
        streams=lambda run, start, end: split_streams.streams(output, start, end),
    )


def test_lines_of_a_run(records: Any) -> None:
    """The reads may end within a line."""
    complete = [Line(AT, "one"), Line(AT + 1, "two"), Line(AT + 2, "three")]
    stream = Stream(records, 5)
    assert [*stream.lines(to_the_end=False)] == complete
    assert stream.offset == 14
    assert [*stream.lines(to_the_end=True)] == [Line(AT + 3, "rest")]
    assert tail(records, 5, 2, complete=True) == (complete[1:], 14)
    assert tail(records, 5, 2, complete=False) == ([complete[2], Line(AT + 3, "rest")], 18)


def test_lines_of_a_stream(records: Any, tmp_path: Path) -> None:
    times = LineTimes(str(tmp_path), 5)
    for position, stream in ((0, STDOUT), (4, STDERR), (8, STDOUT), (14, STDERR)):
        times.note(0, position, AT, stream)
    assert [line.text for line in Stream(records, 5, 0, STDOUT).lines(to_the_end=True)] == ["one", "three"]
    assert [line.text for line in Stream(records, 5, 0, STDERR).lines(to_the_end=True)] == ["two", "rest"]
    assert [line.text for line in tail(records, 5, 1, complete=True, only=STDERR)[0]] == ["two"]


def test_lines_of_an_older_version(records: Any, tmp_path: Path) -> None:
    Path(line_times.path(str(tmp_path), 5, 0)).unlink()
    Path(line_times.first_path(str(tmp_path), 5)).unlink()
    changed = (tmp_path / "0" / "5.0").stat().st_mtime
    assert {line.at for line in Stream(records, 5).lines(to_the_end=True)} == {changed}


def test_lines_of_several_runs_are_merged_by_time() -> None:
    """The lines of a run keep their order even if the clock was set back. A run is opened in its turn."""
    opened: list[str] = []

    def source(name: str, *times: float) -> tuple[float, str, Iterator[Line]]:
        def lines() -> Iterator[Line]:
            opened.append(name)
            yield from (Line(at, f"{name}{number}") for number, at in enumerate(times))

        return times[0], name, lines()

    merged = interleaved(iter([source("a", 1, 5, 5, 9), source("b", 2, 7, 3, 8), source("c", 6)]))
    assert next(merged) == ("a", Line(1, "a0"))
    assert opened == ["a"]
    assert [line.text for _, line in merged] == ["b0", "a1", "a2", "c0", "b1", "b2", "b3", "a3"]


def test_output_that_is_deleted_before_it_is_printed_is_reported(
    records: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    stream, kept = Stream(records, 5), records.output
    records.output = lambda run, offset, most: (0, 18, b"one\ntw"[offset:])
    assert [line.text for line in stream.lines(to_the_end=False)] == ["one"]
    records.output = lambda run, offset, most: (8, 18, b"" if offset < 8 else kept(run, offset, most)[2])
    assert [line.text for line in stream.lines(to_the_end=True)] == ["tw", "three", "rest"]
    message = (
        "pycrond: 2 bytes of the output of run 5 were delivered and deleted before they could be printed\n"
    )
    assert capsys.readouterr() == ("", message)
