r"""Mail messages: headers like those of Debian's cron, the output, the facts below it.

Every header is ASCII (RFC 2047 encodes other text), so SMTPUTF8 is never needed. The output is UTF-8; a
byte that is not UTF-8 becomes ``\xff``, so that it is visible and the rest readable. If the crontab names
another type or charset, the output is not changed.
"""

import base64
import binascii
import re
from collections.abc import Iterator
from datetime import datetime
from email.header import Header
from email.message import EmailMessage
from email.policy import compat32
from email.utils import format_datetime

from pycrond import clock
from pycrond.alarms.job_mail import JobMail
from pycrond.alarms.mail_output import with_newline
from pycrond.alarms.mail_variables import (
    MAX_HEADER_VALUE,
    domain_of,
    is_content_type,
    is_utf8,
    split_addresses,
)
from pycrond.text import visible

_MAX_LINE = 998  # bytes (RFC 5322, 2.1.1)
_READABLE = bytes({*range(0x20, 0x7F), 9, 10} - {ord("=")})  # the bytes that quoted-printable does not change

# Not the default policy, which parses headers and rewrites them: it decodes `=?utf-8?q?x?=` in a command,
# turns `text/html;charset=utf-8` into `text/html; charset="utf-8"` and the address a:b@c into a group.
_POLICY = compat32.clone(max_line_length=_MAX_LINE, mangle_from_=False)


def build(mail: JobMail, output: bytes, at: datetime, token: str, domain: str = "") -> EmailMessage:
    """Return a message dated `at`; the token makes its Message-ID unique.

    An address without a domain gets `domain`, unless that is empty.
    """
    is_encoded = _is_encoded(mail, output)
    content_type, charset = "text/plain; charset=utf-8", "utf-8"
    if output and is_content_type(mail.content_type):
        content_type = mail.content_type
        charset = "utf-8" if is_utf8(content_type) else "ascii"
    if charset == "utf-8" and not is_encoded:
        output = output.decode("utf-8", "backslashreplace").encode()
    facts = _facts(mail).encode(charset, "backslashreplace")
    if is_encoded or not content_type.lower().startswith("text/plain"):
        facts = b""  # they cannot stand below HTML
    message = EmailMessage(policy=_POLICY)
    for name, value in _headers(mail, at, token, domain):
        _add_header(message, name, value)
    message["MIME-Version"] = "1.0"
    message["Content-Type"] = content_type
    message["Content-Transfer-Encoding"] = mail.transfer_encoding if is_encoded else "8bit"
    for name, value in mail.environment:
        _add_header(message, "X-Cron-Env", f"<{name}={value}>")
    # `-- ` is the line by which mail programs recognize a signature.
    body = with_newline(output) + b"\n-- \n" + facts if output and facts else output or facts
    message.set_payload(body.decode("ascii", "surrogateescape"))
    if not (is_encoded or (_is_utf8(body) and _is_sendable(body))):
        encode_body(message)
    return message


def encode_body(message: EmailMessage) -> None:
    """Encode the body in ASCII: quoted-printable, readable in a mailbox's file, unless base64 is shorter.

    `EmailMessage.set_content` drops each CR of a text, and chooses the encoding by the first ten lines.
    """
    body = message.get_payload(decode=True)
    assert isinstance(body, bytes)  # noqa: S101 -- the message has one part
    # An unreadable byte becomes three bytes; in base64 three bytes become four.
    if 6 * len(body.translate(None, _READABLE)) <= len(body):
        encoding = "quoted-printable"
        encoded = b"\n".join(binascii.b2a_qp(line, istext=False) for line in body.split(b"\n"))
    else:
        encoding, encoded = "base64", base64.encodebytes(body)
    message.set_payload(encoded.decode("ascii"))
    message.replace_header("Content-Transfer-Encoding", encoding)


def _is_sendable(body: bytes) -> bool:
    """Return True if a mail can contain the body unchanged: complete, short lines without CR and NUL."""
    longest = max(map(len, body.split(b"\n")))
    return longest <= _MAX_LINE and with_newline(body) == body and not re.search(rb"[\0\r]", body)


def _is_encoded(mail: JobMail, output: bytes) -> bool:
    """Return True if the job itself has encoded its output, as the crontab says."""
    is_named = mail.transfer_encoding.lower() in {"base64", "quoted-printable"}
    return is_named and output.isascii() and _is_sendable(with_newline(output))


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _facts(mail: JobMail) -> str:
    width = 1 + max((len(name) for name, _ in mail.facts), default=0)
    return "".join(f"{visible(name) + ':':<{width}} {visible(value)}\n" for name, value in mail.facts)


def _headers(mail: JobMail, at: datetime, token: str, domain: str) -> Iterator[tuple[str, str]]:
    yield "From", mail.sender or f"{split_addresses('root', domain)[0]} (Cron Daemon)"
    yield "To", ", ".join(split_addresses(mail.to, domain))
    yield "Subject", _subject(mail)
    yield "Date", format_datetime(at)
    yield "Message-ID", f"<pycrond.{mail.run}.{token}@{domain_of(mail.host)}>"
    yield "Auto-Submitted", "auto-generated"
    yield "Precedence", "bulk"
    yield "X-Pycrond-Job", mail.name
    yield "X-Pycrond-Event", mail.event
    yield "X-Pycrond-Run", str(mail.run)
    yield "X-Pycrond-Fire-Time", f"{clock.at(mail.fire):%Y-%m-%dT%H:%M:%SZ}"
    yield "X-Pycrond-Ending", mail.ending


def _subject(mail: JobMail) -> str:
    """Return the subject; a long command is cut, but not the ending after it."""
    before = f"Cron <{mail.user}@{mail.host}> {f'{mail.title}: ' if mail.title else ''}"
    after = f" ({mail.ending})" if mail.ending else ""
    return before + _cut(visible(mail.command), MAX_HEADER_VALUE - len(visible(before + after))) + after


def _add_header(message: EmailMessage, name: str, value: str) -> None:
    """Add a header with a visible value, in one line if it is ASCII; none if the value is empty."""
    value = visible(value).strip()
    if name == "To" and len(value) > MAX_HEADER_VALUE:
        value = value.replace(", ", ",\n ")  # no recipient is cut off
    else:
        value = _cut(value, MAX_HEADER_VALUE)
    # Mail programs would decode ASCII text that looks like an encoded word.
    if not value.isascii() or "=?" in value:
        value = Header(value, "utf-8", header_name=name).encode()
    if value:
        message[name] = value


def _cut(text: str, size: int) -> str:
    return text if len(text) <= size else text[: max(0, size - 3)] + "..."
