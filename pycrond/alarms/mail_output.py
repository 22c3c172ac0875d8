"""The output of a run in its alarms: all of it or its two ends for a mail, its end for a hook or a ping."""

from collections.abc import Callable

from pycrond.output import spool
from pycrond.text import complete_length

MAX_OUTPUT = 7_000_000  # bytes; in base64 9.5 million, and Postfix refuses mails above 10,240,000 by default
_CUT_WINDOW = 4096  # bytes in which a cut is moved to the end of a line
_CONTINUATION = bytes(range(0x80, 0xC0))  # the bytes within a UTF-8 character


def read(directory: str, run: int, size: int, *, is_marked: bool) -> bytes:
    r"""Return an excerpt of the first `size` bytes of a run's output, without bytes no longer in the spool.

    With `is_marked` there is room for bytes that are not UTF-8 to become ``\xff``.
    """
    output = spool.Spool(directory, run)
    start = min(size, output.kept_start if output.size else size)
    end = min(size, max(start, output.size))

    def read_at(offset: int, count: int) -> bytes:
        return output.read(start + offset, count)

    kept = excerpt(end - start, read_at)
    if is_marked and len(kept.decode("utf-8", "backslashreplace").encode()) > MAX_OUTPUT:
        kept = excerpt(end - start, read_at, MAX_OUTPUT // len(r"\xff"))
    return (b"[pycrond: %d bytes before this are no longer kept]\n" % start if start else b"") + kept


def tail(directory: str, run: int, max_size: int) -> str:
    r"""Return the last bytes of a run's output as text; a byte that is not UTF-8 becomes ``\xff``."""
    last = spool.tail(directory, run, max_size)
    if len(last) == max_size:
        last = last[:3].lstrip(_CONTINUATION) + last[3:]
    return last.decode("utf-8", "backslashreplace")


def excerpt(size: int, read_at: Callable[[int, int], bytes], limit: int = MAX_OUTPUT) -> bytes:
    """Return all `size` bytes; if they are more than `limit`, both ends and between them a line about the
    rest.

    `read_at` takes an offset and a number of bytes.
    """
    if size <= limit:
        return read_at(0, size)
    half = limit // 2 - 100  # leaves room for the line between
    head, tail = read_at(0, half), read_at(size - half, half)
    # A character that is cut would be marked as bytes that are not UTF-8.
    head = head[: head.rfind(b"\n", -_CUT_WINDOW) + 1 or complete_length(head)]
    tail = tail[tail.find(b"\n", 0, _CUT_WINDOW) + 1 :]
    tail = tail[:3].lstrip(_CONTINUATION) + tail[3:]
    omitted = size - len(head) - len(tail)
    return with_newline(head) + b"[pycrond: %d bytes are left out here]\n" % omitted + tail


def with_newline(text: bytes) -> bytes:
    """Return the text with a newline at its end, unless it is empty."""
    return text if not text or text.endswith(b"\n") else text + b"\n"
