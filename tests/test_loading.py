"""From folders of crontabs to jobs: what runs when a file is broken, refused, gone or back."""

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from pycrond.account import Account
from pycrond.job import Job
from pycrond.lastgood import LastGood
from pycrond.ledger import Ledger
from pycrond.loading import Loaded, job_row, load
from tests.test_agenda import at

ALICE = Account("alice", os.geteuid(), os.getegid(), "/home/alice")
GOOD = "* * * * * one\n* * * * * two\n"
BAD = "61 * * * * one\n* * * * * changed\n"


class Folder:
    """A folder of crontabs, and a state directory, loaded again and again."""

    def __init__(self, path: Path) -> None:
        self.path = path / "crontabs"
        self.path.mkdir()
        self.state = path / "last-good"
        self.loaded = Loaded((), (), 0, ())

    def write(self, name: str, text: str | bytes, mode: int = 0o644) -> Path:
        file = self.path / name
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        file.chmod(mode)
        return file

    def load(self, *others: Path, running: Iterable[Job] | None = None) -> list[str]:
        """The commands of the jobs there are now."""
        folders = [str(self.path), *map(str, others)]
        before = self.loaded.jobs if running is None else running
        self.loaded = load(folders, LastGood(str(self.state)), ALICE, "seed", running=before)
        return [job.entry.command for job in self.loaded.jobs]

    def restart(self) -> list[str]:
        """A new daemon: it knows only what is on disk."""
        return self.load(running=())

    def errors(self) -> list[str]:
        texts = [str(one) for one in self.loaded.problems if one.severity == "error"]
        return [text.replace(str(self.path), "DIR") for text in texts]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_all_files_in_order_of_names(folder: Folder) -> None:
    folder.write("b", "1 1 * * * later\n")
    folder.write("a", GOOD)
    assert folder.load() == ["one", "two", "later"]
    assert (folder.loaded.files, folder.loaded.kept, folder.loaded.problems) == (2, (), ())
    assert {job.user for job in folder.loaded.jobs} == {"alice"}
    assert len({job.key for job in folder.loaded.jobs}) == 3


def test_nothing_is_nothing(folder: Folder) -> None:
    assert folder.load() == []
    folder.write("empty", "")
    assert folder.load() == []
    assert (folder.loaded.files, folder.errors()) == (1, [])


def test_the_good_lines_of_a_new_file_run(folder: Folder) -> None:
    folder.write("a", BAD)
    assert folder.load() == ["changed"]
    assert len(folder.errors()) == 1
    assert folder.errors()[0].startswith("DIR/a:1:1: error: ")
    folder.write("a", "61 * * * * one\n* * * * * again\n")
    assert folder.load() == ["again"], "it never had a version without errors"
    assert folder.loaded.kept == ()


def test_an_edit_that_is_broken_changes_nothing(folder: Folder) -> None:
    file = folder.write("a", GOOD)
    before = folder.load()
    keys = [job.key for job in folder.loaded.jobs]
    folder.write("a", BAD)
    assert folder.load() == before
    assert [job.key for job in folder.loaded.jobs] == keys
    assert folder.loaded.kept == (str(file),)
    assert [error.partition(": error")[0] for error in folder.errors()] == ["DIR/a:1:1", "DIR/a"]


def test_the_last_good_version_survives_restarts_and_further_edits(folder: Folder) -> None:
    folder.write("a", GOOD)
    folder.load()
    for _ in range(2):
        folder.write("a", BAD)
        assert folder.restart() == ["one", "two"]
        folder.write("a", "nonsense\n")
        assert folder.load() == ["one", "two"]
    folder.write("a", "* * * * * mended\n")
    assert folder.restart() == ["mended"]
    assert (folder.loaded.kept, folder.errors()) == ((), [])
    folder.write("a", BAD)
    assert folder.load() == ["mended"]


def test_warnings_are_no_errors(folder: Folder) -> None:
    folder.write("a", GOOD)
    folder.load()
    folder.write("a", "#: nonsense=1\n* * * * * warned")
    assert folder.load() == ["warned"]
    assert len(folder.loaded.problems) == 2
    assert folder.errors() == []


def test_emptying_a_file_is_an_order(folder: Folder) -> None:
    folder.write("a", GOOD)
    folder.load()
    folder.write("a", "")
    assert folder.load() == []
    folder.write("a", BAD)
    assert folder.load() == [], "the empty version was the last good one"


def test_a_file_that_was_removed_starts_afresh(folder: Folder) -> None:
    folder.write("a", GOOD).unlink()
    folder.write("b", GOOD)
    folder.load()
    folder.write("a", GOOD)
    folder.load()
    (folder.path / "a").unlink()
    assert folder.load() == ["one", "two"]
    folder.write("a", BAD)
    assert folder.load() == ["changed", "one", "two"]


def test_a_file_that_was_renamed_is_the_same_jobs(folder: Folder) -> None:
    folder.write("a", GOOD)
    folder.load()
    keys = {job.key for job in folder.loaded.jobs}
    (folder.path / "a").rename(folder.path / "z")
    folder.load()
    assert {job.key for job in folder.loaded.jobs} == keys


def test_a_refused_file_loses_its_jobs_at_once(folder: Folder) -> None:
    folder.write("a", GOOD)
    folder.write("b", "* * * * * other\n")
    folder.load()
    (folder.path / "a").chmod(0o666)
    assert folder.load() == ["other"]
    assert folder.errors() == ["DIR/a: error: not read: everyone may write it (mode 0666)"]
    (folder.path / "a").chmod(0o644)
    assert folder.load() == ["one", "two", "other"]


@pytest.mark.parametrize("kind", ["fifo", "folder", "dangling", "binary", "device"])
def test_what_is_no_crontab_stops_no_other(folder: Folder, kind: str) -> None:
    folder.write("b", GOOD)
    odd = folder.path / "a"
    match kind:
        case "fifo":
            os.mkfifo(odd, 0o644)
        case "folder":
            odd.mkdir(0o755)
        case "dangling":
            odd.symlink_to("nowhere")
        case "binary":
            folder.write("a", os.urandom(1 << 16).replace(b"\n", b"") + b"\0\n")
        case _:
            odd.symlink_to("/dev/zero")
    assert folder.load() == ["one", "two"]
    assert folder.errors()[0].startswith("DIR/a:")
    assert folder.restart() == ["one", "two"]


def test_a_folder_that_vanishes_goes_on_as_it_was(folder: Folder, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir(0o755)
    (other / "c").write_text("* * * * * other\n")
    folder.write("a", GOOD)
    assert folder.load(other) == ["one", "two", "other"]
    keys = [job.key for job in folder.loaded.jobs]
    folder.path.rename(tmp_path / "away")
    for _ in range(2):
        assert folder.load(other) == ["one", "two", "other"]
        assert [job.key for job in folder.loaded.jobs] == keys
        assert folder.errors() == [
            "DIR: error: cannot be read: No such file or directory; its 2 jobs go on as they were"
        ]
    (tmp_path / "away").rename(folder.path)
    folder.write("a", BAD)
    assert folder.load(other) == ["one", "two", "other"], "its last good texts were not forgotten either"
    assert folder.errors()


def test_a_folder_that_vanishes_however_it_was_spelled(folder: Folder) -> None:
    folder.write("a", GOOD)
    spelled = Path(f"{folder.path}/")
    text = str(spelled) + "/"
    first = load([text], LastGood(str(folder.state)), ALICE, "seed")
    assert len(first.jobs) == 2
    folder.path.rename(folder.path.parent / "away")
    again = load([text], LastGood(str(folder.state)), ALICE, "seed", running=first.jobs)
    assert len(again.jobs) == 2


def test_a_folder_that_is_refused_loses_its_jobs(folder: Folder) -> None:
    folder.write("a", GOOD)
    folder.load()
    folder.path.chmod(0o777)
    assert folder.load() == []
    assert folder.errors() == ["DIR: error: no crontab in it is read: everyone may write it (mode 0777)"]
    folder.path.chmod(0o755)
    assert folder.load() == ["one", "two"]


def test_a_folder_that_never_was(tmp_path: Path) -> None:
    nowhere = str(tmp_path / "nowhere")
    found = load([nowhere], LastGood(str(tmp_path / "state")), ALICE, "seed")
    assert found.jobs == ()
    assert [str(problem) for problem in found.problems] == [
        f"{nowhere}: error: cannot be read: No such file or directory"
    ]


def test_skipped_names_are_told(folder: Folder) -> None:
    folder.write("a~", GOOD)
    assert folder.load() == []
    assert [problem.code for problem in folder.loaded.problems] == ["skipped"]


def test_two_files_with_one_line_are_two_jobs(folder: Folder) -> None:
    for name in "ab":
        folder.write(name, "#: name=same\n* * * * * x\n")
    assert folder.load() == ["x", "x"]
    assert len({job.key for job in folder.loaded.jobs}) == 2


def test_a_seed_decides_what_is_drawn(folder: Folder) -> None:
    folder.write("a", "H H * * * x\n")
    seeds = {
        job.entry.schedule
        for seed in ("a", "b", "c", "a")
        for job in load([str(folder.path)], LastGood(str(folder.state)), ALICE, seed).jobs
    }
    assert len(seeds) == 3


def test_a_full_disk_stops_no_job(folder: Folder, tmpfs: Path) -> None:
    folder.state = tmpfs / "last-good"
    folder.write("a", GOOD)
    folder.load()
    (tmpfs / "filler").write_bytes(b"x" * (400 << 10))
    folder.write("a", f"* * * * * new\n#{'x' * (200 << 10)}\n")
    assert folder.load() == ["new"]
    assert folder.errors(), "what cannot be kept is told"


# Rows for the ledger.


def test_a_row(folder: Folder) -> None:
    folder.write("a", "#: name=nightly timeout=2h\nCRON_TZ=Asia/Tokyo\n15  2 * * * x\n@reboot y%in\n")
    folder.load()
    first, second = (job_row(job, "Europe/Berlin") for job in folder.loaded.jobs)
    assert (first.key, first.name, first.user, first.line) == ("alice/nightly", "nightly", "alice", 3)
    assert (first.schedule, first.zone, first.options) == (
        "15 2 * * *",
        "Asia/Tokyo",
        '{"name": "nightly", "timeout": 7200}',
    )
    assert first.canonical
    assert (second.schedule, second.canonical, second.zone, second.command) == (
        "@reboot",
        None,
        "Asia/Tokyo",
        "y",
    )
    folder.write("a", "@daily z\n")
    folder.load()
    assert job_row(folder.loaded.jobs[0], "Europe/Berlin").zone == "Europe/Berlin"


@pytest.mark.parametrize("text", [b"* * * * * echo \xff\n", b"61 * * * * \xff\n", b"* * * * * good\n"])
def test_whatever_the_bytes_the_ledger_takes_it(folder: Folder, tmp_path: Path, text: bytes) -> None:
    """Names and texts that are not UTF-8 are legal in files and crontabs, and no text for SQLite."""
    for name in (b"caf\xe9", b"caf\xe9~"):
        with open(os.path.join(os.fsencode(folder.path), name), "wb") as file:
            file.write(text)
        os.chmod(file.name, 0o644)
    folder.load()
    ledger = Ledger(str(tmp_path / "ledger"))
    rows = [job_row(job, "UTC") for job in folder.loaded.jobs]
    ledger.load(rows, folder.loaded.problems, at("2025-06-10T12:00Z"))
    ledger.close()
