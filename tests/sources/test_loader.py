"""Loading jobs: the jobs that run when a crontab has errors, is refused, vanishes or returns."""

import contextlib
import itertools
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import pytest

from pycrond.host import machine
from pycrond.host.safe_paths import TRUST, UnsafePathError, check_directory
from pycrond.jobs.job import Account
from pycrond.ledger.codec import JobRows
from pycrond.ledger.rows import FileRows
from pycrond.ledger.writer import Ledger
from pycrond.settings import Settings
from pycrond.sources.load_result import LoadResult
from pycrond.sources.loader import Loader
from pycrond.sources.reading import EMPTY_TIME, SETTLE_TIME, TIMESTAMP_TICK, UNFINISHED_TIME
from pycrond.text import storable
from tests.scheduler.test_agenda import at

ALICE = Account("alice", os.geteuid(), os.getegid(), "/home/alice")
GOOD = "* * * * * one\n* * * * * two\n"
BAD = "61 * * * * one\n* * * * * changed\n"


class CrontabDirectory:
    """A directory of crontabs and a state directory, to be loaded repeatedly."""

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
        """Load, and return the commands of all jobs."""
        self.crontabs = self.crontabs or self.daemon()
        self.loaded = self.crontabs.load()
        return [job.entry.command for job in self.loaded.jobs]

    def daemon(self) -> Loader:
        """Return a new loader, which knows only the files on disk."""
        self.state.mkdir(exist_ok=True)
        settings = Settings(
            crontabs=tuple(map(str, (self.path, *self.others))),
            state_dir=str(self.state),
            runtime_dir=str(self.state),
            pidfile=str(self.state / "pid"),
        )
        return Loader(settings, ALICE)

    def restart(self) -> list[str]:
        self.crontabs = self.daemon()
        return self.load()

    def errors(self) -> list[str]:
        texts = [str(problem) for problem in self.loaded.problems if problem.severity == "error"]
        return [text.replace(str(self.path), "DIR") for text in texts]


@pytest.fixture
def directory(tmp_path: Path) -> CrontabDirectory:
    return CrontabDirectory(tmp_path)


def test_all_files_in_order_of_names(directory: CrontabDirectory) -> None:
    directory.write("b", "1 1 * * * later\n")
    directory.write("a", GOOD)
    assert directory.load() == ["one", "two", "later"]
    assert (directory.loaded.files, directory.loaded.kept, directory.loaded.problems) == (2, (), ())
    assert {job.user for job in directory.loaded.jobs} == {"alice"}
    assert len({job.key for job in directory.loaded.jobs}) == 3


def test_without_crontabs_there_are_no_jobs(directory: CrontabDirectory) -> None:
    assert directory.load() == []
    directory.write("empty", "")
    assert directory.load() == []
    assert (directory.loaded.files, directory.errors()) == (1, [])


def test_the_good_lines_of_a_new_file_run(directory: CrontabDirectory) -> None:
    directory.write("a", BAD)
    assert directory.load() == ["changed"]
    assert len(directory.errors()) == 1
    assert directory.errors()[0].startswith("DIR/a:1:1: error: ")
    directory.write("a", "61 * * * * one\n* * * * * again\n")
    assert directory.load() == ["again"], "it never had a version without errors"
    assert directory.loaded.kept == ()


def test_an_edit_with_errors_changes_nothing(directory: CrontabDirectory) -> None:
    file = directory.write("a", GOOD)
    before = directory.load()
    keys = [job.key for job in directory.loaded.jobs]
    directory.write("a", BAD)
    assert directory.load() == before
    assert [job.key for job in directory.loaded.jobs] == keys
    assert directory.loaded.kept == (str(file),)
    assert [error.partition(": error")[0] for error in directory.errors()] == ["DIR/a:1:1"]
    assert directory.loaded.problems[-1].code == "kept"
    assert directory.loaded.errors == 1, "as check counts them"


def test_the_last_good_version_survives_restarts_and_further_edits(directory: CrontabDirectory) -> None:
    directory.write("a", GOOD)
    directory.load()
    for _ in range(2):
        directory.write("a", BAD)
        assert directory.restart() == ["one", "two"]
        directory.write("a", "nonsense\n")
        assert directory.load() == ["one", "two"]
    directory.write("a", "* * * * * mended\n")
    assert directory.restart() == ["mended"]
    assert (directory.loaded.kept, directory.errors()) == ((), [])
    directory.write("a", BAD)
    assert directory.load() == ["mended"]


def test_an_edit_with_warnings_is_used(directory: CrontabDirectory) -> None:
    directory.write("a", GOOD)
    directory.load()
    directory.write("a", "#: nonsense=1\n* * * * * warned")
    assert directory.load() == ["warned"]
    assert len(directory.loaded.problems) == 2
    assert directory.errors() == []


def test_an_empty_file_has_no_jobs(directory: CrontabDirectory) -> None:
    directory.write("a", GOOD)
    directory.load()
    directory.write("a", "")
    assert directory.load() == []
    directory.write("a", BAD)
    assert directory.load() == [], "the empty version was the last good one"


def test_a_file_that_was_removed_has_no_last_good_version(directory: CrontabDirectory) -> None:
    directory.write("a", GOOD).unlink()
    directory.write("b", GOOD)
    directory.load()
    directory.write("a", GOOD)
    directory.load()
    (directory.path / "a").unlink()
    assert directory.load() == ["one", "two"]
    directory.write("a", BAD)
    assert directory.load() == ["changed", "one", "two"]


def test_a_renamed_file_has_the_same_jobs(directory: CrontabDirectory) -> None:
    directory.write("a", GOOD)
    directory.load()
    keys = {job.key for job in directory.loaded.jobs}
    (directory.path / "a").rename(directory.path / "z")
    directory.load()
    assert {job.key for job in directory.loaded.jobs} == keys


def test_a_refused_file_loses_its_jobs_at_once(directory: CrontabDirectory) -> None:
    directory.write("a", GOOD)
    directory.write("b", "* * * * * other\n")
    directory.load()
    (directory.path / "a").chmod(0o666)
    assert directory.load() == ["other"]
    assert directory.errors() == ["DIR/a: error: not read: everyone may write it (mode 0666)"]
    (directory.path / "a").chmod(0o644)
    assert directory.load() == ["one", "two", "other"]


ODD_FILES: dict[str, Callable[[Path], object]] = {
    "fifo": lambda path: os.mkfifo(path, 0o644),
    "directory": lambda path: path.mkdir(0o755),
    "link to nothing": lambda path: path.symlink_to("nowhere"),
    "link to itself": lambda path: path.symlink_to(path.name),
    "link to a device": lambda path: path.symlink_to("/dev/zero"),
    "link through a file": lambda path: path.symlink_to("b/c"),
    "binary": lambda path: path.write_bytes(b"x" + os.urandom(1 << 16).replace(b"\n", b"") + b"\0\n"),
}
ODD = pytest.mark.parametrize("make", ODD_FILES.values(), ids=ODD_FILES)


@ODD
def test_a_file_that_is_replaced_by_something_else_keeps_its_jobs(
    directory: CrontabDirectory, make: Callable[[Path], object]
) -> None:
    directory.write("b", "* * * * * other\n")
    file = directory.write("a", GOOD)
    before = directory.load()
    keys = [job.key for job in directory.loaded.jobs]
    file.unlink()
    make(file)
    assert directory.load() == before
    assert directory.restart() == before
    assert directory.restart() == before, "the last good text is still there"
    assert [job.key for job in directory.loaded.jobs] == keys
    assert directory.errors()[0].startswith("DIR/a:")
    file.rename(directory.path.parent / "odd")
    directory.write("a", "* * * * * new\n")
    assert directory.load() == ["new", "other"]
    file.unlink()
    assert directory.load() == ["other"]
    make(file)
    assert directory.restart() == ["other"]


@ODD
def test_a_file_that_is_no_crontab_does_not_affect_others(
    directory: CrontabDirectory, make: Callable[[Path], object]
) -> None:
    directory.write("b", GOOD)
    make(directory.path / "a")
    assert directory.load() == ["one", "two"]
    assert directory.errors()[0].startswith("DIR/a:")
    assert directory.restart() == ["one", "two"]


def test_the_jobs_of_a_directory_that_vanishes_go_on(directory: CrontabDirectory, tmp_path: Path) -> None:
    second = tmp_path / "other"
    second.mkdir(0o755)
    (second / "c").write_text("* * * * * other\n")
    directory.write("a", GOOD)
    directory.others = (second,)
    assert directory.load() == ["one", "two", "other"]
    keys = [job.key for job in directory.loaded.jobs]
    directory.path.rename(tmp_path / "away")
    for load in (directory.load, directory.load, directory.restart, directory.restart):
        assert load() == ["one", "two", "other"]
        assert [job.key for job in directory.loaded.jobs] == keys
        assert directory.errors() == [
            "DIR: error: cannot be read: No such file or directory; its 2 jobs continue to run"
        ]
    (tmp_path / "away").rename(directory.path)
    directory.write("a", BAD)
    assert directory.load() == ["one", "two", "other"], "its last good texts are kept as well"
    assert directory.errors()


@pytest.mark.skipif(os.geteuid() != 0, reason="the files must belong to root")
@pytest.mark.parametrize("dialect", ["debian", "cronie"])
@pytest.mark.parametrize("lost", ["etc/cron.d", "var/spool/cron/crontabs", "var/spool"])
def test_the_jobs_of_a_directory_of_the_system_that_vanishes_go_on(
    tmp_path: Path, lost: str, dialect: Literal["debian", "cronie"]
) -> None:
    root, state = tmp_path / "root", tmp_path / "state"
    for name, text in (
        ("etc/cron.d/a", "* * * * * root one\n"),
        ("var/spool/cron/crontabs/root", "* * * * * two\n"),
    ):
        (root / name).parent.mkdir(parents=True)
        (root / name).write_text(text)
        (root / name).chmod(0o600)
    state.mkdir()
    settings = Settings(
        crontabs=(),
        state_dir=str(state),
        runtime_dir=str(state),
        pidfile="",
        system=True,
        root=str(root),
        dialect=dialect,
    )
    daemon = Loader(settings, Account("root", 0, 0, "/root"))
    keys = [job.key for job in daemon.load().jobs]
    assert len(keys) == 2
    (root / lost).rename(tmp_path / "away")
    for loader in (daemon, daemon, Loader(settings, daemon.account), Loader(settings, daemon.account)):
        loaded = loader.load()
        assert {job.key for job in loaded.jobs} == {*keys}
        (error,) = loaded.problems
        assert error.message.startswith("cannot be read: No such file or directory; its job continues to run")
    if "spool" in lost:  # the other cron has another spool: the same crontab does not run twice
        moved = root / "var/spool/cron/root"
        moved.parent.mkdir(parents=True, exist_ok=True)
        moved.write_text("* * * * * two\n")
        moved.chmod(0o600)
        assert len(daemon.load().jobs) == 2
        moved.unlink()
    (root / lost).mkdir(parents=True, exist_ok=True)
    assert len(daemon.load().jobs) == 1


def test_the_jobs_go_on_however_the_directory_is_spelled(directory: CrontabDirectory) -> None:
    directory.write("a", GOOD)
    spelled = Settings(crontabs=(f"{directory.path}//",), state_dir="", runtime_dir="", pidfile="")
    crontabs = Loader(spelled, ALICE, read_only=True)
    assert len(crontabs.load().jobs) == 2
    directory.path.rename(directory.path.parent / "away")
    assert len(crontabs.load().jobs) == 2


def test_a_directory_that_is_refused_loses_its_jobs(directory: CrontabDirectory) -> None:
    directory.write("a", GOOD)
    directory.load()
    directory.path.chmod(0o777)
    assert directory.load() == []
    assert directory.errors() == ["DIR: error: no crontab in it is read: everyone may write it (mode 0777)"]
    directory.path.chmod(0o755)
    assert directory.load() == ["one", "two"]


def test_a_directory_that_never_existed(directory: CrontabDirectory) -> None:
    directory.path.rmdir()
    assert directory.load() == []
    assert directory.errors() == ["DIR: error: cannot be read: No such file or directory"]


def test_skipped_names_are_reported(directory: CrontabDirectory) -> None:
    directory.write("a~", GOOD)
    assert directory.load() == []
    assert [problem.code for problem in directory.loaded.problems] == ["skipped"]


def test_two_files_with_one_line_are_two_jobs(directory: CrontabDirectory) -> None:
    for name in "ab":
        directory.write(name, "#: name=same\n* * * * * x\n")
    assert directory.load() == ["x", "x"]
    assert len({job.key for job in directory.loaded.jobs}) == 2


def test_the_machine_decides_drawn_values(
    directory: CrontabDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory.write("a", "H H * * * x\n")
    schedules = set()
    for machine_id in ("a", "b", "c", "a"):
        monkeypatch.setattr(machine, "machine_id", lambda machine_id=machine_id: machine_id)
        schedules.add(directory.daemon().load().jobs[0].entry.schedule)
    assert len(schedules) == 3


def test_a_full_disk_does_not_stop_jobs(directory: CrontabDirectory, tmpfs: Path) -> None:
    directory.state = tmpfs / "last-good"
    directory.write("a", GOOD)
    directory.load()
    (tmpfs / "filler").write_bytes(b"x" * (528 << 10))
    directory.write("a", f"* * * * * new\n#{'x' * (200 << 10)}\n")
    assert directory.load() == ["new"]
    assert directory.errors(), "a text that cannot be saved is reported"


# Files that are being written, and unchanged files.


def test_a_file_that_is_being_written_is_not_stable(directory: CrontabDirectory) -> None:
    file = directory.write("a", GOOD)
    directory.load()
    assert directory.crontabs
    assert directory.crontabs.seconds_until_stable(1.0) == 0, "nothing has changed"
    file.write_text("")
    assert directory.crontabs.seconds_until_stable(1.0) == pytest.approx(EMPTY_TIME), "it had jobs"
    file.write_text("* * * * *")
    assert directory.crontabs.seconds_until_stable(2.0) == pytest.approx(SETTLE_TIME)
    assert directory.crontabs.seconds_until_stable(2.0 + SETTLE_TIME / 2) == pytest.approx(SETTLE_TIME / 2)
    file.write_text("* * * * * half")
    assert directory.crontabs.seconds_until_stable(2.0 + SETTLE_TIME) == pytest.approx(SETTLE_TIME), (
        "it was written once more"
    )
    assert directory.crontabs.seconds_until_stable(2.0 + 2 * SETTLE_TIME) == pytest.approx(0)
    directory.write("new", GOOD)
    assert directory.crontabs.seconds_until_stable(3.0) == pytest.approx(SETTLE_TIME)
    assert directory.crontabs.seconds_until_stable(3.0 + SETTLE_TIME) == pytest.approx(0)
    directory.load()
    assert directory.crontabs.seconds_until_stable(4.0) == 0


def test_a_line_that_is_not_complete_yet_does_not_run_unless_somebody_asks(
    directory: CrontabDirectory,
) -> None:
    directory.write("a", GOOD)
    directory.load()
    crontabs, half = directory.crontabs, "* * * * * rm -rf /tmp/old"
    assert crontabs
    directory.write("a", GOOD + half)
    directory.write("new", half)
    directory.write("b", "* * * * * other\n")
    now = datetime.now(UTC)
    assert [job.entry.command for job in crontabs.load(finished_at=now).jobs] == ["one", "two", "other"]
    assert crontabs.has_changes()
    later = now + timedelta(seconds=UNFINISHED_TIME + 1)
    assert len(crontabs.load(finished_at=later).jobs) == 5
    directory.write("a", GOOD + half + "-files")
    assert [job.entry.command for job in crontabs.load().jobs][2] == "rm -rf /tmp/old-files"


def test_a_file_that_is_old_by_its_own_times_is_stable(directory: CrontabDirectory) -> None:
    directory.load()
    changed = directory.write("a", GOOD).stat().st_ctime
    crontabs = directory.crontabs
    assert crontabs
    for since, wait in ((SETTLE_TIME / 2, SETTLE_TIME), (-3600, SETTLE_TIME), (2 * SETTLE_TIME, 0)):
        at = datetime.fromtimestamp(changed + since, UTC)
        assert crontabs.seconds_until_stable(1.0, at) == pytest.approx(wait)
    assert directory.load() == ["one", "two"]
    assert directory.loaded.problems == ()


def test_a_start_while_a_file_is_being_written(
    directory: CrontabDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = directory.write("a", GOOD)
    directory.load()
    file.write_text("")
    pause = time.sleep

    def pause_while_an_editor_writes(seconds: float) -> None:
        file.write_text(BAD)
        pause(seconds)

    monkeypatch.setattr(time, "sleep", pause_while_an_editor_writes)
    assert directory.restart() == ["one", "two"], "the empty text was no version of it"
    assert file.read_text() == BAD, "the reading has waited"


def wait_until_old(file: Path) -> None:
    """Wait until the times of a file are old enough to show another write."""
    while 0 <= time.time() - file.stat().st_ctime < 2 * TIMESTAMP_TICK:
        time.sleep(TIMESTAMP_TICK / 5)


def test_an_unchanged_file_is_not_read_again(directory: CrontabDirectory) -> None:
    wait_until_old(directory.write("a", GOOD))
    directory.load()
    first = directory.loaded
    directory.write("b", "* * * * * other\n")
    assert directory.load() == ["one", "two", "other"]
    for before, now in zip(first.jobs, directory.loaded.jobs, strict=False):
        assert before is now


def test_a_file_that_was_read_right_after_a_write_is_read_again(directory: CrontabDirectory) -> None:
    file = directory.write("a", "* * * * * one\n")
    directory.load()
    before = file.stat()
    for text in ("* * * * * two\n", "* * * * * six\n"):  # of the same length, maybe in the same tick
        file.write_text(text)
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert directory.load() == [text.split()[-1]]


@pytest.mark.parametrize(
    "texts",
    [
        ("#: name=same\n* * * * * x\n", "#: name=same\n* * * * * y\n"),
        ("* * * * * x\n* * * * * x\n", "* * * * * x\n"),
        ("* * * * * x\n", "1 * * * * z\n* * * * * x\n* * * * * x\n"),
    ],
)
def test_keys_do_not_depend_on_earlier_changes(directory: CrontabDirectory, texts: tuple[str, str]) -> None:
    first, second = (old_file(directory, name, text) for name, text in zip("ab", texts, strict=True))
    for change in (
        lambda: None,
        lambda: first.rename(first.with_name("z")),
        lambda: first.with_name("z").rename(first),
        first.unlink,
        lambda: second.write_text(texts[0]),
    ):
        change()
        directory.load()
        jobs = [(job.key, job.entry.command) for job in directory.loaded.jobs]
        stamps = [tab.stamp for tab in directory.loaded.sources]
        afresh = directory.daemon().load()
        assert [(job.key, job.entry.command) for job in afresh.jobs] == jobs
        assert [tab.stamp for tab in afresh.sources] == stamps
        assert len({key for key, _ in jobs}) == len(jobs)


def old_file(directory: CrontabDirectory, name: str, text: str) -> Path:
    file = directory.write(name, text)
    wait_until_old(file)
    return file


def test_a_text_that_could_not_be_saved_is_saved_later(directory: CrontabDirectory, tmpfs: Path) -> None:
    directory.state = tmpfs / "state"
    wait_until_old(directory.write("a", GOOD))
    directory.daemon()
    filler = tmpfs / "filler"
    with contextlib.suppress(OSError):
        filler.write_bytes(b"x" * (700 << 10))
    directory.load()
    assert directory.errors()
    filler.unlink()
    directory.load()
    assert directory.errors() == []
    directory.write("a", BAD)
    assert directory.load() == ["one", "two"]


# Rows for the ledger.


def test_a_row(directory: CrontabDirectory) -> None:
    directory.write("a", "#: name=nightly timeout=2h\nCRON_TZ=Asia/Tokyo\n15  2 * * * x\n@reboot y%in\n")
    directory.load()
    first, second = JobRows(directory.loaded.jobs, "Europe/Berlin")
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
    directory.write("a", "@daily z\n")
    directory.load()
    (row,) = JobRows(directory.loaded.jobs, "Europe/Berlin")
    assert row.zone == "Europe/Berlin"


@pytest.mark.parametrize("text", [b"* * * * * echo \xff\n", b"61 * * * * \xff\n", b"* * * * * good\n"])
def test_the_ledger_accepts_any_bytes(directory: CrontabDirectory, tmp_path: Path, text: bytes) -> None:
    """File names and crontabs need not be UTF-8, but texts in SQLite must be."""
    for name in (b"caf\xe9", b"caf\xe9~"):
        with open(os.path.join(os.fsencode(directory.path), name), "wb") as file:
            file.write(text)
        os.chmod(file.name, 0o644)
    directory.load()
    ledger = Ledger(str(tmp_path / "ledger"))
    files = [
        FileRows(storable(tab.file), tab.stamp, JobRows(tab.jobs, "UTC")) for tab in directory.loaded.sources
    ]
    ledger.load(files, directory.loaded.problems, at("2025-06-10T12:00Z"))
    ledger.close()


# Files that change while they are read

CALLS = ("open", "stat", "lstat", "fstat", "listdir", "read", "readlink")
CHANGES: dict[str, Callable[[Path], object]] = {
    "nothing": lambda _: None,
    "a directory": Path.mkdir,
    "a FIFO": os.mkfifo,
    "a link to nothing": lambda path: path.symlink_to("nothing"),
}


class Interruption:
    """Replaces files between two calls of the operating system."""

    def __init__(self, files: list[Path], make: Callable[[Path], object]) -> None:
        self.files = files
        self.make = make
        self.calls_left = 0

    def before(self, call: Callable[..., object]) -> Callable[..., object]:
        def interrupted(*arguments: object, **options: object) -> object:
            self.calls_left -= 1
            if self.calls_left == 0:
                for file in self.files:
                    file.rename(file.with_name(f".{file.name}.old"))
                    self.make(file)
            return call(*arguments, **options)

        return interrupted


@pytest.mark.parametrize("become", CHANGES)
@pytest.mark.parametrize("what", ["crontab", "last good version", "directory"])
def test_nothing_that_vanishes_between_two_calls_ends_a_reload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, become: str, what: str
) -> None:
    for number in itertools.count(1):
        (tmp_path / str(number)).mkdir()
        directory = CrontabDirectory(tmp_path / str(number))
        directory.write("a", GOOD)
        directory.load()
        directory.write("a", BAD if number % 2 else GOOD + GOOD)
        interruption = Interruption(
            {
                "crontab": [directory.path / "a"],
                "last good version": [*(directory.state / "crontabs").iterdir()],
                "directory": [directory.path],
            }[what],
            CHANGES[become],
        )
        with monkeypatch.context() as patched:
            for name in CALLS:
                patched.setattr(os, name, interruption.before(getattr(os, name)))
            interruption.calls_left = number
            directory.load()
        directory.load()
        if interruption.calls_left > 0:
            break
    assert number > 10


@pytest.fixture
def trust(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    return lambda: monkeypatch.setattr(TRUST, "others", True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_links_of_a_config_map_are_read_where_others_are_trusted(
    directory: CrontabDirectory, trust: Callable[[], None]
) -> None:
    """A mount can show any owner and mode; kubelet replaces the link ..data by a rename."""

    def exchange(version: str, text: str) -> None:
        (directory.path / version).mkdir()
        file = directory.path / version / "jobs"
        file.write_text(text)
        os.chown(file, 4321, 4321)
        (directory.path / "..data_tmp").symlink_to(version)
        (directory.path / "..data_tmp").rename(directory.path / "..data")

    exchange("..2026_1", "* * * * * one\n")
    (directory.path / "jobs").symlink_to("..data/jobs")
    os.chown(directory.path, 4321, 4321)
    directory.path.chmod(0o777)
    with pytest.raises(UnsafePathError):
        check_directory(str(directory.path))
    refusal = directory.daemon().refusal()
    assert refusal.endswith("it belongs to uid 4321, not to root; see the setting trust-crontabs"), refusal
    trust()
    check_directory(str(directory.path))
    crontabs = directory.crontabs = directory.daemon()
    assert crontabs.refusal() == ""
    assert directory.load() == ["one"]
    assert not directory.loaded.problems
    exchange("..2026_2", "* * * * * two\n")
    assert crontabs.has_changes()
    assert directory.load() == ["two"]
    exchange("..2026_3", BAD)  # the last good version runs on
    assert directory.load() == ["two"]
    assert directory.daemon().refusal() == ""


@pytest.mark.parametrize(
    ("text", "mode", "reason"),
    [
        (None, 0o644, "there is no crontab in DIR"),
        (GOOD, 0o666, "no crontab is accepted: DIR/jobs: error: not read: everyone may write it (mode 0666)"),
        ("61 * * * * one\n62 * * * * two\n", 0o644, "no crontab is accepted: DIR/jobs:1:1: error: "),
        ("# none yet\n", 0o644, ""),
        (BAD, 0o644, ""),
    ],
)
def test_a_start_may_require_a_crontab(
    directory: CrontabDirectory, text: str | None, mode: int, reason: str
) -> None:
    if text is not None:
        directory.write("jobs", text, mode)
    refusal = directory.daemon().refusal().replace(str(directory.path), "DIR")
    assert refusal.startswith(reason) if reason else not refusal
