"""The tables of `list` and `history`, whole, at 80 and at 200 columns, and their parts."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from rich.cells import cell_len

from pycrond.cli.render import job_table, run_table
from pycrond.cli.render.job_table import JobStatus
from pycrond.cli.render.table import lay_out
from pycrond.ledger.rows import DaemonRow, JobRow, PauseRow, RunRow
from pycrond.text import rfc3339
from tests.cli.render.test_table import plain

BERLIN, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")
NOW = datetime(2025, 6, 10, 3, 0, 30, tzinfo=BERLIN)


def ago(**duration: float) -> float:
    return (NOW - timedelta(**duration)).timestamp()


def coming(zone: ZoneInfo = BERLIN, **duration: float) -> datetime:
    return (NOW.replace(second=0) + timedelta(**duration)).astimezone(zone)


def job(
    name: str | None, schedule: str = "*/5 * * * *", zone: str = "Europe/Berlin", user: str = "root"
) -> JobRow:
    canonical = None if schedule == "@reboot" else "canonical"
    key = f"{user}/{name or '0123456789ab'}"
    return JobRow(
        key, name, user, "/etc/a", 3, schedule, canonical, zone, "rsync -a /srv nas:/srv", '{"timeout": 9}'
    )


def run(
    number: int, started: float, state: str = "succeeded", took: float | None = 1.5, **more: object
) -> RunRow:
    row = RunRow(
        id=number,
        key="root/backup",
        name="backup",
        fire=started,
        trigger="schedule",
        attempt=1,
        state=state,
        reason="",
        pid=99,
        started_at=started + 0.004,
        ended_at=None if took is None else started + took,
        duration_s=took,
        exit_status=0 if state == "succeeded" else None,
        signal=None,
        cpu_s=None if took is None else took / 4,
        max_rss_kb=9000,
        lateness_ms=4.0,
        bytes=12,
        until=None,
        folded=None,
    )
    return row._replace(**more)  # type: ignore[arg-type]


OK = run(7, ago(minutes=5, seconds=30))
FAILED = run(8, ago(hours=1, seconds=30), "failed", 754.0, exit_status=23)
RUNNING = run(9, ago(minutes=42, seconds=30), "running", None)
GAP = run(
    10, ago(hours=2), "missed", None, started_at=None, until=ago(hours=1), folded=12, reason="daemon-down"
)
PAUSE = PauseRow("root/x", ago(hours=1), (NOW + timedelta(hours=2)).timestamp(), "the NAS is being moved")

THREE = [
    JobStatus(job("health"), coming(minutes=5), last=OK, median_s=1.4),
    JobStatus(
        job("backup", "0 2 * * *"), coming(hours=23), last=FAILED, median_s=251.0, last_line="No space left"
    ),
    JobStatus(job(None, "@hourly"), coming(hours=1), (RUNNING,), OK, median_s=3.0),
]
MANY = [
    *THREE,
    JobStatus(
        job("report", "30 7 * * mon-fri", "America/New_York", "alice"), coming(NEW_YORK, hours=10), last=GAP
    ),
    JobStatus(job("moved"), coming(minutes=5), last=OK, pause=PAUSE),
    JobStatus(job("for-ever"), coming(minutes=5), last=FAILED, pause=PAUSE._replace(until=None, reason="")),
    JobStatus(job("備份-資料庫", user="www-data"), coming(days=3), last=FAILED),
    JobStatus(job("boots", "@reboot"), None),
    JobStatus(
        job("never", "0 0 30 2 *"), None, waiting=(run(11, ago(), "waiting", attempt=2, reason="lock: x"),)
    ),
    JobStatus(job("slow-and-failed"), coming(days=40), (RUNNING, RUNNING), FAILED, last_line="why"),
]


def shown(jobs: Sequence[JobStatus], width: int) -> list[str]:
    lines = plain(lay_out(job_table.columns(jobs, NOW, width), width, job_table.below(jobs, NOW)))
    assert all(cell_len(line) <= width for line in lines)
    return lines


def test_three_jobs_at_80() -> None:
    assert shown(THREE, 80) == [
        "  NAME        SCHEDULE     NEXT         IN  LAST   ENDED         TOOK   USUALLY",
        "  health      */5 * * * *  03:05       4 m  02:55  ok           1.5 s     1.4 s",
        "! backup      0 2 * * *    Wed 02:00  23 h  02:00  exit 23  12 m 34 s  4 m 11 s",
        "    No space left",
        "> rsync~0123  @hourly      04:00       1 h  02:18  running  42 m 30 s       3 s",
        "    it usually takes 3 s",
    ]


def test_three_jobs_at_200() -> None:
    assert shown(THREE, 200) == [
        "  NAME        SCHEDULE     NEXT         IN  LAST   ENDED         TOOK   USUALLY",
        "  health      */5 * * * *  03:05       4 m  02:55  ok           1.5 s     1.4 s",
        "! backup      0 2 * * *    Wed 02:00  23 h  02:00  exit 23  12 m 34 s  4 m 11 s",
        "    No space left",
        "> rsync~0123  @hourly      04:00       1 h  02:18  running  42 m 30 s       3 s",
        "    it usually takes 3 s",
    ]


def test_many_jobs_at_80() -> None:
    assert shown(MANY, 80) == [
        "  NAME             NEXT            IN  ZONE       LAST   ENDED            TOOK",
        "  health           03:05          4 m             02:55  ok              1.5 s",
        "! backup           Wed 02:00     23 h             02:00  exit 23     12 m 34 s",
        "    No space left",
        "> rsync~0123       04:00          1 h             02:18  running     42 m 30 s",
        "    it usually takes 3 s",
        "! report           13:00         10 h  07:00 EDT  01:00  missed x12",
        "    missed until 02:00: daemon-down",
        "= moved            paused         2 h             02:55  ok              1.5 s",
        "    paused until 05:00: the NAS is being moved",
        "! for-ever         paused                         02:00  exit 23     12 m 34 s",
        "    paused · it printed nothing",
        "! 備份-資料庫      Fri 03:00      3 d             02:00  exit 23     12 m 34 s",
        "    it printed nothing",
        "  boots            at boot                        -",
        "  never            never                          -",
        "    attempt 2 waits: lock: x",
        "> slow-and-failed  20 Jul 03:00  40 d             02:18  running x2  42 m 30 s",
        "    before that, 02:00: exit 23: why",
    ]


def test_many_jobs_at_200() -> None:
    assert shown(MANY, 200) == [
        "  NAME             USER      SCHEDULE          NEXT            IN  ZONE                        LAST   ENDED            TOOK   USUALLY",
        "  health           root      */5 * * * *       03:05          4 m                              02:55  ok              1.5 s     1.4 s",
        "! backup           root      0 2 * * *         Wed 02:00     23 h                              02:00  exit 23     12 m 34 s  4 m 11 s",
        "    No space left",
        "> rsync~0123       root      @hourly           04:00          1 h                              02:18  running     42 m 30 s       3 s",
        "    it usually takes 3 s",
        "! report           alice     30 7 * * mon-fri  13:00         10 h  Tue 07:00 America/New_York  01:00  missed x12",
        "    missed until 02:00: daemon-down",
        "= moved            root      */5 * * * *       paused         2 h                              02:55  ok              1.5 s",
        "    paused until 05:00: the NAS is being moved",
        "! for-ever         root      */5 * * * *       paused                                          02:00  exit 23     12 m 34 s",
        "    paused · it printed nothing",
        "! 備份-資料庫      www-data  */5 * * * *       Fri 03:00      3 d                              02:00  exit 23     12 m 34 s",
        "    it printed nothing",
        "  boots            root      @reboot           at boot                                         -",
        "  never            root      0 0 30 2 *        never                                           -",
        "    attempt 2 waits: lock: x",
        "> slow-and-failed  root      */5 * * * *       20 Jul 03:00  40 d                              02:18  running x2  42 m 30 s",
        "    before that, 02:00: exit 23: why",
    ]


@pytest.mark.parametrize("width", [1, 2, 5, 10, 20, 30, 40, 50, 60, 70, 90, 120, 160])
def test_the_table_fits_any_width(width: int) -> None:
    shown(MANY, width)


@pytest.mark.parametrize(
    ("order", "names"),
    [
        ("next", ["health", "moved", "for-ever", None, "report", "backup"]),
        ("last", ["health", None, "moved", "slow-and-failed", "backup"]),
        ("name", ["backup", "boots", "for-ever", "health", "moved", "never", "report", None]),
    ],
)
def test_orders(order: str, names: list[str | None]) -> None:
    ordered = [status.job.name for status in sorted(MANY, key=job_table.ORDERS[order])]
    assert ordered[: len(names)] == names


DAEMON = DaemonRow(42, "0.1.0", ago(hours=2), ago(hours=2), ago(hours=2), None)


@pytest.mark.parametrize(
    ("daemon", "running", "text"),
    [
        (None, False, "pycrond has not run yet"),
        (DAEMON, True, "pycrond 0.1.0 runs, pid 42, since 01:00, 3 jobs: 1 failed, 1 running"),
        (DAEMON, False, "pycrond does NOT run, so 3 jobs will not start: 1 failed, 1 running"),
        (
            DAEMON._replace(stopped_at=ago(days=1)),
            False,
            "pycrond does NOT run since Mon 03:00, so 3 jobs will not start: 1 failed, 1 running",
        ),
    ],
)
def test_heading(daemon: DaemonRow | None, running: bool, text: str) -> None:
    assert plain(job_table.heading(daemon, running, THREE, NOW, 90)) == [text]
    assert job_table.heading(DAEMON, True, THREE[:1], NOW, 60) == [
        [("pycrond 0.1.0 runs, pid 42, since 01:00, 1 job", "")]
    ]


def test_a_long_heading_takes_two_lines() -> None:
    assert plain(job_table.heading(DAEMON, True, MANY, NOW, 75)) == [
        "pycrond 0.1.0 runs, pid 42, since 01:00, 10 jobs",
        "5 failed, 2 running, 2 paused",
    ]


# history


RUNS = [
    run(25, ago(minutes=4), "running", None),
    run(24, ago(minutes=9), took=36.2, trigger="retry", attempt=2),
    run(23, ago(minutes=14), "failed", 0.2, exit_status=75),
    GAP,
    run(21, ago(hours=3), "timed-out", 1800.0, reason="timeout after 30m", signal=15, max_rss_kb=2_500_000),
    run(
        20,
        ago(hours=4),
        "skipped",
        None,
        started_at=None,
        reason="overlap: run 19 still runs",
        lateness_ms=None,
    ),
    run(19, ago(days=100), took=None, folded=288, until=ago(days=99.1), started_at=None),
]


def history(width: int) -> list[str]:
    lines = plain(
        lay_out(run_table.columns(RUNS, NOW, {"root/backup": 12.0}, {23: "No space left on device"}), width)
    )
    assert all(cell_len(line) <= width for line in lines)
    return lines


def test_history_at_80() -> None:
    assert history(80) == [
        "RUN  NAME    FIRE         ENDED         TOOK  USUAL  TRIGGER  REASON",
        " 25  backup  02:56        running        4 m  20.0x",
        " 24  backup  02:51        ok            36 s   3.0x  retry 2",
        " 23  backup  02:46        exit 75     200 ms   0.0x           No space left on …",
        " 10  backup  01:00        missed x12                          until 02:00: daem…",
        " 21  backup  00:00        timed-out     30 m   150x           timeout after 30m",
        " 20  backup  Mon 23:00    skipped                             overlap: run 19 s…",
        " 19  backup  2 Mar 03:00  ok x288                             until 3 Mar 00:36",
    ]


def test_history_at_200() -> None:
    assert history(200) == [
        "RUN  NAME    FIRE         ENDED         TOOK  USUAL       CPU  MEMORY  LATE  TRIGGER  REASON",
        " 25  backup  02:56        running        4 m  20.0x            8.8 MB  4 ms",
        " 24  backup  02:51        ok            36 s   3.0x     9.1 s  8.8 MB  4 ms  retry 2",
        " 23  backup  02:46        exit 75     200 ms   0.0x     50 ms  8.8 MB  4 ms           No space left on device",
        " 10  backup  01:00        missed x12                           8.8 MB  4 ms           until 02:00: daemon-down",
        " 21  backup  00:00        timed-out     30 m   150x  7 m 30 s  2.4 GB  4 ms           timeout after 30m",
        " 20  backup  Mon 23:00    skipped                              8.8 MB                 overlap: run 19 still runs",
        " 19  backup  2 Mar 03:00  ok x288                              8.8 MB  4 ms           until 3 Mar 00:36",
    ]


@pytest.mark.parametrize(
    ("took", "median", "text"),
    [
        (None, 1.0, ""),
        (1.0, None, ""),
        (1.0, 0.0, ""),
        (0.04, 0.01, ""),
        (36.3, 12.1, "3.0x"),
        (12.0, 12.0, "1.0x"),
        (0.04, 12.0, "0.0x"),
        (12_000.0, 12.0, "1000x"),
    ],
)
def test_durations_compared_with_the_median(took: float | None, median: float | None, text: str) -> None:
    assert run_table.compared(took, median).text == text


@pytest.mark.parametrize(
    ("kibibytes", "text"), [(None, ""), (9, "9 kB"), (9000, "8.8 MB"), (2_500_000, "2.4 GB")]
)
def test_memory(kibibytes: int | None, text: str) -> None:
    assert run_table.memory(kibibytes) == text


@pytest.mark.parametrize(
    ("milliseconds", "text"), [(None, ""), (4.4, "4 ms"), (2500.0, "2.5 s"), (3.6e6, "1 h")]
)
def test_lateness(milliseconds: float | None, text: str) -> None:
    assert run_table.lateness(milliseconds) == text


# JSON: keys are added, never renamed.


def test_a_job_as_json() -> None:
    status = JobStatus(job("a"), coming(minutes=5), (RUNNING,), FAILED, PAUSE, (OK,), 1.5, "why")
    document = json.loads(json.dumps(job_table.job_json(status)))
    needed = "key name display_name file line user schedule zone command options next running last paused"
    assert {*needed.split(), "waiting", "median_s", "last_line"} == set(document)
    assert (document["next"], document["running"], document["last"]["id"]) == ("2025-06-10T01:05:00Z", [9], 8)
    assert document["options"] == {"timeout": 9}
    assert document["paused"] == {"until": rfc3339(PAUSE.until), "reason": PAUSE.reason}
    assert (document["waiting"], document["median_s"], document["last_line"]) == ([7], 1.5, "why")
    idle = job_table.job_json(JobStatus(job("a"), None))
    assert [idle[key] for key in ("next", "running", "last", "paused", "median_s")] == [
        None,
        [],
        None,
        None,
        None,
    ]
    assert datetime.fromisoformat(document["next"]).astimezone(UTC) == coming(minutes=5)
