"""A pycrond for measurements: in temporary directories, with a reader of its syslog, ended afterwards."""

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

# Like in production, the ledger is on a disk, and FIFOs and sockets are on a tmpfs if possible.
DISK = tempfile.gettempdir()
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else DISK
REMOVED = ("PYCROND_", "PYTHONDONTWRITEBYTECODE")  # the latter makes each start compile all modules


class Crond:
    """The directories, the environment and the command line of a pycrond."""

    def __init__(self, directory: str, runtime_dir: str) -> None:
        self.directory = directory
        self.runtime_dir = runtime_dir
        self._crontabs = os.path.join(directory, "crontabs")
        self._pidfile = os.path.join(directory, "pid")
        os.mkdir(self._crontabs)
        config = os.path.join(directory, "pycrond.toml")
        _write(config, "")
        environment = {name: text for name, text in os.environ.items() if not name.startswith(REMOVED)}
        self.environment = {
            **environment,
            "PYCROND_CONFIG": config,
            "PYCROND_CRONTABS": self._crontabs,
            "PYCROND_STATE_DIR": os.path.join(directory, "state"),
            "PYCROND_RUNTIME_DIR": runtime_dir,
            "PYCROND_PIDFILE": self._pidfile,
            "PYCROND_SYSLOG": os.path.join(directory, "log"),
        }

    def write(self, crontab: str) -> None:
        """Write the only crontab."""
        _write(os.path.join(self._crontabs, "bench"), crontab)

    def run(self, *arguments: str) -> str:
        """Run a command and return its output; raise RuntimeError with its message if it fails."""
        done = subprocess.run(
            [SCRIPT, *arguments], env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"pycrond {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def runs(self) -> list[dict[str, Any]]:
        """Return all runs of the ledger."""
        document: dict[str, list[dict[str, Any]]] = json.loads(
            self.run("history", "--json", "--limit", "100000")
        )
        return document["runs"]

    @property
    def pid(self) -> int:
        """The daemon's pid."""
        with open(self._pidfile, encoding="ascii") as file:
            return int(file.read())

    @property
    def keeper(self) -> int:
        """The keeper's pid: the daemon's parent."""
        return int(proc_status(self.pid)["PPid"])

    def end(self) -> None:
        """Stop the daemon; if that fails, kill the keeper, which would start another one, then the daemon."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            pids = [self.keeper, self.pid]
            try:
                self.run("stop")
            except RuntimeError:
                for pid in pids:
                    os.kill(pid, signal.SIGKILL)


def _write(path: str, text: str) -> None:
    """Write a file that only its owner may write, whatever the umask: pycrond refuses other files."""
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, 0o600)


def proc_status(pid: int) -> dict[str, str]:
    """Return the first word of each field of /proc/PID/status."""
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        pairs = (line.partition(":") for line in file)
        return {name: (text.split() or [""])[0] for name, _, text in pairs}


@contextlib.contextmanager
def open_crond(*, syslogd: bool = True) -> Iterator[Crond]:
    """Make a pycrond without crontabs that is not started yet, and end it; with `syslogd` its log is read."""
    directory = tempfile.mkdtemp(prefix="pycrond-bench-", dir=DISK)
    runtime_dir = tempfile.mkdtemp(prefix="pycrond-bench-", dir=MEMORY)
    crond = Crond(directory, runtime_dir)
    try:
        with _reader(crond.environment["PYCROND_SYSLOG"]) if syslogd else contextlib.nullcontext():
            try:
                yield crond
            finally:
                crond.end()
    finally:
        shutil.rmtree(directory)
        shutil.rmtree(runtime_dir)


@contextlib.contextmanager
def _reader(path: str) -> Iterator[None]:
    """Run a syslogd that reads messages as they come and discards them."""
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


def wait_until(condition: Callable[[], object], seconds: float) -> bool:
    """Wait for a condition; return False if it is not true after `seconds`.

    It is tested only twice a second, so that the test does not disturb the measurement.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True
