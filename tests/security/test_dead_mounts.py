"""A directory on a mount that does not answer blocks the job that uses it, and never the daemon."""

import ctypes
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pycrond.host.mounts import MountTable
from tests.conftest import wait_until
from tests.support import packages
from tests.support.system import System

pytestmark = [pytest.mark.daemon, pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")]
LIBC = ctypes.CDLL(None, use_errno=True)


@pytest.fixture
def dead() -> Iterator[Path]:
    """A FUSE mount of the user nobody whose server answers no request, in a directory that all users may enter."""
    parent = Path(tempfile.mkdtemp(prefix="pycrond-"))
    parent.chmod(0o755)
    directory = parent / "dead"
    directory.mkdir()
    try:
        server = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        packages.give_up(f"cannot open /dev/fuse: {error}")
    options = f"fd={server},rootmode=40000,user_id=65534,group_id=65534,allow_other".encode()
    if LIBC.mount(b"fuse", os.fsencode(directory), b"fuse", 0, options):
        os.close(server)
        packages.give_up(f"cannot mount FUSE: {os.strerror(ctypes.get_errno())}")
    yield directory
    subprocess.run(["umount", "--lazy", str(directory)], check=True)
    os.close(server)  # all that waits gets an error
    shutil.rmtree(parent)


def ended(system: System) -> dict[str, str]:
    """Return the states of the runs that have ended, by their jobs' names."""
    return {run.name or "": run.state for run in system.crond.runs() if run.ended_at}


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param("HOME={dead}", id="home"),
        pytest.param("HOME={link}/below", id="through-a-link"),
        pytest.param("HOME=/\nSHELL={dead}/sh", id="shell"),
    ],
)
@pytest.mark.parametrize("user", ["nobody", "root"])
def test_a_dead_mount_does_not_block_the_daemon(system: System, dead: Path, user: str, lines: str) -> None:
    link = dead.parent / "link"
    link.symlink_to(dead)
    hanging = f"{lines.format(dead=dead, link=link)}\n#: name=hangs grace=1s\n@reboot {user} true\n"
    system.write("etc/cron.d/hangs", hanging)
    system.write("etc/cron.d/other", "HOME=/\n#: name=runs\n@reboot daemon true\n")
    system.crond.run("start")
    wait_until(lambda: ended(system) == {"runs": "succeeded"}, 10)
    assert system.crond.status()
    system.crond.run("kill", "hangs")
    wait_until(lambda: ended(system) == {"runs": "succeeded", "hangs": "killed"}, 10)


@pytest.mark.parametrize("zone", ["{dead}/Paris", "../../../..{dead}/Paris", ":{dead}/Paris"])
def test_a_time_zone_is_no_path(system: System, dead: Path, zone: str) -> None:
    system.write("etc/cron.d/zone", f"CRON_TZ={zone.format(dead=dead)}\n* * * * * nobody true\n")
    done = system.crond.run("start")
    assert "unknown time zone" in done.stderr
    assert system.crond.status()


def test_the_mount_table_tells_which_paths_may_block(dead: Path) -> None:
    (dead.parent / "to").symlink_to("dead")
    (dead.parent / "round").symlink_to("round")
    table = MountTable()
    paths = {"dead": True, "dead/x": True, "to/x": True, "x/../dead": True, "deadly": False, "round": False}
    try:
        assert {path: table.may_block(os.fsencode(dead.parent / path)) for path in paths} == paths
        assert not table.may_block(b"/bin/sh")
        assert not table.may_block(b"relative")
    finally:
        table.close()


def test_a_mount_that_comes_later_is_noticed(request: pytest.FixtureRequest) -> None:
    table = MountTable()
    try:
        assert not table.may_block(b"/tmp")
        dead: Path = request.getfixturevalue("dead")
        assert table.may_block(os.fsencode(dead))
    finally:
        table.close()
