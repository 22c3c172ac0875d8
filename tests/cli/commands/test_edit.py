"""The commands diff, reload --dry-run and edit beside a running daemon."""

import os
from pathlib import Path

import pytest

from pycrond.sources.files import MAX_BYTES
from tests.conftest import Crond

pytestmark = pytest.mark.daemon
GOOD = "#: name=mine\n0 5 * * * true\n"


def editor(crond: Crond, text: str, status: int = 0) -> None:
    """Set an $EDITOR that writes this text."""
    script = crond.directory / "editor"
    (crond.directory / "text").write_text(text)
    script.write_text(f'#!/bin/sh\ncat {crond.directory}/text > "$1"\nexit {status}\n')
    script.chmod(0o755)
    crond.environment["VISUAL"] = str(script)


def drafts(crond: Crond) -> list[Path]:
    hidden = [path for path in crond.crontabs.iterdir() if path.name.startswith(".")]
    return [*hidden, *(crond.state / "drafts").glob("*")]


def test_changes_that_a_reload_would_make(crond: Crond) -> None:
    crond.write("jobs", GOOD)
    crond.run("start")
    assert crond.run("diff").stdout == "nothing would change\n"
    crond.environment["TZ"] = "Asia/Tokyo"  # the daemon's zone counts, not this shell's
    assert crond.run("diff").stdout == "nothing would change\n"
    crond.write("jobs", GOOD.replace("0 5", "0 6") + "1 1 * * * new\n")
    for command in (["diff"], ["reload", "--dry-run"]):
        lines = crond.run(*command).stdout.splitlines()
        assert lines[0].startswith("~ mine  0 6 * * * (was 0 5 * * *); 7 fires won in 7 days: ")
        assert "; 7 fires lost in 7 days: " in lines[0]
        assert lines[1].startswith("+ ")
        assert lines[2] == "1 added, 0 removed, 1 changed; 2 jobs in all"
    assert [job["schedule"] for job in crond.json("list")["jobs"]] == ["0 5 * * *"], "nothing has changed yet"
    document = crond.json("diff")
    assert [(change["kind"], change["before"], change["schedule"]) for change in document["changes"]] == [
        ("changed", "0 5 * * *", "0 6 * * *"),
        ("added", None, "1 1 * * *"),
    ]


def test_a_broken_edit_in_diff(crond: Crond) -> None:
    crond.write("jobs", GOOD)
    crond.run("start")
    crond.write("jobs", "#: name=mine\n0 6 * * * true\n61 * * * * true\n")
    done = crond.run("diff", status=1)
    assert done.stdout == "nothing would change\n"
    assert "jobs:3:1: error: bad minute '61' (0-59)" in done.stderr
    assert "its last good version continues to run" in done.stderr
    crond.write("jobs", GOOD)
    assert crond.run("reload").returncode == 0, "diff has left the last good version alone"


def test_another_directory(crond: Crond) -> None:
    crond.write("jobs", GOOD)
    crond.run("start")
    directory = crond.directory / "other"
    directory.mkdir()
    assert "0 added, 1 removed, 0 changed; 0 jobs in all" in crond.run("diff", str(directory)).stdout


def test_an_edit_is_put_in_place_and_loaded(crond: Crond) -> None:
    file = crond.write("jobs", GOOD)
    file.chmod(0o640)
    crond.run("start")
    editor(crond, GOOD + "1 1 * * * new\n")
    stdout = crond.run("edit", str(file)).stdout
    assert "1 added, 0 removed, 0 changed" in stdout
    assert stdout.endswith("jobs is in place, 2 jobs are loaded\n")
    assert len(crond.json("list")["jobs"]) == 2
    assert file.stat().st_mode & 0o7777 == 0o640
    assert drafts(crond) == []


def test_an_edit_with_errors_is_never_put_in_place(crond: Crond) -> None:
    file = crond.write("jobs", GOOD)
    crond.run("start")
    editor(crond, "61 * * * * oops\n")
    done = crond.run("edit", str(file), status=1)
    assert "jobs:1:1: error: bad minute '61' (0-59)" in done.stderr
    (draft,) = drafts(crond)
    assert f"the draft is {draft}" in done.stderr
    assert (file.read_text(), draft.read_text()) == (GOOD, "61 * * * * oops\n")


def test_an_edit_that_the_daemon_would_not_read_is_never_put_in_place(crond: Crond) -> None:
    file = crond.write("jobs", GOOD)
    editor(crond, "#" * (MAX_BYTES + 1))
    stderr = crond.run("edit", str(file), status=1).stderr
    assert f"the crontab has {MAX_BYTES + 1} bytes, at most {MAX_BYTES}" in stderr
    assert file.read_text() == GOOD


def test_an_edit_without_changes_removes_the_draft(crond: Crond) -> None:
    file = crond.write("jobs", GOOD)
    editor(crond, GOOD)
    assert crond.run("edit", str(file)).stdout == "nothing was changed\n"
    assert drafts(crond) == []


def test_without_a_daemon(crond: Crond) -> None:
    editor(crond, GOOD)
    assert crond.run("edit", str(crond.crontabs / "new")).stdout.endswith("is in place; no daemon runs\n")
    assert (crond.crontabs / "new").read_text() == GOOD


def test_a_link_stays_a_link(crond: Crond) -> None:
    target = crond.directory / "target"
    target.write_text(GOOD)
    link = crond.crontabs / "jobs"
    link.symlink_to(target)
    editor(crond, GOOD + "# more\n")
    crond.run("edit", str(link))
    assert link.is_symlink()
    assert target.read_text().endswith("# more\n")


def test_a_concurrent_edit_is_not_lost(crond: Crond) -> None:
    file = crond.write("jobs", GOOD)
    editor(crond, GOOD + "# mine\n")
    script = Path(crond.environment["VISUAL"])
    script.write_text(script.read_text().replace("exit 0", f"echo '# theirs' >> {file}"))
    assert "was changed by another program meanwhile" in crond.run("edit", str(file), status=1).stderr
    assert file.read_text() == GOOD + "# theirs\n"
    assert len(drafts(crond)) == 1


@pytest.mark.parametrize(
    ("name", "message"), [("no-such-editor", "cannot run the editor"), ("false", "ended with 1")]
)
def test_an_editor_that_fails(crond: Crond, name: str, message: str) -> None:
    file = crond.write("jobs", GOOD)
    crond.environment |= {"VISUAL": name, "PATH": os.environ["PATH"]}
    assert message in crond.run("edit", str(file), status=1).stderr
    assert file.read_text() == GOOD
    assert drafts(crond) == [], "a draft without an edit is of no use"


def test_an_editor_that_is_missing(crond: Crond) -> None:
    file = crond.write("jobs", GOOD)
    for name in ("VISUAL", "EDITOR"):
        crond.environment.pop(name, None)
    crond.environment |= {"PATH": "/nowhere"}
    done = crond.run("edit", str(file), status=1)
    reason = "cannot run the editor vi, as neither VISUAL nor EDITOR is set: there is no such program\n"
    assert done.stderr == f"pycrond: {reason}"


@pytest.mark.parametrize("before", [GOOD, None])
def test_an_empty_edit_is_not_put_in_place(crond: Crond, before: str | None) -> None:
    if before:
        crond.write("jobs", before)
    editor(crond, "")
    done = crond.run("edit", "jobs", status=1 if before else 0)
    assert ("jobs is unchanged: the edited text is empty" in done.stderr) is bool(before)
    assert (crond.crontabs / "jobs").exists() is bool(before)
    assert drafts(crond) == []


def test_a_name_is_looked_for_in_the_crontab_directories(crond: Crond) -> None:
    file = crond.write("jobs", GOOD)
    (crond.directory / "jobs").write_text("another file of the working directory\n")
    (crond.directory / "notes").write_text(GOOD)
    more = crond.directory / "more"
    more.mkdir()
    editor(crond, GOOD + "1 1 * * * new\n")
    assert crond.run("edit", "jobs", cwd=crond.directory).stdout.endswith(
        f"{file} is in place; no daemon runs\n"
    )
    crond.run("edit", "fresh", cwd=crond.directory)
    assert (crond.crontabs / "fresh").exists()
    done = crond.run("edit", "notes", cwd=crond.directory)
    assert done.stderr == f"notes: warning: not read by pycrond, whose crontabs are in {crond.crontabs}\n"
    assert done.stdout == "notes is in place, but not read\n"
    done = crond.run("edit", f"{crond.crontabs}/jobs.bak")
    assert "jobs.bak: warning: not read, its name ends in '.bak'" in done.stderr
    (more / "jobs").write_text(GOOD)
    crond.environment["PYCROND_CRONTABS"] += f":{more}"
    for name, reason in (
        ("jobs", "several crontabs are called 'jobs'"),
        ("none", "there is no crontab 'none'"),
    ):
        message = f"{reason}: give the path, as in {crond.crontabs}/{name}, {more}/{name}"
        assert message in crond.run("edit", name, status=1).stderr


def test_old_drafts_are_removed(crond: Crond) -> None:
    file = crond.write("jobs", GOOD)
    editor(crond, "61 * * * * oops\n")
    for _ in range(2):
        crond.run("edit", str(file), status=1)
    old, young = drafts(crond)
    os.utime(old, (0, 0))
    editor(crond, GOOD)
    crond.run("edit", str(file))
    assert drafts(crond) == [young]
