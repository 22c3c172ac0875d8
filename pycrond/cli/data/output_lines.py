"""What runs print, as lines: the last ones, and those that come."""

from collections.abc import Iterator

from pycrond.cli.data.access import Records
from pycrond.output import spool
from pycrond.text import visible

LONGEST = 1 << 16  # bytes of a line that are waited for


class Stream:
    """One run's output from an offset on."""

    def __init__(self, records: Records, run: int, offset: int = 0, head: str = "") -> None:
        """`head` stands before each line."""
        self._records = records
        self._run = run
        self._offset = offset
        self._head = head
        self._rest = b""

    @property
    def offset(self) -> int:
        """Where what has not been shown yet begins."""
        return self._offset - len(self._rest)

    def lines(self, *, to_the_end: bool) -> Iterator[str]:
        """What has come since the last time, fit for a terminal; at the end also what is no whole line."""
        while data := self._data():
            self._offset += len(data)
            *whole, self._rest = (self._rest + data).split(b"\n")
            for line in whole:
                yield self._shown(line)
            if len(self._rest) > LONGEST:
                yield from self._last()
        if to_the_end:
            yield from self._last()

    def _data(self) -> bytes:
        data = self._records.output(self._run, self._offset)
        if not data:
            first, _ = self._records.kept(self._run)
            if first > self._offset:  # what lies between has been told to syslog, and deleted
                lost, self._offset = first - self._offset, first
                self._rest += f"[{lost} bytes are no longer kept]\n".encode()
                data = self._records.output(self._run, self._offset)
        return data

    def _last(self) -> Iterator[str]:
        if self._rest:
            yield self._shown(self._rest)
            self._rest = b""

    def _shown(self, line: bytes) -> str:
        return self._head + visible(line.removesuffix(b"\r"))


def tail(records: Records, run: int, most: int, *, whole: bool) -> tuple[list[str], int]:
    """The last lines of what is kept of a run's output, and where they end; with `whole` without a last one
    that is not ended yet.
    """
    first, end = records.kept(run)
    offset = max(first, (end // spool.SEGMENT - 1) * spool.SEGMENT)
    data = b""
    while offset + len(data) < end and (part := records.output(run, offset + len(data))):
        data += part
    *lines, rest = data.split(b"\n")
    end = offset + len(data)
    if whole:
        end -= len(rest)
    elif rest:
        lines.append(rest)
    return [visible(line.removesuffix(b"\r")) for line in lines[-most:]], end
