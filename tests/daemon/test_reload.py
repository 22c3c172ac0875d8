"""SIGHUP and `pycrond reload`: edits take effect, crontabs with errors keep their last good version."""

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import SCRIPT, Crond, alive, wait_until
from tests.support.rsyslog import Rsyslogd

pytestmark = pytest.mark.daemon

BEFORE, NOON, LATER = "2031-03-01 11:59:30", "2031-03-01 12:00:01", "2031-03-01 12:01:01"
GOOD = "#: name=kept\n* * * * * echo old\n"
BROKEN = "#: name=kept\n* * * * * echo new\n61 * * * * echo never\n"


@pytest.fixture
def crond(crond: Crond) -> Iterator[Crond]:
    """A pycrond whose clock is half a minute before noon."""
    crond.at(BEFORE)
    yield crond


def names_of_runs(crond: Crond) -> list[str]:
    """Return the sorted names of the jobs that have run, when no run is running."""
    wait_until(lambda: all(run.state not in {"claimed", "running"} for run in crond.runs()))
    return sorted(run.name or "" for run in crond.runs())


def job(crond: Crond, name: str) -> dict[str, Any]:
    (matching_job,) = [job for job in crond.json("list")["jobs"] if job["name"] == name]
    return dict(matching_job)


def send_hup(crond: Crond) -> None:
    """Send HUP to the pid in the pidfile; return when the daemon has read the crontabs."""
    before = crond.json("list")["daemon"]["loaded_at"]
    subprocess.run(["sh", "-c", f"kill -HUP $(cat {crond.pidfile})"], check=True)
    wait_until(lambda: crond.json("list")["daemon"]["loaded_at"] != before)


@pytest.mark.parametrize("how", ["signal", "signal to the keeper", "reload"])
def test_added_changed_and_removed_jobs_take_effect_for_the_next_minute(crond: Crond, how: str) -> None:
    crond.write("a", "#: name=stays\n* * * * * true\n#: name=changes\n* * * * * echo old\n")
    crond.write("b", "#: name=goes\n* * * * * true\n")
    crond.run("start")
    crond.write("a", "#: name=changes\n* * * * * echo new\n\n#: name=stays\n*  *  *  *  *    true\n")
    crond.write("b", "#: name=comes\n* * * * * true\n")
    if how == "reload":
        assert crond.run("reload").stdout.startswith("pycrond reloaded: 3 jobs from 2 files;")
    else:
        os.kill(crond.keeper if "keeper" in how else crond.pid, signal.SIGHUP)
        wait_until(
            lambda: {job["name"] for job in crond.json("list")["jobs"]} == {"stays", "changes", "comes"}
        )
    crond.at(NOON)
    assert names_of_runs(crond) == ["changes", "comes", "stays"]
    assert crond.run("logs", "changes").stdout.endswith(" new\n")


def test_an_unchanged_job_keeps_its_identity_when_its_line_moves(crond: Crond) -> None:
    # The named job moves to another line, and the line of the other job gets more spaces.
    crond.write("jobs", "#: name=mine\n* * * * * true\n0 0 * * * echo nameless\n")
    crond.run("start")
    before = {job["command"]: job["key"] for job in crond.json("list")["jobs"]}
    crond.write("jobs", "# a new line\nA=b\n  0   0 * * *\techo nameless\n\n#: name=mine\n* * * * * true\n")
    crond.run("reload")
    assert {job["command"]: job["key"] for job in crond.json("list")["jobs"]} == before


def test_a_reload_leaves_running_jobs_alone(crond: Crond) -> None:
    lines = "".join(f"#: name={name}\n@reboot sleep 1000\n" for name in ("stays", "changes", "goes"))
    crond.write("jobs", f"HOME={crond.directory}\n{lines}")
    crond.run("start")
    before = {run.name: (run.id, run.pid) for run in crond.runs()}
    lines = "".join(
        f"#: name={name}\n@reboot sleep {seconds}\n" for name, seconds in (("stays", 1000), ("changes", 2))
    )
    crond.write("jobs", f"HOME={crond.directory}\n{lines}")
    crond.run("reload")
    assert {run.name: (run.id, run.pid) for run in crond.runs()} == before
    assert all(run.pid and alive(run.pid) and run.state == "running" for run in crond.runs())
    assert job(crond, "stays")["running"] == [before["stays"][0]]
    assert job(crond, "changes")["running"] == [before["changes"][0]]
    for run in crond.runs():
        os.killpg(run.pid or 0, signal.SIGTERM)
    wait_until(lambda: all(run.signal == signal.SIGTERM for run in crond.runs()))


def test_the_output_of_a_running_job_that_is_removed_is_stored_to_its_end(crond: Crond) -> None:
    crond.write("jobs", f"HOME={crond.directory}\n#: name=gone\n@reboot read line <gate; echo $line\n")
    os.mkfifo(crond.directory / "gate")
    crond.run("start")
    (crond.crontabs / "jobs").unlink()
    crond.run("reload")
    (crond.directory / "gate").write_text("the end\n")
    wait_until(lambda: crond.runs()[0].state == "succeeded")
    assert "the end" in crond.run("logs", "gone").stdout


def test_a_reload_does_not_run_reboot_jobs(crond: Crond) -> None:
    crond.run("start")
    crond.write("jobs", "@reboot true\n")
    crond.run("reload")
    assert crond.history() == []


# Crontabs with errors


def test_a_crontab_with_errors_keeps_its_last_good_version(crond: Crond) -> None:
    crond.write("jobs", GOOD)
    crond.run("start")
    before = job(crond, "kept")["key"]
    crond.write("jobs", BROKEN)
    crond.run("reload", status=1)
    crond.at(NOON)
    assert names_of_runs(crond) == ["kept"]
    assert crond.run("logs").stdout.endswith(" old\n"), "the good lines of the broken version do not run"
    assert job(crond, "kept")["key"] == before


@pytest.mark.parametrize("how", ["stop and start", "restart", "kill"])
def test_a_crontab_with_errors_keeps_its_last_good_version_over_a_restart(crond: Crond, how: str) -> None:
    crond.write("jobs", GOOD)
    crond.run("start")
    crond.write("jobs", BROKEN)
    if how == "kill":
        os.kill(first := crond.pid, signal.SIGKILL)
        wait_until(lambda: (crond.status() or {"pid": first})["pid"] != first)
    else:
        errors = [crond.run(command).stderr for command in how.split(" and ")]
        assert "its last good version continues to run" in errors[-1]
    assert job(crond, "kept")["command"] == "echo old"
    crond.at(NOON)
    assert names_of_runs(crond) == ["kept"]
    assert crond.run("logs").stdout.endswith(" old\n")


def test_reload_list_and_status_report_the_errors_of_a_crontab(crond: Crond) -> None:
    file = crond.write("jobs", GOOD)
    crond.run("start")
    crond.write("jobs", BROKEN)
    done = crond.run("reload", status=1)
    messages = [
        f"{file}:3:1: error: bad minute '61' (0-59)",
        f"{file}: warning: has errors: its last good version continues to run until it is repaired",
    ]
    assert done.stderr.splitlines() == messages
    assert done.stdout.startswith("pycrond reloaded: 1 job from 1 file;")
    assert crond.run("list").stdout.splitlines()[-2:] == messages
    problems = crond.json("list")["problems"]
    assert [(problem["file"], problem["line"], problem["code"]) for problem in problems] == [
        (str(file), 3, problems[0]["code"]),
        (str(file), 0, "kept"),
    ]
    assert crond.json("status")["errors"] == 1
    crond.run("reload", status=1)


@pytest.mark.parametrize("how", ["open", "broken", "broken later"])
def test_a_file_with_errors_counts_the_same_everywhere(crond: Crond, how: str) -> None:
    """This includes a file that is refused, and a file whose last good version runs."""
    file = crond.write("jobs", GOOD if how == "broken later" else BROKEN if how == "broken" else GOOD)
    if how == "open":
        file.chmod(0o666)
    crond.run("start")
    if how == "broken later":
        crond.write("jobs", BROKEN)
    reload = crond.run("reload", status=1)
    listed = crond.json("list")["problems"]
    (checked,) = json.loads(crond.run("check", "--json", status=1).stdout)["files"]
    preview = json.loads(crond.run("diff", "--json", status=1).stdout)["problems"]
    errors = [
        [problem["severity"] for problem in problems].count("error")
        for problems in (listed, checked["problems"], preview)
    ]
    assert [*errors, reload.stderr.count(": error: "), crond.json("status")["errors"]] == [1] * 5
    assert "1 error, the first: " in crond.run("doctor", status=None).stdout
    assert crond.run("check", status=1).stderr.startswith("1 error, ")


def test_an_edit_that_is_not_loaded_is_shown(crond: Crond) -> None:
    crond.write("jobs", GOOD)
    crond.run("start")
    assert "not loaded" not in crond.run("list").stdout + crond.run("check").stdout
    crond.write("jobs", GOOD + "# changed\n")
    crond.write("new", GOOD.replace("kept", "other"))
    for command in ("list", "status", "check"):
        lines = [re.sub(r"\d.* ago", "N s ago", line) for line in crond.run(command).stdout.splitlines()]
        assert [line for line in lines if "not loaded" in line] == [
            "jobs: changed N s ago, not loaded: pycrond reload",
            "new: added N s ago, not loaded: pycrond reload",
        ], command
        changes = json.loads(crond.run(command, "--json").stdout)["not_loaded"]
        assert [(change["file"], change["change"]) for change in changes] == [
            (str(crond.crontabs / "jobs"), "changed"),
            (str(crond.crontabs / "new"), "added"),
        ]
    assert "new: added" not in crond.run("check", str(crond.crontabs / "jobs")).stdout
    crond.run("reload")
    assert "not loaded" not in crond.run("status").stdout
    crond.write("jobs", GOOD)
    crond.run("restart", "--watch")
    crond.write("jobs", GOOD + "# changed again\n")
    assert "not loaded" not in crond.run("list").stdout, "it is loaded within a minute"


def test_the_errors_of_a_crontab_are_sent_to_syslog(crond: Crond, rsyslogd: Rsyslogd) -> None:
    crond.environment["PYCROND_SYSLOG"] = rsyslogd.path
    file = crond.write("jobs", GOOD)
    crond.run("start")
    crond.write("jobs", BROKEN)
    send_hup(crond)
    head = f"pycrond[{crond.pid}]: (CRON)"
    for message in (f"{file}:3:1: error: bad minute '61' (0-59)", f"{file}: warning: has errors"):
        wait_until(lambda message=message: any(head in line and message in line for line in rsyslogd.lines()))  # type: ignore[misc]
    errors = [line for line in rsyslogd.lines() if "error:" in line]
    assert all(line.startswith("cron.err ") for line in errors)
    assert any(f"{head} RELOAD (1 job from 1 file)" in line for line in rsyslogd.lines())


def test_a_repaired_crontab_takes_effect(crond: Crond) -> None:
    crond.write("jobs", GOOD)
    crond.run("start")
    crond.write("jobs", BROKEN)
    crond.run("reload", status=1)
    crond.write("jobs", BROKEN.replace("61", "59"))
    done = crond.run("reload")
    assert not done.stderr
    assert "2 jobs" in done.stdout
    assert crond.json("list")["problems"] == []
    crond.at(NOON)
    assert names_of_runs(crond) == ["kept"]
    assert crond.run("logs").stdout.endswith(" new\n")


def test_the_good_lines_run_of_a_crontab_that_never_had_a_good_version(crond: Crond) -> None:
    crond.run("start")
    crond.write("jobs", BROKEN)
    done = crond.run("reload", status=None)
    assert ":3:1: error: bad minute" in done.stderr
    crond.at(NOON)
    assert names_of_runs(crond) == ["kept"]
    assert crond.run("logs").stdout.endswith(" new\n")


def test_a_crontab_with_errors_does_not_delay_the_other_crontabs(crond: Crond) -> None:
    crond.write("jobs", GOOD)
    crond.run("start")
    crond.write("jobs", BROKEN)
    crond.write("other", "#: name=other\n* * * * * true\n")
    crond.run("reload", status=1)
    crond.at(NOON)
    assert names_of_runs(crond) == ["kept", "other"]


@pytest.mark.parametrize(
    "text", [b"\x00" * 100, b"\xff\xfe\n" * 10, b"* * * * * " + b"x" * 200_000, b"<<<<<<< HEAD\n"]
)
def test_a_file_that_is_no_crontab_keeps_the_last_good_version(crond: Crond, text: bytes) -> None:
    crond.write("jobs", GOOD)
    crond.run("start")
    crond.write("jobs", text)
    crond.run("reload", status=1)
    assert job(crond, "kept")["command"] == "echo old"


# Removed files and directories


def test_a_removed_file_loses_its_jobs(crond: Crond) -> None:
    crond.write("jobs", GOOD)
    crond.write("other", "#: name=other\n* * * * * true\n")
    crond.run("start")
    (crond.crontabs / "jobs").unlink()
    crond.run("reload")
    crond.at(NOON)
    assert names_of_runs(crond) == ["other"]


def test_a_removed_file_loses_its_last_good_version(crond: Crond) -> None:
    crond.write("jobs", GOOD)
    crond.run("start")
    (crond.crontabs / "jobs").unlink()
    crond.run("reload")
    crond.write("jobs", BROKEN)
    crond.run("reload", status=None)
    assert job(crond, "kept")["command"] == "echo new"


def test_a_file_that_is_refused_loses_its_jobs(crond: Crond) -> None:
    # Everyone could write it and run commands as the daemon's user: it has no last good version.
    file = crond.write("jobs", GOOD)
    crond.run("start")
    file.chmod(0o666)
    assert "everyone may write it" in crond.run("reload", status=None).stderr
    assert crond.json("list")["jobs"] == []


def test_a_directory_that_vanishes_keeps_its_jobs(crond: Crond) -> None:
    crond.write("jobs", GOOD)
    crond.run("start")
    key = job(crond, "kept")["key"]
    crond.crontabs.rename(crond.directory / "elsewhere")
    done = crond.run("reload", status=None)
    assert f"{crond.crontabs}: error: cannot be read" in done.stderr
    assert job(crond, "kept")["key"] == key
    crond.at(NOON)
    assert names_of_runs(crond) == ["kept"]
    (crond.directory / "elsewhere").rename(crond.crontabs)
    assert not crond.run("reload").stderr
    crond.at(LATER)
    assert names_of_runs(crond) == ["kept", "kept"]


def test_an_empty_directory_has_no_jobs(crond: Crond) -> None:
    crond.write("jobs", GOOD)
    crond.run("start")
    shutil.rmtree(crond.crontabs)
    crond.crontabs.mkdir()
    crond.run("reload")
    assert crond.json("list")["jobs"] == []


# Many reloads


def test_twenty_hups_in_a_row_start_each_job_once(crond: Crond) -> None:
    crond.write("jobs", f"HOME={crond.directory}\n#: name=long\n@reboot sleep 1000\n{GOOD}")
    crond.run("start")
    pid, before = crond.pid, crond.json("list")["jobs"]
    for _ in range(20):
        os.kill(pid, signal.SIGHUP)
    crond.run("reload")
    assert crond.pid == pid
    assert crond.json("list")["jobs"] == before
    crond.at(NOON)
    for _ in range(20):
        os.kill(pid, signal.SIGHUP)
    crond.run("reload")
    wait_until(lambda: [run.state for run in crond.runs()] == ["succeeded", "running"])
    assert [run.name for run in crond.runs()] == ["kept", "long"], "each job ran once"


def test_twenty_reloads_at_the_same_time_all_get_an_answer(crond: Crond) -> None:
    crond.run("start")
    crond.write("jobs", GOOD)
    reloads = [
        subprocess.Popen([SCRIPT, "reload"], env=crond.environment, stdout=subprocess.PIPE, text=True)
        for _ in range(20)
    ]
    outputs = [reload.communicate(timeout=60)[0] for reload in reloads]
    assert all(text.startswith("pycrond reloaded: 1 job from 1 file;") for text in outputs)
    assert not any(reload.returncode for reload in reloads)
