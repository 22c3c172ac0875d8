"""Messages to systemd-journald in its own format, with fields by which journalctl finds them."""

import os
from pathlib import Path

import pytest

from tests.conftest import Crond, wait_until
from tests.support.journald import Journald

pytestmark = [
    pytest.mark.daemon,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a systemd-journald of its own"),
]


@pytest.fixture
def logged(crond: Crond, journald: Journald) -> Journald:
    """Return a journal with a failed and a succeeded run."""
    crond.environment["PYCROND_SYSLOG"] = f"journal:{journald.socket}"
    crond.write(
        "jobs",
        "#: name=backup log=split\n0 0 1 1 * echo one; echo two >&2; exit 3\n#: name=fine\n0 0 1 1 * true\n",
    )
    crond.run("start")
    crond.run("run", "backup", "--wait", status=None)
    crond.run("run", "fine", "--wait")
    wait_until(lambda: len(journald.entries("PYCROND_JOB=fine")) == 3)
    return journald


def test_journalctl_finds_the_messages_of_a_job(crond: Crond, logged: Journald) -> None:
    entries = logged.entries("PYCROND_JOB=backup")
    command = "echo one; echo two >&2; exit 3"
    assert [entry["MESSAGE"] for entry in entries][:4] == [
        f"(root) CMD ({command})",
        "(root) CMDOUT (one)",
        "(root) CMDOUT (two)",
        f"(root) CMDEND ({command})",
    ]
    assert [entry.get("PYCROND_STREAM") for entry in entries] == [None, "stdout", "stderr", None, None]
    assert entries[4]["MESSAGE"].startswith("(root) EXIT (backup status=3 ")
    assert {entry["SYSLOG_IDENTIFIER"] for entry in entries} == {"PYCROND"}
    assert {entry["PYCROND_USER"] for entry in entries} == {"root"}
    assert len({entry["PYCROND_RUN"] for entry in entries}) == 1
    assert {entry["SYSLOG_PID"] for entry in entries} != {str(crond.pid)}
    assert [entry.get("PYCROND_EXIT_STATUS") for entry in entries] == [None] * 4 + ["3"]


def test_a_failure_is_a_warning(logged: Journald) -> None:
    (failure,) = logged.entries("-p", "warning", "SYSLOG_IDENTIFIER=PYCROND")
    assert failure["PYCROND_JOB"] == "backup"
    (fine,) = logged.entries("PYCROND_EXIT_STATUS=0")
    assert (fine["PYCROND_JOB"], fine["PRIORITY"]) == ("fine", "6")


def test_no_text_of_a_job_makes_a_field(crond: Crond, journald: Journald, tmp_path: Path) -> None:
    """A line that a job prints is one field, whatever it contains."""
    crond.environment["PYCROND_SYSLOG"] = f"journal:{journald.socket}"
    (tmp_path / "text").write_bytes(b"x\rPRIORITY=0\x00PYCROND_JOB=other\x1b\xff\nPYCROND_JOB=third\n")
    crond.write("jobs", f"#: name=evil\n0 0 1 1 * cat {tmp_path}/text\n")
    crond.run("start")
    crond.run("run", "evil", "--wait")
    wait_until(lambda: len(journald.entries("PYCROND_JOB=evil")) == 5)
    assert not journald.entries("PYCROND_JOB=other") + journald.entries("PYCROND_JOB=third")
    assert {entry["PRIORITY"] for entry in journald.entries("PYCROND_JOB=evil")} == {"6"}


def test_nothing_is_lost_while_journald_is_away(crond: Crond, journald: Journald) -> None:
    crond.environment["PYCROND_SYSLOG"] = f"journal:{journald.socket}"
    crond.write("jobs", "#: name=work\n0 0 1 1 * seq 500\n")
    crond.run("start")
    journald.end()
    crond.run("run", "work", "--wait")
    journald.start()
    wait_until(lambda: len(journald.entries("PYCROND_JOB=work")) >= 503)
    lines = [entry["MESSAGE"] for entry in journald.entries("PYCROND_JOB=work")]
    assert [line for line in lines if "CMDOUT" in line] == [
        f"(root) CMDOUT ({number})" for number in range(1, 501)
    ]
