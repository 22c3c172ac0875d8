"""The lines on standard output: no text of a job forges one, JSON loses no byte, and each part ends at its
position.
"""

import base64
import json
import os
import select
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pycrond.jobs.run import Cause, Outcome, Reason, State
from pycrond.output.run_log import CMD_SENT, Begin, End, Lines, Piece, Progress, RunLog
from pycrond.output.spool import Spool
from pycrond.output.stream_format import FORMATS
from pycrond.output.target import Message

AT = datetime(2026, 3, 9, 1, 2, 3, 456_000, tzinfo=UTC)
TIME = AT.astimezone().isoformat(timespec="milliseconds")


def formatted(form: str, *pieces: Piece, command: str = "work") -> list[str]:
    """Return the lines of pieces of a log."""
    log = RunLog(7, 99, "root", command, "backup", Spool("/nowhere", 7, is_new=True))
    batches = [
        batch for piece in pieces for batch in FORMATS[form]().batches(log, piece, Progress(0, CMD_SENT), AT)
    ]
    lines = b"".join(packet for batch in batches for packet in batch.packets).decode().split("\n")
    assert lines.pop() == ""
    return lines


def printed(data: bytes, *, is_partial: bool = False) -> Lines:
    return Lines(data, [(AT.timestamp(), "output", data)], is_partial)


FAILED = Outcome(
    State.FAILED, Cause(Reason.NONE, ""), exit_status=3, signal=None, cpu_s=0.25, max_rss_kb=8123
)


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (
            "text",
            [
                "{} backup[7] (root) CMD (a \\377)",
                "{} backup[7] (root) output: hi",
                "{} backup[7] (root) EXIT (backup status=3 duration=1.5s cpu=0.25s maxrss=8123kB)",
            ],
        ),
        (
            "json",
            [
                '{{"time":"{}","level":"info","job":"backup","run":7,"user":"root","pid":99,"event":"CMD","command":"a \\\\377"}}',
                '{{"time":"{}","level":"info","job":"backup","run":7,"user":"root","stream":"output","line":"hi"}}',
                (
                    '{{"time":"{}","level":"warning","job":"backup","run":7,"user":"root","pid":99,"event":"EXIT",'
                    '"state":"failed","exit_status":3,"duration_s":1.5,"cpu_s":0.25,"max_rss_kb":8123}}'
                ),
            ],
        ),
        (
            "logfmt",
            [
                'time={} level=info job=backup run=7 user=root pid=99 event=CMD command="a \\\\377"',
                'time={} level=info job=backup run=7 user=root stream=output line="hi"',
                (
                    "time={} level=warning job=backup run=7 user=root pid=99 event=EXIT state=failed exit_status=3 "
                    "duration_s=1.5 cpu_s=0.25 max_rss_kb=8123"
                ),
            ],
        ),
    ],
)
def test_the_log_of_a_run(form: str, expected: list[str]) -> None:
    pieces = Begin(AT.timestamp()), printed(b"hi\n"), End(AT.timestamp(), FAILED, 1.5)
    assert formatted(form, *pieces, command="a \udcff") == [line.format(TIME) for line in expected]


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("text", "{} pycrond[{}] (CRON) ERROR (a ^J{{b)"),
        ("json", '{{"time":"{}","level":"err","user":"CRON","pid":{},"event":"ERROR","message":"a \\n{{b"}}'),
        ("logfmt", 'time={} level=err user=CRON pid={} event=ERROR message="a \\n{{b"'),
    ],
)
def test_a_message_of_the_daemon(form: str, expected: str) -> None:
    (line,) = FORMATS[form]().message(Message(AT, "err", "CRON", "ERROR", "a \n{b"), AT)
    assert line.decode() == expected.format(TIME, os.getpid()) + "\n"


ODD = [
    b"",
    b"plain",
    b"tab\there",
    b'"quoted" \\ and {"json": 1}',
    b"\x1b[1mred\x1b[0m\r",
    b"a\rforged (root) EXIT (x status=0)",
    "Grüße 🙂 日本".encode(),
    "line\u2028separator \u0085 \u202eevil \u200b \u034f".encode(),
    b"\x00\x7f\x80\xff\xc3",
    b"\xed\xa0\x80",  # a surrogate in UTF-8
]


@pytest.mark.parametrize(
    "lines", [ODD, *([line] for line in ODD)], ids=lambda lines: f"{len(lines)}-{lines[0][:9]}"
)
def test_json_loses_no_byte_and_no_text_forges_a_line(lines: list[bytes]) -> None:
    data = b"\n".join(lines) + b"\n"
    found = formatted("json", printed(data))
    assert all(line.isprintable() for line in found)
    documents = [json.loads(line) for line in found]
    assert {"line_base64" in document for document in documents} <= {True, False}
    assert [_bytes(document) for document in documents] == lines
    for form, start in (
        ("text", f"{TIME} backup[7] (root) output: "),
        ("logfmt", f"time={TIME} level=info "),
    ):
        other = formatted(form, printed(data))
        assert len(other) == len(lines)
        assert all(line.startswith(start) and line.replace("\t", " ").isprintable() for line in other)


def _bytes(document: dict[str, str]) -> bytes:
    text = document.get("line_base64")
    return document["line"].encode() if text is None else base64.b64decode(text)


def test_a_readable_line_has_no_bytes_beside_it() -> None:
    """Also if another line of the same block needs them."""
    documents = [json.loads(line) for line in formatted("json", printed(b"fine \xc3\xa4\n\xff\x1b\n"))]
    assert [document["line"] for document in documents] == ["fine ä", "\\xff\x1b"]
    assert [document.get("line_base64") for document in documents] == [None, "/xs="]


@pytest.mark.parametrize("form", FORMATS)
def test_a_piece_of_a_long_line_says_that_the_line_goes_on(form: str) -> None:
    (line,) = formatted(form, printed(b"x" * 100_000, is_partial=True))
    if form != "text":
        assert line.endswith(',"partial":true}' if form == "json" else " partial=true")


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("end", [b"", b"\n"], ids=["open", "ended"])
def test_each_part_fits_a_pipe_and_ends_where_it_says(form: str, end: bytes, tmp_path: Path) -> None:
    """The position after a part is the end of the lines in it."""
    lines = [b"%d %b" % (number, b"y" * (number % 97)) for number in range(1000)] + [b"z" * 9000, b"last"]
    data = b"\n".join(lines) + end
    log = RunLog(7, 99, "root", "work", "backup", Spool(str(tmp_path), 7, is_new=True))
    half = data.index(b"\n500 ") + 1
    piece = Lines(data, [(1.0, "output", data[:half]), (2.0, "output", data[half:])], is_partial=False)
    count, positions = 0, []
    for packets, progress in FORMATS[form]().batches(log, piece, Progress(10 + len(data), CMD_SENT), AT):
        text = b"".join(packets)
        assert text.endswith(b"\n")
        assert len(text) <= select.PIPE_BUF or text.count(b"\n") == 1
        count += text.count(b"\n")
        positions.append(progress.sent - 10)
        assert data[: positions[-1]].count(b"\n") == count or positions[-1] == len(data)
        assert data[: positions[-1]].endswith(b"\n") or positions[-1] == len(data)
    assert (count, positions[-1]) == (len(lines), len(data))
    assert len(positions) > 15
