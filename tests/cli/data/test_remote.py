"""Records through the daemon are the same as direct access, whatever the portions."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pycrond.cli.data import remote
from pycrond.cli.data.remote import Remote
from pycrond.control import protocol
from pycrond.control.records import MAX_ROWS, Records
from pycrond.daemon import queries
from pycrond.errors import NotRunningError, Problem
from pycrond.jobs.run import Outcome, State
from pycrond.ledger.pauses import Pauses
from pycrond.ledger.writer import Ledger
from pycrond.output import spool
from pycrond.settings import Settings
from tests.ledger.test_writer import rows

NOON = datetime(2025, 6, 10, 12, tzinfo=UTC)
JOBS = 3 * MAX_ROWS
ENDED = 150


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("state")
    ledger = Ledger(str(directory / "ledger"))
    ledger.begin(42, "0.1.0", "boot/1", "", NOON)
    jobs = rows("".join(f"#: name=job{n}\n* * * * * true\n" for n in range(JOBS)))
    ledger.load(jobs, [Problem("/etc/crontab", 1, 2, "error", "code", "message")], NOON)
    for key in [row.key for file in jobs for row in file.rows][: ENDED + 5]:
        ledger.file.db.execute(
            "INSERT INTO runs (key, fire, fold, era, trigger, attempt, state) VALUES (?, 0, 0, 0, 'manual', 1, 'claimed')",
            (key,),
        )
    ledger.finished(
        [(run, Outcome(State.FAILED, exit_status=1), NOON, 0.25 * run) for run in range(1, ENDED)]
    )
    ledger.finished([(ENDED, Outcome(State.SUCCEEDED, exit_status=0), NOON, 0.5)])
    for key in ("root/job1", "root/gone"):
        ledger.file.db.execute("INSERT INTO health (key, since, expect) VALUES (?, 0, 60)", (key,))
    Pauses(ledger.file, NOON).pause(["root/job1"], None, "why", NOON)
    ledger.close()
    for run in (1, 70, ENDED):
        path = Path(spool.path(str(directory / "spool"), run, 0))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\xff\0" * run)
    return directory


@pytest.fixture
def both(state: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Records, Remote]]:
    daemon = queries.Queries(Settings(state_dir=str(state), runtime_dir="", pidfile=""))
    monkeypatch.setattr(queries, "MAX_TIME", 60.0)

    def ask(_path: str, request: dict[str, Any]) -> Any:
        line = protocol.encode(daemon.read(json.loads(json.dumps(request)), 0))
        return json.loads(line)

    monkeypatch.setattr(remote, "ask", ask)
    records = Records(str(state))
    yield records, Remote("")
    records.close()


def test_each_query_gives_the_same(both: tuple[Records, Remote]) -> None:
    records, through = both
    now = NOON.timestamp()
    keys = [job.key for job in records.jobs()]
    assert len(keys) == JOBS
    assert through.daemon() == records.daemon()
    assert through.jobs() == records.jobs()
    assert through.problems() == records.problems() != []
    assert through.last_runs() == records.last_runs() != {}
    assert through.standings() == records.standings() != {}
    assert through.expected() == records.expected() != []
    assert through.unfinished() == records.unfinished() != []
    assert through.runs([*range(1, 500)]) == records.runs([*range(1, 500)])
    assert through.after(100) == records.after(100)
    assert through.history(None, -1) == records.history(None, -1)
    assert through.history(keys, 7) == records.history(keys, 7)
    failed = (("failed",), 0, now + 1)
    assert through.history(keys, -1, *failed) == records.history(keys, -1, *failed) != []
    assert through.medians() == records.medians() == {f"root/job{ENDED - 1}": 0.5}
    assert through.find_jobs("job77") == records.find_jobs("job77") != []
    assert through.pauses(now) == records.pauses(now) != []
    assert through.output(70, 3, 5) == records.output(70, 3, 5) == (0, 140, b"\0\xff\0\xff\0")
    assert through.times(70, 3, 5) == records.times(70, 3, 5) != []
    assert through.kept(70) == records.kept(70) == (0, 140)
    assert through.ends([1, 70, ENDED]) == records.ends([1, 70, ENDED])
    assert through.ends([1])[1] == b"\xff\0"
    assert through.is_running()


def test_nothing_is_asked_of_no_keys(both: tuple[Records, Remote], monkeypatch: pytest.MonkeyPatch) -> None:
    _, through = both
    monkeypatch.setattr(remote, "ask", None)
    assert (through.runs([]), through.history([], 5)) == ([], [])
    assert (through.last_runs([]), through.medians([]), through.ends([])) == ({}, {}, {})


def test_a_daemon_that_is_away_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Any] = [None, {"rows": ["root/job"]}]

    def ask(_path: str, _request: dict[str, Any]) -> Any:
        answer = answers.pop(0)
        if answer is None:
            raise NotRunningError("away")
        return answer

    monkeypatch.setattr(remote, "ask", ask)
    monkeypatch.setattr(remote, "RETRY_INTERVAL", 0.001)
    through = Remote("")
    through.retry_for = 10.0
    assert through.find_jobs("job") == ["root/job"]
    answers.append(None)
    through.retry_for = 0.0
    with pytest.raises(NotRunningError):
        through.is_running()
