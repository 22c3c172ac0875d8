"""A real SMTP server for tests, on the loopback interface: `python -m tests.support.smtpd DIRECTORY`, and its fixture."""

import asyncio
import contextlib
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import wait_until


@dataclass(frozen=True, slots=True)
class Received:
    sender: str
    to: list[str]
    options: list[str]
    content: bytes


class Smtpd:
    """The server as a test sees it: its port, the mails it has received, the answers it is to give."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.directory = directory
        directory.mkdir()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.smtpd", str(directory), *options],
            cwd=Path(__file__).parents[2],
        )
        try:
            wait_until(lambda: (directory / "port").exists() or self._process.poll() is not None)
            self.port = int((directory / "port").read_text())
        except BaseException:
            self.end()
            raise

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def answer(self, command: str, line: str) -> None:
        """Set the answer to `RCPT`, `DATA` or another command; `RCPT who@where` is for one recipient alone."""
        (self.directory / command).write_text(line)

    def mails(self) -> list[Received]:
        mails = []
        for file in sorted(self.directory.glob("*.mail")):
            head, _, content = file.read_bytes().partition(b"\n")
            sender, to, options = head.decode().split("\t")
            mails.append(Received(sender, to.split(","), options.split(), content))
        return mails

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def smtpd(tmp_path: Path) -> Iterator[Smtpd]:
    server = Smtpd(tmp_path / "smtpd")
    yield server
    server.end()


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


def main(directory: Path, options: list[str]) -> None:
    """Serve. Options: `tls` (STARTTLS with DIRECTORY/../cert.pem), `tls-only`, `login` (user `cron`, password
    `secret`), `seven` (no 8BITMIME)."""
    import warnings

    from aiosmtpd.smtp import SMTP, AuthResult

    warnings.simplefilter("ignore")  # about passwords without TLS, which `login` allows

    class SevenBitSMTP(SMTP):
        async def push(self, status: Any) -> None:
            if b"8BITMIME" not in (status if isinstance(status, bytes) else status.encode()):
                await super().push(status)

    def authenticate(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        return AuthResult(success=(data.login, data.password) == (b"cron", b"secret"), handled=False)

    context = None
    if {"tls", "tls-only"} & set(options):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(directory.parent / "cert.pem")

    mailbox = _Mailbox(directory)

    def session() -> SMTP:
        return (SevenBitSMTP if "seven" in options else SMTP)(
            mailbox,
            data_size_limit=1 << 26,
            hostname="mail.test",
            tls_context=context if "tls" in options else None,
            authenticator=authenticate,
            auth_required="login" in options,
            auth_require_tls=False,
        )

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            session, "127.0.0.1", 0, ssl=context if "tls-only" in options else None
        )
        new = directory / "port.new"
        new.write_text(str(server.sockets[0].getsockname()[1]))
        new.rename(directory / "port")
        await server.serve_forever()

    asyncio.run(serve())


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
