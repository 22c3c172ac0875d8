"""The reader of the database: it reads the requested rows, gives up a frozen server, and counts the standbys."""

import pytest

from pycrond.cluster import reader, reader_connection
from pycrond.errors import PycrondError
from tests.conftest import wait_until
from tests.support.postgres import Postgres, execute, primary, standby

pytestmark = pytest.mark.process


def test_a_frozen_server_is_given_up(
    postgres: Postgres, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_connection, "TOTAL_TIMEOUT", 1.0)
    with (
        pytest.raises(PycrondError, match=r"^the database has not answered within 1 s$"),
        reader.open_reader(database) as cluster,
    ):
        postgres.freeze()
        try:
            cluster.nodes()
        finally:
            postgres.thaw()


def standby_of(conninfo: str) -> str:
    with reader.open_reader(conninfo) as cluster:
        return cluster.server().standby


def test_the_standbys_of_a_server(postgres: Postgres, database: str) -> None:
    assert standby_of(database) == "none"
    with primary(fsync=False) as server:
        conninfo = server.conninfo()
        with standby(server, fsync=False):
            assert standby_of(conninfo) == "synchronous"
            server.execute("CREATE ROLE visitor LOGIN")
            assert standby_of(server.conninfo(user="visitor")) == "not readable"
        wait_until(lambda: standby_of(conninfo) == "missing")


ROW = """
    INSERT INTO pycrond.claims (job, wall, fold, fire, run, node, ledger, state, started, ended)
    SELECT %s, %s, 0, to_timestamp(minute * 60), gen_random_uuid(), 'web1', gen_random_uuid(), %s,
        to_timestamp(minute * 60), to_timestamp(minute * 60 + %s) FROM (VALUES (%s::int)) AS fires(minute)
"""


def add(conninfo: str, job: str, minute: int, took: float | None = 5.0, *, ahead: int = 0) -> None:
    """Insert a run of a job in a zone that is `ahead` minutes ahead of UTC."""
    state = "running" if took is None else "succeeded"
    execute(conninfo, ROW, job, minute + ahead, state, took, minute)


@pytest.mark.parametrize("at_once", [1, reader.AT_ONCE])
def test_the_claims_of_some_jobs(database: str, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(reader, "AT_ONCE", at_once)
    monkeypatch.setattr(reader, "FETCHED", 2)
    for job in ("me/a", "me/b", "me/c"):
        for minute in (10_000, 10_001, 10_002, 10_003):
            add(database, job, minute, ahead=120)
    with reader.open_reader(database) as cluster:
        rows = [*cluster.claims_of(["me/a", "me/c"], 10_001 * 60, 10_003 * 60)]
        assert [(row.job, row.fire / 60, row.wall) for row in rows] == [
            (job, minute, minute + 120) for job in ("me/a", "me/c") for minute in (10_002, 10_001)
        ]
        assert [*cluster.claims_of([], 0, 20_000 * 60)] == []


def test_the_bars_that_reach_a_time(database: str) -> None:
    reached = 10_003 * 60.0
    for minute, took in ((10_000, 60), (10_001, 120), (10_002, None), (10_003, 1)):
        add(database, "me/a", minute, took)
    with reader.open_reader(database) as cluster:
        bars = [*cluster.bars(["me/a"], 10_000 * 60, 10_004 * 60, reached)]
    expected = [(10_003, reached + 1), (10_002, None), (10_001, reached)]
    assert [(bar.fire / 60, bar.ended) for bar in bars] == expected
    assert bars[-1] == ("me/a", 10_001 * 60, "web1", "succeeded", 10_001 * 60, reached, 0)


def test_the_jobs_that_have_had_a_fire(database: str) -> None:
    for job, minute in (("me/old", 10_000), ("me/new", 20_000), ("me/both", 10_000), ("me/both", 20_000)):
        add(database, job, minute)
    with reader.open_reader(database) as cluster:
        assert cluster.jobs_since(0) == ["me/both", "me/new", "me/old"]
        assert cluster.jobs_since(20_000 * 60) == ["me/both", "me/new"]
        assert cluster.jobs_since(40_000 * 60) == []
