"""The suite leaves nothing behind: a session with processes, mounts, cgroups or files left over fails.

The controller of pytest-xdist makes the preparations, which its workers inherit, and the check after they
have ended.
"""

import compileall
import contextlib
import gc
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from pycrond.host.cgroup import ResourceLimits
from tests.support import faketime, proc, reachable

ROOT = Path(__file__).parents[2]
ENDING_TIME = 5.0  # seconds that processes which are ending may take
DEFAULT_DIRECTORIES = ("/etc/pycrond", "/run/pycrond", "/var/lib/pycrond")
_SESSION = pytest.StashKey["Session"]()
_HAS_FAILED = pytest.StashKey[bool]()


class Session:
    """The directories of one run of the suite, and the files that other programs had left in shared memory
    before it.
    """

    def __init__(self) -> None:
        # Otherwise each worker rewrites the asserts of each module, and each command compiles the package.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        compileall.compile_dir(ROOT / "pycrond", quiet=1)
        if faketime.hide_shared_memory():
            reachable.open_directories(ROOT, reachable.INTERPRETER)
        self._shared_before = faketime.files()
        self._absent_before = [path for path in DEFAULT_DIRECTORIES if not os.path.exists(path)]
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())  # of pytest's own directories
        self.temporary = tempfile.mkdtemp(prefix="pycrond-tests-")
        os.chmod(self.temporary, 0o755)  # jobs of other users go through it
        os.environ["TMPDIR"] = tempfile.tempdir = self.temporary

    def leftovers(self, base: Path) -> Iterator[str]:
        """Yield a line for each leftover; end the processes. `base` is pytest's own directory."""
        directories = [f"{base}/", self.temporary]  # pytest-1/ is not pytest-12/
        yield from _end_processes(directories)
        for path in filter(faketime.is_stale, faketime.files() - self._shared_before):
            os.unlink(path)  # only root can prevent that killed processes leave them
        paths = {
            "mount": _mount_points(directories),
            "cgroup": _cgroups(base),
            "directory": list(filter(os.path.exists, self._absent_before)),
            "temporary file": os.listdir(self.temporary),
            "shared memory": sorted(faketime.files() - self._shared_before),
        }
        shutil.rmtree(self.temporary, ignore_errors=True)
        yield from (f"{kind}: {path}" for kind, left in paths.items() for path in left)


def _end_processes(directories: list[str]) -> Iterator[str]:
    """Yield a line for each process that does not end by itself within a short time, and kill it."""
    deadline = time.monotonic() + ENDING_TIME
    while (left := _processes(directories)) and time.monotonic() < deadline:
        time.sleep(0.1)
    for pid, command in left.items():
        yield f"process {pid}: {command}"
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _processes(directories: list[str]) -> dict[int, str]:
    """Return the commands of the processes that have one of the directories in their arguments or
    environment, by pid.
    """
    paths = [os.fsencode(directory) for directory in directories]
    commands = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            arguments = Path("/proc", name, "cmdline").read_bytes()
            text = arguments + Path("/proc", name, "environ").read_bytes()
        except OSError:
            continue
        if any(path in text for path in paths):
            commands[int(name)] = arguments.replace(b"\0", b" ").decode(errors="replace")
    own = {os.getpid(), *proc.ancestors(os.getpid())}
    return {pid: command for pid, command in commands.items() if pid not in own}


def _mount_points(directories: list[str]) -> list[str]:
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [point for point in points if point.startswith(tuple(directories))]


def _cgroups(base: Path) -> list[str]:
    """Return the cgroups of daemons whose state directory is below this directory."""
    states = [directory for directory, _, files in os.walk(base) if "ledger" in files]
    paths = [ResourceLimits(state)._base for state in states]
    return [path for path in paths if path and os.path.isdir(path)]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """End the processes that a failed test has not ended; otherwise their warnings would fail a later test."""
    report = yield
    if report.failed:
        item.stash[_HAS_FAILED] = True
    if report.when == "teardown" and item.stash.get(_HAS_FAILED, False):
        for process in gc.get_objects():
            if type(process) is subprocess.Popen and process.poll() is None:
                process.kill()
                process.wait()
    return report


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.stash[_SESSION] = Session()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    """Fail at the very end, after the workers have ended, if something is left over."""
    yield
    config = session.config
    if _SESSION not in config.stash:
        return
    base: Path = config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
    lines = list(config.stash[_SESSION].leftovers(base))
    for line in lines:
        config.get_terminal_writer().line(f"left over: {line}", red=True)
    if lines and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
