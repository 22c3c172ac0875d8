"""Files that a user can put into the spool, and data of pycrond's processes that a user can read."""

import os
import pwd
import socket

import pytest

from tests.conftest import children, wait_until
from tests.support.system import System

pytestmark = [pytest.mark.daemon, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
SPOOL = "var/spool/cron/crontabs"


def test_no_crontab_but_a_regular_file_of_its_user_is_read(system: System) -> None:
    """No other file delays the start, and the other crontabs run."""
    spool = system.root / SPOOL
    roots = system.write("etc/roots", "HOME=/\n@reboot echo stolen\n")
    (spool / "daemon").symlink_to(roots)
    os.mkfifo(spool / "bin", 0o600)
    (spool / "man").mkdir()
    (spool / "mail").hardlink_to(system.write("etc/other", "HOME=/\n@reboot echo stolen\n"))
    system.write(f"{SPOOL}/games", "HOME=/\n@reboot echo good\n")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(spool / "news"))
        for name in ("bin", "man", "mail", "news"):
            account = pwd.getpwnam(name)
            os.chown(spool / name, account.pw_uid, account.pw_gid)
        done = system.crond.run("start")
    for name in ("daemon", "bin", "mail", "news"):
        assert f"{spool}/{name}" in done.stderr, name
    assert system.output() == ["good"]


def test_a_user_reads_nothing_of_roots_processes(system: System) -> None:
    system.write("etc/crontab", "HOME=/\nSECRET=x\n@reboot games sleep 1000\n@reboot root sleep 1000\n")
    system.crond.run("start")
    wait_until(lambda: [run.state for run in system.crond.runs()] == ["running"] * 2)
    daemon = system.crond.pid
    pids = [daemon, system.crond.keeper, *children(daemon)]
    assert len(pids) == 6, "the daemon, the keeper, the spawner, the lookup program and two jobs"
    for pid in pids:
        for name in ("environ", "mem", "maps", "fd/0", "cwd/x", "root/etc/shadow", "io"):
            done = system.as_user("nobody", "head", "-c1", f"/proc/{pid}/{name}", status=None)
            assert done.returncode, f"{pid} {name}: {done.stdout}"
        done = system.as_user("nobody", "kill", "-0", str(pid), status=None)
        assert done.returncode
