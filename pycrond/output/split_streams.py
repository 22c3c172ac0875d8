"""Standard output and standard error of a run with `log=split`: two FIFOs, and one spool with whole lines.

Each line belongs to one stream, because bytes are moved from a FIFO up to its last newline. Bytes without a
newline are moved when the FIFO is full or has no writer, or when the run has ended. While the last line in
the spool is incomplete, the other FIFO waits, unless it is full or no writer of the line is left; then the
line gets a newline.
"""

from collections.abc import Sequence

from pycrond.host.fifo_state import peek
from pycrond.output.line_times import NOT_SPLIT, STDERR, STDOUT, StreamMark
from pycrond.output.spool import SEGMENT_SIZE, Spool


def move(
    spool: Spool, fifos: Sequence[int], at: float, *, everything: bool = False, is_over: bool = False
) -> int | None:
    """Move the bytes in the FIFOs of standard output and standard error at a time in Unix seconds; with
    `everything` also incomplete lines. If the run `is_over`, no stream waits for the other. Return the number
    of bytes; 0 at the end of both, None if there are none now. Raises OSError, as `Spool.move_from` does.
    """
    before, line = spool.size, open_line(spool)
    # Look at standard error first: then all earlier bytes of standard output are seen, too, and moved first.
    pairs = zip((STDERR, STDOUT), reversed(fifos), strict=True)
    held = {stream: (fifo, peek(fifo)) for stream, fifo in pairs}
    for stream in sorted(held, key=lambda stream: (stream != line, stream != STDOUT)):
        fifo, waiting = held[stream]
        size = waiting.size if everything else waiting.lines
        if not size and (waiting.is_full or waiting.is_ended):
            size = waiting.size
        if line not in {"", stream}:
            is_lasting = line in held and not (held[line][1].is_ended or everything or is_over)
            if not size or (is_lasting and not waiting.is_full):
                continue
            spool.end_line()
        while size:
            size -= spool.move_from(fifo, at, size, stream) or size
        line = open_line(spool)
    if spool.size == before and all(waiting.is_ended and not waiting.size for _, waiting in held.values()):
        return 0
    return spool.size - before or None


def open_line(spool: Spool) -> str:
    """Return the stream of the last line if the line is not complete; else an empty text. The end of
    delivered output may have been given back to the disk.
    """
    last = spool.size - 1
    if last < spool.kept_start or spool.read(last, 1) in {b"", b"\n"}:
        return ""
    return streams(spool, last, spool.size)[-1][1]


def streams(spool: Spool, start: int, end: int) -> list[StreamMark]:
    """Return the streams of a run's output from `start` up to but not including `end`, each with the offset
    of its start, in order.
    """
    marks: list[StreamMark] = []
    for segment in range(start // SEGMENT_SIZE, -(-end // SEGMENT_SIZE)):
        base = segment * SEGMENT_SIZE
        first = max(0, start - base)
        parts = spool.marks.streams(segment, first, min(SEGMENT_SIZE, end - base)) or [(first, NOT_SPLIT)]
        for position, stream in parts:
            if not marks or marks[-1][1] != stream:
                marks.append((base + position, stream))
    return marks
