"""The output in a mail: both ends of a long output."""

from pycrond.alarms.mail_output import MAX_OUTPUT, excerpt


def test_excerpt_reads_no_more_than_it_keeps() -> None:
    reads = []

    def read_at(offset: int, size: int) -> bytes:
        reads.append((offset, size))
        return b"x" * size

    excerpt(10**12, read_at)
    assert sum(size for _, size in reads) <= MAX_OUTPUT
