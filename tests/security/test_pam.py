"""PAM around jobs: accounts are checked, sessions are opened as in Debian's cron and closed at the end of the
job.

The library and its modules are the real ones, in a private mount namespace with its own /etc/pam.d.
"""

import os
import pwd
import signal
import subprocess
from pathlib import Path

import pytest

from pycrond.host import procfs
from tests.conftest import alive, children, wait_until
from tests.support import packages, proc
from tests.support.system import System

pytestmark = [
    pytest.mark.daemon,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: services of its own in /etc/pam.d"),
]
SERVICE = "pycrond-test"
NOBODY = pwd.getpwnam("nobody")
JOB = "#: name=job\n0 0 1 1 * nobody {}\n"


class Pam:
    """A directory in place of /etc/pam.d, and the records of its modules."""

    def __init__(self, system: System, directory: Path) -> None:
        self.system = system
        self.directory = directory
        self.records = directory / "records"
        self.recorder = directory / "recorder"
        self.recorder.write_text(f'#!/bin/sh\necho "$PAM_TYPE $PAM_USER $PAM_TTY" >>{self.records}\n')
        self.recorder.chmod(0o755)
        system.crond.environment["PYCROND_PAM"] = SERVICE

    def write(self, *lines: str) -> None:
        (self.directory / SERVICE).write_text("".join(f"{line}\n" for line in lines))

    def start(self, command: str, name: str = "x") -> None:
        self.system.write(f"etc/cron.d/{name}", JOB.format(command))
        self.system.crond.run("start")

    def run(self, status: int | None = 0) -> str:
        return self.system.crond.run("run", "job", "--wait", status=status).stdout

    def recorded(self) -> list[str]:
        return self.records.read_text().splitlines() if self.records.exists() else []


@pytest.fixture
def pam(system: System, tmp_path: Path) -> Pam:
    """A service of the test's own, which no other test sees."""
    packages.install("libpam-modules", lambda: "/etc/pam.d" if os.path.isdir("/etc/pam.d") else "")
    directory = tmp_path / "pam.d"
    subprocess.run(["cp", "-a", "/etc/pam.d", directory], check=True)
    mount = f'mount --bind {directory} /etc/pam.d && exec "$0" "$@"'
    system.crond.prefix = ["unshare", "--mount", "sh", "-c", mount]
    return Pam(system, directory)


def test_a_session_sets_limits_umask_and_variables(pam: Pam, tmp_path: Path) -> None:
    (tmp_path / "limits").write_text("nobody hard nofile 333\nnobody soft nofile 222\n")
    (tmp_path / "variables").write_text("FROM_PAM=yes\nPATH=/from/pam\nSHELL=/from/pam\n")
    pam.write(
        "account required pam_permit.so",
        f"session required pam_limits.so conf={tmp_path}/limits",
        "session required pam_umask.so umask=027",
        f"session required pam_env.so conffile=/dev/null envfile={tmp_path}/variables user_readenv=0",
    )
    pam.start(
        'echo "$(ulimit -Sn) $(ulimit -Hn) $(umask) $FROM_PAM $PATH $SHELL"; id -u; ps -o sid= -p $$; echo $$'
    )
    pam.run()
    limits, uid, session, process = pam.system.output()
    assert limits == "222 333 0027 yes /usr/bin:/bin /bin/sh"
    assert (uid, session.strip()) == (str(NOBODY.pw_uid), process)
    spawner = spawner_of(pam.system.crond.pid)
    assert "pam_limits.so" in Path(f"/proc/{spawner}/maps").read_text(), "the modules are loaded once"


def test_an_account_that_pam_refuses_does_not_start_by_the_service_as_it_is_now(pam: Pam) -> None:
    pam.write("account required pam_permit.so", "session required pam_permit.so")
    pam.start("echo ran")
    pam.run()
    pam.write("account required pam_deny.so", "session required pam_permit.so")
    pam.run(status=None)
    refused, first = pam.system.crond.runs()
    assert (first.state, refused.state) == ("succeeded", "failed")
    assert refused.reason.startswith("account: PAM refuses: ")
    assert pam.system.crond.run("logs").stdout.count("ran") == 1


def test_a_session_that_fails_is_a_reason(pam: Pam) -> None:
    pam.write("account required pam_permit.so", "session required pam_deny.so")
    pam.start("true")
    pam.run(status=None)
    assert "pam_open_session" in pam.system.crond.runs()[0].reason


@pytest.mark.parametrize("death", ["", "daemon", "spawner"])
def test_the_session_is_closed_when_the_job_ends_whoever_has_died(pam: Pam, death: str) -> None:
    pam.write("account required pam_permit.so", f"session required pam_exec.so {pam.recorder}")
    pam.start("kill -STOP $$; exit 7")
    crond = pam.system.crond
    crond.run("run", "job")
    wait_until(lambda: crond.runs()[0].pid and proc.status(crond.runs()[0].pid or 0, "State")[0] == "T")
    assert pam.recorded() == ["open_session nobody cron"]
    if death:
        pid = crond.pid if death == "daemon" else spawner_of(crond.pid)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not alive(pid))
    os.kill(crond.runs()[0].pid or 0, signal.SIGCONT)
    wait_until(lambda: pam.recorded() == ["open_session nobody cron", "close_session nobody cron"])
    wait_until(lambda: crond.status() and crond.runs()[0].ended_at)
    assert (crond.runs()[0].state, crond.runs()[0].exit_status) == ("failed", 7)


def spawner_of(daemon: int) -> int:
    """Return the spawner among the daemon's children: the oldest process of its program."""
    spawners = [
        child
        for child in children(daemon)
        if b"spawner_program.py" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]
    return min(spawners, key=lambda child: procfs.start_ticks(child) or 0)  # numbers begin again


def test_the_process_that_closes_sessions_is_no_child_of_the_job(pam: Pam) -> None:
    """A job may wait for all its children."""
    pam.write("account required pam_permit.so", "session required pam_permit.so")
    pam.start("for child in $(cat /proc/$$/task/$$/children); do cat /proc/$child/comm; done; echo none")
    pam.run()
    assert "python" not in " ".join(pam.system.output())


def test_roots_jobs_have_a_session_too(pam: Pam) -> None:
    pam.write("account required pam_permit.so", f"session required pam_exec.so {pam.recorder}")
    pam.system.write("etc/cron.d/root", "#: name=own\n0 0 1 1 * root id -u; id -G\n")
    pam.system.crond.run("start")
    pam.system.crond.run("run", "own", "--wait")
    wait_until(lambda: pam.recorded() == ["open_session root cron", "close_session root cron"])
    assert pam.system.output()[0] == "0"


def test_a_daemon_that_is_not_the_systems_cron_can_use_a_service_too(pam: Pam) -> None:
    pam.write("account required pam_permit.so", f"session required pam_exec.so {pam.recorder}")
    crond = pam.system.crond
    crond.environment |= {"PYCROND_SYSTEM": "no", "PYCROND_CRONTABS": str(crond.crontabs)}
    crond.write("jobs", "#: name=own\n0 0 1 1 * true\n")
    crond.run("start")
    crond.run("run", "own", "--wait")
    wait_until(lambda: pam.recorded() == ["open_session root cron", "close_session root cron"])


def test_without_a_service_nothing_of_pam_is_loaded(pam: Pam) -> None:
    pam.system.crond.environment["PYCROND_PAM"] = "none"
    pam.start("true")
    pam.run()
    spawner = spawner_of(pam.system.crond.pid)
    assert "libpam" not in Path(f"/proc/{spawner}/maps").read_text()
    assert b"pam_session" not in Path(f"/proc/{spawner}/cmdline").read_bytes()
