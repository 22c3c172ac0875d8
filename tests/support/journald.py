"""A systemd-journald with directories of its own, whose socket other processes can reach."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import wait_until
from tests.support import packages

PROGRAM = "/lib/systemd/systemd-journald"
SCRIPT = 'mount --make-rprivate / && mount --bind "$1" /run && exec "$2"'


class Journald:
    """A running systemd-journald, and its entries."""

    def __init__(self, directory: Path) -> None:
        """It uses `directory` in place of /run."""
        self.directory = directory
        for name in ("systemd/journal", "log/journal"):
            (directory / name).mkdir(parents=True, exist_ok=True)
        self.socket = str(directory / "systemd/journal/socket")
        self.start()

    def start(self) -> None:
        """Start it, and return when its socket is there."""
        command = ["unshare", "--mount", "sh", "-c", SCRIPT, "sh", str(self.directory), PROGRAM]
        Path(self.socket).unlink(missing_ok=True)
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: os.path.exists(self.socket) or self._process.poll() is not None)
        assert self._process.poll() is None

    def entries(self, *matches: str) -> list[dict[str, Any]]:
        """Return the entries that `journalctl` finds."""
        journal = ["journalctl", "--no-pager", "--output=json", f"--directory={self.directory}/log/journal"]
        done = subprocess.run([*journal, *matches], capture_output=True, text=True, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def end(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait()


@pytest.fixture
def journald() -> Iterator[Journald]:
    """A systemd-journald, which is ended after the test. Needs root."""
    packages.install("systemd", lambda: PROGRAM if os.path.exists(PROGRAM) else "")
    if not shutil.which("unshare"):
        packages.give_up("there is no unshare(1)")
    with tempfile.TemporaryDirectory(prefix="run.") as directory:
        service = Journald(Path(directory))
        yield service
        service.end()
