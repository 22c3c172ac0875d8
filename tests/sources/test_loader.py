"""From folders of crontabs to jobs: what runs when a file is broken, refused, gone or back."""

import contextlib
import os
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pycrond.jobs.job import Account
from pycrond.ledger.codec import JobRows
from pycrond.ledger.rows import FileRows
from pycrond.ledger.writer import Ledger
from pycrond.settings import Settings
from pycrond.sources.loader import SETTLE_TIME, TIMESTAMP_TICK, Loader, LoadResult
from pycrond.text import storable
from tests.scheduler.test_agenda import at

ALICE = Account("alice", os.geteuid(), os.getegid(), "/home/alice")
GOOD = "* * * * * one\n* * * * * two\n"
BAD = "61 * * * * one\n* * * * * changed\n"


class Folder:
    """A folder of crontabs, and a state directory, loaded again and again."""

    def __init__(self, path: Path) -> None:
        self.path = path / "crontabs"
        self.path.mkdir()
        self.state = path / "state"
        self.others: tuple[Path, ...] = ()
        self.loaded = LoadResult()
        self.crontabs: Loader | None = None

    def write(self, name: str, text: str | bytes, mode: int = 0o644) -> Path:
        file = self.path / name
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        file.chmod(mode)
        return file

    def load(self) -> list[str]:
        """The commands of the jobs there are now."""
        self.crontabs = self.crontabs or self.daemon()
        self.loaded = self.crontabs.load()
        return [job.entry.command for job in self.loaded.jobs]

    def daemon(self, *, seed: str = "seed") -> Loader:
        """A new one: it knows only what is on disk."""
        self.state.mkdir(exist_ok=True)
        settings = Settings(
            crontabs=tuple(map(str, (self.path, *self.others))),
            state_dir=str(self.state),
            runtime_dir=str(self.state),
            pidfile=str(self.state / "pid"),
        )
        return Loader(settings, ALICE, seed=seed)

    def restart(self) -> list[str]:
        self.crontabs = self.daemon()
        return self.load()

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
    folder.others = (other,)
    assert folder.load() == ["one", "two", "other"]
    keys = [job.key for job in folder.loaded.jobs]
    folder.path.rename(tmp_path / "away")
    for _ in range(2):
        assert folder.load() == ["one", "two", "other"]
        assert [job.key for job in folder.loaded.jobs] == keys
        assert folder.errors() == [
            "DIR: error: cannot be read: No such file or directory; its 2 jobs go on as they were"
        ]
    (tmp_path / "away").rename(folder.path)
    folder.write("a", BAD)
    assert folder.load() == ["one", "two", "other"], "its last good texts were not forgotten either"
    assert folder.errors()


def test_a_folder_that_vanishes_however_it_was_spelled(folder: Folder) -> None:
    folder.write("a", GOOD)
    spelled = Settings(crontabs=(f"{folder.path}//",), state_dir="", runtime_dir="", pidfile="")
    crontabs = Loader(spelled, ALICE, read_only=True)
    assert len(crontabs.load().jobs) == 2
    folder.path.rename(folder.path.parent / "away")
    assert len(crontabs.load().jobs) == 2


def test_a_folder_that_is_refused_loses_its_jobs(folder: Folder) -> None:
    folder.write("a", GOOD)
    folder.load()
    folder.path.chmod(0o777)
    assert folder.load() == []
    assert folder.errors() == ["DIR: error: no crontab in it is read: everyone may write it (mode 0777)"]
    folder.path.chmod(0o755)
    assert folder.load() == ["one", "two"]


def test_a_folder_that_never_was(folder: Folder) -> None:
    folder.path.rmdir()
    assert folder.load() == []
    assert folder.errors() == ["DIR: error: cannot be read: No such file or directory"]


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
    seeds = {folder.daemon(seed=seed).load().jobs[0].entry.schedule for seed in ("a", "b", "c", "a")}
    assert len(seeds) == 3


def test_a_full_disk_stops_no_job(folder: Folder, tmpfs: Path) -> None:
    folder.state = tmpfs / "last-good"
    folder.write("a", GOOD)
    folder.load()
    (tmpfs / "filler").write_bytes(b"x" * (400 << 10))
    folder.write("a", f"* * * * * new\n#{'x' * (200 << 10)}\n")
    assert folder.load() == ["new"]
    assert folder.errors(), "what cannot be kept is told"


# Files that are being written, and files that are not read again.


def test_what_is_being_written_is_not_still(folder: Folder) -> None:
    file = folder.write("a", GOOD)
    folder.load()
    assert folder.crontabs
    assert folder.crontabs.seconds_until_stable(1.0) == 0, "nothing has changed"
    file.write_text("")
    assert folder.crontabs.seconds_until_stable(2.0) == pytest.approx(SETTLE_TIME)
    assert folder.crontabs.seconds_until_stable(2.0 + SETTLE_TIME / 2) == pytest.approx(SETTLE_TIME / 2)
    file.write_text("* * * * * half")
    assert folder.crontabs.seconds_until_stable(2.0 + SETTLE_TIME) == pytest.approx(SETTLE_TIME), (
        "it was written once more"
    )
    assert folder.crontabs.seconds_until_stable(2.0 + 2 * SETTLE_TIME) == pytest.approx(0)
    folder.write("new", GOOD)
    assert folder.crontabs.seconds_until_stable(3.0) == pytest.approx(SETTLE_TIME)
    assert folder.crontabs.seconds_until_stable(3.0 + SETTLE_TIME) == pytest.approx(0)
    folder.load()
    assert folder.crontabs.seconds_until_stable(4.0) == 0


def test_what_is_old_by_its_own_times_is_still(folder: Folder) -> None:
    folder.load()
    changed = folder.write("a", GOOD).stat().st_ctime
    crontabs = folder.crontabs
    assert crontabs
    for since, wait in ((SETTLE_TIME / 2, SETTLE_TIME), (-3600, SETTLE_TIME), (2 * SETTLE_TIME, 0)):
        at = datetime.fromtimestamp(changed + since, UTC)
        assert crontabs.seconds_until_stable(1.0, at) == pytest.approx(wait)
    assert folder.load() == ["one", "two"]
    assert folder.loaded.problems == ()


def test_a_start_in_the_instant_in_which_a_file_is_emptied(folder: Folder) -> None:
    file = folder.write("a", GOOD)
    folder.load()
    file.write_text("")
    editor = threading.Timer(SETTLE_TIME / 4, file.write_text, [BAD])
    editor.start()
    try:
        assert folder.restart() == ["one", "two"], "the empty text was no version of it"
    finally:
        editor.join()


def old(file: Path) -> None:
    """Its times lie back far enough to tell whether it is written again."""
    while 0 <= time.time() - file.stat().st_ctime < 2 * TIMESTAMP_TICK:
        time.sleep(TIMESTAMP_TICK / 5)


def test_what_has_not_changed_is_not_read_again(folder: Folder) -> None:
    old(folder.write("a", GOOD))
    folder.load()
    first = folder.loaded
    folder.write("b", "* * * * * other\n")
    assert folder.load() == ["one", "two", "other"]
    for before, now in zip(first.jobs, folder.loaded.jobs, strict=False):
        assert before is now


def test_a_file_that_was_read_just_when_it_was_written_is_read_again(folder: Folder) -> None:
    file = folder.write("a", "* * * * * one\n")
    folder.load()
    before = file.stat()
    for text in ("* * * * * two\n", "* * * * * six\n"):  # maybe in the same tick, and as long
        file.write_text(text)
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert folder.load() == [text.split()[-1]]


@pytest.mark.parametrize(
    "texts",
    [
        ("#: name=same\n* * * * * x\n", "#: name=same\n* * * * * y\n"),
        ("* * * * * x\n* * * * * x\n", "* * * * * x\n"),
        ("* * * * * x\n", "1 * * * * z\n* * * * * x\n* * * * * x\n"),
    ],
)
def test_keys_are_those_of_a_new_daemon_whatever_came_before(folder: Folder, texts: tuple[str, str]) -> None:
    first, second = (old_file(folder, name, text) for name, text in zip("ab", texts, strict=True))
    for change in (
        lambda: None,
        lambda: first.rename(first.with_name("z")),
        lambda: first.with_name("z").rename(first),
        first.unlink,
        lambda: second.write_text(texts[0]),
    ):
        change()
        folder.load()
        found = [(job.key, job.entry.command) for job in folder.loaded.jobs]
        stamps = [tab.stamp for tab in folder.loaded.sources]
        afresh = folder.daemon().load()
        assert [(job.key, job.entry.command) for job in afresh.jobs] == found
        assert [tab.stamp for tab in afresh.sources] == stamps
        assert len({key for key, _ in found}) == len(found)


def old_file(folder: Folder, name: str, text: str) -> Path:
    file = folder.write(name, text)
    old(file)
    return file


def test_a_text_that_could_not_be_kept_is_kept_when_there_is_room(folder: Folder, tmpfs: Path) -> None:
    folder.state = tmpfs / "state"
    old(folder.write("a", GOOD))
    folder.daemon()
    filler = tmpfs / "filler"
    with contextlib.suppress(OSError):
        filler.write_bytes(b"x" * (600 << 10))
    folder.load()
    assert folder.errors()
    filler.unlink()
    folder.load()
    assert folder.errors() == []
    folder.write("a", BAD)
    assert folder.load() == ["one", "two"]


# Rows for the ledger.


def test_a_row(folder: Folder) -> None:
    folder.write("a", "#: name=nightly timeout=2h\nCRON_TZ=Asia/Tokyo\n15  2 * * * x\n@reboot y%in\n")
    folder.load()
    first, second = JobRows(folder.loaded.jobs, "Europe/Berlin")
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
    (row,) = JobRows(folder.loaded.jobs, "Europe/Berlin")
    assert row.zone == "Europe/Berlin"


@pytest.mark.parametrize("text", [b"* * * * * echo \xff\n", b"61 * * * * \xff\n", b"* * * * * good\n"])
def test_whatever_the_bytes_the_ledger_takes_it(folder: Folder, tmp_path: Path, text: bytes) -> None:
    """Names and texts that are not UTF-8 are legal in files and crontabs, and no text for SQLite."""
    for name in (b"caf\xe9", b"caf\xe9~"):
        with open(os.path.join(os.fsencode(folder.path), name), "wb") as file:
            file.write(text)
        os.chmod(file.name, 0o644)
    folder.load()
    ledger = Ledger(str(tmp_path / "ledger"))
    files = [
        FileRows(storable(tab.file), tab.stamp, JobRows(tab.jobs, "UTC")) for tab in folder.loaded.sources
    ]
    ledger.load(files, folder.loaded.problems, at("2025-06-10T12:00Z"))
    ledger.close()
