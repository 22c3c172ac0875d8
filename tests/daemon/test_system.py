"""pycrond as the system's cron: the system's crontabs below another root, each job as its user."""

import contextlib
import os
import pwd
import signal
import sqlite3
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Crond, alive, children, wait_until
from tests.support.system import System

pytestmark = [pytest.mark.daemon, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
NOBODY = pwd.getpwnam("nobody")


def groups(user: str) -> str:
    return subprocess.run(["id", "-Gn", user], capture_output=True, text=True, check=True).stdout.strip()


def spawner_of(system: System) -> int:
    """Return the pid of the spawner; 0 if there is none."""
    pids = children(system.crond.pid)
    return next((pid for pid in pids if b"spawner" in Path(f"/proc/{pid}/cmdline").read_bytes()), 0)


def test_each_job_runs_as_its_user(system: System) -> None:
    who = 'HOME=/\n@reboot {}id -un; id -Gn; echo "$LOGNAME $USER $PYCROND_JOB" > /dev/stderr\n'
    system.write("etc/crontab", "#: name=table\n" + who.format("nobody "))
    system.write("etc/cron.d/extra", "#: name=extra\n" + who.format("root "))
    system.write("var/spool/cron/crontabs/nobody", "#: name=spool\n" + who.format(""))
    assert "3 jobs from 3 files" in system.crond.run("start").stdout
    assert sorted(system.output()) == sorted(
        line
        for user, name in (("nobody", "table"), ("root", "extra"), ("nobody", "spool"))
        for line in (user, groups(user), f"{user} {user} {user}/{name}")
    )


def test_a_job_cannot_become_root_again(system: System) -> None:
    system.write(
        "etc/crontab", "HOME=/\n@reboot nobody grep -E '^(Uid|Gid|Groups|Cap...):' /proc/self/status\n"
    )
    system.crond.run("start")
    status = {name: values.split() for name, _, values in (line.partition(":") for line in system.output())}
    assert status["Uid"] == [str(NOBODY.pw_uid)] * 4
    assert status["Gid"] == [str(NOBODY.pw_gid)] * 4
    assert set(status["Groups"]) <= {str(NOBODY.pw_gid)}
    assert {
        name: int(status[name][0], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")
    } == dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapAmb"), 0)


def test_a_users_variables_do_not_reach_programs_that_run_as_root(system: System) -> None:
    """Each program with LD_PRELOAD prints an error: the shell prints it; chroot, setpriv and env must not."""
    system.write(
        "etc/crontab",
        "HOME=/\nLD_PRELOAD=/no/such.so\nTMPDIR=/mine\n@reboot nobody echo $LD_PRELOAD $TMPDIR\n",
    )
    system.crond.run("start")
    variables, error = sorted(system.output())
    assert "'/no/such.so'" in error
    assert variables == "/no/such.so /mine"


@pytest.mark.parametrize("dialect", ["debian", "cronie"])
def test_a_home_that_the_user_may_not_enter(system: System, dialect: str) -> None:
    """Debian's cron runs the job in cron's own directory; cronie does not run it."""
    system.crond.environment["PYCROND_DIALECT"] = dialect
    (system.root / "locked").mkdir(mode=0o700)
    system.write("etc/crontab", f"HOME={system.root}/locked\n@reboot nobody pwd -P\n@reboot root true\n")
    system.crond.run("start")
    wait_until(lambda: all(run.ended_at for run in system.crond.runs()))
    ends = {run.key.partition("/")[0]: (run.state, run.reason) for run in system.crond.runs()}
    reason = f"start-failed: cannot enter directory {system.root}/locked: Permission denied"
    nobody = ("succeeded", "") if dialect == "debian" else ("failed", reason)
    assert ends == {"root": ("succeeded", ""), "nobody": nobody}
    if dialect == "debian":
        assert system.output() == [f"{system.root}/var/spool/cron"]


def test_a_shell_that_cannot_be_executed(system: System) -> None:
    system.write(
        "etc/crontab", "HOME=/\nSHELL=/no/such\n@reboot nobody true\nSHELL=/etc/passwd\n@reboot games true\n"
    )
    system.crond.run("start")
    wait_until(lambda: all(run.ended_at for run in system.crond.runs()))
    assert {run.key.partition("/")[0]: run.reason for run in system.crond.runs()} == {
        "nobody": "start-failed: cannot run /no/such: No such file or directory",
        "games": "start-failed: cannot run /etc/passwd: Permission denied",
    }


def test_the_exit_statuses_of_a_start_that_failed_are_also_those_of_commands(system: System) -> None:
    system.write("etc/crontab", "HOME=/\n@reboot nobody exit 126\n@reboot games /no/such\n")
    system.crond.run("start")
    wait_until(lambda: all(run.ended_at for run in system.crond.runs()))
    ends = {run.key.partition("/")[0]: (run.exit_status, run.reason) for run in system.crond.runs()}
    assert ends == {"nobody": (126, ""), "games": (127, "")}


def test_a_spawner_that_was_killed_is_started_again(system: System) -> None:
    system.write("etc/crontab", "HOME=/\n#: name=job\n0 0 1 1 * nobody echo $PYCROND_RUN\n")
    system.crond.run("start")
    system.crond.run("run", "job")
    assert system.output() == ["1"]
    spawner = spawner_of(system)
    os.kill(spawner, signal.SIGKILL)
    wait_until(lambda: not alive(spawner))
    system.crond.run("run", "job")
    wait_until(lambda: len(system.crond.runs()) == 2 and all(run.ended_at for run in system.crond.runs()))
    assert [run.state for run in system.crond.runs()] == ["succeeded"] * 2


def test_a_spawner_that_stands_still_executes_nothing_later(system: System, shared: Path) -> None:
    """The daemon retries the start: the first request must not be carried out as well."""
    tally = f"HOME=/\n#: name=job\n0 0 1 1 * nobody echo $PYCROND_RUN >>{shared}/tally\n"
    system.write("etc/crontab", tally)
    system.crond.run("start")
    wait_until(lambda: spawner_of(system))
    spawner = spawner_of(system)
    os.kill(spawner, signal.SIGSTOP)
    system.crond.run("run", "job")
    wait_until(lambda: system.crond.runs()[0].ended_at)
    assert system.crond.runs()[0].state == "succeeded"
    assert not Path(f"/proc/{spawner}").exists(), "it was killed"
    assert (shared / "tally").read_text() == "1\n"


def test_many_starts_that_fail_have_their_reasons(system: System) -> None:
    system.write("etc/crontab", "HOME=/\nSHELL=/no/such\n" + "@reboot nobody true\n" * 150)
    system.crond.run("start")
    wait_until(lambda: all(run.ended_at for run in system.crond.runs()))
    reasons = {run.reason for run in system.crond.runs()}
    assert reasons == {"start-failed: cannot run /no/such: No such file or directory"}


def test_an_unknown_user_is_an_error_and_the_other_lines_run(system: System) -> None:
    system.write("etc/crontab", "#: name=bad\n@reboot no-such-user true\n#: name=good\n@reboot root true\n")
    done = system.crond.run("start")
    assert f"{system.root}/etc/crontab:2: error: not run, there is no user 'no-such-user'" in done.stderr
    assert [job["name"] for job in system.crond.json("list")["jobs"]] == ["good"]


def test_files_that_the_rules_refuse_are_reported_and_not_run(system: System) -> None:
    system.write("etc/cron.d/with.dot", "@reboot root true\n")
    system.write("etc/cron.d/writable", "@reboot root true\n").chmod(0o666)
    system.write("etc/cron.d/good", "@reboot root true\n")
    done = system.crond.run("start")
    assert "1 job from" in done.stdout
    assert "with.dot: warning: not read: cron does not read files with such a name" in done.stderr
    assert "writable: error: not read: its mode 0666 is not allowed (writable by root alone)" in done.stderr


@pytest.mark.parametrize(
    ("release", "path"),
    [
        ("ID=debian\n", "/usr/bin:/bin"),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"\n', "/usr/bin:/bin"),
        ("ID=fedora\n", "/usr/bin:/bin:/usr/sbin:/sbin"),
    ],
)
def test_the_dialect_is_the_systems(system: System, release: str, path: str) -> None:
    system.write("etc/os-release", release)
    system.write("etc/crontab", "HOME=/\n@reboot root echo $PATH\n")
    system.crond.run("start")
    assert system.output() == [path]


def test_reboot_jobs_run_once_per_boot(system: System) -> None:
    system.write("etc/crontab", "HOME=/\n@reboot root echo booted\n")
    system.crond.run("start")
    assert system.output() == ["booted"]
    system.crond.run("restart")
    system.crond.run("stop")
    system.crond.run("start")
    assert len(system.crond.runs()) == 1


def test_changes_count_from_the_next_minute_on(system: System) -> None:
    crond = system.crond
    crond.at("2031-03-01 11:59:30")
    system.write("etc/crontab", "HOME=/\n#: name=stays\n* * * * * root true\n")
    system.write("etc/cron.d/goes", "#: name=goes\n* * * * * root true\n")
    crond.run("start")
    system.write(
        "etc/crontab", "HOME=/\n#: name=stays\n* * * * * root true\n#: name=comes\n* * * * * root true\n"
    )
    system.write("var/spool/cron/crontabs/nobody", "HOME=/\n#: name=theirs\n* * * * * true\n")
    (system.root / "etc/cron.d/goes").unlink()
    crond.at("2031-03-01 12:00:01")
    wait_until(lambda: len(crond.runs()) == 3 and all(run.ended_at for run in crond.runs()))
    assert sorted(run.name or "" for run in crond.runs()) == ["comes", "stays", "theirs"]


def test_watched_directories(crond: Crond) -> None:
    crond.at("2031-03-01 11:59:30")
    crond.write("jobs", "#: name=old\n* * * * * true\n")
    crond.run("start", "--watch")
    crond.write("jobs", "#: name=new\n* * * * * true\n61 * * * * broken\n")
    crond.at("2031-03-01 12:00:01")
    wait_until(lambda: crond.runs() and crond.runs()[0].ended_at)
    assert [run.name for run in crond.runs()] == ["old"], (
        "a bad edit does not stop the jobs of the last good version"
    )
    crond.write("jobs", "#: name=new\n* * * * * true\n")
    crond.at("2031-03-01 12:01:01")
    wait_until(lambda: len(crond.runs()) == 2 and crond.runs()[0].ended_at)
    assert crond.runs()[0].name == "new"


def test_without_watch_changes_are_not_read(crond: Crond) -> None:
    crond.at("2031-03-01 11:59:30")
    crond.write("jobs", "#: name=old\n* * * * * true\n")
    crond.run("start")
    crond.write("jobs", "#: name=new\n* * * * * true\n")
    crond.at("2031-03-01 12:00:01")
    wait_until(lambda: crond.runs() and crond.runs()[0].ended_at)
    assert [run.name for run in crond.runs()] == ["old"]


def test_limits_are_set_as_root_and_commands_run_as_the_user(system: System) -> None:
    system.write(
        "etc/crontab",
        "HOME=/\n#: name=job nice=-3 timeout=30s on-failure='echo $(id -un) $PYCROND_EXIT_STATUS; exit 1'\n"
        "@reboot nobody nice; id -un; exit 4\n",
    )
    system.crond.run("start")
    assert system.output() == ["-3", "nobody"]

    def results() -> list[str]:
        with contextlib.closing(sqlite3.connect(system.crond.state / "ledger")) as ledger:
            return [result for (result,) in ledger.execute("SELECT result FROM alarms")]

    wait_until(lambda: results() == ["exit status 1: nobody 4"])


def test_only_root_may_use_a_lock_of_all_users(system: System) -> None:
    system.write("etc/crontab", "HOME=/\n#: name=a lock=global:db\n@reboot root sleep 0.5\n")
    system.write("var/spool/cron/crontabs/nobody", "HOME=/\n#: name=b lock=global:db\n@reboot true\n")
    done = system.crond.run("start")
    assert "lock=global:db is for crontabs that belong to root" in done.stderr
    wait_until(lambda: sorted(run.state for run in system.crond.runs()) == ["succeeded"] * 2)
    a, b = sorted(system.crond.runs(), key=lambda run: run.name or "")
    assert (b.ended_at or 0) < (a.ended_at or 0), "b did not wait for a"


def test_jobs_at_boot_that_another_cron_has_run_do_not_run_again(system: System) -> None:
    (system.root / "run").mkdir()
    (system.root / "run/crond.reboot").touch()
    system.write("etc/crontab", "#: name=boot\n@reboot root true\n#: name=now\n* * * * * root true\n")
    system.crond.write("own", "#: name=own\nHOME=/\n@reboot true\n")
    system.crond.run("start", "--crontabs", str(system.crond.crontabs))
    wait_until(lambda: "own" in {run.name for run in system.crond.runs()})
    assert "boot" not in {run.name for run in system.crond.runs()}


def test_the_jobs_are_shown_before_the_first_start(system: System) -> None:
    system.write("etc/crontab", "#: name=nightly\n30 2 * * * root true\n")
    for command in ("list", "next", "calendar"):
        assert "nightly" in system.crond.run(command).stdout
    assert not system.crond.state.exists()
