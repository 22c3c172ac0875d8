"""The output of runs, split into lines, each with the time at which it was read."""

import heapq
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from operator import itemgetter
from typing import NamedTuple, TypeVar

from pycrond.cli.printing import print_error
from pycrond.control.records import MAX_BYTES, Records
from pycrond.output import spool
from pycrond.output.line_times import by_time
from pycrond.text import counted, visible

LONGEST_LINE = 1 << 16  # bytes after which a line is shown in pieces
Source = TypeVar("Source")


class Line(NamedTuple):
    """A line without control characters, and the Unix time at which its last byte was read."""

    at: float
    text: str


class Stream:
    """The output of a run from an offset on."""

    def __init__(self, records: Records, run: int, offset: int = 0, only: str = "") -> None:
        """`only` is the stream whose lines are returned; empty for all streams."""
        self._only = only
        self._records = records
        self._run = run
        self._offset = offset
        self._rest = b""
        self._at = 0.0  # when the latest bytes were read

    @property
    def offset(self) -> int:
        """The offset of the first byte that was not returned."""
        return self._offset - len(self._rest)

    def lines(self, *, to_the_end: bool, until: float = float("inf")) -> Iterator[Line]:
        """Yield the lines since the last call, up to the offset `until`; at the end, also a partial line."""
        while self._offset < until and (data := self._data()):
            start = self._offset
            self._offset += len(data)
            marks = self._records.times(self._run, start, self._offset) or [(start, self._at)]
            self._at = marks[-1][1]
            lines, newline, rest = (self._rest + data).rpartition(b"\n")
            start, self._rest = start - len(self._rest), rest
            is_selected = self._filter(start, self._offset)
            for at, group in by_time(lines + newline, start, marks):
                for line in group.removesuffix(b"\n").split(b"\n"):
                    if is_selected(start):
                        yield Line(at, _shown(line))
                    start += len(line) + 1
            if len(rest) > LONGEST_LINE:
                yield from self._partial()
        if to_the_end:
            yield from self._partial()

    def _filter(self, start: int, end: int) -> Callable[[int], bool]:
        """Return a function that tells by the offset of a line whether its stream is selected."""
        if not self._only:
            return lambda _: True
        first = itemgetter(0)
        marks = self._records.streams(self._run, start, end)
        return lambda offset: marks[max(0, bisect_right(marks, offset, key=first) - 1)][1] == self._only

    def _data(self) -> bytes:
        first, _, data = self._records.output(self._run, self._offset, MAX_BYTES)
        if not data and first > self._offset:  # the bytes between were delivered and deleted
            lost, self._offset = first - self._offset, first
            self._rest += b"\n" if self._rest else b""
            deleted = f"{counted(lost, 'byte')} of the output of run {self._run}"
            print_error(f"pycrond: {deleted} were delivered and deleted before they could be printed")
            data = self._records.output(self._run, self._offset, MAX_BYTES)[2]
        return data

    def _partial(self) -> Iterator[Line]:
        if self._rest:
            if self._filter(self.offset, self._offset)(self.offset):
                yield Line(self._at, _shown(self._rest))
            self._rest = b""


def _shown(line: bytes) -> str:
    return visible(line.removesuffix(b"\r"))


def tail(records: Records, run: int, most: int, *, complete: bool, only: str = "") -> tuple[list[Line], int]:
    """Return a run's last kept lines and the offset of their end; `complete`: without a partial last line."""
    first, end = records.kept(run)
    stream = Stream(records, run, max(first, (end // spool.SEGMENT_SIZE - 1) * spool.SEGMENT_SIZE), only)
    return [*deque(stream.lines(to_the_end=not complete, until=end), most)], stream.offset


def interleaved(sources: Iterable[tuple[float, Source, Iterator[Line]]]) -> Iterator[tuple[Source, Line]]:
    """Merge the lines of several sources by their times; the lines of one source keep their order.

    Each source has a time before which it has no line. The sources are in the order of these times, and each
    is read only from its time on.
    """
    heap: list[tuple[float, int, Line, Source, Iterator[Line]]] = []

    def read(at: float, number: int, source: Source, lines: Iterator[Line]) -> None:
        for line in lines:
            heapq.heappush(heap, (max(at, line.at), number, line, source, lines))
            break

    def lines_before(end: float) -> Iterator[tuple[Source, Line]]:
        while heap and heap[0][0] < end:
            at, number, line, source, lines = heapq.heappop(heap)
            yield source, line
            read(at, number, source, lines)

    for number, (start, source, lines) in enumerate(sources):
        yield from lines_before(start)
        read(0.0, number, source, lines)
    yield from lines_before(float("inf"))
