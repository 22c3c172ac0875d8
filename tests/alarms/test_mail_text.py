"""Mails: what a job prints arrives as it was, and nothing that anyone writes becomes a header."""

import email
import re
from dataclasses import replace
from datetime import UTC, datetime
from email.header import decode_header, make_header
from email.message import Message

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pycrond.alarms import mail_text
from pycrond.alarms.mail_text import LIMIT, Letter, address_refusal, addresses, domain_of

FIRE = datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
AT = datetime(2026, 3, 29, 1, 0, 7, tzinfo=UTC)
LETTER = Letter("root", None, "root", "web1", "/usr/bin/backup --all", "backup", "output", "", 17, FIRE)
NAMES = ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "Precedence", "X-Pycrond-Job"]
NAMES += ["X-Pycrond-Event", "X-Pycrond-Run", "X-Pycrond-Fire-Time"]
CONTENT = ["MIME-Version", "Content-Type", "Content-Transfer-Encoding"]
FACTS = (("job", "backup"), ("fire time", "2026-03-29 01:00"))
BELOW = b"job:       backup\nfire time: 2026-03-29 01:00\n"


def parsed(letter: Letter, output: bytes = b"", **options: bool | str) -> Message:
    """As a mail program sees it; what every mail must be holds."""
    raw = mail_text.message(letter, output, AT, "0123abcd", **options)  # type: ignore[arg-type]
    assert b"\r" not in raw
    assert max(map(len, raw.split(b"\n"))) <= 998
    head, _, _ = raw.partition(b"\n\n")
    assert head.isascii()
    found = email.message_from_bytes(raw)
    assert not found.defects
    return found


def body(letter: Letter, output: bytes, **options: bool | str) -> bytes:
    found = parsed(letter, output, **options).get_payload(decode=True)
    assert isinstance(found, bytes)
    return found


def header(found: Message, name: str) -> str:
    return str(make_header(decode_header(found[name])))


def test_the_mail_of_a_run() -> None:
    letter = replace(
        LETTER, ending="exit status 3", event="failure", facts=FACTS, environment=(("A", "b c"),)
    )
    assert mail_text.message(letter, b"no space left\n", AT, "0123abcd").decode() == (
        "From: root (Cron Daemon)\n"
        "To: root\n"
        "Subject: Cron <root@web1> /usr/bin/backup --all (exit status 3)\n"
        "Date: Sun, 29 Mar 2026 01:00:07 +0000\n"
        "Message-ID: <pycrond.17.0123abcd@web1>\n"
        "Auto-Submitted: auto-generated\n"
        "Precedence: bulk\n"
        "X-Pycrond-Job: backup\n"
        "X-Pycrond-Event: failure\n"
        "X-Pycrond-Run: 17\n"
        "X-Pycrond-Fire-Time: 2026-03-29T01:00:00Z\n"
        "X-Pycrond-Ending: exit status 3\n"
        "MIME-Version: 1.0\n"
        "Content-Type: text/plain; charset=utf-8\n"
        "Content-Transfer-Encoding: 8bit\n"
        "X-Cron-Env: <A=b c>\n"
        "\n"
        "no space left\n"
        "\n"
        "-- \n"
        "job:       backup\n"
        "fire time: 2026-03-29 01:00\n"
    )


@pytest.mark.parametrize(
    "text",
    [
        "root",
        "ops@example.org",
        "a.b-c_d+cron@mx1.example.org",
        "a@example.org,b",
        "a@example.org, b",  # cronie and Debian's cron take no blank
        "a ,\tb,",
        "host!user",
        "user%host@relay",
        "a=b/c@example.org",  # Debian, not cronie
        "7@example.org",
    ],
)
def test_safe_addresses(text: str) -> None:
    assert address_refusal(text) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "there is no address"),
        (" , ", "there is no address"),
        ("-oQ/tmp", "an address begins with '-'"),
        ("a,-oQ/tmp", "an address begins with '-'"),  # each is an argument of its own
        ("@a", "an address begins with '@'"),
        ("a,/etc/passwd", "an address begins with '/'"),
        ("a;reboot", "unsafe character ';' in an address"),
        ("|reboot", "unsafe character '|' in an address"),
        ("a b", "unsafe character ' ' in an address"),
        ("a\nBcc: b", "unsafe character '\\n' in an address"),
        ("a\n", "unsafe character '\\n' in an address"),
        ("A <a@b>", "unsafe character ' ' in an address"),
        ("größe@b", "unsafe character 'ö' in an address"),
        ("\uff41@b", "unsafe character 'ａ' in an address"),  # noqa: RUF001 -- a letter, but not of ASCII
        ("\0", "unsafe character '\\x00' in an address"),
        ("a" * 255, "an address of more than 254 characters"),
    ],
)
def test_unsafe_addresses(text: str, why: str) -> None:
    assert address_refusal(text) == why


def test_bare_names_get_a_domain_for_smtp() -> None:
    assert addresses("root, a@b", "web1") == ["root@web1", "a@b"]
    found = parsed(LETTER, domain="web1")
    assert (found["From"], found["To"]) == ("root@web1 (Cron Daemon)", "root@web1")


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("web1", "web1"),
        ("web1.example.org", "web1.example.org"),
        ("a_b\n", "ab"),
        ("", "localhost"),
        ("é.x", "x"),
    ],
)
def test_domain_of(host: str, domain: str) -> None:
    assert domain_of(host) == domain


def test_mailfrom_replaces_the_sender() -> None:
    assert parsed(replace(LETTER, sender="cron@example.org"))["From"] == "cron@example.org"


def test_very_many_recipients() -> None:
    many = ",".join(f"someone{number}@example.org" for number in range(200))
    found = parsed(replace(LETTER, to=many))
    assert re.sub(r"\s", "", found["To"]) == many


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("echo hi", "echo hi"),
        ("echo  two\tblanks", "echo  two\tblanks"),
        ("echo Größe 漢字", "echo Größe 漢字"),
        ("a\nBcc: b", "a^JBcc: b"),
        ("a\r\n\r\nb", "a^M^J^M^Jb"),
        ("a\x1b[31m\x85", "a^[[31m\\302\\205"),
        ("a\udcff", "a\\377"),  # a byte of the crontab that is not UTF-8
        ("=?utf-8?q?hello?=", "=?utf-8?q?hello?="),  # not decoded
        ("x" * 10_000, "x" * 864 + "..."),
        ("ö " * 5_000, "ö " * 432 + "..."),
    ],
)
def test_subject(command: str, shown: str) -> None:
    found = header(parsed(replace(LETTER, command=command, ending="exit status 1")), "Subject")
    assert found == f"Cron <root@web1> {shown} (exit status 1)"


@pytest.mark.parametrize(
    ("output", "encoding", "charset"),
    [
        (b"hi\n", "8bit", "utf-8"),
        (b"hi", "8bit", "utf-8"),  # the facts follow on a line of their own
        ("Größe\n".encode(), "8bit", "utf-8"),
        (b"From a\n.\n..\n-- \nTo: b\n", "8bit", "utf-8"),
        (b"x" * 998 + b"\n", "8bit", "utf-8"),
        (b"x" * 999 + b"\n", "quoted-printable", "utf-8"),
        (b"x" * 99999 + b"=\n \n.\n", "quoted-printable", "utf-8"),
        (b" 10%\r 20%\r100%\r\n", "quoted-printable", "utf-8"),
        ("漢字".encode() * 500, "base64", "utf-8"),
        (b"a\0b\n", "quoted-printable", "utf-8"),
        (b"Gr\xf6\xdfe, and quite some more of it\n", "quoted-printable", "iso-8859-1"),
        (bytes(range(256)), "base64", "iso-8859-1"),
        (b"\xff" * 100, "base64", "iso-8859-1"),
    ],
)
def test_encoding(output: bytes, encoding: str, charset: str) -> None:
    letter = replace(LETTER, facts=FACTS)
    found = parsed(letter, output)
    assert (found["Content-Transfer-Encoding"], found.get_content_charset()) == (encoding, charset)
    end = b"" if output.endswith(b"\n") else b"\n"
    assert body(letter, output) == output + end + b"\n-- \n" + BELOW


def test_a_mail_of_seven_bits() -> None:
    output = "Größe, and quite some more of it\n".encode()
    assert mail_text.message(LETTER, output, AT, "1", seven_bit=True).isascii()
    assert body(LETTER, output, seven_bit=True) == output


@pytest.mark.parametrize(
    ("given", "kind", "below"),
    [
        ("text/html; charset=utf-8", "text/html; charset=utf-8", b""),
        ("TEXT/PLAIN;format=flowed", "TEXT/PLAIN;format=flowed", b"\n-- \n" + BELOW),
        ("text/html\nBcc: all@example.org", "text/plain; charset=utf-8", b"\n-- \n" + BELOW),
        ("multipart/mixed; boundary=x", "text/plain; charset=utf-8", b"\n-- \n" + BELOW),
        ("html", "text/plain; charset=utf-8", b"\n-- \n" + BELOW),
        ("text/html; é", "text/plain; charset=utf-8", b"\n-- \n" + BELOW),
        ("text/html;" + "x" * 1000, "text/plain; charset=utf-8", b"\n-- \n" + BELOW),
    ],
)
def test_the_output_is_what_the_crontab_says_that_it_is(given: str, kind: str, below: bytes) -> None:
    letter = replace(LETTER, facts=FACTS, content_type=given)
    assert parsed(letter, b"<p>Done\n")["Content-Type"] == kind
    assert body(letter, b"<p>Done\n") == b"<p>Done\n" + below
    assert parsed(letter)["Content-Type"] == "text/plain; charset=utf-8", "the facts alone are text"


def test_facts_without_output_stand_alone() -> None:
    assert body(replace(LETTER, facts=FACTS), b"") == BELOW
    assert not body(LETTER, b"")


def test_facts_cannot_begin_a_line() -> None:
    assert body(replace(LETTER, facts=(("a\nb", "c\nd é"),)), b"") == "a^Jb: c^Jd é\n".encode()
    assert body(replace(LETTER, facts=(("a", "é €"),)), b"\xff").endswith(b"a: \xe9 \\u20ac\n")


@pytest.mark.parametrize(
    "line",
    [b"0123456789\n", "Größe\n".encode(), "漢字".encode(), b"x", b"\xff"],
    ids=["lines", "umlauts", "one line of UTF-8", "one line", "no text"],
)
def test_the_middle_of_a_big_output_is_left_out(line: bytes) -> None:
    output = line * (3 * LIMIT // len(line))
    found = body(LETTER, output)
    head, count, tail = re.split(rb"\[pycrond: (\d+) bytes are left out here\]\n", found)
    gained = 0 if line.endswith(b"\n") else 1
    assert len(head) - gained + int(count) + len(tail) == len(output)
    assert output.startswith(head[: len(head) - gained])
    assert output.endswith(tail)
    assert LIMIT - 10_000 < len(found) <= LIMIT
    assert not output.isascii() or len(mail_text.message(LETTER, output, AT, "1")) < 10_240_000
    assert parsed(LETTER, output).get_content_charset() == ("iso-8859-1" if line == b"\xff" else "utf-8")


def test_the_biggest_mail_is_one_that_postfix_takes() -> None:
    for unit in (b"\xff", b"=12345", b"a" * 997 + b"\r"):
        output = unit * (LIMIT // len(unit))
        assert len(mail_text.message(LETTER, output, AT, "1")) < 10_240_000


def test_excerpt_reads_no_more_than_it_keeps() -> None:
    read = []

    def give(start: int, most: int) -> bytes:
        read.append((start, most))
        return b"x" * most

    mail_text.excerpt(10**12, give)
    assert sum(most for _, most in read) <= LIMIT


ANY = st.text(st.characters(codec="utf-8"), max_size=300)


@given(st.binary(max_size=3000), st.booleans())
@example(b"\n", False)
@example(b"=\n=20\n \n\t\n.\nFrom x\n", False)
@example(b" " * 2000, False)
@example(b"\r\n" * 10 + b"x" * 2000, False)
@settings(deadline=None)
def test_output_arrives_as_it_was(output: bytes, seven_bit: bool) -> None:
    assert body(LETTER, output, seven_bit=seven_bit) == output
    raw = mail_text.message(LETTER, output, AT, "1", seven_bit=seven_bit)
    assert raw.isascii() or not seven_bit


@given(ANY, ANY, ANY, ANY, ANY)
@example("\nBcc: x", "\r\nBcc: x", "\u2028Bcc: x", "\x85Bcc: x\n\n", "\x0bBcc: x")
@example("é" * 300, "é\n b", "=?x?=", "é " * 150, " ")
@settings(deadline=None)
def test_no_text_forges_a_header(command: str, name: str, host: str, ending: str, value: str) -> None:
    letter = Letter(
        "root",
        None,
        "root",
        host,
        command,
        name,
        "output",
        ending,
        1,
        FIRE,
        ((name, value),),
        ((name, value),),
    )
    found = parsed(letter, b"out\n")
    allowed = {*NAMES, *CONTENT, "X-Pycrond-Ending", "X-Cron-Env"}
    assert set(found.keys()) <= allowed
    assert {*NAMES} - {"X-Pycrond-Job"} <= set(found.keys())
    assert len(found.keys()) == len(set(found.keys()))
    payload = found.get_payload(decode=True)
    assert isinstance(payload, bytes)
    assert payload.startswith(b"out\n\n-- \n")
    assert payload.count(b"\n") == 4


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), max_size=500))
@settings(deadline=None)
def test_a_subject_can_be_read_back(command: str) -> None:
    shown = mail_text._shown(command)
    assert header(parsed(replace(LETTER, command=command)), "Subject") == f"Cron <root@web1> {shown}".strip()
