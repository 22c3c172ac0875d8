"""The options that name files and directories: all of them are used with the rights of the job's user."""

import os
import pwd
from pathlib import Path

import pytest

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
