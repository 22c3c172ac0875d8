"""As in a container: settings come by the environment, and jobs get it where that is asked for."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.conftest import SCRIPT, Crond, children, wait_until

pytestmark = pytest.mark.daemon


@pytest.mark.parametrize(("wanted", "said"), [("yes", "hello crontab"), ("no", " crontab")])
def test_jobs_get_the_daemons_environment_when_asked_for(crond: Crond, wanted: str, said: str) -> None:
    crond.environment |= {"PYCROND_INHERIT_ENV": wanted, "GREETING": "hello", "PLACE": "daemon"}
    out = crond.folder / "out"
    crond.write("jobs", f'PLACE=crontab\n@reboot echo "$GREETING $PLACE" > {out}\n')
    crond.run("start")
    wait_until(lambda: out.exists() and out.read_text().endswith("\n"))
    assert out.read_text() == f"{said}\n"


BOX = """
set -e
mount --make-rprivate /
mount -t tmpfs none /run
mount --bind {folder} {folder}
mount -o remount,ro,bind /
exec {script} start --foreground
"""


def test_as_the_first_process_on_a_read_only_root(crond: Crond) -> None:
    """It passes signals on, reaps strays, and ends with 0 once the jobs have had their time."""
    needed = ["unshare", "--mount", "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*needed, "true"], capture_output=True, check=False).returncode:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("cannot unshare namespaces")
    crond.environment |= {"PYCROND_INHERIT_ENV": "yes", "PYCROND_RUNTIME_DIR": "/run/pycrond"}
    out, stray = crond.folder / "out", crond.folder / "stray"
    crond.write(
        "jobs", f"@reboot setsid sh -c 'sleep 0.1; echo $PPID >{stray}' & exit\n@reboot echo hi >{out}\n"
    )
    box = crond.folder / "box"
    box.write_text(BOX.format(folder=crond.folder, script=SCRIPT))
    with subprocess.Popen([*needed, "sh", str(box)], env=crond.environment) as unshare:
        wait_until(lambda: out.exists() and stray.exists() and stray.read_text())
        first = children(unshare.pid)[0]
        assert Path(f"/proc/{first}/status").read_text().split("NSpid:")[1].split()[1] == "1"
        wait_until(lambda: len(children(first)) == 1)  # the daemon alone: the stray was reaped
        os.kill(first, signal.SIGTERM)
        assert unshare.wait(30) == 0
