"""Delivery of a mail to a server by SMTP, with TLS if the server offers it."""

import contextlib
import ipaddress
import smtplib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from functools import partial
from urllib.parse import unquote, urlsplit

from pycrond.alarms.errors import (
    DeliveryError,
    MailerConfigError,
    PermanentDeliveryError,
    TemporaryDeliveryError,
)
from pycrond.alarms.job_mail import JobMail
from pycrond.alarms.mail_message import encode_body
from pycrond.alarms.mail_variables import domain_of, split_addresses
from pycrond.errors import PycrondError, os_reason
from pycrond.host import safe_paths

_PORTS = {"smtp": 25, "smtps": 465}


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """A mail server. With an empty user there is no login."""

    scheme: str
    host: str
    port: int
    user: str
    password: str = field(repr=False)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def parse_url(url: str, password_file: str) -> SmtpServer:
    """Read ``smtp://[user@]host[:port]`` or ``smtps://…``. Raises MailerConfigError."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS[parts.scheme]
    except (ValueError, KeyError) as error:
        raise MailerConfigError(
            f"a mailer is smtp://host:port, smtps://host:port or a path, not {url!r}"
        ) from error
    if not parts.hostname or parts.password is not None:
        raise MailerConfigError("a mailer's URL has a host and no password (see mailer-password-file)")
    password = _read_password(password_file) if parts.username else ""
    return SmtpServer(parts.scheme, parts.hostname, port, unquote(parts.username or ""), password)


def _read_password(path: str) -> str:
    """Return the first line of the file."""
    try:
        return safe_paths.read_file(path).decode().partition("\n")[0].rstrip("\r")
    except (OSError, UnicodeDecodeError, PycrondError) as error:
        raise MailerConfigError(f"cannot read the password file {path!r}: {os_reason(error)}") from error


def send(server: SmtpServer, mail: JobMail, message: EmailMessage, timeout: float) -> None:
    """Send a message to all recipients. Raises DeliveryError."""
    domain = domain_of(mail.host)
    sender = split_addresses(mail.sender or "root", domain)[0]
    recipients = split_addresses(mail.to, domain)
    try:
        with _session(server, domain, timeout) as session:
            refusals = _transmit(session, sender, recipients, message)
    except smtplib.SMTPRecipientsRefused as error:
        refusals = error.recipients
    except (smtplib.SMTPException, OSError) as error:
        raise _delivery_error(server, error) from error
    if refusals:
        text = "; ".join(f"{address}: {_answer(*answer)}" for address, answer in refusals.items())
        # After a temporary refusal the mail is sent again, even if some recipients then have it twice.
        code = min(code for code, _ in refusals.values())
        raise _refusal(code, f"{server} refuses {text}")


@contextlib.contextmanager
def _session(server: SmtpServer, domain: str, timeout: float) -> Iterator[smtplib.SMTP]:
    """Connect and log in; quit at the end. EHLO sends the domain, so this host's name is not looked up."""
    is_tls = server.scheme == "smtps"
    connect = partial(smtplib.SMTP_SSL, context=_tls_context(server)) if is_tls else smtplib.SMTP
    with contextlib.closing(connect(server.host, server.port, domain, timeout=timeout)) as session:
        session.ehlo_or_helo_if_needed()
        if not is_tls and session.has_extn("starttls"):
            session.starttls(context=_tls_context(server))
            session.ehlo()
        if server.user:
            _log_in(session, server)
        try:
            yield session
        finally:
            # The server has accepted or refused the mail already.
            with contextlib.suppress(smtplib.SMTPException, OSError):
                session.quit()


def _tls_context(server: SmtpServer) -> ssl.SSLContext:
    """Return a context that accepts any certificate between mail servers, where the alternative is no TLS.

    A password, and smtps, need a trusted certificate.
    """
    context = ssl.create_default_context()
    if server.scheme == "smtp" and not server.user:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _log_in(session: smtplib.SMTP, server: SmtpServer) -> None:
    assert session.sock  # noqa: S101 -- it is connected
    is_local = ipaddress.ip_address(session.sock.getpeername()[0]).is_loopback
    if not (is_local or isinstance(session.sock, ssl.SSLSocket)):
        raise MailerConfigError(f"{server} offers no TLS, so the password is not sent")
    session.login(server.user, server.password)


def _transmit(
    session: smtplib.SMTP, sender: str, recipients: list[str], message: EmailMessage
) -> dict[str, tuple[int, bytes]]:
    """Send a message, in ASCII if the server has no 8BITMIME. Return the recipients that were refused."""
    data = bytes(message)
    if not data.isascii() and not session.has_extn("8bitmime"):
        encode_body(message)
        data = bytes(message)
    options = [] if data.isascii() else ["BODY=8BITMIME"]
    return session.sendmail(sender, recipients, data.replace(b"\n", b"\r\n"), options)


def _delivery_error(server: SmtpServer, error: Exception) -> DeliveryError:
    if not isinstance(error, smtplib.SMTPResponseException):
        is_config = isinstance(error, smtplib.SMTPNotSupportedError)
        return (MailerConfigError if is_config else TemporaryDeliveryError)(f"{server}: {os_reason(error)}")
    is_config = isinstance(error, smtplib.SMTPAuthenticationError) and error.smtp_code >= 500
    text = f"{server}: {_answer(error.smtp_code, error.smtp_error)}"
    return MailerConfigError(text) if is_config else _refusal(error.smtp_code, text)


def _refusal(code: int, text: str) -> DeliveryError:
    return (PermanentDeliveryError if code >= 500 else TemporaryDeliveryError)(text)


def _answer(code: int, text: bytes | str) -> str:
    return f"{code} {text if isinstance(text, str) else text.decode('utf-8', 'replace')}"
