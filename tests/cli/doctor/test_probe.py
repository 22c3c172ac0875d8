"""The machine around the daemon, on real sockets and processes where they can be had."""

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from pycrond.cli.doctor import probe
from pycrond.cli.doctor.probe import CRON_FOLDERS, Process
from tests.conftest import wait_until


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_who_reads_syslog(tmp_path: Path, kind: socket.SocketKind) -> None:
    path = str(tmp_path / "log")
    assert probe.syslog_trouble(path) == "is not there"
    with socket.socket(socket.AF_UNIX, kind) as reader:
        reader.bind(path)
        if kind == socket.SOCK_STREAM:
            reader.listen()
        assert probe.syslog_trouble(path) == ""
    assert probe.syslog_trouble(path) == "nobody reads it"
    assert probe.syslog_trouble("/etc/passwd") == "is no socket"


def test_syslog_by_tcp_and_udp() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert probe.syslog_trouble(f"tcp://127.0.0.1:{port}") == ""
    assert probe.syslog_trouble(f"tcp://127.0.0.1:{port}").startswith("nobody takes messages")
    assert probe.syslog_trouble("tcp://x:y").startswith("nobody takes messages")
    assert probe.syslog_trouble("udp://127.0.0.1") == ""


@pytest.mark.parametrize(
    ("name", "words", "folders"),
    [
        ("cron", ["/usr/sbin/cron", "-f"], CRON_FOLDERS),
        ("crond", ["/usr/sbin/crond", "-n"], CRON_FOLDERS),
        ("fcron", ["fcron"], ("/var/spool/fcron",)),
        ("busybox", ["busybox", "crond", "-f"], ("/var/spool/cron/crontabs",)),
        ("busybox", ["busybox", "crond", "-f", "-c", "/mine"], ("/mine",)),
        ("busybox", ["busybox", "crond", "-c/mine"], ("/mine",)),
        ("busybox", ["busybox", "sh", "crond"], None),
        ("python3", ["python3", "cron"], None),
        ("crontab", ["crontab", "-e"], None),
    ],
)
def test_other_crons(name: str, words: list[str], folders: tuple[str, ...] | None, tmp_path: Path) -> None:
    found = probe.rivals([Process(0, name, words)], str(tmp_path))
    assert [one.folders for one in found] == ([folders] if folders else [])


def test_a_process_is_found_by_its_name(tmp_path: Path) -> None:
    shutil.copy(shutil.which("sleep") or "", tmp_path / "crond")
    with subprocess.Popen([tmp_path / "crond", "60"]) as started:
        try:
            wait_until(lambda: Path(f"/proc/{started.pid}/comm").read_text() == "crond\n")
            running = [one for one in probe.processes() if one.pid == started.pid]
            assert running == [Process(started.pid, "crond", [str(tmp_path / "crond"), "60"])]
            (rival,) = probe.rivals(running, str(tmp_path))
            assert rival.stop.endswith(f"kill {started.pid}")
        finally:
            started.kill()


def test_systemd_cron_is_a_folder_of_units(tmp_path: Path) -> None:
    (tmp_path / "run/systemd/generator/cron.target.wants").mkdir(parents=True)
    assert [one.name for one in probe.rivals([], str(tmp_path))] == ["systemd-cron"]


def test_what_keeps_the_clock() -> None:
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
    free, inodes = probe.room(str(tmp_path))
    assert free > 0
    assert inodes is None or inodes > 0


@pytest.mark.parametrize(
    ("text", "unit"),
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
def test_the_unit_by_its_cgroup(text: str, unit: tuple[str, bool]) -> None:
    assert probe.unit_in(text) == unit


def test_what_a_process_was_started_with() -> None:
    assert probe.environment(os.getpid()).keys() >= {"PATH"}
    assert probe.environment(1 << 30) == {}
