"""The commands start, stop, restart, reload and status: each returns when it is done, or prints why not."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import SCRIPT, Crond, alive, wait_until

pytestmark = pytest.mark.daemon

NEVER = "0 0 1 1 * true\n"


def nothing_runs(crond: Crond) -> bool:
    return not crond.programs("keeper") and not crond.programs("daemon")


# start


def test_start_prints_pid_number_of_jobs_and_next_fire_time(crond: Crond) -> None:
    crond.at("2031-03-01 11:59:30")
    crond.write("one", "#: name=first\n5 12 * * * true\n0 13 * * * true\n")
    crond.write("two", "@reboot true\n")
    stdout = crond.run("start").stdout
    assert stdout == (
        f"pycrond started, pid {crond.pid}: 3 jobs from 2 files; next: first at 12:05, in 5 m\n"
        f"crontabs: {crond.crontabs} (PYCROND_CRONTABS)\n"
    )


def test_start_returns_when_the_daemon_is_ready(crond: Crond) -> None:
    crond.write("jobs", "@reboot true\n")
    crond.run("start")
    # Without waiting: the daemon answers, its jobs are loaded, and the @reboot jobs have been started.
    assert crond.status()
    assert crond.programs("daemon") == [crond.pid]
    assert [job["schedule"] for job in crond.json("list")["jobs"]] == ["@reboot"]
    assert len(crond.history()) == 1


def test_start_reports_a_crontabs_errors_and_its_good_lines_run(crond: Crond) -> None:
    crond.at("2031-03-01 11:59:30")
    bad = crond.write("bad", "#: name=good\n* * * * * true\n61 * * * * true\n* * * x * true\n* * * *\n")
    good = crond.write("good", "#: name=other\n* * * * * true\n")
    done = crond.run("start")
    assert [line.split(" ")[0] for line in done.stderr.splitlines()] == [
        f"{bad}:3:1:", f"{bad}:4:7:", f"{bad}:5:1:",
    ], done.stderr  # fmt: skip
    assert all(": error: " in line for line in done.stderr.splitlines())
    assert str(good) not in done.stderr
    crond.at("2031-03-01 12:00:01")
    wait_until(lambda: [run.state for run in crond.runs()] == ["succeeded"] * 2)
    assert {run.name for run in crond.runs()} == {"good", "other"}


def test_start_reports_files_that_it_does_not_read(crond: Crond) -> None:
    # Each is refused with its reason, and reading does not hang; the good file beside them is loaded.
    crond.write("fine", NEVER)
    crond.write("open", NEVER).chmod(0o666)
    crond.write("kept.bak", NEVER)
    os.mkfifo(crond.crontabs / "fifo")
    (crond.crontabs / "directory").mkdir()
    (crond.crontabs / "link").symlink_to("nowhere")
    done = crond.run("start")
    assert "1 job from 1 file" in done.stdout
    warnings = {Path(line.split(": ")[0]).name: line for line in done.stderr.splitlines()}
    assert set(warnings) == {"open", "kept.bak", "fifo", "directory", "link"}
    assert "everyone may write it" in warnings["open"]
    assert "not a regular file" in warnings["fifo"]
    assert "not a regular file" in warnings["directory"]


def test_a_second_start_names_the_first(crond: Crond) -> None:
    crond.run("start")
    done = crond.run("start", status=1)
    running = f"pycrond: already running, pid {crond.pid}, since "
    assert done.stderr.startswith(running)
    assert done.stderr.endswith(f", with the crontabs {crond.crontabs}\n")
    assert not done.stdout


def test_a_running_daemon_is_named_before_all_that_is_wrong(crond: Crond) -> None:
    crond.run("start")
    settings = crond.directory / "bad.toml"
    settings.write_text("no-such-setting = 1\n")
    (crond.directory / "open").mkdir()
    (crond.directory / "open").chmod(0o777)
    for arguments in (
        ["--crontabs", f"{crond.directory}/none"],
        ["--config", str(settings)],
        ["--config", f"{crond.directory}/none.toml"],
        ["--runtime-dir", f"{crond.directory}/open"],
        ["--dialect", "vixie"],
        ["--syslog", "smoke:signals"],
        ["--foreground"],
    ):
        done = crond.run("start", *arguments, status=1)
        assert done.stderr.startswith(f"pycrond: already running, pid {crond.pid}, since "), arguments
        assert not done.stdout


def test_a_start_in_another_directory_asks(crond: Crond) -> None:
    """All commands resolve the crontabs in the same way, and `start` does not silently load others."""
    del crond.environment["PYCROND_CRONTABS"]
    elsewhere = crond.directory / "other"
    (elsewhere / "crontabs").mkdir(parents=True)
    (elsewhere / "crontabs" / "theirs").write_text(NEVER + NEVER.replace("true", "false"))
    crond.write("jobs", NEVER)

    def crontabs(directory: Path) -> list[str]:
        document = json.loads(crond.run("config", "--json", cwd=directory).stdout)
        return next(row["value"] for row in document["settings"] if row["setting"] == "crontabs")

    here = f"{crond.crontabs} (./crontabs of the working directory)"
    assert f"crontabs: {here}\n" in crond.run("start", cwd=crond.directory).stdout
    assert crontabs(elsewhere) == [str(crond.crontabs)], "those of the daemon that runs"
    assert "ok: 1 job in 1 file\n" in crond.run("check", cwd=elsewhere).stdout
    assert "nothing would change\n" in crond.run("diff", cwd=elsewhere).stdout
    assert "1 job from 1 file" in crond.run("restart", cwd=elsewhere).stdout
    crond.run("stop", cwd=elsewhere)
    assert crontabs(elsewhere) == [f"{elsewhere}/crontabs"], "those of the next start"
    assert "ok: 2 jobs in 1 file\n" in crond.run("check", cwd=elsewhere).stdout
    refused = crond.run("start", cwd=elsewhere, status=1)
    assert (
        f"was last used with the crontabs {crond.crontabs}, and now with {elsewhere}/crontabs"
        in refused.stderr
    )
    assert nothing_runs(crond)
    stdout = crond.run("start", "--yes", cwd=elsewhere).stdout
    assert "2 jobs from 1 file" in stdout
    assert stdout.endswith(f"; until now {crond.crontabs}\n")
    crond.run("stop")
    crond.run("start", "--crontabs", "crontabs", cwd=crond.directory)


def test_settings_of_a_start_by_a_keeper_that_was_left(crond: Crond) -> None:
    crond.write("jobs", "@reboot sleep 60\n")
    crond.run("start")
    wait_until(lambda: crond.runs()[0].state == "running")
    crond.run("stop")
    more = crond.directory / "more"
    more.mkdir()
    crond.run("start", "--crontabs", str(more))
    del crond.environment["PYCROND_CRONTABS"]
    assert f"crontabs {more}\n" in crond.run("start", status=1).stderr
    crond.run("stop", "--kill-jobs")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")
def test_a_file_system_that_is_read_only(crond: Crond) -> None:
    crond.state.mkdir()
    script = f"mount -t tmpfs -o ro,mode=0700 none {crond.state} && exec {SCRIPT} start"
    command = ["unshare", "--mount", "sh", "-c", script]
    done = subprocess.run(
        command, env=crond.environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == f"pycrond: cannot write to {crond.state}: the file system is read-only\n"


def test_start_prints_ten_problems_and_counts_the_others(crond: Crond) -> None:
    crond.write("a.bak", NEVER)
    crond.write("bad", "61 * * * * true\n" * 14)
    for command in ("start", "reload"):
        lines = crond.run(command, status=int(command == "reload")).stderr.splitlines()
        assert [line.split(": ")[0] for line in lines[:-1]] == [
            f"{crond.crontabs}/bad:{n}:1" for n in range(1, 11)
        ]
        assert lines[-1] == "and 4 errors and 1 warning more: pycrond check shows them all"
        assert crond.run("list").stdout.splitlines()[-1] == lines[-1]


def test_a_first_start_makes_directories_that_only_its_user_can_read(crond: Crond) -> None:
    crond.environment["PYCROND_STATE_DIR"] = str(crond.directory / "deep" / "state")
    crond.state = crond.directory / "deep" / "state"
    crond.run("start", umask=0)
    assert crond.state.stat().st_mode & 0o777 == 0o700
    assert crond.runtime.stat().st_mode & 0o777 == 0o755
    assert (crond.state / "ledger").stat().st_mode & 0o077 == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root minds who could have put ./crontabs there")
def test_start_explains_why_crontabs_in_the_working_directory_are_not_used(crond: Crond) -> None:
    del crond.environment["PYCROND_CRONTABS"]
    crond.directory.chmod(0o777)
    done = crond.run("start", status=1, cwd=crond.directory)
    assert f"; {crond.directory} is not used: others may write to it (mode 0777)" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--crontabs", "{}/none"], "no such crontab directory: {}/none"),
        (["--crontabs", "{}/file"], "no such crontab directory: {}/file"),
        (["--crontabs", "{}/crontabs", "--crontabs", "{}/none"], "no such crontab directory: {}/none"),
        (["--state-dir", "{}/file/state"], "cannot make {}/file/state: Not a directory"),
        (["--state-dir", "/proc/state"], "cannot make /proc/state: No such file or directory"),
        (["--state-dir", "{}/open"], "{}/open must belong to the daemon's user and be writable by nobody else"),
        (["--state-dir", "{}/file"], "cannot make {}/file: File exists"),
        (["--runtime-dir", "{}/file/run"], "cannot make {}/file/run: Not a directory"),
        (["--pidfile", "{}/none/pid"], "not started: cannot write pidfile {}/none/pid: No such file or directory"),
        (["--syslog", "smoke:signals"], "setting 'syslog' must be a path"),
        (["--config", "{}/none.toml"], "{}/none.toml: not read: No such file or directory"),
    ],
)  # fmt: skip
def test_a_start_that_fails_prints_the_reason(crond: Crond, arguments: list[str], reason: str) -> None:
    (crond.directory / "file").write_text("")
    (crond.directory / "open").mkdir(mode=0o777)
    (crond.directory / "open").chmod(0o777)
    done = crond.run("start", *(argument.format(crond.directory) for argument in arguments), status=1)
    assert done.stderr.startswith(f"pycrond: {reason.format(crond.directory)}")
    assert len(done.stderr.splitlines()) == 1
    assert not done.stdout
    wait_until(lambda: nothing_runs(crond))


def test_a_start_that_fails_leaves_no_pidfile(crond: Crond) -> None:
    crond.run("start", "--syslog", "smoke:signals", status=1)
    wait_until(lambda: nothing_runs(crond))
    assert not crond.pidfile.exists()


def test_a_state_directory_of_another_user_is_refused(crond: Crond) -> None:
    state = "/"
    if os.geteuid() == 0:
        state = str(crond.directory / "theirs")
        os.mkdir(state)
        os.chown(state, 65534, 65534)
    done = crond.run("start", "--state-dir", state, status=1)
    assert (
        done.stderr == f"pycrond: {state} must belong to the daemon's user and be writable by nobody else\n"
    )


CONFINED = """
import ctypes, os, sys
for capability in (1, 2):  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, by which root may write anywhere
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP, refused to others
os.execv(sys.argv[1], sys.argv[1:])
"""
"""A program that executes another one without the capabilities by which root ignores permissions."""


@pytest.mark.parametrize(
    ("setting", "path", "reason"),
    [
        ("STATE_DIR", "closed", "cannot write to {}/closed: Permission denied"),
        ("STATE_DIR", "closed/state", "cannot make {}/closed/state: Permission denied"),
        ("RUNTIME_DIR", "closed", "cannot write to {}/closed: Permission denied"),
        ("PIDFILE", "closed/pid", "not started: cannot write pidfile {}/closed/pid: Permission denied"),
        ("PIDFILE", "read-only", "not started: cannot write pidfile {}/read-only: Permission denied"),
    ],
)
def test_a_path_without_write_permission_is_named(crond: Crond, setting: str, path: str, reason: str) -> None:
    (crond.directory / "closed").mkdir(mode=0o500)
    (crond.directory / "read-only").touch(mode=0o400)
    environment = {**crond.environment, f"PYCROND_{setting}": str(crond.directory / path)}
    command = [sys.executable, "-c", CONFINED, SCRIPT, "start"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (1, f"pycrond: {reason.format(crond.directory)}\n")
    wait_until(lambda: nothing_runs(crond))


@pytest.fixture
def nobody() -> Iterator[Crond]:
    """A pycrond of a user without privileges."""
    with tempfile.TemporaryDirectory(prefix="pycrond.") as directory:
        crond = Crond(Path(directory))
        if os.geteuid() == 0:
            os.chown(directory, 65534, 65534)
            # The one capability is for the Python that runs these tests, which may lie in root's home.
            ids, may_read = "--reuid=65534 --regid=65534 --clear-groups", "+dac_read_search"
            crond.prefix = ["setpriv", *ids.split(), f"--inh-caps={may_read}", f"--ambient-caps={may_read}"]
        yield crond
        crond.end()


def test_any_user_can_have_a_daemon(nobody: Crond) -> None:
    nobody.write("jobs", "HOME=/\n@reboot id -u\n")  # nobody has no home
    nobody.run("start", cwd="/")
    wait_until(lambda: nobody.runs()[0].state == "succeeded")
    assert nobody.run("logs").stdout.endswith(f" {65534 if os.geteuid() == 0 else os.geteuid()}\n")
    nobody.run("stop")


def test_start_works_from_a_removed_directory(crond: Crond) -> None:
    command = f"mkdir {crond.directory}/gone; cd {crond.directory}/gone; rmdir {crond.directory}/gone; exec $0 start"
    subprocess.run(
        ["sh", "-c", command, SCRIPT], env=crond.environment, check=True, capture_output=True, timeout=60
    )
    assert crond.status()


def test_paths_are_relative_to_the_working_directory(crond: Crond) -> None:
    for name in ("CRONTABS", "STATE_DIR", "RUNTIME_DIR", "PIDFILE"):
        del crond.environment[f"PYCROND_{name}"]
    paths = ["--crontabs", "crontabs", "--state-dir", "state", "--runtime-dir", "run", "--pidfile", "pid"]
    crond.write("jobs", NEVER)
    assert "1 job" in crond.run("start", *paths, cwd=crond.directory).stdout
    assert crond.programs("daemon") == [crond.pid]
    # The state directory alone locates the daemon: its settings are recorded there.
    crond.run("stop", "--state-dir", "state", cwd=crond.directory)
    assert nothing_runs(crond)


# status


def test_status_is_3_before_0_during_and_3_after(crond: Crond) -> None:
    assert crond.run("status", status=3).stderr == "pycrond: pycrond is not running\n"
    crond.run("start")
    assert crond.run("status").stdout.startswith("pycrond ")
    assert f"pid {crond.pid}" in crond.run("status").stdout
    crond.run("stop")
    crond.run("status", status=3)


def test_status_as_json(crond: Crond) -> None:
    assert json.loads(crond.run("status", "--json", status=3).stdout) == {"running": False, "running_jobs": 0}
    crond.write("jobs", NEVER + "61 * * * * true\n")
    crond.run("start")
    answer = crond.json("status")
    assert answer["running"] is True
    assert (answer["pid"], answer["jobs"], answer["files"], answer["errors"]) == (crond.pid, 1, 1, 1)


# stop


def test_stop_prints_the_pid_and_returns_when_keeper_and_daemon_have_ended(crond: Crond) -> None:
    crond.run("start")
    keeper, daemon = crond.keeper, crond.pid
    assert crond.run("stop").stdout == f"pycrond stopped, pid {daemon}\n"
    assert not alive(keeper)
    assert not alive(daemon)


def test_stop_when_stopped_is_3(crond: Crond) -> None:
    assert crond.run("stop", status=3).stderr == "pycrond: pycrond is not running\n"
    crond.run("start")
    crond.run("stop")
    crond.run("stop", status=3)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("to", ["keeper", "daemon"])
def test_term_and_int_stop_it(crond: Crond, number: int, to: str) -> None:
    crond.run("start")
    os.kill(crond.keeper if to == "keeper" else crond.pid, number)
    wait_until(lambda: nothing_runs(crond))
    assert not crond.pidfile.exists()
    crond.run("status", status=3)


def test_a_running_job_continues_over_a_stop_and_is_taken_over(crond: Crond) -> None:
    crond.write("jobs", f"HOME={crond.directory}\n@reboot sleep 1000; exit 3\n")
    crond.run("start")
    wait_until(lambda: crond.runs()[0].pid)
    job = crond.runs()[0].pid
    assert job
    crond.run("stop")
    assert alive(job)
    crond.run("start")
    (mine,) = crond.json("list")["jobs"]
    assert len(mine["running"]) == 1
    assert crond.runs()[0].pid == job, "and not run a second time"
    assert alive(job)


def test_two_stops_at_once_both_wait(crond: Crond) -> None:
    crond.run("start")
    stops = [
        subprocess.Popen(
            [SCRIPT, "stop"],
            env=crond.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    messages = [stop.communicate(timeout=60)[1] for stop in stops]
    assert nothing_runs(crond)
    for stop, message in zip(stops, messages, strict=True):
        assert (stop.returncode, message) in {(0, ""), (3, "pycrond: pycrond is not running\n")}


# restart


def test_restart_is_in_place_with_the_same_settings(crond: Crond) -> None:
    crond.run("start", "--syslog-facility", "local3")
    keeper, daemon = crond.keeper, crond.pid
    assert crond.run("restart").stdout.startswith(f"pycrond restarted in place, pid {daemon}:")
    assert (crond.keeper, crond.pid) == (keeper, daemon)
    assert b"--syslog-facility=local3" in Path(f"/proc/{crond.pid}/cmdline").read_bytes().split(b"\0")


def test_restart_applies_new_settings(crond: Crond) -> None:
    crond.run("start", "--syslog-facility", "local3")
    crond.run("restart", "--syslog-facility", "local4")
    assert b"--syslog-facility=local4" in Path(f"/proc/{crond.pid}/cmdline").read_bytes().split(b"\0")


def test_restart_when_stopped_starts(crond: Crond) -> None:
    crond.run("restart")
    assert crond.programs("daemon") == [crond.pid]


def test_a_restart_does_not_repeat_reboot_jobs(crond: Crond) -> None:
    crond.write("jobs", "@reboot true\n")
    crond.run("start")
    crond.run("restart")
    assert len(crond.history()) == 1


# reload, and what works without a daemon


def test_reload_prints_what_is_loaded(crond: Crond) -> None:
    crond.run("start")
    crond.write("jobs", NEVER)
    stdout = crond.run("reload").stdout
    assert re.match(r"pycrond reloaded: 1 job from 1 file; next: true~\w{4} at ", stdout)
    assert [job["command"] for job in crond.json("list")["jobs"]] == ["true"]


def test_reload_when_stopped_is_3(crond: Crond) -> None:
    crond.run("reload", status=3)
    crond.run("start")
    crond.run("stop")
    assert "is not running" in crond.run("reload", status=3).stderr


@pytest.mark.parametrize("command", ["list", "history", "logs"])
def test_commands_that_only_read_work_without_a_daemon(crond: Crond, command: str) -> None:
    crond.write("jobs", "#: name=hello\n@reboot echo hi there\n")
    crond.run("start")
    wait_until(lambda: crond.runs()[0].state == "succeeded")
    crond.run("stop")
    assert "hello" in crond.run(command).stdout
