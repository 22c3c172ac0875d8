"""What a mail about a run says, as bytes: headers like Debian cron's, the output as it was, facts below it.

Lines end in LF and there is no CR, as a sendmail wants it on its standard input. SMTPUTF8 is never needed:
addresses are ASCII, and what else is not is written by RFC 2047.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from pycrond.text import visible

LIMIT = 7_000_000
"""Bytes of output in a mail. In base64 9.5 million: Postfix takes no mail above 10,240,000 by default."""

_LINE = 998  # bytes, the longest a line may be (RFC 5322, 2.1.1)
_NEAR = 4096  # bytes within which a line's end is preferred to a character's
_VALUE = 900  # characters of a header's value: in ASCII one line, so that filters find all of it
_DELIMITERS = "@!:%-.,_+=/"  # Debian's list, which has all of cronie's and = and / beside
_UNSAFE = re.compile(rf"[^A-Za-z0-9{re.escape(_DELIMITERS)}]")
_CONTENT_TYPE = re.compile(
    r"(?!multipart/|message/)[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+(?:[ \t]*;[ -~]*)?", re.IGNORECASE
)
_READABLE = bytes({*range(0x20, 0x7F), 9, 10} - {ord("=")})  # what quoted-printable leaves alone


@dataclass(frozen=True, slots=True)
class Letter:
    """What a mail is about. `fire` is aware; `run` is 0 where there was none."""

    to: str
    sender: str | None  # MAILFROM
    user: str
    host: str
    command: str
    name: str
    event: str  # output, failure, recovery, missed, overdue …
    ending: str  # `exit status 3`, or empty
    run: int
    fire: datetime
    facts: tuple[tuple[str, str], ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    content_type: str = ""
    """What the output is (CONTENT_TYPE), such as `text/html; charset=utf-8`; empty: text, as it looks."""


def address_refusal(text: str) -> str | None:
    """Why nothing is sent to or from there: what cronie and Debian's cron call UNSAFE. None if it is safe.

    Stricter than they in one thing: after a comma too an address begins with a letter or a digit, for each
    is an argument of its own to the mailer and must not be an option. More generous in one: blanks around
    a comma.
    """
    found = addresses(text)
    if not found:
        return "there is no address"
    for address in found:
        if unsafe := _UNSAFE.search(address):
            return f"unsafe character {unsafe[0]!r} in an address"
        if address[0] in _DELIMITERS:
            return f"an address begins with {address[0]!r}"
        if len(address) > 254:  # RFC 5321, 4.5.3.1.3
            return "an address of more than 254 characters"
    return None


def is_content_type(text: str) -> bool:
    """Whether it can be that of one output: a type and its parameters (RFC 2045, 5.1) in a line of ASCII."""
    return len(text) <= _VALUE and _CONTENT_TYPE.fullmatch(text) is not None


def addresses(text: str, domain: str = "") -> list[str]:
    """Each address of a MAILTO; one that is only a name gets the domain, if any."""
    found = [part.strip(" \t") for part in text.split(",")]
    return [f"{one}@{domain}" if domain and "@" not in one else one for one in found if one]


def domain_of(host: str) -> str:
    """A host's name as an address and SMTP's EHLO may hold it."""
    return re.sub(r"[^A-Za-z0-9.-]", "", host).strip(".-") or "localhost"


def message(
    letter: Letter, output: bytes, at: datetime, token: str, *, domain: str = "", seven_bit: bool = False
) -> bytes:
    """The whole mail, written `at` and known by a `token` that no other mail has.

    Over SMTP bare names mean nothing: give a `domain` for them. `seven_bit` is for a server without 8BITMIME.
    """
    output = excerpt(len(output), lambda start, most: output[start : start + most])
    charset = _charset(output)
    kind = f"text/plain; charset={charset}"
    facts = _facts(letter).encode(charset, "backslashreplace")
    if output and is_content_type(letter.content_type):
        kind = letter.content_type
        facts = facts if kind.lower().startswith("text/plain") else b""  # a page would end in them
    body = _body(output, facts)
    encoding = _encoding(body, charset, seven_bit=seven_bit)
    head = [_header(name, value) for name, value in _headers(letter, at, token, domain)]
    content = f"MIME-Version: 1.0\nContent-Type: {kind}\nContent-Transfer-Encoding: {encoding}\n"
    text = "".join([*head, content, *_environment(letter)])
    return text.encode("ascii") + b"\n" + _encoded(body, encoding)


def excerpt(size: int, read: Callable[[int, int], bytes]) -> bytes:
    """Output as it is mailed: all of it, or its two ends and how much lies between, never more than LIMIT.

    `read` takes where to begin and how many bytes at most.
    """
    if size <= LIMIT:
        return read(0, size)
    half = LIMIT // 2 - 100  # room for the line between
    head, tail = read(0, half), read(size - half, half)
    # Half a character would make all of it look as if it were no text.
    head = head[: head.rfind(b"\n", -_NEAR) + 1 or _last_character(head)]
    tail = tail[tail.find(b"\n", 0, _NEAR) + 1 or _first_character(tail) :]
    between = size - len(head) - len(tail)
    return _whole_line(head) + b"[pycrond: %d bytes are left out here]\n" % between + tail


def _last_character(data: bytes) -> int:
    """Where the last character begins."""
    near = range(len(data) - 1, max(0, len(data) - 4), -1)
    return next((end for end in near if data[end] & 0xC0 != 0x80), len(data))


def _first_character(data: bytes) -> int:
    """Where the first character begins."""
    return next((start for start, byte in enumerate(data[:4]) if byte & 0xC0 != 0x80), 0)


def _charset(output: bytes) -> str:
    """What is not UTF-8 is called ISO 8859-1.

    There every byte is a character: whatever it really is, each program shows something, and the bytes can
    be had back. RFC 1428's unknown-8bit would be more honest, but not every program knows what to do then.
    """
    try:
        output.decode()
    except UnicodeDecodeError:
        return "iso-8859-1"
    return "utf-8"


def _body(output: bytes, facts: bytes) -> bytes:
    r"""The output, then the facts where a signature stands: ``-- `` is the line that programs know one by."""
    if output and facts:
        return _whole_line(output) + b"\n-- \n" + facts
    return output or facts


def _whole_line(data: bytes) -> bytes:
    return data if not data or data.endswith(b"\n") else data + b"\n"


def _facts(letter: Letter) -> str:
    width = 1 + max((len(name) for name, _ in letter.facts), default=0)
    return "".join(f"{_shown(name) + ':':<{width}} {_shown(value)}\n" for name, value in letter.facts)


def _encoding(body: bytes, charset: str, *, seven_bit: bool) -> str:
    """As it is, where a mail can hold it so: UTF-8 in lines that are not too long, and whole.

    A CR would be taken for a line's end on the way. quoted-printable is what people can still read in a
    mailbox's file.
    """
    clean = charset == "utf-8" and _whole_line(body) == body and not re.search(rb"[\0\r]", body)
    short = max(map(len, body.split(b"\n"))) <= _LINE
    if clean and short and (body.isascii() or not seven_bit):
        return "8bit"
    # A byte is three there, and three are four in base64.
    return "quoted-printable" if 6 * len(body.translate(None, _READABLE)) <= len(body) else "base64"


def _encoded(body: bytes, encoding: str) -> bytes:
    match encoding:
        case "base64":
            return base64.encodebytes(body)
        case "quoted-printable":
            lines = (binascii.b2a_qp(line, istext=False) for line in body.split(b"\n"))
            return b"\n".join(lines)
    return body


def _headers(letter: Letter, at: datetime, token: str, domain: str) -> Iterator[tuple[str, str]]:
    from email.utils import format_datetime  # noqa: PLC0415 -- brings much with it

    yield "From", letter.sender or f"{addresses('root', domain)[0]} (Cron Daemon)"
    yield "To", ", ".join(addresses(letter.to, domain))
    yield "Subject", _subject(letter)
    yield "Date", format_datetime(at)
    yield "Message-ID", f"<pycrond.{letter.run}.{token}@{domain_of(letter.host)}>"
    yield "Auto-Submitted", "auto-generated"
    yield "Precedence", "bulk"
    yield "X-Pycrond-Job", letter.name
    yield "X-Pycrond-Event", letter.event
    yield "X-Pycrond-Run", str(letter.run)
    yield "X-Pycrond-Fire-Time", f"{letter.fire.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    yield "X-Pycrond-Ending", letter.ending


def _environment(letter: Letter) -> Iterator[str]:
    return (_header("X-Cron-Env", f"<{name}={value}>") for name, value in letter.environment)


def _subject(letter: Letter) -> str:
    """A long command is cut, not the ending behind it."""
    before = f"Cron <{letter.user}@{letter.host}> "
    after = f" ({letter.ending})" if letter.ending else ""
    return before + _cut(_shown(letter.command), _VALUE - len(_shown(before + after))) + after


def _header(name: str, value: str) -> str:
    """One header and nothing after it, whatever the value; none at all if that is empty."""
    value = _shown(value).strip()
    if name == "To" and len(value) > _VALUE:
        return f"To: {value.replace(', ', f',{chr(10)} ')}\n"  # nobody is cut off
    value = _cut(value, _VALUE)
    # Text that looks like an encoded word would be decoded where it is shown.
    if value.isascii() and "=?" not in value:
        return f"{name}: {value}\n" if value else ""
    from email.header import Header  # noqa: PLC0415 -- seldom needed

    return f"{name}: {Header(value, 'utf-8', header_name=name).encode()}\n"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: max(0, most - 3)] + "..."


def _shown(text: str) -> str:
    return visible(text.encode("utf-8", "surrogateescape"))
