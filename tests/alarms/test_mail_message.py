"""Mail messages: output arrives, bytes that are not UTF-8 are marked, and no text forges a header."""

import email
import re
from dataclasses import replace
from datetime import UTC, datetime
from email.header import decode_header, make_header
from email.message import Message

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pycrond.alarms import mail_message
from pycrond.alarms.job_mail import JobMail
from pycrond.alarms.mail_output import MAX_OUTPUT, excerpt
from pycrond.text import visible

FIRE = datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
AT = datetime(2026, 3, 29, 1, 0, 7, tzinfo=UTC)
MAIL = JobMail(
    "root", None, "root", "web1", "/usr/bin/backup --all", "backup", "output", "", 17, FIRE.timestamp()
)
NAMES = ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "Precedence", "X-Pycrond-Job"]
NAMES += ["X-Pycrond-Event", "X-Pycrond-Run", "X-Pycrond-Fire-Time"]
CONTENT = ["MIME-Version", "Content-Type", "Content-Transfer-Encoding"]
FACTS = (("job", "backup"), ("fire time", "2026-03-29 01:00"))
BELOW = b"job:       backup\nfire time: 2026-03-29 01:00\n"


def raw(mail: JobMail, output: bytes = b"", *, domain: str = "", encoded: bool = False) -> bytes:
    """Return the message; with `encoded`, as for a server without 8BITMIME."""
    message = mail_message.build(mail, output, AT, "0123abcd", domain)
    if encoded:
        mail_message.encode_body(message)
    return bytes(message)


def parsed(mail: JobMail, output: bytes = b"", *, domain: str = "", encoded: bool = False) -> Message:
    """Check the rules for every message, and return the message as a mail program reads it."""
    content = raw(mail, output, domain=domain, encoded=encoded)
    assert b"\r" not in content
    assert max(map(len, content.split(b"\n"))) <= 998
    head, _, _ = content.partition(b"\n\n")
    assert head.isascii()
    message = email.message_from_bytes(content)
    assert not message.defects
    return message


def marked(output: bytes) -> bytes:
    return output.decode("utf-8", "backslashreplace").encode()


def body(mail: JobMail, output: bytes, *, encoded: bool = False) -> bytes:
    content = parsed(mail, output, encoded=encoded).get_payload(decode=True)
    assert isinstance(content, bytes)
    return content


def header(message: Message, name: str) -> str:
    return str(make_header(decode_header(message[name])))


def test_the_mail_of_a_run() -> None:
    mail = replace(MAIL, ending="exit status 3", event="failure", facts=FACTS, environment=(("A", "b c"),))
    assert raw(mail, b"no space left\n").decode() == (
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


def test_bare_names_get_a_domain_for_smtp() -> None:
    message = parsed(MAIL, domain="web1")
    assert (message["From"], message["To"]) == ("root@web1 (Cron Daemon)", "root@web1")


def test_mailfrom_replaces_the_sender() -> None:
    assert parsed(replace(MAIL, sender="cron@example.org"))["From"] == "cron@example.org"


def test_very_many_recipients() -> None:
    many = ",".join(f"someone{number}@example.org" for number in range(200))
    message = parsed(replace(MAIL, to=many))
    assert re.sub(r"\s", "", message["To"]) == many


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
    subject = header(parsed(replace(MAIL, command=command, ending="exit status 1")), "Subject")
    assert subject == f"Cron <root@web1> {shown} (exit status 1)"


@pytest.mark.parametrize(
    ("output", "encoding", "charset"),
    [
        (b"hi\n", "8bit", "utf-8"),
        (b"hi", "8bit", "utf-8"),  # the facts follow on a new line
        ("Größe\n".encode(), "8bit", "utf-8"),
        (b"From a\n.\n..\n-- \nTo: b\n", "8bit", "utf-8"),
        (b"x" * 998 + b"\n", "8bit", "utf-8"),
        (b"x" * 999 + b"\n", "quoted-printable", "utf-8"),
        (b"x" * 99999 + b"=\n \n.\n", "quoted-printable", "utf-8"),
        (b" 10%\r 20%\r100%\r\n", "quoted-printable", "utf-8"),
        ("漢字".encode() * 500, "base64", "utf-8"),
        (b"a\0b\n", "quoted-printable", "utf-8"),
        (b"Gr\xf6\xdfe, and quite some more of it\n", "8bit", "utf-8"),
        (bytes(range(256)), "quoted-printable", "utf-8"),
        (b"\xff" * 100, "8bit", "utf-8"),
        (b"\xff" * 500, "quoted-printable", "utf-8"),
    ],
)
def test_encoding(output: bytes, encoding: str, charset: str) -> None:
    mail = replace(MAIL, facts=FACTS)
    message = parsed(mail, output)
    assert (message["Content-Transfer-Encoding"], message.get_content_charset()) == (encoding, charset)
    end = b"" if output.endswith(b"\n") else b"\n"
    assert body(mail, output) == marked(output) + end + b"\n-- \n" + BELOW


def test_a_byte_that_is_not_utf_8_is_marked_and_spoils_nothing_else() -> None:
    output = "Größe 漢字 ".encode() + b"\xff\xc3(" + "é\n".encode()
    message = parsed(MAIL, output)
    assert message.get_content_charset() == "utf-8"
    assert body(MAIL, output).decode() == r"Größe 漢字 \xff\xc3(é" + "\n"


def test_a_mail_of_seven_bits() -> None:
    output = "Größe, and quite some more of it\n".encode()
    assert raw(MAIL, output, encoded=True).isascii()
    assert body(MAIL, output, encoded=True) == output


@pytest.mark.parametrize(
    ("variable", "content_type", "below"),
    [
        ("text/html; charset=utf-8", "text/html; charset=utf-8", b""),
        ("TEXT/PLAIN;format=flowed", "TEXT/PLAIN;format=flowed", b"\n-- \n" + BELOW),
        ("text/html\nBcc: all@example.org", "text/plain; charset=utf-8", b"\n-- \n" + BELOW),
        ("multipart/mixed; boundary=x", "text/plain; charset=utf-8", b"\n-- \n" + BELOW),
        ("html", "text/plain; charset=utf-8", b"\n-- \n" + BELOW),
        ("text/html; é", "text/plain; charset=utf-8", b"\n-- \n" + BELOW),
        ("text/plain; charset=utf8", "text/plain; charset=utf8", b"\n-- \n" + BELOW),
        ("text/html;" + "x" * 1000, "text/plain; charset=utf-8", b"\n-- \n" + BELOW),
    ],
)
def test_content_type_names_the_type_of_the_output(variable: str, content_type: str, below: bytes) -> None:
    mail = replace(MAIL, facts=FACTS, content_type=variable)
    assert parsed(mail, b"<p>Done\n")["Content-Type"] == content_type
    assert body(mail, b"<p>Done\n") == b"<p>Done\n" + below
    assert parsed(mail)["Content-Type"] == "text/plain; charset=utf-8", "the facts alone are text"


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("text/plain; charset=iso-8859-1", b"\xff\n"),
        ("text/html", b"\xff\n"),
        ("text/html; charset=utf-8", b"\\xff\n"),
        ('text/html; charset="UTF-8"; x=y', b"\\xff\n"),
        ("application/octet-stream", b"\xff\n"),
    ],
)
def test_only_output_in_utf_8_is_marked(content_type: str, expected: bytes) -> None:
    assert body(replace(MAIL, content_type=content_type), b"\xff\n") == expected


@pytest.mark.parametrize(
    ("encoding", "output", "sent"),
    [
        ("base64", b"aGk=\n", "base64"),
        ("Quoted-Printable", b"=C3=A9\n", "Quoted-Printable"),
        ("base64", b"\xff\n", "8bit"),  # which is not base64
        ("8bit", b"hi\n", "8bit"),
        ("7bit", "é\n".encode(), "8bit"),
        ("x\nBcc: y", b"hi\n", "8bit"),
    ],
)
def test_a_job_may_encode_its_output_itself(encoding: str, output: bytes, sent: str) -> None:
    mail = replace(MAIL, facts=FACTS, transfer_encoding=encoding)
    assert parsed(mail, output)["Content-Transfer-Encoding"] == sent
    payload = raw(mail, output).partition(b"\n\n")[2]
    assert payload == (output if sent == encoding and sent != "8bit" else marked(output) + b"\n-- \n" + BELOW)


def test_the_subject_has_the_name_of_a_job_that_has_one() -> None:
    mail = replace(MAIL, title="backup", ending="exit status 3")
    assert parsed(mail)["Subject"] == "Cron <root@web1> backup: /usr/bin/backup --all (exit status 3)"


def test_facts_without_output_stand_alone() -> None:
    assert body(replace(MAIL, facts=FACTS), b"") == BELOW
    assert not body(MAIL, b"")


def test_facts_cannot_begin_a_line() -> None:
    assert body(replace(MAIL, facts=(("a\nb", "c\nd é"),)), b"") == "a^Jb: c^Jd é\n".encode()
    latin = replace(MAIL, facts=(("a", "é €"),), content_type="text/plain; charset=iso-8859-1")
    assert body(latin, b"\xff\n") == b"\xff\n\n-- \na: \\xe9 \\u20ac\n", "in ASCII, below any charset"


@pytest.mark.parametrize(
    "line",
    [b"0123456789\n", "Größe\n".encode(), "漢字".encode(), b"x"],
    ids=["lines", "umlauts", "one line of UTF-8", "one line"],
)
def test_the_middle_of_a_big_output_is_left_out(line: bytes) -> None:
    output = line * (3 * MAX_OUTPUT // len(line))
    kept = excerpt(len(output), lambda offset, size: output[offset : offset + size])
    content = body(MAIL, kept)
    head, count, tail = re.split(rb"\[pycrond: (\d+) bytes are left out here\]\n", content)
    gained = 0 if line.endswith(b"\n") else 1
    assert len(head) - gained + int(count) + len(tail) == len(output)
    assert output.startswith(head[: len(head) - gained])
    assert output.endswith(tail)
    assert MAX_OUTPUT - 10_000 < len(content) <= MAX_OUTPUT
    assert not output.isascii() or len(raw(MAIL, kept)) < 10_240_000
    assert parsed(MAIL, kept).get_content_charset() == "utf-8"


def test_the_biggest_mail_is_within_the_limit_of_postfix() -> None:
    latin = replace(MAIL, content_type="text/plain; charset=iso-8859-1")
    for mail, unit in ((latin, b"\xff"), (MAIL, b"=12345"), (MAIL, b"a" * 997 + b"\r"), (MAIL, b"\\xff")):
        output = unit * (MAX_OUTPUT // len(unit))
        assert len(raw(mail, output)) < 10_240_000


ANY = st.text(st.characters(codec="utf-8"), max_size=300)


@given(st.binary(max_size=3000), st.booleans())
@example(b"\n", False)
@example(b"=\n=20\n \n\t\n.\nFrom x\n", False)
@example(b" " * 2000, False)
@example(b"\r\n" * 10 + b"x" * 2000, False)
@settings(deadline=None)
def test_output_arrives_unchanged(output: bytes, encoded: bool) -> None:
    assert body(MAIL, output, encoded=encoded) == marked(output)
    assert raw(MAIL, output, encoded=encoded).isascii() or not encoded
    latin = replace(MAIL, content_type="text/plain; charset=iso-8859-1")
    assert body(latin, output, encoded=encoded) == output


@given(ANY, ANY, ANY, ANY, ANY)
@example("\nBcc: x", "\r\nBcc: x", "\u2028Bcc: x", "\x85Bcc: x\n\n", "\x0bBcc: x")
@example("é" * 300, "é\n b", "=?x?=", "é " * 150, " ")
@settings(deadline=None)
def test_no_text_forges_a_header(command: str, name: str, host: str, ending: str, value: str) -> None:
    mail = replace(
        MAIL,
        host=host,
        command=command,
        name=name,
        ending=ending,
        facts=((name, value),),
        environment=((name, value),),
    )
    message = parsed(mail, b"out\n")
    allowed = {*NAMES, *CONTENT, "X-Pycrond-Ending", "X-Cron-Env"}
    assert set(message.keys()) <= allowed
    assert {*NAMES} - {"X-Pycrond-Job"} <= set(message.keys())
    assert len(message.keys()) == len(set(message.keys()))
    payload = message.get_payload(decode=True)
    assert isinstance(payload, bytes)
    assert payload.startswith(b"out\n\n-- \n")
    assert payload.count(b"\n") == 4


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), max_size=500))
@settings(deadline=None)
def test_a_subject_can_be_read_back(command: str) -> None:
    shown = visible(command)
    assert header(parsed(replace(MAIL, command=command)), "Subject") == f"Cron <root@web1> {shown}".strip()
