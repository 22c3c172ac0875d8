"""Facts about the machine around the daemon, read from real sockets and processes where possible."""

import fcntl
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pycrond.cli.doctor import probe
from pycrond.cli.doctor.probe import CRON_PATHS, Process
from tests.conftest import wait_until


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_syslog_on_a_unix_socket(tmp_path: Path, kind: socket.SocketKind) -> None:
    path = str(tmp_path / "log")
    assert probe.syslog_error(path) == "does not exist"
    with socket.socket(socket.AF_UNIX, kind) as reader:
        reader.bind(path)
        if kind == socket.SOCK_STREAM:
            reader.listen()
        assert probe.syslog_error(path) == probe.syslog_error(f"journal:{path}") == ""
    assert probe.syslog_error(path) == "no process reads it"
    assert probe.syslog_error("/etc/passwd") == "is not a socket"


def test_syslog_over_tcp_and_udp() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert probe.syslog_error(f"tcp://127.0.0.1:{port}") == ""
    assert probe.syslog_error(f"tcp://127.0.0.1:{port}").startswith("cannot connect")
    assert probe.syslog_error("tcp://x:y").startswith("cannot connect")
    assert probe.syslog_error("udp://127.0.0.1") == ""


@pytest.mark.parametrize(
    ("name", "arguments", "crontabs"),
    [
        ("cron", ["/usr/sbin/cron", "-f"], CRON_PATHS),
        ("crond", ["/usr/sbin/crond", "-n"], CRON_PATHS),
        ("fcron", ["fcron"], ("/var/spool/fcron",)),
        ("busybox", ["busybox", "crond", "-f"], ("/var/spool/cron/crontabs",)),
        ("busybox", ["busybox", "crond", "-f", "-c", "/mine"], ("/mine",)),
        ("busybox", ["busybox", "crond", "-c/mine"], ("/mine",)),
        ("busybox", ["busybox", "sh", "crond"], None),
        ("python3", ["python3", "cron"], None),
        ("crontab", ["crontab", "-e"], None),
    ],
)
def test_other_crons(
    name: str, arguments: list[str], crontabs: tuple[str, ...] | None, tmp_path: Path
) -> None:
    crons = probe.other_crons([Process(0, name, arguments)], str(tmp_path))
    assert [cron.crontabs for cron in crons] == ([crontabs] if crontabs else [])


def test_a_process_is_found_by_its_name(tmp_path: Path) -> None:
    shutil.copy(shutil.which("sleep") or "", tmp_path / "crond")
    with subprocess.Popen([tmp_path / "crond", "60"]) as child:
        try:
            wait_until(lambda: Path(f"/proc/{child.pid}/comm").read_text() == "crond\n")
            running = [process for process in probe.processes() if process.pid == child.pid]
            assert running == [Process(child.pid, "crond", [str(tmp_path / "crond"), "60"])]
            (cron,) = probe.other_crons(running, str(tmp_path))
            assert cron.stop.endswith(f"kill {child.pid}")
        finally:
            child.kill()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes mount namespaces")
@pytest.mark.parametrize(("change", "is_found"), [("true", True), ("mount -t tmpfs none /etc", False)])
def test_a_service_with_its_own_mounts_is_no_container(change: str, is_found: bool) -> None:
    """systemd-timesyncd has a mount namespace of its own, and so may a cron with PrivateTmp=yes."""
    command = ["unshare", "--mount", "sh", "-c", f"{change}; exec sleep 60"]
    with subprocess.Popen(command) as child:
        try:
            wait_until(lambda: Path(f"/proc/{child.pid}/comm").read_text() == "sleep\n")
            assert (child.pid in {process.pid for process in probe.processes()}) == is_found
        finally:
            child.kill()


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Callable[..., int]]:
    """Return a function that starts a sleeping program and returns its pid once it is executed."""
    children = []

    def start(name: str, *become: str) -> int:
        program = tmp_path / name
        if not program.exists():
            shutil.copy(shutil.which("sleep") or "", program)
        child = subprocess.Popen([*become, program, "60"])
        children.append(child)
        wait_until(lambda: Path(f"/proc/{child.pid}/comm").read_text() == f"{name}\n")
        return child.pid

    tmp_path.chmod(0o755)
    yield start
    for child in children:
        child.kill()
        child.wait()


@pytest.mark.skipif(os.geteuid() != 0, reason="the system's cron is root's")
def test_only_root_runs_the_systems_cron(tmp_path: Path, sleeper: Callable[..., int]) -> None:
    """A user cannot prevent a start by a process with the name of a cron."""
    os.chmod(tmp_path.parent, 0o755)
    roots, users = sleeper("crond"), sleeper("cron", "setpriv", "--reuid=65534", "--clear-groups")
    script = sleeper("anacron")
    running = [Process(pid, name, []) for pid, name in ((roots, "crond"), (users, "cron"), (script, "cron"))]
    (cron,) = probe.other_crons(running, str(tmp_path), of_system=True)
    assert cron.name == f"crond (pid {roots})"
    Path(tmp_path / "crond").unlink()  # as by an upgrade of the package
    assert probe.is_of_system(roots)


def test_the_holder_of_a_pidfile(tmp_path: Path) -> None:
    pidfile = tmp_path / "crond.pid"
    pidfile.write_text("1\n")
    assert probe.locked_pidfiles([str(pidfile), str(tmp_path / "none")]) == []
    with pidfile.open() as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        assert probe.locked_pidfiles([str(pidfile)]) == [], "whoever can read it can lock it so"
        fcntl.flock(held, fcntl.LOCK_EX)
        assert probe.locked_pidfiles([str(pidfile)]) == [os.getpid()], "and not the pid in the file"


def test_systemd_cron_is_a_directory_of_units(tmp_path: Path) -> None:
    (tmp_path / "run/systemd/generator/cron.target.wants").mkdir(parents=True)
    assert [cron.name for cron in probe.other_crons([], str(tmp_path))] == ["systemd-cron"]


def test_programs_that_synchronise_the_clock() -> None:
    running = [Process(1, name, []) for name in ("systemd", "chronyd", "systemd-timesyn")]
    assert probe.clock_programs(running) == ("chronyd", "systemd-timesyn")
    assert probe.synchronised() in {True, False}


def test_file_systems(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "1 0 8:1 / / rw - ext4 /dev/sda rw\n"
        f"2 1 0:1 / {tmp_path}/a rw,x shared:1 - tmpfs none rw\n"
        f"3 1 0:2 / {tmp_path}/a\\040b rw - btrfs none rw\n"
    )
    for path, kind in (("a", "tmpfs"), ("a/b", "tmpfs"), ("ab", "ext4"), ("a b/c", "btrfs")):
        assert probe.file_system(str(tmp_path / path), str(mounts)) == kind
    assert probe.file_system("/proc") == "proc"
    free, inodes = probe.free_space(str(tmp_path))
    assert free > 0
    assert inodes is None or inodes > 0


@pytest.mark.parametrize(
    ("cgroups", "unit"),
    [
        ("0::/system.slice/pycrond.service\n", ("pycrond.service", False)),
        ("0::/system.slice/pycrond.service/pycrond-1234/7\n", ("pycrond.service", False)),
        ("12:cpu:/x\n1:name=systemd:/system.slice/cron.service\n", ("cron.service", False)),
        ("9:name=systemd:/\n8:pids:/\n0::/system.slice/pycrond.service\n", ("pycrond.service", False)),
        ("0::/user.slice/user-1.slice/user@1.service/app.slice/pycrond.service\n", ("pycrond.service", True)),
        ("0::/user.slice/user-1.slice/session-3.scope\n", ("", False)),
        ("0::/user.slice/user-1.slice/user@1.service/init.scope\n", ("", False)),
        ("0::/\n", ("", False)),
        ("", ("", False)),
    ],
)
def test_the_unit_by_its_cgroup(cgroups: str, unit: tuple[str, bool]) -> None:
    assert probe.unit_in(cgroups) == unit


def test_the_environment_of_a_process() -> None:
    assert probe.environment(os.getpid()).keys() >= {"PATH"}
    assert probe.environment(1 << 30) == {}
