"""Attacks by crontabs: crontabs that are too large, never end, are not files, or change all the time."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from pycrond.errors import TooLargeError
from pycrond.sources import files
from pycrond.sources.limits import CrontabLimits
from pycrond.sources.source import MAX_PROBLEMS, SourceParser
from tests.conftest import ME, wait_until
from tests.support.loop import Loop
from tests.support.system import System

pytestmark = pytest.mark.daemon
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a daemon with --system")
NEVER = "0 0 1 1 *"
GOOD = f"HOME=/\n#: name=good\n{NEVER} true\n"
SPOOL = "var/spool/cron/crontabs/nobody"


def resident(pid: int) -> int:
    """Return the resident memory of a process in KiB."""
    return int(Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")[2].split()[0])


def names(system: System) -> list[str | None]:
    return [job["name"] for job in system.crond.json("list")["jobs"]]


TOO_LARGE = [
    (f"{NEVER} true\n" * 1001, "more than 1000 entries, at most 1000 (setting max-crontab-entries)"),
    ("A=b\n" * 1001, "more than 1000 assignments and #: lines, at most 1000 (setting max-crontab-entries)"),
    ("#: x\n" * 1001, "assignments and #: lines, at most 1000 (setting max-crontab-entries)"),
    (f"#:{' x' * 501}\n" * 2, "more than 1000 problems, at most 1000 (setting max-crontab-entries)"),
    ("#" * (129 << 10), f"it has {129 << 10} bytes, at most {128 << 10} (setting max-crontab-size)"),
    (
        f"PYCROND_ON_FAILURE={'x' * 20_000}\n" + f"{NEVER} true\n" * 100,
        f"at most {1 << 19} (4 times the setting max-crontab-size)",
    ),
]


@as_root
def test_a_crontab_beyond_a_limit_is_an_error_and_its_last_good_version_runs(system: System) -> None:
    file = system.write(SPOOL, GOOD)
    system.write("etc/cron.d/roots", f"{NEVER} root true\n" * 2_000)
    assert "2001 jobs from 2 files" in system.crond.run("start").stdout, "root's own crontabs have no limit"
    for text, error in TOO_LARGE:
        system.write(SPOOL, text)
        done = system.crond.run("reload", status=1)
        line = next(line for line in done.stderr.splitlines() if error in line)
        assert line.removeprefix("pycrond: ").startswith(f"{file}: error: ")
        assert "good" in names(system)
        assert len(names(system)) == 2_001
        status = system.crond.json("status")
        assert status["shares"]["refused_crontabs"] == [str(file)]
    assert "    1 crontab beyond a limit: " in system.crond.run("status").stdout
    system.write(SPOOL, GOOD)
    system.crond.run("reload")
    assert system.crond.json("status")["shares"]["refused_crontabs"] == []


@as_root
def test_limits_are_settings_and_a_new_crontab_beyond_one_has_no_job(system: System) -> None:
    system.write(SPOOL, f"{NEVER} true\n" * 4)
    system.crond.environment["PYCROND_MAX_CRONTAB_ENTRIES"] = "3"
    system.crond.run("start")
    assert names(system) == []
    system.write(SPOOL, f"{NEVER} true\n" * 3)
    system.crond.run("reload")
    assert len(names(system)) == 3


@as_root
def test_a_sparse_file_of_a_terabyte_is_not_read(system: System) -> None:
    file = system.write(SPOOL, GOOD)
    system.crond.run("start")
    before = resident(system.crond.pid)
    os.truncate(file, 1 << 40)
    done = system.crond.run("reload", status=1)
    assert f"it has {1 << 40} bytes, at most" in done.stderr
    assert resident(system.crond.pid) - before < 5_000
    assert names(system) == ["good"]


@as_root
def test_a_fifo_in_the_spool_does_not_hang_the_daemon(system: System) -> None:
    file = system.write(SPOOL, GOOD)
    system.crond.run("start")
    file.unlink()
    os.mkfifo(file, 0o600)
    done = system.crond.run("reload", status=1)
    assert "not read: it is not a regular file" in done.stderr


@contextmanager
def growing(file: Path) -> Iterator[None]:
    """Append to a file all the time."""
    is_over = threading.Event()

    def grow() -> None:
        with file.open("ab") as opened:
            while not is_over.is_set():
                opened.write(b"#" * 65_536)
                if opened.tell() > 64 << 20:
                    opened.truncate(0)

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join(10)


def test_a_file_that_grows_while_it_is_read_is_not_read_for_ever(tmp_path: Path) -> None:
    file = tmp_path / "jobs"
    file.write_bytes(b"")
    with growing(file):
        for _ in range(50):
            with suppress(TooLargeError):
                assert len(files.read_with_owner(str(file), max_size=1 << 20)[0]) <= 1 << 20


def test_few_problems_of_a_users_crontab_are_kept() -> None:
    parser = SourceParser("debian", "seed", "root")
    text = b"61 * * * * true\n" * 400
    source = parser.parse(text, "/spool/x", "x", None, limits=CrontabLimits(1 << 20, 1000))
    assert len(source.problems) == MAX_PROBLEMS + 1
    assert str(source.problems[-1]).endswith("350 further problems: pycrond check shows them")
    assert not source.is_good
    assert len(parser.parse(text, "/etc/x", None, None).problems) == 800


# Many changes


def test_many_changed_files_are_read_in_portions_and_none_of_them_twice(loop: Loop) -> None:
    loop.begin(f"#: name=stays\n{NEVER} true\n")
    reloader = loop.daemon.subsystems.reloader
    for number in range(20):
        loop.write(f"#: name=job-{number}\n{NEVER} true\n" + "#" * 10_000, f"file-{number}")
    loop.write(f"#: name=small\n{NEVER} true\n", "small")
    reloader.request()
    seen: set[int] = set()
    while reloader.count == 1:
        loop.turn()
        seen.add(len(reloader.jobs))
    assert len(reloader.jobs) == 22
    assert len(seen) > 10, "at most two of these files are read in a turn"
    assert loop.log.details("RELOAD") == ["22 jobs from 22 files"], "the result is logged once"


def test_a_small_crontab_does_not_wait_for_large_ones(loop: Loop) -> None:
    loop.begin("")
    reloader = loop.daemon.subsystems.reloader
    for number in range(5):
        loop.write("#" * 20_000 + f"\n{NEVER} true {number}\n", f"a-{number}")
    loop.write(f"#: name=small\n{NEVER} true\n", "z")
    reloader.request()
    loop.until(lambda: reloader.jobs)
    assert f"{ME}/small" in reloader.jobs


def test_a_file_that_was_only_touched_is_not_parsed_again(loop: Loop) -> None:
    loop.begin(f"#: name=job\n{NEVER} true\n")
    before = loop.daemon.subsystems.reloader.jobs[f"{ME}/job"]
    loop.write(f"#: name=job\n{NEVER} true\n")
    loop.reload()
    assert loop.daemon.subsystems.reloader.jobs[f"{ME}/job"] is before


def test_an_error_is_logged_once_however_often_the_file_changes(loop: Loop) -> None:
    loop.settings = replace(loop.settings, watch=True)
    loop.begin("61 * * * * true\n")
    reloader = loop.daemon.subsystems.reloader

    def errors() -> int:
        loop.turn()
        return sum("bad minute" in line for line in loop.log.details("ERROR"))

    loop.until(lambda: errors() == 1)
    for number in range(3):
        loads = reloader.count
        loop.write(f"61 * * * * true\n# {number}\n", "other")
        loop.minutes()
        loop.frozen.tick(2)
        loop.until(lambda: reloader.count > loads)  # noqa: B023 -- called in this round of the loop
    assert errors() == 2, "one for each file"
    loop.reload()
    loop.until(lambda: errors() == 4)  # all, where a reload was asked for


@as_root
def test_a_crontab_that_is_rewritten_all_the_time_is_read_in_time(system: System) -> None:
    """A user's crontab is written again and again; another user's change is read nevertheless."""
    system.write(SPOOL, GOOD)
    system.crond.run("start")
    is_over = threading.Event()

    def rewrite() -> None:
        number = 0
        while not is_over.is_set():
            number += 1
            system.write(SPOOL, "".join(f"{NEVER} true {number} {line}\n" for line in range(900)))

    thread = threading.Thread(target=rewrite)
    thread.start()
    try:
        system.write("var/spool/cron/crontabs/daemon", f"#: name=mine\n{NEVER} true\n")
        system.crond.run("reload", status=None)
        wait_until(lambda: "mine" in names(system))
    finally:
        is_over.set()
        thread.join(10)
