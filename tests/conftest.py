"""What every test may use: waiting for facts, and a pycrond of its own that is gone afterwards."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pycrond.control import protocol
from pycrond.crontab import parser
from pycrond.errors import PycrondError
from pycrond.host import pidfile
from pycrond.host.cgroup import ResourceLimits
from pycrond.jobs.job import Job, make_jobs
from pycrond.ledger.reader import Reader
from pycrond.ledger.rows import RunRow

pytest_plugins = ["tests.support.loop", "tests.support.rsyslog", "tests.support.smtpd", "tests.support.web"]
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


def pycrond(folder: Path, *arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    """The command line in a folder that is its home and its state directory, in UTC."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "TZ": "UTC"}
    done = subprocess.run(
        [SCRIPT, *arguments],
        env={**environment, "PYCROND_STATE_DIR": str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done


class Crond:
    """A pycrond of its own: directories in a temporary folder, the installed script, and its daemons."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.crontabs = folder / "crontabs"
        self.state = folder / "state"
        self.runtime = folder / "run"
        self.pidfile = folder / "pid"
        self.syslog = folder / "log"
        self.prefix: list[str] = []  # what every command is run by
        self.crontabs.mkdir()
        self.environment = {
            **{
                name: value for name, value in os.environ.items() if not name.startswith(("PYCROND_", "XDG_"))
            },
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

    def run(
        self, *arguments: str, status: int | None = 0, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """The command line, to its end; `status` is what it must exit with, None for whatever."""
        options.setdefault("env", self.environment)
        done = subprocess.run(
            [*self.prefix, SCRIPT, *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            **options,
        )
        assert status in {None, done.returncode}, (
            f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        )
        return done

    def at(self, moment: str, *, wake: bool = True) -> None:
        """Turn the clock, to `2031-03-01 11:59:57` in UTC, for all that is started from now on and for the
        daemon, which is woken: what has come due by then has been started when this returns.

        From there the clock goes on as ever, and so does everything that shares it: command line, keeper, daemon,
        not the jobs. The moment must lie in the future, for CLOCK_MONOTONIC is moved as well, and cannot be below 0.
        """
        # No sooner: it imports a plugin of pytest, which must be the first to do so.
        from tests.support import faketime

        new = self.folder / "clock.new"
        wanted = datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp()
        new.write_text(f"{wanted - time.time():+.6f}\n")
        new.replace(self.folder / "clock")
        self.environment |= {
            "LD_PRELOAD": faketime.library(),
            "FAKETIME_TIMESTAMP_FILE": str(self.folder / "clock"),
            "FAKETIME_NO_CACHE": "1",
            "TZ": "UTC",
        }
        if wake:
            self.status()  # the kernel's timer knows nothing of this clock

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json").stdout)

    @property
    def pid(self) -> int:
        """The daemon's."""
        pid = pidfile.read_pid(str(self.pidfile))
        assert pid is not None, "there is no pidfile"
        return pid

    @property
    def keeper(self) -> int:
        """The keeper's: the parent of the daemon."""
        return int(Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[1])

    def status(self) -> dict[str, Any] | None:
        """What the daemon answers, without the command line: quick enough to wait for. None if there is none."""
        try:
            return protocol.ask(str(self.runtime / "control.sock"), {"command": "status"}, 10.0)
        except (PycrondError, OSError):
            return None

    def runs(self) -> list[RunRow]:
        """All runs, the newest first, straight from the ledger: quick enough to wait for."""
        reader = Reader(str(self.state))
        try:
            return reader.history(None, 10000)
        finally:
            reader.close()

    def history(self) -> list[dict[str, Any]]:
        """All runs, the newest first."""
        runs: list[dict[str, Any]] = self.json("history", "--limit", "10000")["runs"]
        return runs

    def programs(self, name: str) -> list[int]:
        """The pids of the keepers (`keeper`) or the daemons (`daemon`) of this state directory."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"--state-dir=%b" % os.fsencode(self.state) not in words:
                continue
            keeps = any(
                word.endswith(b"/keeper/__main__.py") for word in words
            )  # with the daemon's own after that
            if b"--try=yes" in words:
                continue
            if keeps if name == "keeper" else any(word.startswith(b"--keeper=") for word in words):
                found.append(int(pid))
        return found

    def processes(self) -> list[int]:
        """Every process that was started with this state directory, or by a daemon that was, in its argument
        list or its environment, and what they have started."""
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
        for pid in found:  # grows meanwhile
            found += [child for child in children(pid) if child not in found]
        return found

    def end(self) -> None:
        """End what was started here, keepers first, so that none starts another daemon."""
        for _ in range(3):
            for pid in self.processes():
                with contextlib.suppress(OSError):
                    _forget_shared_clock(pid)
                    os.kill(pid, signal.SIGKILL)
        remove_cgroups(self.state)


def remove_cgroups(state_dir: Path) -> None:
    """Those that a daemon made and, being killed, left behind; their processes are gone, or about to be."""
    base = ResourceLimits(str(state_dir))._base
    if base and os.path.isdir(base):
        for path in (*(os.path.join(base, name) for name in os.listdir(base)), base):
            with contextlib.suppress(OSError):
                os.rmdir(path)


def _forget_shared_clock(pid: int) -> None:
    """What libfaketime leaves behind for a process that is killed."""
    for name in (f"faketime_shm_{pid}", f"sem.faketime_sem_{pid}"):
        with contextlib.suppress(OSError):  # it may be mounted so that nothing can be left there
            Path("/dev/shm", name).unlink()


@pytest.fixture
def crond(tmp_path: Path) -> Iterator[Crond]:
    """A pycrond that is not started yet; whatever it has started is ended."""
    one = Crond(tmp_path)
    yield one
    one.end()


def jobs_of(text: str | bytes, user: str = "root", file: str = "/etc/crontabs/test") -> list[Job]:
    """The jobs of a crontab, which must be without errors."""
    table = parser.parse(text.encode() if isinstance(text, str) else text, file, user=user)
    assert not [problem for problem in table.problems if problem.severity == "error"], table.problems
    return make_jobs(table.entries, user)


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[Path]:
    """A file system of 512 KiB that is soon full. Where CI runs, a test that cannot have it fails."""
    folder = tmp_path / "tmpfs"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k,mode=755", "none", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        give_up = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        give_up(f"cannot mount a tmpfs: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
