"""Real SMTP servers for tests, on the loopback interface, and their fixtures."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import wait_until


@dataclass(frozen=True, slots=True)
class Received:
    sender: str
    to: list[str]
    options: list[str]
    content: bytes


class Smtpd:
    """A server for a test: its port, the mails that it has received, and its answers."""

    def __init__(self, process: subprocess.Popen[bytes], directory: Path, *options: str) -> None:
        self.directory = directory
        directory.mkdir()
        self._process = process
        self._request("serve", *options)
        wait_until(lambda: self._port.exists() or process.poll() is not None)
        self.port = int(self._port.read_text())

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def answer(self, command: str, line: str) -> None:
        """Set the answer to `RCPT`, `DATA` or another command; `RCPT who@where` is for one recipient only."""
        (self.directory / command).write_text(line)

    def mails(self) -> list[Received]:
        mails = []
        for file in sorted(self.directory.glob("*.mail")):
            head, _, content = file.read_bytes().partition(b"\n")
            sender, to, options = head.decode().split("\t")
            mails.append(Received(sender, to.split(","), options.split(), content))
        return mails

    def end(self) -> None:
        """Refuse further connections."""
        if self._port.exists():
            self._request("end")
            wait_until(lambda: not self._port.exists() or self._process.poll() is not None)

    @property
    def _port(self) -> Path:
        return self.directory / "port"

    def _request(self, *words: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps([str(self.directory), *words]).encode() + b"\n")
        self._process.stdin.flush()


class Smtpds:
    """The process that has the servers of a module's tests; its start takes longer than a test."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, directory: Path, *options: str) -> Smtpd:
        """Start a server; see tests/support/smtp_server.py for the options."""
        if not self._process or self._process.poll() is not None:  # killed after a test that failed
            self.end()
            command = [sys.executable, "-m", "tests.support.smtp_server"]
            self._process = subprocess.Popen(command, cwd=Path(__file__).parents[2], stdin=subprocess.PIPE)
        return Smtpd(self._process, directory, *options)

    def end(self) -> None:
        if self._process:
            self._process.kill()
            self._process.communicate()


@pytest.fixture(scope="module")
def smtpds() -> Iterator[Smtpds]:
    servers = Smtpds()
    yield servers
    servers.end()


@pytest.fixture
def smtpd(tmp_path: Path, smtpds: Smtpds) -> Iterator[Smtpd]:
    server = smtpds.start(tmp_path / "smtpd")
    yield server
    server.end()
