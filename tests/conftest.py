"""What every test may use: waiting for facts, and a pycrond of its own that is gone afterwards."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pycrond import pidfile

pytest_plugins = ["tests.rsyslog"]
SCRIPT = os.path.join(os.path.dirname(sys.executable), "pycrond")


def wait_until(fact: Callable[[], object], seconds: float = 10.0) -> None:
    """Until it is true; a failure after so many seconds. Not measured with a clock that a test may stop."""
    give_up = os.times().elapsed + seconds
    while not fact():
        assert os.times().elapsed < give_up, f"still not true after {seconds} s"
        os.sched_yield()
        _pause()


def _pause() -> None:
    """10 ms of real time, also where `time` is frozen."""
    import select

    select.select([], [], [], 0.01)


def children(pid: int) -> list[int]:
    """The pids of a process's children."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def alive(pid: int) -> bool:
    """Whether there is such a process; one that only waits to be reaped is dead."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Crond:
    """A pycrond of its own: directories in a temporary folder, the installed script, and its daemons."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.crontabs = folder / "crontabs"
        self.state = folder / "state"
        self.runtime = folder / "run"
        self.pidfile = folder / "pid"
        self.syslog = folder / "log"
        self.crontabs.mkdir()
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("PYCROND_", "XDG_"))},
            "HOME": str(folder),
            "PYCROND_CRONTABS": str(self.crontabs),
            "PYCROND_STATE_DIR": str(self.state),
            "PYCROND_RUNTIME_DIR": str(self.runtime),
            "PYCROND_PIDFILE": str(self.pidfile),
            "PYCROND_SYSLOG": str(self.syslog),
        }

    def write(self, name: str, text: str | bytes) -> Path:
        """A crontab, with the mode that is right whatever the umask."""
        file = self.crontabs / name
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        file.chmod(0o644)
        return file

    def run(self, *arguments: str, status: int | None = 0, **options: Any) -> subprocess.CompletedProcess[str]:
        """The command line, to its end; `status` is what it must exit with, None for whatever."""
        options.setdefault("env", self.environment)
        done = subprocess.run(
            [SCRIPT, *arguments], capture_output=True, text=True, timeout=60, check=False, **options
        )
        assert status in {None, done.returncode}, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json").stdout)

    @property
    def pid(self) -> int:
        """The daemon's."""
        pid = pidfile.read(str(self.pidfile))
        assert pid is not None, "there is no pidfile"
        return pid

    @property
    def keeper(self) -> int:
        """The keeper's: the parent of the daemon."""
        return int(Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[1])

    def history(self) -> list[dict[str, Any]]:
        """All runs, the newest first."""
        runs: list[dict[str, Any]] = self.json("history", "--limit", "10000")["runs"]
        return runs

    def processes(self) -> list[int]:
        """Every process that was started with this state directory, or by a daemon that was, in its argument
        list or its environment."""
        found = []
        for name in os.listdir("/proc"):
            if not name.isdigit() or int(name) == os.getpid():
                continue
            try:
                text = Path(f"/proc/{name}/cmdline").read_bytes() + Path(f"/proc/{name}/environ").read_bytes()
            except OSError:
                continue
            if os.fsencode(self.state) in text or os.fsencode(f"HOME={self.folder}") in text:
                found.append(int(name))
        return found

    def end(self) -> None:
        """End what was started here, keepers first, so that none starts another daemon."""
        for _ in range(3):
            for pid in self.processes():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue


@pytest.fixture
def crond(tmp_path: Path) -> Iterator[Crond]:
    """A pycrond that is not started yet; whatever it has started is ended."""
    one = Crond(tmp_path)
    yield one
    one.end()
