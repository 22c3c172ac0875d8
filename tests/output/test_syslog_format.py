"""Log lines: no output of a job can break a line, forge a line or be invisible in it."""

import re
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pycrond.output import syslog_format
from pycrond.settings import Settings
from pycrond.text import complete_length, split, visible

TIME = datetime(2026, 3, 9, 1, 2, 3, 45, timezone(timedelta(hours=1)))
HEADER = syslog_format.format_header(TIME, "PYCROND", 1234)


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"", ""),
        (b"all is well", "all is well"),
        (b"a\tb", "a\tb"),  # TAB is shown as it is
        (b"a\nb\r\x00\x1b[31m\x7f", "a^Jb^M^@^[[31m^?"),
        ("Größe: 5 €, 漢字".encode(), "Größe: 5 €, 漢字"),
        ("1\u202f234\u00a0€".encode(), "1\u202f234\u00a0€"),  # spaces as French writes them
        ("e\u0301 \U0001f600".encode(), "e\u0301 \U0001f600"),  # an accent of its own, an emoji
        (b"\xff\xc3", "\\377\\303"),  # no UTF-8, and half a character
        (b"\xed\xa0\x80", "\\355\\240\\200"),  # a surrogate is no UTF-8
        (b"\xc0\x8a", "\\300\\212"),  # newline, overlong
        ("\x85\x9b31m".encode(), "\\302\\205\\302\\23331m"),  # C1: next line, and another ESC [
        ("a\u2028b\u2029".encode(), "a\\342\\200\\250b\\342\\200\\251"),  # line and paragraph separator
        ("\u202etxt.exe\u2066".encode(), "\\342\\200\\256txt.exe\\342\\201\\246"),  # turns the direction
        ("a\u200bb\ufeff".encode(), "a\\342\\200\\213b\\357\\273\\277"),  # no width
        ("\u3164\u115f".encode(), "\\343\\205\\244\\341\\205\\237"),  # invisible letters
        ("\U000e0041".encode(), "\\363\\240\\201\\201"),  # a tag, invisible
    ],
)
def test_visible(raw: bytes, shown: str) -> None:
    assert shown == visible(raw)


@given(st.binary())
@example(bytes(range(256)))
def test_visible_is_one_harmless_line(raw: bytes) -> None:
    shown = visible(raw)

    assert len((shown + "x").splitlines()) == 1
    assert all(char.isprintable() or char == "\t" or (char.isspace() and char > "\x9f") for char in shown)
    assert shown == visible(shown.encode())  # so `visible` can be applied twice


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_ascii_is_unchanged(text: str) -> None:
    assert text == visible(text.encode())


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("echo 'a b' | wc", "echo 'a b' | wc"),
        ("a\tb\x7f", "a^Ib^?"),  # TAB too, in CMD
        ("echo é", "echo \\303\\251"),
        ("echo \udce9", "echo \\351"),  # a crontab in latin-1
    ],
)
def test_cron_text(command: str, shown: str) -> None:
    assert shown == syslog_format.cron_text(command)


@given(st.text(), st.integers(4, 50))
@example("", 4)
@example("\U0001f600" * 3, 4)
@example("aaa€", 4)
def test_split(text: str, size: int) -> None:
    pieces = split(text, size)

    assert text == "".join(pieces)
    assert all(len(piece.encode()) <= size for piece in pieces)
    assert all(pieces) or pieces == [""]
    assert all(len((piece + following[0]).encode()) > size for piece, following in pairwise(pieces))


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (HEADER, b"<78>Mar  9 01:02:03 PYCROND[1234]: "),  # for a local socket, without a host
        (
            syslog_format.format_header(TIME, "pycrond", 1, host="web1", level="err", facility="local7"),
            b"<187>Mar  9 01:02:03 web1 pycrond[1]: ",
        ),
        (
            syslog_format.format_header(TIME, "pycrond", 1, host="web1", form="rfc5424"),
            b"<78>1 2026-03-09T01:02:03.000045+01:00 web1 pycrond 1 - - ",
        ),
        (
            syslog_format.format_header(
                TIME.astimezone(UTC).replace(day=31), "pycrond", 1, facility="kern", level="emerg"
            ),
            b"<0>Mar 31 00:02:03 pycrond[1]: ",
        ),
        (
            syslog_format.format_header(TIME, "pycrond", 1, form="rfc5424"),
            b"<78>1 2026-03-09T01:02:03.000045+01:00 - pycrond 1 - - ",
        ),
    ],
)
def test_format_header(header: bytes, expected: bytes) -> None:
    assert expected == header


def test_a_packet_is_one_line_whatever_the_text() -> None:
    text = syslog_format.message("root", "CMD", "a\n<78>Mar  9 01:02:03 PYCROND[1]: (root) CMD (b\udcff)")

    assert (
        syslog_format.packet(HEADER, text)
        == HEADER + b"(root) CMD (a^J<78>Mar  9 01:02:03 PYCROND[1]: (root) CMD (b\\377))"
    )


@given(st.text() | st.binary(min_size=900, max_size=5000).map(visible))
@example("")
@example("x" * 5000)
@example("\n" * 2000)
def test_packets_are_whole_messages_of_at_most_1024_bytes(detail: str) -> None:
    packets = syslog_format.packets(HEADER, "root", "CMDOUT", detail)

    assert all(len(packet) <= 1024 for packet in packets)
    matches = [re.fullmatch(rb"\(root\) CMDOUT \((.*)\)", packet.removeprefix(HEADER)) for packet in packets]
    assert visible(detail.encode()).encode() == b"".join(match[1] for match in matches if match)
    assert all(matches)


PRINTED = (
    st.binary(max_size=3000) | st.text().map(str.encode) | st.text("a~ \t\r", max_size=3).map(str.encode)
)


@given(st.lists(PRINTED))
@example([b"plain", b"with a CR\r", b"", b"\r", b"plain"])
@example([b"x" * (1024 - len(HEADER) - len("(root) CMDOUT ()"))])  # just fits
@example([b"x" * (1025 - len(HEADER) - len("(root) CMDOUT ()"))])
@example([b"\x80" * ((1025 - len(HEADER) - len("(root) CMDOUT ()")) // 4)])  # fits too, as \200
def test_output_packets_are_as_packets_makes_them(lines: list[bytes]) -> None:
    shown = [visible(line.removesuffix(b"\r")) for line in lines]
    expected = [packet for text in shown for packet in syslog_format.packets(HEADER, "root", "CMDOUT", text)]

    assert expected == syslog_format.output_packets(HEADER, "root", lines)


def test_a_line_of_1_mb_is_split_without_loss() -> None:
    packets = syslog_format.packets(HEADER, "root", "CMDOUT", visible("€".encode() * 350_000))

    assert "".join(packet.decode()[len(HEADER) + 15 : -1] for packet in packets) == "€" * 350_000


@pytest.mark.parametrize("char", ["x", "\u00e9", "\u20ac", "\U0001f600"])
def test_the_length_of_whole_characters(char: str) -> None:
    data = ("a" + char * 3).encode()
    for end in range(1, len(data) + 1):
        kept = complete_length(data[:end])
        assert 0 <= end - kept < 4
        data[:kept].decode()
    assert complete_length(data) == len(data)


@pytest.mark.parametrize("data", [b"", b"\x80\x80\x80\x80\x80", b"a\xff", b"\xc3\xa9\x80\x80\x80\x80"])
def test_bytes_that_are_no_characters_are_all_kept(data: bytes) -> None:
    assert complete_length(data) == len(data)


@pytest.mark.parametrize(
    ("address", "delay", "end"),
    [
        ("/dev/log", 120, ""),
        ("/dev/log", 121, f" at={TIME.astimezone().isoformat(timespec='seconds')}"),
        ("udp://loghost", 3600, ""),
    ],
)
def test_the_end_of_a_late_message(address: str, delay: int, end: str) -> None:
    """Over a network the time in the header counts. The end does not make a packet longer, and no output can
    forge it.
    """
    settings = Settings(state_dir="", runtime_dir="", pidfile="", syslog=address)
    header = syslog_format.SyslogHeader(settings)
    assert header.late_end(TIME, TIME + timedelta(seconds=delay)) == end
    lines = [b"x) at=2026-11-28T02:00:01+00:00", b"y" * 3000]
    packets = syslog_format.output_packets(HEADER, "root", lines, end)
    assert len(packets) > 3
    assert all(len(packet) <= 1024 and packet.endswith(b")" + end.encode()) for packet in packets)
