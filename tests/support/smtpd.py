"""A real SMTP server for tests, on loopback: `python -m tests.support.smtpd FOLDER`, and a fixture that runs it."""

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
    """What a test sees of it: its port, what it has received, and orders for it in a file that it reads."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        folder.mkdir()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.smtpd", str(folder), *options],
            cwd=Path(__file__).parents[2],
        )
        try:
            wait_until(lambda: (folder / "port").exists() or self._process.poll() is not None)
            self.port = int((folder / "port").read_text())
        except BaseException:
            self.end()
            raise

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def answer(self, command: str, line: str) -> None:
        """From now on, to `RCPT`, `DATA` or another command; to one recipient by `RCPT who@where`."""
        (self.folder / command).write_text(line)

    def mails(self) -> list[Received]:
        found = []
        for file in sorted(self.folder.glob("*.mail")):
            head, _, content = file.read_bytes().partition(b"\n")
            sender, to, options = head.decode().split("\t")
            found.append(Received(sender, to.split(","), options.split(), content))
        return found

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def smtpd(tmp_path: Path) -> Iterator[Smtpd]:
    server = Smtpd(tmp_path / "smtpd")
    yield server
    server.end()


class _Box:
    """What the server does with each command: aiosmtpd calls these by name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    async def handle_MAIL(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return self._order("MAIL") or "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if order := self._order(f"RCPT {address}") or self._order("RCPT"):
            return order
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        if order := self._order("DATA"):
            return order
        head = "\t".join([envelope.mail_from, ",".join(envelope.rcpt_tos), " ".join(envelope.mail_options)])
        self._count += 1
        new = self._folder / "new"
        new.write_bytes(head.encode() + b"\n" + envelope.content.replace(b"\r\n", b"\n"))
        new.rename(self._folder / f"{self._count:05}.mail")
        return "250 OK"

    async def handle_QUIT(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        return self._order("QUIT") or "221 Bye"

    def _order(self, command: str) -> str:
        with contextlib.suppress(FileNotFoundError):
            return (self._folder / command).read_text()
        return ""


def main(folder: Path, options: list[str]) -> None:
    """Options: `tls` (offers STARTTLS by FOLDER/../cert.pem), `tls-only`, `login` (user `cron`, password `secret`),
    `seven` (no 8BITMIME)."""
    import warnings

    from aiosmtpd.smtp import SMTP, AuthResult

    warnings.simplefilter("ignore")  # it takes passwords without TLS, as it is told to

    class Seven(SMTP):
        async def push(self, status: Any) -> None:
            if b"8BITMIME" not in (status if isinstance(status, bytes) else status.encode()):
                await super().push(status)

    def known(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        return AuthResult(success=(data.login, data.password) == (b"cron", b"secret"), handled=False)

    context = None
    if {"tls", "tls-only"} & set(options):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(folder.parent / "cert.pem")

    box = _Box(folder)

    def session() -> SMTP:
        return (Seven if "seven" in options else SMTP)(
            box,
            data_size_limit=1 << 26,
            hostname="mail.test",
            tls_context=context if "tls" in options else None,
            authenticator=known,
            auth_required="login" in options,
            auth_require_tls=False,
        )

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            session, "127.0.0.1", 0, ssl=context if "tls-only" in options else None
        )
        new = folder / "port.new"
        new.write_text(str(server.sockets[0].getsockname()[1]))
        new.rename(folder / "port")
        await server.serve_forever()

    asyncio.run(serve())


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
