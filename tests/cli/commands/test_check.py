"""`pycrond check` as a person runs it."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SCRIPT, pycrond


def check(directory: Path, *arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    return pycrond(directory, "check", *arguments, status=status)


def document(directory: Path, *arguments: str, status: int = 0) -> dict[str, Any]:
    printed = json.loads(check(directory, *arguments, "--json", status=status).stdout)
    assert list(printed) == ["files"]
    (only,) = printed["files"]
    return dict(only)


def test_every_error_with_its_line_and_a_caret(tmp_path: Path) -> None:
    (tmp_path / "jobs").write_text("61 * * * * x\n* 24 * * * x\n\t* * 0 * * x\n")
    assert check(tmp_path, "jobs", status=1).stdout.splitlines() == [
        "jobs:1:1: error: bad minute '61' (0-59) [bad-minute]",
        "    61 * * * * x",
        "    ^",
        "jobs:2:3: error: bad hour '24' (0-23) [bad-hour]",
        "    * 24 * * * x",
        "      ^",
        "jobs:3:6: error: bad day-of-month '0' (1-31) [bad-day-of-month]",
        "     * * 0 * * x",
        "         ^",
    ]


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        (["check", "-"], "-:1:1: error: bad minute '61' (0-59) [bad-minute]"),
        (["next", "--file", "-"], "0 0 1 1 *"),
    ],
)
def test_standard_input_is_a_file(tmp_path: Path, words: list[str], printed: str) -> None:
    """The input of `crontab -l | pycrond check -`."""
    text = "61 * * * * x\n0 0 1 1 * y\n"
    done = subprocess.run(
        [SCRIPT, *words], input=text, capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert printed in done.stdout
    assert done.returncode == 1


def test_it_only_reads(tmp_path: Path) -> None:
    (tmp_path / "jobs").write_text("* * * * * true\n")
    check(tmp_path, "jobs")
    assert [path.name for path in tmp_path.iterdir()] == ["jobs"]


def test_warnings_alone_are_no_failure(tmp_path: Path) -> None:
    (tmp_path / "jobs").write_text("*/7 * * * * true\n")
    assert "warning: uneven" in check(tmp_path, "jobs").stdout
    assert check(tmp_path, "jobs", "--ignore", "uneven-step").stdout == "ok: 1 job in 1 file\n"


def test_good_files_are_counted(tmp_path: Path) -> None:
    (tmp_path / "jobs").write_text("*/5 * * * * true\n" * 2)
    (tmp_path / "more").write_text("5 * * * * false\n")
    done = check(tmp_path, "jobs", "more")
    assert (done.stdout, done.stderr) == ("ok: 3 jobs in 2 files\n", "")


@pytest.mark.parametrize(("place", "options"), [("cron.d/jobs", []), ("jobs", ["--system-format"])])
def test_the_user_column(tmp_path: Path, place: str, options: list[str]) -> None:
    file = tmp_path / place
    file.parent.mkdir(exist_ok=True)
    file.write_text("#: name=mine\nA=b\n0 5 * * * root true %in\n")
    crontab = document(tmp_path, place, *options, "--verbose")
    assert crontab["file"] == place
    assert crontab["entries"] == 1
    assert crontab["parsed"] == [
        {
            "line": 3,
            "schedule": "0 5 * * *",
            "zone": None,
            "user": "root",
            "command": "true ",
            "stdin": "in\n",
            "environment": {"A": "b"},
            "options": {"name": "mine"},
        }
    ]
    assert [problem["code"] for problem in crontab["problems"]] == ["percent"]


def test_the_daemons_own_files(tmp_path: Path) -> None:
    (tmp_path / "crontabs").mkdir()
    (tmp_path / "crontabs/jobs").write_text("61 * * * * x\n")
    (tmp_path / "crontabs/jobs~").write_text("62 * * * * x\n")
    printed = check(tmp_path, "--crontabs", "crontabs", status=1).stdout
    assert "jobs:1:1: error: bad minute '61'" in printed
    assert "jobs~: warning: not read" in printed


def test_the_systems_files_before_they_are_taken_over(tmp_path: Path) -> None:
    (tmp_path / "etc/cron.d").mkdir(parents=True)
    (tmp_path / "etc/cron.d/good").write_text("61 * * * * root true\n")
    (tmp_path / "etc/cron.d/not.read").write_text("62 * * * * root true\n")
    (tmp_path / "etc/os-release").write_text("ID=debian\n")
    printed = check(tmp_path, "--system", "--root", str(tmp_path), status=1).stdout
    assert ("good:1:1: error: bad minute '61'" in printed) is (os.geteuid() == 0), "it must belong to root"
    assert "not.read: warning: not read: cron does not read files with such a name" in printed


def test_a_file_that_the_daemon_would_refuse_is_read_all_the_same(tmp_path: Path) -> None:
    file = tmp_path / "jobs"
    file.write_text("0 5 * * * true\n")
    file.chmod(0o666)
    crontab = document(tmp_path, "jobs")
    assert crontab["entries"] == 1
    (problem,) = crontab["problems"]
    assert problem == {
        "line": 0,
        "column": 0,
        "severity": "warning",
        "code": "refused",
        "message": "the daemon would not read it: everyone may write it (mode 0666)",
    }


@pytest.mark.parametrize("kind", ["missing", "directory", "fifo", "empty", "binary", "huge line"])
def test_files_of_every_kind(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "jobs"
    match kind:
        case "directory":
            file.mkdir()
        case "fifo":
            os.mkfifo(file)
        case "empty":
            file.write_text("")
        case "binary":
            file.write_bytes(bytes(range(256)) * 64)
        case "huge line":
            file.write_text("* * * * * " + "x" * 2_000_000 + "\n")
    done = check(tmp_path, "jobs", status=0 if kind == "empty" else 1)
    assert len(done.stdout) < 200_000
    assert "Traceback" not in done.stderr
