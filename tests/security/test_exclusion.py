"""Nothing that another user can open, lock or hold keeps a daemon from starting, restarting or working."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Crond, wait_until
from tests.support.system import System

PYTHON = shutil.which("python3", path="/usr/bin:/bin")
pytestmark = [
    pytest.mark.daemon,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not PYTHON, reason="needs a Python that every user can run"),
]

HOLD = r"""
import fcntl, os, signal, socket, stat, sys
held = []
for top in sys.argv[1:]:
    for directory, names, files in os.walk(top):
        for path in [directory, *(os.path.join(directory, name) for name in files)]:
            mode = os.lstat(path).st_mode
            try:
                if stat.S_ISSOCK(mode):
                    client = socket.socket(socket.AF_UNIX)
                    client.connect(path)
                    held.append(client)
                else:
                    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
                    held.append(descriptor)
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if stat.S_ISREG(mode):
                        fcntl.lockf(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except PermissionError:
                continue
            print("directory" if stat.S_ISDIR(mode) else os.path.basename(path))
print("held", flush=True)
signal.pause()
"""
LEASE = """
import fcntl, os, signal, sys
signal.signal(signal.SIGIO, signal.SIG_IGN)
fcntl.fcntl(0, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("held", flush=True)
signal.pause()
"""


REACHABLE = {"directory", "pid", "control.sock", "crontab", "os-release"}
"""Files that every user may open; the daemon locks none of them and waits for none of them."""


@pytest.fixture
def public() -> Iterator[System]:
    """A system in a directory that every user can enter, with a state directory that every user can list."""
    directory = Path(tempfile.mkdtemp(prefix="pycrond-"))
    system = System(Crond(directory))
    system.crond.state.mkdir(mode=0o755)
    yield system
    system.crond.end()
    shutil.rmtree(directory)


def hold(script: str, *arguments: str, stdin: int | None = None) -> subprocess.Popen[str]:
    """Start a process of the user nobody that holds as many files as it can; return when it does."""
    assert PYTHON
    become = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"]
    command = [*become, PYTHON, "-I", "-c", script, *arguments]
    return subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, text=True, cwd="/")


def held(process: subprocess.Popen[str]) -> set[str]:
    assert process.stdout
    return {line.strip() for line in iter(process.stdout.readline, "held\n")}


def test_a_user_who_locks_all_files_that_it_can_open_prevents_nothing(public: System) -> None:
    crond = public.crond
    public.write("etc/crontab", "HOME=/\n#: name=job\n@reboot nobody echo ran; sleep 1000\n")
    crond.run("start")
    wait_until(lambda: "ran" in crond.run("logs").stdout)
    with hold(HOLD, str(crond.directory)) as process:
        try:
            reachable = held(process)
            assert reachable == REACHABLE
            crond.run("reload")
            crond.crash()
            crond.run("restart")
            crond.run("stop")
            crond.run("start")
            crond.run("kill", "job")
        finally:
            process.kill()


def test_a_lease_on_a_crontab_holds_up_nobody_else(public: System) -> None:
    """An open of a file for which its owner has a lease waits for 45 s, except with O_NONBLOCK."""
    mine = public.write("var/spool/cron/crontabs/nobody", "HOME=/\n@reboot true\n")
    public.write("etc/crontab", "HOME=/\n#: name=other\n@reboot daemon true\n")
    descriptor = os.open(mine, os.O_RDWR)
    with hold(LEASE, stdin=descriptor) as process:
        os.close(descriptor)
        try:
            held(process)
            public.crond.run("start")
            wait_until(lambda: [run.name for run in public.crond.runs() if run.ended_at] == ["other"], 10)
        finally:
            process.kill()
