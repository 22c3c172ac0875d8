"""A pycrond of the bench's own: in a temporary folder, with a reader of its syslog, ended afterwards."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

SCRIPT = os.path.join(os.path.dirname(sys.executable), "pycrond")

# As in real use: the ledger on a disk, FIFOs and sockets on a tmpfs where there is one.
DISK = tempfile.gettempdir()
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else DISK
LEFT_OUT = ("PYCROND_", "PYTHONDONTWRITEBYTECODE")  # with the latter every start would compile every module


class Crond:
    """Its folders, its environment, its command line."""

    def __init__(self, folder: str, runtime_dir: str) -> None:
        self.folder = folder
        self.runtime_dir = runtime_dir
        self._crontabs = os.path.join(folder, "crontabs")
        self._pidfile = os.path.join(folder, "pid")
        os.mkdir(self._crontabs)
        config = os.path.join(folder, "pycrond.toml")
        _write(config, "")
        plain = {name: text for name, text in os.environ.items() if not name.startswith(LEFT_OUT)}
        self.environment = {
            **plain,
            "PYCROND_CONFIG": config,
            "PYCROND_CRONTABS": self._crontabs,
            "PYCROND_STATE_DIR": os.path.join(folder, "state"),
            "PYCROND_RUNTIME_DIR": runtime_dir,
            "PYCROND_PIDFILE": self._pidfile,
            "PYCROND_SYSLOG": os.path.join(folder, "log"),
        }

    def write(self, crontab: str) -> None:
        """The one crontab there is."""
        _write(os.path.join(self._crontabs, "bench"), crontab)

    def run(self, *arguments: str) -> str:
        """One command to its end; what it printed. Raises RuntimeError with its words if it failed."""
        done = subprocess.run(
            [SCRIPT, *arguments], env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"pycrond {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def runs(self) -> list[dict[str, Any]]:
        """What the ledger says of every run."""
        document: dict[str, list[dict[str, Any]]] = json.loads(
            self.run("history", "--json", "--limit", "100000")
        )
        return document["runs"]

    @property
    def pid(self) -> int:
        """The daemon's."""
        with open(self._pidfile, encoding="ascii") as file:
            return int(file.read())

    @property
    def keeper(self) -> int:
        """The keeper's: the daemon's parent."""
        return int(proc_status(self.pid)["PPid"])

    def end(self) -> None:
        """Stop it; what does not stop is killed, the keeper first, so that it starts no other daemon."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            left = [self.keeper, self.pid]
            try:
                self.run("stop")
            except RuntimeError:
                for pid in left:
                    os.kill(pid, signal.SIGKILL)


def _write(path: str, text: str) -> None:
    """A file that is ours alone, whatever the umask: pycrond refuses what others may write."""
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, 0o600)


def proc_status(pid: int) -> dict[str, str]:
    """/proc/PID/status, each field's first word."""
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        pairs = (line.partition(":") for line in file)
        return {name: (text.split() or [""])[0] for name, _, text in pairs}


@contextlib.contextmanager
def crond(*, syslogd: bool = True) -> Iterator[Crond]:
    """One that has no crontab and is not started yet; with `syslogd`, somebody reads what it logs."""
    folder = tempfile.mkdtemp(prefix="pycrond-bench-", dir=DISK)
    runtime_dir = tempfile.mkdtemp(prefix="pycrond-bench-", dir=MEMORY)
    one = Crond(folder, runtime_dir)
    try:
        with _reader(one.environment["PYCROND_SYSLOG"]) if syslogd else contextlib.nullcontext():
            try:
                yield one
            finally:
                one.end()
    finally:
        shutil.rmtree(folder)
        shutil.rmtree(runtime_dir)


@contextlib.contextmanager
def _reader(path: str) -> Iterator[None]:
    """A syslogd that reads everything at once and forgets it."""
    log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    log.bind(path)
    thread = threading.Thread(target=_read_all, args=(log,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        log.shutdown(socket.SHUT_RD)
        thread.join()
        log.close()


def _read_all(log: socket.socket) -> None:
    while log.recv(65536):
        pass


def wait_until(fact: Callable[[], object], seconds: float) -> bool:
    """Whether it has become true within so many seconds. Looks twice a second: looking must not disturb."""
    give_up = time.monotonic() + seconds
    while not fact():
        if time.monotonic() > give_up:
            return False
        time.sleep(0.5)
    return True
