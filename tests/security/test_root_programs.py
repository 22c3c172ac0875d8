"""Code that runs with root's rights before it becomes a job's user executes and shows nothing that the user wrote."""

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import wait_until
from tests.support.system import System

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a job as another user"),
]

JOB = r"""
import os, sys
from datetime import UTC, datetime
from pathlib import Path
from pycrond.host.cgroup import Limits
from pycrond.host.spawn import Starter, make_fifo
from pycrond.jobs.job import Account
from pycrond.jobs.run import Fire
from pycrond.runs.command import describe
from tests.conftest import jobs_of

directory = Path(sys.argv[1])
text = f"HOME=/\nBASH_FUNC_echo%%=() {{ id -u >>{directory}/ran; }}\n* * * * * echo; :\n"
(job,) = jobs_of(text, user="nobody")
fire = Fire(job, datetime.now(UTC), 0)
account = Account("nobody", 65534, 65534, "/")
launch = describe(fire, 1, account, str(directory / "fifo"), "/usr/bin:/bin")._replace(
    owner=account,
    groups=(65534,),
    limits=Limits(cgroup="/no/such", nice=1, io_priority=3 << 13, resources=((0, 100),)),
)
reader = make_fifo(launch)
with Starter() as spawner:
    pid = spawner.start(launch)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def test_a_function_of_bash_in_a_crontab_does_not_run_as_root(tmp_path: Path, shared: Path) -> None:
    """Where /bin/sh is bash, it takes functions from the environment."""
    (tmp_path / "job.py").write_text(JOB)
    script = f"mount --bind /bin/bash /bin/sh && exec {sys.executable} {tmp_path}/job.py {shared}"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run(["unshare", "--mount", "/bin/bash", "-c", script], check=True, timeout=60, env=environment)
    assert (shared / "ran").read_text() == "65534\n", "the job's own shell alone has run it"


SECRET = f"PASSWORD={secrets.token_hex(8)}"  # not that of another run of this test
WATCH = f"""
import os, sys, time
secret = b"{SECRET.partition("=")[2]}"
own = os.getpid()
while not os.path.exists(sys.argv[1]):
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and int(name) != own and secret in open(f"/proc/{{name}}/cmdline", "rb").read():
                print("seen", flush=True)
                sys.exit()
        except OSError:
            pass
print("not seen", flush=True)
"""


def test_variables_of_a_crontab_are_in_no_arguments(system: System, shared: Path) -> None:
    """Every user can read the arguments of all processes."""
    lines = "@reboot daemon true\n" * 100
    system.write("etc/crontab", f"HOME=/\n{SECRET}\n#: timeout=60s\n@reboot daemon true\n{lines}")
    become = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    watch = ["/usr/bin/python3", "-I", "-c", WATCH, str(shared / "stop")]
    with subprocess.Popen([*become, *watch], stdout=subprocess.PIPE, text=True) as process:
        system.crond.run("start")
        wait_until(
            lambda: len(system.crond.runs()) == 101 and all(run.ended_at for run in system.crond.runs())
        )
        (shared / "stop").touch()
        seen, _ = process.communicate(timeout=60)
    assert seen == "not seen\n"
