"""The options that name files and directories: all of them are used with the rights of the job's user."""

import contextlib
import os
import pwd
import signal
import sqlite3
from pathlib import Path

import pytest

from tests.conftest import wait_until
from tests.support.system import System

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
NOBODY = pwd.getpwnam("nobody")
SECRET = "hunter2-secret"


@needs_root
@pytest.mark.daemon
def test_files_are_used_as_the_user(system: System, shared: Path) -> None:
    for name, uid in (("env", NOBODY.pw_uid), ("roots", 0)):
        (shared / name).write_text(f"A='{SECRET}'\nB=file\nUSER=x\n")
        (shared / name).chmod(0o600)
        os.chown(shared / name, uid, uid)
    (shared / "closed").mkdir(mode=0o700)
    (shared / "open").mkdir(mode=0o755)
    seen = 'echo "$(pwd) $(umask) ${#A} $B $USER"'
    text = f"""\
HOME={shared}
B=crontab
#: dir=open env-file={shared}/env umask=027
@reboot {seen}
#: dir=~ env-file=-none
@reboot {seen}
#: dir={shared}/closed
@reboot touch {shared}/ran
#: dir={shared}/none
@reboot touch {shared}/ran
#: env-file=roots
@reboot touch {shared}/ran
#: env-file=~/none
@reboot touch {shared}/ran
"""
    system.write("var/spool/cron/crontabs/nobody", text)
    system.write(
        "var/spool/cron/crontabs/root", f"HOME={shared}\n#: dir=closed env-file=roots\n@reboot {seen}\n"
    )
    system.crond.run("start")
    lines = system.output()
    assert f"{shared}/open 0027 14 file nobody" in lines
    assert f"{shared} 0022 0 crontab nobody" in lines
    assert f"{shared}/closed 0022 14 file root" in lines
    assert not (shared / "ran").exists()
    reasons = {run.reason for run in system.crond.runs() if run.state == "failed"}
    assert reasons == {
        f"start-failed: cannot enter directory {shared}/closed: Permission denied",
        f"start-failed: cannot enter directory {shared}/none: No such file or directory",
        f"start-failed: cannot read variables from {shared}/roots: Permission denied",
        f"start-failed: cannot read variables from {shared}/none: No such file or directory",
    }
    shown = system.crond.run("list", "--json").stdout + system.crond.run("history", "--json").stdout
    assert f"{shared}/env" in shown
    kept = [path.read_bytes() for path in system.crond.directory.rglob("*") if path.is_file()]
    assert not any(SECRET.encode() in text for text in [shown.encode(), *kept])


@needs_root
@pytest.mark.daemon
def test_output_is_appended_to_a_file_as_the_user(system: System, shared: Path) -> None:
    """This includes a rotation, the death of the daemon, and files that cannot be written."""
    (shared / "closed").mkdir(mode=0o700)
    (shared / "link").symlink_to(shared / "linked")
    wait = f"while ! [ -e {shared}/$step ]; do sleep 0.02; done"
    text = f"""\
HOME={shared}
#: name=app output=app.log umask=027 dir=/
@reboot for step in 1 2 3 4; do echo line $step; {wait}; done
#: name=no output={shared}/closed/log
@reboot seq 3
#: name=full output=/dev/full
@reboot seq 4
#: name=link output=link
@reboot seq 100000
"""
    system.write("var/spool/cron/crontabs/nobody", text)
    system.write("var/spool/cron/crontabs/root", f"#: name=planted output={shared}/planted\n@reboot echo x\n")
    (shared / "planted").symlink_to(shared / "target")
    os.chown(shared / "planted", NOBODY.pw_uid, NOBODY.pw_gid, follow_symlinks=False)
    log = shared / "app.log"
    system.crond.run("start")
    wait_until(lambda: log.exists() and log.read_text() == "line 1\n")
    assert (log.stat().st_uid, log.stat().st_mode & 0o777) == (NOBODY.pw_uid, 0o640)
    log.rename(shared / "app.log.1")
    (shared / "1").touch()
    wait_until(lambda: log.exists() and log.read_text() == "line 2\n")

    def unfinished() -> set[str]:
        with contextlib.closing(sqlite3.connect(system.crond.state / "ledger")) as ledger:
            return {os.path.basename(path).decode() for (path,) in ledger.execute("SELECT path FROM copies")}

    wait_until(lambda: "link" not in unfinished())
    os.kill(system.crond.pid, signal.SIGKILL)
    (shared / "2").touch()
    wait_until(lambda: log.read_text().endswith("line 3\n"))
    system.crond.run("restart")
    (shared / "3").touch()
    (shared / "4").touch()
    lines = system.output()
    wait_until(lambda: log.read_text().endswith("line 4\n"))
    assert (shared / "app.log.1").read_text() == "line 1\n"
    assert unfinished() >= {"full", "log", "planted"}, "they are tried again"
    assert (shared / "linked").read_text() == "".join(f"{number}\n" for number in range(1, 100_001))
    assert not (shared / "target").exists()
    assert lines[-1] == "line 4"
