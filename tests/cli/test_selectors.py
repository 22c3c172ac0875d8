"""Jobs, states and times selected by words; lines that fit a screen."""

from argparse import ArgumentTypeError
from datetime import UTC, datetime

import pytest

from pycrond import clock
from pycrond.cli import selectors
from pycrond.cli.parser import build_parser
from pycrond.cli.render import terminal
from pycrond.cli.render.formatting import Cell
from pycrond.errors import PycrondError
from pycrond.jobs.run import BAD_ENDS
from pycrond.ledger.rows import JobRow
from tests.cli.render.test_table import plain


def job(key: str, name: str | None, line: int) -> JobRow:
    return JobRow(key, name, key.partition("/")[0], "/etc/tab", line, "* * * * *", "x", "UTC", "true", "{}")


JOBS = [
    job("root/backup", "backup", 1),
    job("root/backup-db", "backup-db", 2),
    job("alice/backup", "backup", 3),
    job("root/0123456789ab", None, 4),
    job("root/dup", "dup", 5),
    job("root/fedcba987654", "dup", 6),
    job("eve/ab", "ab", 7),
    job("eve/root", "root", 8),
]


@pytest.mark.parametrize(
    ("word", "places"),
    [
        ("backup", [0, 2]),
        ("back", [0, 1, 2]),
        ("root/backup", [0]),
        ("tab:2", [1]),
        ("0123", [3]),
        ("backup*", [0, 1, 2]),
        ("*-db", [1]),
        ("alice/*", [2]),
        ("*", [0, 1, 2, 3, 4, 5, 6, 7]),
        ("b", [0, 1, 2]),
        ("root/b", [0, 1]),
        ("012", []),  # too little of a hash: it may be the number of a run
        ("root/012", []),
        ("dup", [4]),  # the first has the name, the second a hash
        ("root/dup", [4]),
        ("true~fedc", []),
        ("dup~fedc", [5]),
        ("fedc", [5]),
        ("dup*", [4, 5]),
        ("root/", []),
        ("root", [7]),  # and not all jobs of root
        ("eve", []),
        ("/", []),
        ("backup?db", [1]),
        ("[0-9]*", [3]),
        ("true~0123", [3]),
        ("root/true~0123", [3]),
        ("alice/true~0123", []),
        ("true*", [3]),
        ("root/true~*", [3]),
    ],
)
def test_jobs_by_names_and_patterns(word: str, places: list[int]) -> None:
    if places:
        assert selectors.matching_jobs(word, JOBS) == [JOBS[place].key for place in places]
    else:
        with pytest.raises(PycrondError):
            selectors.matching_jobs(word, JOBS)


@pytest.mark.parametrize("word", ["x", "x*", "Backup*", "backup["])
def test_no_such_job(word: str) -> None:
    with pytest.raises(PycrondError, match="no job is called"):
        selectors.matching_jobs(word, JOBS)


def test_an_empty_word_is_no_job() -> None:
    with pytest.raises(PycrondError, match="the name of a job is empty"):
        selectors.matching_jobs("", JOBS[:1])


@pytest.mark.parametrize(
    ("text", "states"),
    [
        ("lost", {"lost"}),
        ("lost,running", {"lost", "running"}),
        ("ok", {"succeeded"}),
        ("failed", set(BAD_ENDS)),
        ("failed,skipped", {*BAD_ENDS, "skipped"}),
    ],
)
def test_states(text: str, states: set[str]) -> None:
    assert set(selectors.states(text)) == states


@pytest.mark.parametrize("text", ["", "bad", "lost,", "lost, running"])
def test_no_such_state(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="is no state"):
        selectors.states(text)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        (None, None),
        ("2h", "2025-06-10T10:00Z"),
        ("1d2h", "2025-06-09T10:00Z"),
        ("-2h", "2025-06-10T10:00Z"),
        ("+2h", "2025-06-10T14:00Z"),
        ("02:00", "2025-06-10T02:00Z"),
        ("yesterday 22:00", "2025-06-09T22:00Z"),
    ],
)
def test_times(text: str | None, at: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setattr(clock, "now", lambda: datetime(2025, 6, 10, 12, tzinfo=UTC))
    assert selectors.unix_time(text) == (datetime.fromisoformat(at).timestamp() if at else None)


@pytest.mark.parametrize("seconds", ["0", "-1", "x", "nan", "1e9"])
def test_no_such_interval(seconds: str) -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args(["list", f"--watch={seconds}"])


@pytest.mark.parametrize(
    ("rows", "shown"),
    [
        (5, ["one", "two", "three", "", ""]),
        (3, ["one", "two", "three"]),
        (2, ["one", "… 2 mo…"]),
        (1, ["… 3 mo…"]),
    ],
)
def test_lines_fill_the_screen_and_no_more(rows: int, shown: list[str]) -> None:
    lines = [[Cell("one")], [Cell("two")], [Cell("three")]]
    assert plain(terminal.framed(lines, 7, rows)) == shown


def test_here_is_a_zone_and_not_an_offset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    summer, winter = datetime(2025, 6, 10, 12, tzinfo=UTC), datetime(2025, 12, 10, 12, tzinfo=UTC)
    assert winter.astimezone(terminal.here(summer).tzinfo).hour == 13
    monkeypatch.setenv("TZ", "CET-1CEST")
    assert terminal.here(summer) == summer
