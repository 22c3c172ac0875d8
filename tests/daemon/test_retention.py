"""Rows of the ledger that are no longer needed: removed jobs that never ran, old versions, ended pauses."""

from dataclasses import replace
from datetime import timedelta

from pycrond import clock
from pycrond.daemon.retention import KEPT_VERSIONS
from pycrond.ledger.reader import Reader
from tests.conftest import ME
from tests.support.loop import Loop

NEVER = "0 0 1 1 *"


def rows(loop: Loop, table: str) -> int:
    ((count,),) = loop.query(f"SELECT count(*) FROM {table}")
    return int(count)


def test_a_job_that_is_gone_and_never_ran_is_forgotten_after_an_hour(loop: Loop) -> None:
    loop.begin(f"#: name=ran\n* * * * * true\n#: name=idle\n{NEVER} true\n{NEVER} echo other\n")
    loop.minutes()
    loop.settle()
    loop.daemon.subsystems.scheduler.pauses.pause([f"{ME}/idle"], None, "", clock.now())
    loop.write(f"#: name=stays\n{NEVER} true\n")
    loop.reload()
    loop.minutes(59)
    assert rows(loop, "jobs") == 4
    loop.minutes(4)
    assert sorted(key for (key,) in loop.query("SELECT key FROM jobs")) == [f"{ME}/ran", f"{ME}/stays"]
    assert rows(loop, "job_versions") == 2
    assert rows(loop, "pauses") == 0
    assert loop.daemon.subsystems.scheduler.pauses.count(clock.now()) == 0


def test_a_job_keeps_its_latest_versions(loop: Loop) -> None:
    loop.begin(f"#: name=job\n{NEVER} echo 0\n")
    for number in range(1, KEPT_VERSIONS + 10):
        loop.write(f"#: name=job\n{NEVER} echo {number}\n")
        loop.reload()
        loop.frozen.tick(timedelta(seconds=1))
    assert rows(loop, "job_versions") == KEPT_VERSIONS + 10
    loop.minutes(2)
    assert rows(loop, "job_versions") == KEPT_VERSIONS
    ((newest,),) = loop.query("SELECT command FROM job_versions WHERE until IS NULL")
    assert newest == f"echo {KEPT_VERSIONS + 9}"


def test_a_job_that_is_paused_again_and_again_has_one_pause_more_at_most(loop: Loop) -> None:
    loop.begin(f"#: name=job\n{NEVER} true\n")
    pauses = loop.daemon.subsystems.scheduler.pauses
    for _ in range(5):
        pauses.pause([f"{ME}/job"], clock.now().timestamp() + 10, "", clock.now())
        loop.frozen.tick(timedelta(seconds=20))
    assert rows(loop, "pauses") <= 2


def add_runs(loop: Loop, key: str, count: int) -> None:
    """Add runs of the past to the ledger, one a minute."""
    last = int(clock.now().timestamp()) // 60 - 1
    loop.daemon.subsystems.ledger.file.db.execute(
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ?1 - 1)"
        " INSERT INTO runs (key, fire, wall, fold, era, trigger, attempt, state, started_at, ended_at, told)"
        " SELECT ?2, 60.0 * (?3 + i), ?3 + i, 0, 0, 'schedule', 1, 'succeeded', 60.0 * i, 60.0 * i, 3 FROM n",
        (count, key, last - count),
    )
    loop.daemon.subsystems.ledger.begin_after(loop.query("SELECT max(id) FROM runs")[0][0])


def test_a_job_may_keep_less_than_the_settings_allow(loop: Loop) -> None:
    loop.settings = replace(loop.settings, keep_runs=20, keep_days=2)
    loop.begin(
        f"#: name=few keep-runs=5 keep-days=9\n{NEVER} true\n#: name=many keep-runs=50\n{NEVER} true\n"
        f"#: name=short keep-days=1\n{NEVER} true\n"
    )
    for name in ("few", "many"):
        add_runs(loop, f"{ME}/{name}", 100)
    add_runs(loop, f"{ME}/short", 3 * 1440)
    retention, now = loop.daemon._retention, clock.now()
    for name in ("few", "many", "short"):
        while retention.fold(f"{ME}/{name}", now):
            pass
    single = loop.query("SELECT key, count(*) FROM runs WHERE folded IS NULL GROUP BY key")
    assert dict(single) == {f"{ME}/few": 5, f"{ME}/many": 20, f"{ME}/short": 20}
    assert loop.query("SELECT sum(coalesce(folded, 1)) FROM runs") == [(200 + 3 * 1440,)]


def test_the_ledger_stays_below_its_limit(loop: Loop) -> None:
    """The oldest runs of two busy jobs are folded; the only run of a third job, which is as old, is not."""
    loop.settings = replace(loop.settings, ledger_limit=1)
    loop.begin(f"#: name=rare\n{NEVER} true\n#: name=a\n{NEVER} true\n#: name=b\n{NEVER} true\n")
    ledger = loop.daemon.subsystems.ledger
    for key in (f"{ME}/rare", f"{ME}/a", f"{ME}/b"):
        add_runs(loop, key, 1 if key == f"{ME}/rare" else 8000)
    ledger.file.db.execute(
        "INSERT INTO last_runs SELECT key, max(id), NULL, 0, NULL, 0, 0, NULL FROM runs GROUP BY key"
    )
    limit, longest = loop.daemon._retention._limit, 0.0
    limit.step(is_new_minute=True)
    steps = 0
    while limit.retry_in(clock.elapsed()) is not None and steps < 400:
        limit._next_at, steps = 0.0, steps + 1
        since = clock.elapsed()
        limit.step(is_new_minute=False)
        longest = max(longest, clock.elapsed() - since)
        ledger.file.maintain()
    size = ledger.archive.size()
    assert size.total - size.log - size.free < 1 << 20
    assert size.free < 1.1 * (1 << 20), "pages are given back to the disk"
    assert longest < 0.2
    assert loop.query(f"SELECT count(*) FROM runs WHERE folded IS NULL AND key = '{ME}/rare'") == [(1,)]
    assert loop.query("SELECT sum(coalesce(folded, 1)) FROM runs") == [(16_001,)]
    ((first,),) = loop.query(
        "SELECT min(id) FROM runs WHERE folded IS NULL AND id NOT IN (SELECT run FROM last_runs)"
    )
    ((folded,),) = loop.query("SELECT sum(folded) FROM runs")
    assert first == folded + 3, "the oldest, but for the last runs of jobs"
    assert ledger.archive.merge_days(f"{ME}/a")
    assert loop.query(f"SELECT count(*) FROM runs WHERE folded NOT NULL AND key = '{ME}/a'") == [(1,)]
    assert loop.query("SELECT sum(coalesce(folded, 1)) FROM runs") == [(16_001,)]


def test_list_searches_no_past_runs(loop: Loop) -> None:
    """All its queries of the runs use indexes, so that millions of runs do not slow it down."""
    loop.begin(f"{NEVER} true\n")
    reader = Reader(str(loop.state))
    statements: list[str] = []
    reader._db.set_trace_callback(statements.append)
    for query in (
        reader.last_runs,
        reader.standings,
        reader.unfinished,
        reader.expected,
        reader.medians,
        reader.jobs,
    ):
        query()
    reader.pauses(0.0)
    reader._db.set_trace_callback(None)
    plans = [row[3] for text in statements for row in reader._db.execute(f"EXPLAIN QUERY PLAN {text}")]
    reader.close()
    assert any("SEARCH runs" in plan for plan in plans)
    assert not [plan for plan in plans if "SCAN runs" in plan and "runs_open" not in plan]
