"""pycrond in a container: settings from the environment, jobs that inherit it, pycrond as process 1."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.conftest import SCRIPT, Crond, children, wait_until

pytestmark = pytest.mark.daemon


@pytest.mark.parametrize(("inherit", "output"), [("yes", "hello crontab"), ("no", " crontab")])
def test_jobs_inherit_the_environment_if_the_setting_is_yes(crond: Crond, inherit: str, output: str) -> None:
    crond.environment |= {"PYCROND_INHERIT_ENV": inherit, "GREETING": "hello", "PLACE": "daemon"}
    out = crond.directory / "out"
    crond.write("jobs", f'PLACE=crontab\n@reboot echo "$GREETING $PLACE" > {out}\n')
    crond.run("start")
    wait_until(lambda: out.exists() and out.read_text().endswith("\n"))
    assert out.read_text() == f"{output}\n"


CONTAINER = """
set -e
mount --make-rprivate /
mount -t tmpfs none /run
mount --bind {directory} {directory}
mount -o remount,ro,bind /
exec {script} start --foreground
"""


def test_as_the_first_process_on_a_read_only_root(crond: Crond) -> None:
    """Process 1 passes signals on, reaps orphans, and exits with 0 after its jobs have ended."""
    unshare_command = ["unshare", "--mount", "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*unshare_command, "true"], capture_output=True, check=False).returncode:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("cannot unshare namespaces")
    crond.environment |= {"PYCROND_INHERIT_ENV": "yes", "PYCROND_RUNTIME_DIR": "/run/pycrond"}
    out, orphan = crond.directory / "out", crond.directory / "orphan"
    crond.write(
        "jobs", f"@reboot setsid sh -c 'sleep 0.1; echo $PPID >{orphan}' & exit\n@reboot echo hi >{out}\n"
    )
    script = crond.directory / "container"
    script.write_text(CONTAINER.format(directory=crond.directory, script=SCRIPT))
    with subprocess.Popen([*unshare_command, "sh", str(script)], env=crond.environment) as unshare:
        wait_until(lambda: out.exists() and orphan.exists() and orphan.read_text())
        first = children(unshare.pid)[0]
        assert Path(f"/proc/{first}/status").read_text().split("NSpid:")[1].split()[1] == "1"
        wait_until(lambda: len(children(first)) == 1)  # the daemon alone: the orphan was reaped
        os.kill(first, signal.SIGTERM)
        assert unshare.wait(30) == 0
