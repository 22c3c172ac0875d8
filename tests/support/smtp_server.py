"""SMTP servers, each with a directory: `python -m tests.support.smtp_server`.

A line of standard input is a JSON list of a directory, a request (`serve` or `end`) and the options of the
server: `tls` (STARTTLS with DIRECTORY/../cert.pem), `tls-only`, `login` (user `cron`, password `secret`),
`seven` (no 8BITMIME). While the server accepts connections, DIRECTORY/port has its port.
"""

import asyncio
import contextlib
import json
import os
import ssl
import sys
import warnings
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult


class _Mailbox:
    """Writes each mail to a file. aiosmtpd calls a method by the name of the command."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._count = 0

    async def handle_MAIL(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return self._answer("MAIL") or "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if answer := self._answer(f"RCPT {address}") or self._answer("RCPT"):
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        if answer := self._answer("DATA"):
            return answer
        head = "\t".join([envelope.mail_from, ",".join(envelope.rcpt_tos), " ".join(envelope.mail_options)])
        self._count += 1
        new = self._directory / "new"
        new.write_bytes(head.encode() + b"\n" + envelope.content.replace(b"\r\n", b"\n"))
        new.rename(self._directory / f"{self._count:05}.mail")
        return "250 OK"

    async def handle_QUIT(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        return self._answer("QUIT") or "221 Bye"

    def _answer(self, command: str) -> str:
        with contextlib.suppress(FileNotFoundError):
            return (self._directory / command).read_text()
        return ""


class _SevenBitSMTP(SMTP):
    async def push(self, status: Any) -> None:
        if b"8BITMIME" not in (status if isinstance(status, bytes) else status.encode()):
            await super().push(status)


def _authenticate(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    return AuthResult(success=(data.login, data.password) == (b"cron", b"secret"), handled=False)


async def _serve(directory: Path, *options: str) -> asyncio.Server:
    context = None
    if {"tls", "tls-only"} & set(options):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(directory.parent / "cert.pem")
    mailbox = _Mailbox(directory)

    def session() -> SMTP:
        return (_SevenBitSMTP if "seven" in options else SMTP)(
            mailbox,
            data_size_limit=1 << 26,
            hostname="mail.test",
            tls_context=context if "tls" in options else None,
            authenticator=_authenticate,
            auth_required="login" in options,
            auth_require_tls=False,
        )

    loop = asyncio.get_running_loop()
    server = await loop.create_server(session, "127.0.0.1", 0, ssl=context if "tls-only" in options else None)
    new = directory / "port.new"
    new.write_text(str(server.sockets[0].getsockname()[1]))
    new.rename(directory / "port")
    return server


async def _main() -> None:
    """Start and end servers by the lines of standard input, until its end."""
    requests, servers = asyncio.StreamReader(), {}
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(requests), sys.stdin
    )
    while line := await requests.readline():
        directory, request, *options = json.loads(line)
        if request == "serve":
            servers[directory] = await _serve(Path(directory), *options)
        else:
            servers.pop(directory).close()
            os.unlink(f"{directory}/port")


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # about passwords without TLS, which `login` allows
    asyncio.run(_main())
