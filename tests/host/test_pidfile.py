"""The pidfile of a daemon: it tells scripts the process to signal, but proves nothing."""

import contextlib
import fcntl
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pycrond.host.pidfile import Pidfile, read_pid
from tests.conftest import Crond, alive, wait_until

pytestmark = pytest.mark.daemon


def test_the_pidfile_has_the_daemons_pid_and_is_readable_by_all(crond: Crond) -> None:
    crond.run("start", umask=0o077)
    assert crond.pidfile.stat().st_mode & 0o7777 == 0o644
    assert crond.pidfile.read_text() == f"{crond.pid}\n"
    assert crond.programs("daemon") == [crond.pid]


def test_the_mode_of_an_old_pidfile_is_corrected(crond: Crond) -> None:
    crond.pidfile.write_text("1\n")
    crond.pidfile.chmod(0o666)
    crond.run("start")
    assert crond.pidfile.stat().st_mode & 0o7777 == 0o644


def test_the_pidfile_is_removed_at_a_stop(crond: Crond) -> None:
    crond.run("start")
    crond.run("stop")
    assert not crond.pidfile.exists()


def test_the_pidfile_is_rewritten_in_place(crond: Crond) -> None:
    # A program that watches the file, or a hard link to it, sees the new daemon's pid.
    crond.run("start")
    inode = crond.pidfile.stat().st_ino
    crond.crash()
    assert crond.pidfile.stat().st_ino == inode
    assert crond.programs("daemon") == [crond.pid]


# Files that are refused: (the function that makes one, the message of `start`)


def link(path: Path) -> None:
    (path.parent / "target").write_text("precious\n")
    path.symlink_to("target")


def link_to_nothing(path: Path) -> None:
    path.symlink_to("nothing")


def fifo(path: Path) -> None:
    os.mkfifo(path)  # opening it to write would wait forever


def foreign(path: Path) -> None:
    path.write_text("this is another file\n")


def foreign_number(path: Path) -> None:
    path.write_text("12\n13\n14\n")


def long_number(path: Path) -> None:
    path.write_text("1" * 1000)


def test_a_restart_in_place_leaves_the_pidfile_empty_at_no_time(tmp_path: Path) -> None:
    file, seen = Pidfile(str(tmp_path / "pid"), str(tmp_path)), set[int | None]()
    with contextlib.ExitStack() as descriptors:

        def write() -> None:
            for _ in range(200):
                file.write(12345)
                descriptors.callback(os.close, file._descriptor)

        file.write(12345)
        writer = threading.Thread(target=write)
        writer.start()
        while writer.is_alive():
            seen.add(read_pid(file.path))
        writer.join()
    assert seen == {12345}


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
def test_another_file_is_refused_and_left_as_it_is(crond: Crond, put: object, reason: str) -> None:
    assert callable(put)
    put(crond.pidfile)
    before = file_states(crond.directory)
    done = crond.run("start", status=1)
    assert done.stderr == f"pycrond: not started: cannot write pidfile {crond.pidfile}: {reason}\n"
    assert file_states(crond.directory) == before
    wait_until(lambda: not crond.programs("keeper"))
    crond.run("stop", status=3)


def file_states(directory: Path) -> dict[str, object]:
    """Return the state of all files there but those in the daemon's own directories."""
    paths = [path for path in directory.iterdir() if path.name not in {"state", "run", "crontabs"}]
    return {path.name: (path.lstat().st_mode, path.is_file() and path.read_bytes()) for path in paths}


@pytest.mark.parametrize(
    ("pidfile", "reason"),
    [
        ("{}/missing/pid", "No such file or directory"),
        ("{}/file/pid", "Not a directory"),
        ("/proc/pid", "No such file or directory"),
    ],
)
def test_a_pidfile_that_cannot_be_written_is_an_error(crond: Crond, pidfile: str, reason: str) -> None:
    (crond.directory / "file").touch()
    pidfile = pidfile.format(crond.directory)
    done = crond.run("start", "--pidfile", pidfile, status=1)
    assert done.stderr == f"pycrond: not started: cannot write pidfile {pidfile}: {reason}\n"
    wait_until(lambda: not crond.programs("keeper"))


def test_an_empty_pidfile_is_used(crond: Crond) -> None:
    # Left by a crash right after its creation, or by an init script's `touch`.
    crond.pidfile.touch()
    crond.run("start")
    assert crond.programs("daemon") == [crond.pid]


# It proves nothing


@pytest.fixture
def stranger() -> Iterator[int]:
    """A process that is not pycrond."""
    with subprocess.Popen(["sleep", "1000"]) as process:
        yield process.pid
        process.kill()


def test_a_stale_pidfile_does_not_prevent_a_start(crond: Crond) -> None:
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


def test_a_pidfile_of_another_process_prevents_no_start_and_signals_nothing(
    crond: Crond, stranger: int
) -> None:
    crond.pidfile.write_text(f"{stranger}\n")
    for command in ("stop", "status", "reload"):
        crond.run(command, status=3)
    crond.run("start")
    assert crond.pid != stranger
    crond.run("stop")
    assert alive(stranger)


def test_a_pidfile_that_was_changed_does_not_mislead_a_stop(crond: Crond, stranger: int) -> None:
    crond.run("start")
    daemon = crond.pid
    crond.pidfile.write_text(f"{stranger}\n")
    assert crond.json("status")["pid"] == daemon
    crond.run("stop")
    assert alive(stranger)
    assert not alive(daemon)


@pytest.mark.parametrize("command", ["stop", "restart"])
def test_a_pidfile_that_was_removed_is_not_needed(crond: Crond, command: str) -> None:
    crond.run("start")
    daemon = crond.pid
    crond.pidfile.unlink()
    crond.run(command)
    assert crond.programs("daemon") == [daemon] * (command == "restart")
    assert crond.pidfile.exists() == (command == "restart")


def test_a_file_that_replaced_the_pidfile_is_not_removed(crond: Crond) -> None:
    # An administrator or another daemon has replaced the pidfile: the new file must not be removed.
    crond.run("start")
    crond.pidfile.rename(crond.directory / "moved")
    crond.pidfile.write_text("not yours\n")
    crond.run("stop")
    assert crond.pidfile.read_text() == "not yours\n"


def test_two_daemons_cannot_share_a_pidfile(crond: Crond, tmp_path_factory: pytest.TempPathFactory) -> None:
    second = Crond(tmp_path_factory.mktemp("other"))
    second.environment["PYCROND_PIDFILE"] = str(crond.pidfile)
    crond.run("start")
    pid = crond.pid
    try:
        caught = second.run("start", status=1).stderr
        assert caught.startswith(
            f"pycrond: not started: pidfile {crond.pidfile} is in use by another daemon, pid {pid}"
        )
        assert crond.run("status").stdout
        assert crond.pid == pid, "the first is not disturbed"
        second.environment["PYCROND_PIDFILE"] = str(second.pidfile)
        second.run("start")
        assert second.pid != pid
    finally:
        second.end()


def test_a_lock_on_the_pidfile_prevents_nothing(crond: Crond) -> None:
    """Every user may read the file, and therefore lock it."""
    crond.run("start")
    with open(crond.pidfile, "rb") as reader:
        fcntl.flock(reader, fcntl.LOCK_EX)
        crond.run("restart")
        crond.run("stop")
    crond.pidfile.touch(mode=0o644)
    with open(crond.pidfile, "rb") as reader:
        fcntl.flock(reader, fcntl.LOCK_EX)
        crond.run("start")
        assert crond.pid
