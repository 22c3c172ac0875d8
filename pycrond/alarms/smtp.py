"""Handing a mail to a server by SMTP, with TLS where it is to be had."""

import contextlib
import ipaddress
import smtplib
import ssl
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import SplitResult, unquote, urlsplit

from pycrond.alarms import mail_text
from pycrond.alarms.errors import LaterError, NeverError, NoMailerError, UndeliveredError

TIMEOUT = 60.0  # seconds for each answer; what is scanned for viruses first takes long
_PORTS = {"smtp": 25, "smtps": 465}


@dataclass(frozen=True, slots=True)
class Server:
    """Whom to hand a mail to; without a user there is no login."""

    scheme: str
    host: str
    port: int
    user: str
    password: str = field(repr=False)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def server(url: str, password_file: str) -> Server:
    """``smtp://[user@]host[:port]`` or ``smtps://…``. Raises NoMailerError."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS[parts.scheme]
    except (ValueError, KeyError) as error:
        raise NoMailerError(
            f"a mailer is smtp://host:port, smtps://host:port or a path, not {url!r}"
        ) from error
    if not parts.hostname or parts.password is not None:
        raise NoMailerError("a mailer's URL has a host, and no password: that stands in a file")
    return Server(
        parts.scheme, parts.hostname, port, unquote(parts.username or ""), _password(parts, password_file)
    )


def _password(url: SplitResult, file: str) -> str:
    """The first line of the file."""
    if not url.username:
        return ""
    try:
        with open(file, encoding="utf-8") as lines:
            return lines.readline().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise NoMailerError(f"cannot read the password file {file!r}: {error}") from error


def send(
    to: Server, letter: mail_text.Letter, output: bytes, at: datetime, token: str, *, timeout: float
) -> None:
    """Raises UndeliveredError."""
    try:
        link = _connected(to, mail_text.domain_of(letter.host), timeout)
        try:
            refused = _hand_over(link, letter, output, at, token)
        finally:
            _leave(link)
    except smtplib.SMTPRecipientsRefused as error:
        refused = error.recipients
    except (smtplib.SMTPException, OSError) as error:
        raise _undelivered(to, error) from error
    if refused:
        raise _refusal(to, refused)


def _connected(to: Server, domain: str, timeout: float) -> smtplib.SMTP:
    """A session in which a mail may be sent. Told who we are, it need not ask a name server."""
    if to.scheme == "smtps":
        link: smtplib.SMTP = smtplib.SMTP_SSL(to.host, to.port, domain, timeout=timeout, context=_context(to))
    else:
        link = smtplib.SMTP(to.host, to.port, domain, timeout=timeout)
    try:
        link.ehlo_or_helo_if_needed()
        if to.scheme == "smtp" and link.has_extn("starttls"):
            link.starttls(context=_context(to))
            link.ehlo()
        if to.user:
            _log_in(link, to)
    except BaseException:
        link.close()
        raise
    return link


def _context(to: Server) -> ssl.SSLContext:
    """Between mail servers any certificate is better than no TLS; a password needs one that is trusted."""
    context = ssl.create_default_context()
    if to.scheme == "smtp" and not to.user:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _log_in(link: smtplib.SMTP, to: Server) -> None:
    assert link.sock  # noqa: S101 -- it is connected
    near = ipaddress.ip_address(link.sock.getpeername()[0]).is_loopback
    if not (near or isinstance(link.sock, ssl.SSLSocket)):
        raise NoMailerError(f"{to} offers no TLS, so the password is not sent")
    link.login(to.user, to.password)


def _hand_over(
    link: smtplib.SMTP, letter: mail_text.Letter, output: bytes, at: datetime, token: str
) -> dict[str, tuple[int, bytes]]:
    """Those who were refused, where another was not."""
    domain = mail_text.domain_of(letter.host)
    eight = link.has_extn("8bitmime")
    message = mail_text.message(letter, output, at, token, domain=domain, seven_bit=not eight)
    options = ["BODY=8BITMIME"] if eight and not message.isascii() else []
    sender = mail_text.addresses(letter.sender or "root", domain)[0]
    to = mail_text.addresses(letter.to, domain)
    return link.sendmail(sender, to, message.replace(b"\n", b"\r\n"), options)


def _leave(link: smtplib.SMTP) -> None:
    """What is said now changes nothing any more."""
    with contextlib.suppress(smtplib.SMTPException, OSError):
        link.quit()
    link.close()


def _undelivered(to: Server, error: Exception) -> UndeliveredError:
    if not isinstance(error, smtplib.SMTPResponseException):
        kind = NoMailerError if isinstance(error, smtplib.SMTPNotSupportedError) else LaterError
        return kind(f"{to}: {error}")
    text = f"{to}: {error.smtp_code} {_text(error.smtp_error)}"
    if error.smtp_code < 500:
        return LaterError(text)
    return NoMailerError(text) if isinstance(error, smtplib.SMTPAuthenticationError) else NeverError(text)


def _refusal(to: Server, refused: dict[str, tuple[int, bytes]]) -> UndeliveredError:
    """If one may be accepted later, all are tried again: rather two mails to the others than none to it."""
    text = "; ".join(f"{who}: {code} {_text(said)}" for who, (code, said) in refused.items())
    kind = NeverError if all(code >= 500 for code, _ in refused.values()) else LaterError
    return kind(f"{to} refuses {text}")


def _text(said: bytes | str) -> str:
    return said if isinstance(said, str) else said.decode("utf-8", "replace")
