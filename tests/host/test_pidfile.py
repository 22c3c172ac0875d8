"""The pidfile, from outside: information for whoever wants to send a signal, and nobody's proof."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Crond, alive, wait_until

pytestmark = pytest.mark.daemon


def test_it_holds_the_daemons_pid_for_all_to_read(crond: Crond) -> None:
    crond.run("start", umask=0o077)
    assert crond.pidfile.stat().st_mode & 0o7777 == 0o644
    assert crond.pidfile.read_text() == f"{crond.pid}\n"
    assert crond.programs("daemon") == [crond.pid]


def test_an_old_ones_mode_is_put_right(crond: Crond) -> None:
    crond.pidfile.write_text("1\n")
    crond.pidfile.chmod(0o666)
    crond.run("start")
    assert crond.pidfile.stat().st_mode & 0o7777 == 0o644


def test_it_is_removed_at_a_stop(crond: Crond) -> None:
    crond.run("start")
    crond.run("stop")
    assert not crond.pidfile.exists()


def test_it_is_rewritten_in_place(crond: Crond) -> None:
    # Whoever watches it, or has made a hard link, sees the new daemon's pid.
    crond.run("start")
    first, inode = crond.pid, crond.pidfile.stat().st_ino
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: (crond.status() or {"pid": first})["pid"] != first)
    assert crond.pidfile.stat().st_ino == inode
    assert crond.programs("daemon") == [crond.pid]


# What is no place for a pid: (how it comes to be there, what start says of it)


def link(path: Path) -> None:
    (path.parent / "target").write_text("precious\n")
    path.symlink_to("target")


def link_to_nothing(path: Path) -> None:
    path.symlink_to("nothing")


def fifo(path: Path) -> None:
    os.mkfifo(path)  # opening it to write would wait for ever


def foreign(path: Path) -> None:
    path.write_text("this is somebody's file\n")


def foreign_number(path: Path) -> None:
    path.write_text("12\n13\n14\n")


def long_number(path: Path) -> None:
    path.write_text("1" * 1000)


@pytest.mark.parametrize(
    ("put", "reason"),
    [
        (link, "it is a symbolic link"),
        (link_to_nothing, "it is a symbolic link"),
        (Path.mkdir, "Is a directory"),
        (fifo, "it is not a regular file"),
        (foreign, "it is not a pidfile, and stays as it is"),
        (foreign_number, "it is not a pidfile, and stays as it is"),
        (long_number, "it is not a pidfile, and stays as it is"),
    ],
)
def test_what_is_no_pidfile_is_refused_and_left_alone(crond: Crond, put: object, reason: str) -> None:
    assert callable(put)
    put(crond.pidfile)
    before = looks(crond.folder)
    done = crond.run("start", status=1)
    assert done.stderr == f"pycrond: not started: cannot write pidfile {crond.pidfile}: {reason}\n"
    assert looks(crond.folder) == before
    wait_until(lambda: not crond.programs("keeper"))
    crond.run("stop", status=3)


def looks(folder: Path) -> dict[str, object]:
    """Everything there but the directories of the daemon's own."""
    paths = [path for path in folder.iterdir() if path.name not in {"state", "run", "crontabs"}]
    return {path.name: (path.lstat().st_mode, path.is_file() and path.read_bytes()) for path in paths}


@pytest.mark.parametrize(
    ("pidfile", "reason"),
    [
        ("{}/missing/pid", "No such file or directory"),
        ("{}/file/pid", "Not a directory"),
        ("/proc/pid", "No such file or directory"),
    ],
)
def test_a_pidfile_that_cannot_be_written_is_said(crond: Crond, pidfile: str, reason: str) -> None:
    (crond.folder / "file").touch()
    pidfile = pidfile.format(crond.folder)
    done = crond.run("start", "--pidfile", pidfile, status=1)
    assert done.stderr == f"pycrond: not started: cannot write pidfile {pidfile}: {reason}\n"
    wait_until(lambda: not crond.programs("keeper"))


def test_an_empty_one_is_taken(crond: Crond) -> None:
    # As a crash right after its making, or an init script's `touch`, may leave it.
    crond.pidfile.touch()
    crond.run("start")
    assert crond.programs("daemon") == [crond.pid]


# It proves nothing


@pytest.fixture
def stranger() -> Iterator[int]:
    """A process that is none of ours."""
    with subprocess.Popen(["sleep", "1000"]) as process:
        yield process.pid
        process.kill()


def test_a_stale_one_is_no_obstacle(crond: Crond) -> None:
    crond.run("start")
    keeper, daemon = crond.keeper, crond.pid
    os.kill(keeper, signal.SIGKILL)
    os.kill(daemon, signal.SIGKILL)
    wait_until(lambda: not alive(daemon) and not alive(keeper))
    assert crond.pid == daemon, "it has stayed behind"
    crond.run("stop", status=3)
    crond.run("start")
    assert crond.programs("daemon") == [crond.pid]
    assert crond.pid != daemon


def test_one_that_names_a_stranger_is_no_obstacle_and_no_order(crond: Crond, stranger: int) -> None:
    crond.pidfile.write_text(f"{stranger}\n")
    for command in ("stop", "status", "reload"):
        crond.run(command, status=3)
    crond.run("start")
    assert crond.pid != stranger
    crond.run("stop")
    assert alive(stranger)


def test_one_that_was_changed_meanwhile_misleads_nobody(crond: Crond, stranger: int) -> None:
    crond.run("start")
    daemon = crond.pid
    crond.pidfile.write_text(f"{stranger}\n")
    assert crond.json("status")["pid"] == daemon
    crond.run("stop")
    assert alive(stranger)
    assert not alive(daemon)


@pytest.mark.parametrize("command", ["stop", "restart"])
def test_one_that_was_removed_meanwhile_is_not_needed(crond: Crond, command: str) -> None:
    crond.run("start")
    daemon = crond.pid
    crond.pidfile.unlink()
    crond.run(command)
    assert crond.programs("daemon") == [daemon] * (command == "restart")
    assert crond.pidfile.exists() == (command == "restart")


def test_another_files_place_is_not_cleared(crond: Crond) -> None:
    # The pidfile was replaced, by an administrator or another daemon: what is there now is not ours to remove.
    crond.run("start")
    crond.pidfile.rename(crond.folder / "moved")
    crond.pidfile.write_text("not yours\n")
    crond.run("stop")
    assert crond.pidfile.read_text() == "not yours\n"


def test_two_daemons_cannot_share_one(crond: Crond, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = Crond(tmp_path_factory.mktemp("other"))
    other.environment["PYCROND_PIDFILE"] = str(crond.pidfile)
    crond.run("start")
    pid = crond.pid
    try:
        said = other.run("start", status=1).stderr
        assert said.startswith(
            f"pycrond: not started: pidfile {crond.pidfile} is in use by another daemon, pid {pid}"
        )
        assert crond.run("status").stdout
        assert crond.pid == pid, "the first is not disturbed"
        other.environment["PYCROND_PIDFILE"] = str(other.pidfile)
        other.run("start")
        assert other.pid != pid
    finally:
        other.end()
