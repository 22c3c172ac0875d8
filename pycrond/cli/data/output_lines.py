"""The output of runs, split into lines."""

from collections.abc import Iterator

from pycrond.control.records import MAX_BYTES, Records
from pycrond.output import spool
from pycrond.text import visible

LONGEST_LINE = 1 << 16  # bytes after which a line is shown in pieces


class Stream:
    """The output of a run from an offset on."""

    def __init__(self, records: Records, run: int, offset: int = 0, head: str = "") -> None:
        """`head` is what is printed before each line."""
        self.head = head
        self._records = records
        self._run = run
        self._offset = offset
        self._rest = b""

    @property
    def offset(self) -> int:
        """The beginning of the output that has not been shown."""
        return self._offset - len(self._rest)

    def lines(self, *, to_the_end: bool) -> Iterator[str]:
        """The lines since the last call, fit for a terminal; at the end also a partial line."""
        while data := self._data():
            self._offset += len(data)
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                yield self._shown(line)
            if len(self._rest) > LONGEST_LINE:
                yield from self._partial()
        if to_the_end:
            yield from self._partial()

    def _data(self) -> bytes:
        first, _, data = self._records.output(self._run, self._offset, MAX_BYTES)
        if not data and first > self._offset:  # syslog has taken the bytes between, and they were deleted
            lost, self._offset = first - self._offset, first
            self._rest += f"[{lost} bytes are no longer kept]\n".encode()
            data = self._records.output(self._run, self._offset, MAX_BYTES)[2]
        return data

    def _partial(self) -> Iterator[str]:
        if self._rest:
            yield self._shown(self._rest)
            self._rest = b""

    def _shown(self, line: bytes) -> str:
        return visible(line.removesuffix(b"\r"))


def tail(records: Records, run: int, most: int, *, whole: bool) -> tuple[list[str], int]:
    """The last lines of a run's kept output, and where they end; with `whole` without a partial last line."""
    first, end = records.kept(run)
    offset = max(first, (end // spool.SEGMENT_SIZE - 1) * spool.SEGMENT_SIZE)
    data = b""
    while offset + len(data) < end and (part := records.output(run, offset + len(data), MAX_BYTES)[2]):
        data += part
    *lines, rest = data.split(b"\n")
    end = offset + len(data)
    if whole:
        end -= len(rest)
    elif rest:
        lines.append(rest)
    return [visible(line.removesuffix(b"\r")) for line in lines[-most:]], end
