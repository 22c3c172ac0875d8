"""Helpers and fixtures for all tests: wait for a fact, run a pycrond and end it after the test."""

import contextlib
import json
import os
import pwd
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import freezegun
import pytest

from pycrond.control.client import ask
from pycrond.crontab import parser
from pycrond.errors import PycrondError
from pycrond.host import pidfile
from pycrond.host.cgroup import ResourceLimits
from pycrond.jobs.job import Job, make_jobs
from pycrond.ledger.reader import Reader
from pycrond.ledger.rows import RunRow
from tests.support import command_server, documents, faketime, packages

pytest_plugins = [
    *("tests.support.leftovers", "tests.support.loop", "tests.support.rsyslog", "tests.support.journald"),
    *("tests.support.smtpd", "tests.support.system", "tests.support.attacker", "tests.support.web"),
    *("tests.support.postgres", "tests.support.agent"),
]
SCRIPT = os.path.join(os.path.dirname(sys.executable), "pycrond")
ME = pwd.getpwuid(os.geteuid()).pw_name
"""The user of the tests, whose jobs a daemon runs: root or another one."""
CGROUP_REMOVAL_TIME = 5.0  # seconds
KINDS = {"silent_loop": "process", "crond": "daemon"}
"""The kind of a test that uses such a fixture and names no kind itself."""
LONGEST = ("test_wheel.py", "test_simulation.py", "test_chaos.py")
"""Modules with tests of many seconds, which come first: at the end, one of two workers would have nothing to
do.
"""

freezegun.configure(extend_ignore_list=["_pytest.timing"])


def pytest_configure() -> None:
    """Restore the action of INT: a background script ignores it, and commands under test inherit this."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_sessionfinish() -> None:
    command_server.end()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that start jobs or daemons, before `-m` selects by the marks, and put the longest first."""
    items.sort(key=lambda item: item.path.name not in LONGEST)
    for item in items:
        kinds = {mark for name, mark in KINDS.items() if name in getattr(item, "fixturenames", ())}
        if kinds and not any(item.get_closest_marker(mark) for mark in KINDS.values()):
            item.add_marker(max(kinds, key=[*KINDS.values()].index))


def wait_until(fact: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until a fact is true; fail after `seconds`, measured with a clock that no test freezes."""
    deadline = os.times().elapsed + seconds
    while not fact():
        assert os.times().elapsed < deadline, f"still not true after {seconds} s"
        os.sched_yield()
        _pause()


def _pause() -> None:
    """Sleep for 10 ms of real time, even if `time` is frozen."""
    import select

    select.select([], [], [], 0.01)


def fill_queue(path: str, stack: contextlib.ExitStack) -> None:
    """Connect to a socket until its queue is full; the stack closes the connections."""
    with contextlib.suppress(BlockingIOError):
        while True:
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            client.connect(path)


def children(pid: int) -> list[int]:
    """Return the pids of a process's children."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def alive(pid: int) -> bool:
    """Return whether a process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def pycrond(
    directory: Path, *arguments: str, status: int = 0, script: str = SCRIPT
) -> subprocess.CompletedProcess[str]:
    """Run the command line in UTC, with a directory as its working directory, HOME and state directory."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(directory), "TZ": "UTC"}
    environment["PYCROND_STATE_DIR"] = str(directory)
    served = command_server.run(script, arguments, environment, str(directory)) if script == SCRIPT else None
    done = served or subprocess.run(
        [script, *arguments],
        env=environment,
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == status, done.stdout + done.stderr
    documents.check_printed(arguments, done.stdout)
    return done


class Crond:
    """A pycrond with its own directories below a temporary one, the installed script, and its daemons."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.crontabs = directory / "crontabs"
        self.state = directory / "state"
        self.runtime = directory / "run"
        self.pidfile = directory / "pid"
        self.syslog = directory / "log"
        self.prefix: list[str] = []  # the program that runs every command, with its arguments
        self.crontabs.mkdir()
        self.environment = {
            **{
                name: value for name, value in os.environ.items() if not name.startswith(("PYCROND_", "XDG_"))
            },
            "HOME": str(directory),
            "PYCROND_CRONTABS": str(self.crontabs),
            "PYCROND_STATE_DIR": str(self.state),
            "PYCROND_RUNTIME_DIR": str(self.runtime),
            "PYCROND_PIDFILE": str(self.pidfile),
            "PYCROND_SYSLOG": str(self.syslog),
        }

    def write(self, name: str, text: str | bytes) -> Path:
        """Write a crontab with the mode that pycrond accepts, whatever the umask."""
        file = self.crontabs / name
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        file.chmod(0o644)
        return file

    def run(
        self, *arguments: str, status: int | None = 0, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run the command line until it ends with the exit status `status`; None accepts every status."""
        options.setdefault("env", self.environment)
        done = None
        if not self.prefix and options.keys() <= {"env", "cwd"}:
            done = command_server.run(
                SCRIPT, arguments, options["env"], os.path.abspath(options.get("cwd", "."))
            )
        done = done or subprocess.run(
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
        documents.check_printed(arguments, done.stdout)
        return done

    def at(self, moment: str, *, wake: bool = True) -> None:
        """Set the clock of the daemon, the keeper and the command line to a time in UTC, like `2031-03-01
        11:59:57`.

        The clock continues from there; jobs have the real clock. With `wake`, the daemon has started the due
        jobs when this returns. The time must be in the future: CLOCK_MONOTONIC moves too, and cannot be
        negative.
        """
        new = self.directory / "clock.new"
        timestamp = datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp()
        new.write_text(f"{timestamp - time.time():+.6f}\n")
        new.replace(self.directory / "clock")
        self.environment |= {
            "LD_PRELOAD": faketime.library(),
            "FAKETIME_TIMESTAMP_FILE": str(self.directory / "clock"),
            "FAKETIME_NO_CACHE": "1",
            "TZ": "UTC",
        }
        if wake:
            self.status()  # the kernel's timer does not follow this clock

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json").stdout)

    @property
    def pid(self) -> int:
        """The daemon's pid."""
        pid = pidfile.read_pid(str(self.pidfile))
        assert pid is not None, "there is no pidfile"
        return pid

    @property
    def keeper(self) -> int:
        """The keeper's pid: the daemon's parent."""
        return int(Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[1])

    def status(self) -> dict[str, Any] | None:
        """Return the daemon's status without the command line, which is slower; None if no daemon answers."""
        try:
            return ask(str(self.runtime / "control.sock"), {"command": "status"}, 10.0)
        except (PycrondError, OSError):
            return None

    def next_daemon(self, killed: int) -> int:
        """Wait until the daemon after a killed one answers, and return its pid."""
        wait_until(lambda: (self.status() or {"pid": killed})["pid"] != killed)
        return self.pid

    def crash(self) -> int:
        """Kill the daemon, and return the pid of the next one, which the keeper starts."""
        os.kill(killed := self.pid, signal.SIGKILL)
        return self.next_daemon(killed)

    def runs(self) -> list[RunRow]:
        """Return all runs from the ledger, the newest first, without the command line, which is slower."""
        reader = Reader(str(self.state))
        try:
            return reader.history(None, 10000)
        finally:
            reader.close()

    def history(self) -> list[dict[str, Any]]:
        """Return all runs by the command line, the newest first."""
        runs: list[dict[str, Any]] = self.json("history", "--limit", "10000")["runs"]
        return runs

    def programs(self, name: str) -> list[int]:
        """Return the pids of the keepers (`keeper`) or the daemons (`daemon`) of this state directory."""
        pids = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"--state-dir=%b" % os.fsencode(self.state) not in words or b"--try=yes" in words:
                continue
            # A keeper's arguments end with those of the daemon, and the front's with those of a keeper.
            is_keeper = words[3].endswith(b"/keeper/__main__.py")
            if is_keeper if name == "keeper" else any(word.startswith(b"--keeper=") for word in words):
                pids.append(int(pid))
        return pids

    def processes(self) -> list[int]:
        """Return the pids of all processes that have this state directory in their arguments or environment,
        and of their children, in all generations.
        """
        pids = []
        for name in os.listdir("/proc"):
            if not name.isdigit() or int(name) == os.getpid():
                continue
            try:
                text = Path(f"/proc/{name}/cmdline").read_bytes() + Path(f"/proc/{name}/environ").read_bytes()
            except OSError:
                continue
            if os.fsencode(self.state) in text or os.fsencode(f"HOME={self.directory}") in text:
                pids.append(int(name))
        for pid in pids:  # grows meanwhile
            pids += [child for child in children(pid) if child not in pids]
        return pids

    def end(self) -> None:
        """End all processes at the same time, as when the machine dies, and remove the cgroups."""
        for number in (signal.SIGSTOP, signal.SIGKILL, signal.SIGKILL):  # some are started meanwhile
            for pid in self.processes():
                with contextlib.suppress(OSError):
                    os.kill(pid, number)
        remove_cgroups(self.state)


def remove_cgroups(state_dir: Path) -> None:
    """End the processes in the cgroups of a daemon that was killed, and remove the cgroups."""
    base = ResourceLimits(str(state_dir))._base
    if not base or not os.path.isdir(base):
        return
    with contextlib.suppress(OSError):  # older kernels have no such file
        Path(base, "cgroup.kill").write_text("1")

    def is_removed() -> bool:
        with contextlib.suppress(OSError):  # a process is still ending
            for directory in filter(Path.is_dir, Path(base).iterdir()):
                directory.rmdir()
            os.rmdir(base)
        return not os.path.isdir(base)

    wait_until(is_removed, CGROUP_REMOVAL_TIME)


@pytest.fixture
def crond(tmp_path: Path) -> Iterator[Crond]:
    """A pycrond that is not started yet; all its processes are ended after the test."""
    crond = Crond(tmp_path)
    yield crond
    crond.end()


def jobs_of(text: str | bytes, user: str = "root", file: str = "/etc/crontabs/test") -> list[Job]:
    """Return the jobs of a crontab, which must be without errors."""
    table = parser.parse(text.encode() if isinstance(text, str) else text, file, user=user)
    assert not [problem for problem in table.problems if problem.severity == "error"], table.problems
    return make_jobs(table.entries, user)


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[Path]:
    """A file system of 640 KiB, for tests of a full disk."""
    directory = tmp_path / "tmpfs"
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=640k,mode=755", "none", str(directory)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        packages.give_up(f"cannot mount a tmpfs: {done.stderr.strip()}")
    yield directory
    subprocess.run(["umount", "--lazy", str(directory)], check=True)
