"""The tables of `list` and `history`, whole, at 80 and at 200 columns, and their parts."""
# ruff: noqa: RUF001 -- the tables have such characters

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from rich.cells import cell_len

from pycrond.cli.daemon_requests import Presence
from pycrond.cli.data.job_status import NO_STANDING, JobStatus
from pycrond.cli.render import job_table, run_table
from pycrond.cli.render.table import lay_out
from pycrond.ledger.rows import DaemonRow, ExpectedRow, JobRow, PauseRow, RunRow
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
SILENT = FAILED._replace(bytes=0)
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
        job("report", "30 7 * * mon-fri", "America/New_York", "alice"),
        coming(NEW_YORK, hours=10),
        last=OK,
        passed=GAP,
        standing=NO_STANDING._replace(missed=12),
    ),
    JobStatus(job("moved"), coming(minutes=5), last=OK, pause=PAUSE),
    JobStatus(job("for-ever"), coming(minutes=5), last=SILENT, pause=PAUSE._replace(until=None, reason="")),
    JobStatus(job("備份-資料庫", user="www-data"), coming(days=3), last=SILENT),
    JobStatus(job("boots", "@reboot"), None),
    JobStatus(
        job("never", "0 0 30 2 *"), None, waiting=(run(11, ago(), "waiting", attempt=2, reason="lock: x"),)
    ),
    JobStatus(job("slow-and-failed"), coming(days=40), (RUNNING, RUNNING), FAILED, last_line="why"),
    JobStatus(
        job("fails-again"),
        coming(minutes=5),
        last=FAILED,
        last_line="No space left",
        standing=NO_STANDING._replace(failing_since=ago(hours=2), failures=5, skipped=3),
        passed=run(12, ago(), "skipped", reason="overlap: run 8 still runs"),
        overdue=ExpectedRow("root/fails-again", None, 1, 3600.0, ago(days=9), ago(hours=3)),
    ),
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
        "! report           13:00         10 h  07:00 EDT  02:55  ok              1.5 s",
        "    missed 12 times until 02:00: daemon-down",
        "= moved            paused         2 h             02:55  ok              1.5 s",
        "    paused until 05:00: the NAS is being moved",
        "! for-ever         paused                         02:00  exit 23     12 m 34 s",
        "    paused · it printed nothing",
        "! 備份-資料庫      Fri 03:00      3 d             02:00  exit 23     12 m 34 s",
        "    it printed nothing",
        "  boots            at boot                        -",
        "  never            never                          -",
        "    attempt 2 waits: lock: x",
        "> slow-and-failed  20 Jul 03:00  40 d             02:18  running ×2  42 m 30 s",
        "    before that, 02:00: exit 23: why",
        "! fails-again      03:05          4 m             02:00  exit 23     12 m 34 s",
        "    failing since 01:00, 5 times in a row · overdue since 01:00 · skipped 3 tim…",
    ]


def test_many_jobs_at_200() -> None:
    assert shown(MANY, 200) == [
        "  NAME             USER      SCHEDULE          NEXT            IN  ZONE                        LAST   ENDED            TOOK   USUALLY",
        "  health           root      */5 * * * *       03:05          4 m                              02:55  ok              1.5 s     1.4 s",
        "! backup           root      0 2 * * *         Wed 02:00     23 h                              02:00  exit 23     12 m 34 s  4 m 11 s",
        "    No space left",
        "> rsync~0123       root      @hourly           04:00          1 h                              02:18  running     42 m 30 s       3 s",
        "    it usually takes 3 s",
        "! report           alice     30 7 * * mon-fri  13:00         10 h  Tue 07:00 America/New_York  02:55  ok              1.5 s",
        "    missed 12 times until 02:00: daemon-down",
        "= moved            root      */5 * * * *       paused         2 h                              02:55  ok              1.5 s",
        "    paused until 05:00: the NAS is being moved",
        "! for-ever         root      */5 * * * *       paused                                          02:00  exit 23     12 m 34 s",
        "    paused · it printed nothing",
        "! 備份-資料庫      www-data  */5 * * * *       Fri 03:00      3 d                              02:00  exit 23     12 m 34 s",
        "    it printed nothing",
        "  boots            root      @reboot           at boot                                         -",
        "  never            root      0 0 30 2 *        never                                           -",
        "    attempt 2 waits: lock: x",
        "> slow-and-failed  root      */5 * * * *       20 Jul 03:00  40 d                              02:18  running ×2  42 m 30 s",
        "    before that, 02:00: exit 23: why",
        "! fails-again      root      */5 * * * *       03:05          4 m                              02:00  exit 23     12 m 34 s",
        "    failing since 01:00, 5 times in a row · overdue since 01:00 · skipped 3 times since: overlap: run 8 still runs · No space left",
    ]


@pytest.mark.parametrize("width", [1, 2, 5, 10, 20, 30, 40, 50, 60, 70, 90, 120, 160])
def test_the_table_fits_any_width(width: int) -> None:
    shown(MANY, width)


@pytest.mark.parametrize(
    ("order", "names"),
    [
        ("next", ["health", "moved", "for-ever", "fails-again", None, "report", "backup"]),
        ("last", ["health", None, "report", "moved", "slow-and-failed", "backup"]),
        ("name", ["backup", "boots", "fails-again", "for-ever", "health"]),
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
    assert plain(job_table.heading(daemon, Presence(running), THREE, NOW, 90)) == [text]
    assert job_table.heading(DAEMON, Presence(True), THREE[:1], NOW, 60) == [
        [("pycrond 0.1.0 runs, pid 42, since 01:00, 1 job", "")]
    ]


def test_a_long_heading_takes_two_lines() -> None:
    assert plain(job_table.heading(DAEMON, Presence(True), MANY, NOW, 75)) == [
        "pycrond 0.1.0 runs, pid 42, since 01:00, 11 jobs",
        "5 failed, 1 overdue, 1 missed, 2 running, 2 paused",
    ]


def test_headings_without_a_daemon_count_the_jobs_that_still_run() -> None:
    stopped = DAEMON._replace(stopped_at=ago(minutes=30))
    assert plain(job_table.heading(stopped, Presence(jobs_left=2), (), NOW, 90)) == [
        "pycrond does NOT run since 02:30, so 0 jobs will not start; 2 still run"
    ]
    assert plain(job_table.heading(DAEMON, Presence(restarts=True), (), NOW, 90)) == [
        "pycrond has died, its keeper starts it again, 0 jobs"
    ]


def test_urgent_jobs_come_first_and_as_many_as_fit() -> None:
    names = [status.job.name for status in sorted(MANY, key=job_table.urgency)]
    assert names[:6] == ["backup", "report", "for-ever", "備份-資料庫", "slow-and-failed", "fails-again"]
    assert names[6:8] == [None, "health"]
    below = {0: [("why", "")], 2: [("why", "")]}
    assert [job_table.fitting(4, below, height) for height in range(-1, 9)] == [0, 0, 0, 1, 2, 2, 3, 4, 4, 4]


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (MANY[-1], "failing since 01:00, 5 times in a row; overdue since 01:00"),
        (JobStatus(job("a"), None, last=FAILED), "exit 23 at 02:00"),
        (
            JobStatus(job("a"), None, standing=NO_STANDING._replace(failing_since=ago(hours=1), failures=1)),
            "failing since 02:00",
        ),
        (MANY[3], "missed 12 times until 02:00: daemon-down"),
        (THREE[0], ""),
    ],
)
def test_trouble_in_a_line(status: JobStatus, text: str) -> None:
    assert job_table.trouble(status, NOW) == text


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
        run_table.lay_out(
            run_table.columns(RUNS, NOW, {"root/backup": 12.0}, {23: "No space left on device"}), width
        )
    )
    assert all(cell_len(line) <= width for line in lines)
    return lines


def test_history_at_80() -> None:
    assert history(80) == [
        "RUN  FIRE                     NAME    ENDED         TOOK  USUAL  LATE  TRIGGER",
        " 25  02:56                    backup  running        4 m  20.0x  4 ms",
        " 24  02:51                    backup  ok            36 s   3.0x  4 ms  retry 2",
        " 23  02:46                    backup  exit 75     200 ms   0.0x  4 ms",
        "    No space left on device",
        " 10  01:00–02:00              backup  missed ×12                 4 ms",
        "    daemon-down",
        " 21  00:00                    backup  timed-out     30 m   150x  4 ms",
        "    timeout after 30m",
        " 20  Mon 23:00                backup  skipped",
        "    overlap: run 19 still runs",
        " 19  2 Mar 03:00–3 Mar 00:36  backup  ok ×288                    4 ms",
    ]


def test_the_reason_and_the_last_line_of_a_failure_are_whole_at_80() -> None:
    long = run(
        30, ago(minutes=1), "timed-out", 1800.0, reason="timeout: it ran for more than 1800 s", signal=15
    )
    name = "a-job-with-a-rather-long-name-in-deed"
    columns = run_table.columns([long._replace(name=name)], NOW, {}, {30: "copying file 3 of 7"})
    lines = plain(run_table.lay_out(columns, 80))
    assert lines[2] == "    timeout: it ran for more than 1800 s: copying file 3 of 7"
    (_, row) = plain(run_table.lay_out(run_table.columns([RUNS[2]], NOW, {}, {23: "No space left"}), 80))
    assert row.endswith("No space left")


def test_history_at_200() -> None:
    assert history(200) == [
        "RUN  FIRE                     NAME    ENDED         TOOK  USUAL       CPU  MEMORY  LATE  TRIGGER  REASON",
        " 25  02:56                    backup  running        4 m  20.0x            8.8 MB  4 ms",
        " 24  02:51                    backup  ok            36 s   3.0x     9.1 s  8.8 MB  4 ms  retry 2",
        " 23  02:46                    backup  exit 75     200 ms   0.0x     50 ms  8.8 MB  4 ms           No space left on device",
        " 10  01:00–02:00              backup  missed ×12                           8.8 MB  4 ms           daemon-down",
        " 21  00:00                    backup  timed-out     30 m   150x  7 m 30 s  2.4 GB  4 ms           timeout after 30m",
        " 20  Mon 23:00                backup  skipped                              8.8 MB                 overlap: run 19 still runs",
        " 19  2 Mar 03:00–3 Mar 00:36  backup  ok ×288                              8.8 MB  4 ms",
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


def test_series_of_runs_that_ended_equally_are_one_row() -> None:
    """Two jobs run each minute; one of them failed with two statuses in between."""
    minute = [run(60 - at, ago(minutes=at)) for at in range(1, 21)]
    bad = [row._replace(id=row.id + 100, key="root/bad", state="failed", exit_status=3) for row in minute]
    bad[10] = bad[10]._replace(exit_status=4)
    both = [row for pair in zip(minute, bad, strict=True) for row in pair]
    rows = run_table.grouped(both)
    shown = [(row.id, row.key, row.folded, row.exit_status) for row in rows]
    assert shown == [
        (59, "root/backup", 20, 0),
        (159, "root/bad", 10, 3),
        (149, "root/bad", None, 4),
        (148, "root/bad", 9, 3),
    ]
    assert (rows[0].fire, rows[0].until) == (minute[-1].fire, minute[0].fire)
    lines = plain(run_table.lay_out(run_table.columns(rows, NOW, {}, {}), 80))
    assert "02:40–02:59  backup  ok ×20" in lines[1]


def test_a_row_stands_only_for_runs_with_the_same_reason() -> None:
    reasons = ["no-database: no answer", "elsewhere: web2 has it", "elsewhere: web3 has it", "elsewhere"]
    skipped = [
        run(9 - at, ago(minutes=at), "skipped")._replace(reason=reason) for at, reason in enumerate(reasons)
    ]
    rows = run_table.grouped(skipped)
    assert [(row.id, row.folded, row.reason) for row in rows] == [(9, None, reasons[0]), (8, 3, reasons[1])]


def test_runs_that_go_on_and_rows_that_stand_for_several_runs_in_series() -> None:
    assert run_table.grouped([RUNS[0], RUNS[0]._replace(id=24)]) == [RUNS[0], RUNS[0]._replace(id=24)]
    (row,) = run_table.grouped([RUNS[-1], RUNS[-1]._replace(id=5, fire=ago(days=101), until=ago(days=100.1))])
    assert (row.folded, row.fire, row.until) == (576, ago(days=101), ago(days=99.1))


# JSON: keys are added, never renamed.


def test_a_success_on_another_node_after_a_failure_here() -> None:
    standing = NO_STANDING._replace(elsewhere_at=ago(hours=3))
    shared = JobStatus(job("shared"), coming(hours=5), last=FAILED, standing=standing)
    assert not shared.is_troubled
    row, below = shown([shared], 120)[-2:]
    assert "!" not in row
    assert below.strip().startswith("succeeded on another node ")


def test_a_job_as_json() -> None:
    status = JobStatus(job("a"), coming(minutes=5), (RUNNING,), FAILED, PAUSE, (OK,), 1.5, "why")
    document = json.loads(json.dumps(job_table.job_json(status)))
    needed = "key name display_name file line user schedule zone command options next running last paused"
    added = "waiting median_s last_line failing skipped_since missed_since succeeded_elsewhere_at overdue"
    assert {*needed.split(), *added.split()} == set(document)
    assert (document["next"], document["running"], document["last"]["id"]) == ("2025-06-10T01:05:00Z", [9], 8)
    assert document["options"] == {"timeout": 9}
    assert document["paused"] == {"until": rfc3339(PAUSE.until), "reason": PAUSE.reason}
    assert (document["waiting"], document["median_s"], document["last_line"]) == ([7], 1.5, "why")
    again = job_table.job_json(MANY[-1])
    assert again["failing"] == {"since": rfc3339(ago(hours=2)), "times": 5}
    assert (again["skipped_since"], again["missed_since"]) == (3, 0)
    assert again["overdue"] == {
        "since": rfc3339(ago(hours=2)),
        "expect_s": 3600.0,
        "succeeded_at": rfc3339(ago(hours=3)),
    }
    idle = job_table.job_json(JobStatus(job("a"), None))
    assert [idle[key] for key in ("next", "running", "last", "paused", "median_s")] == [
        None,
        [],
        None,
        None,
        None,
    ]
    assert datetime.fromisoformat(document["next"]).astimezone(UTC) == coming(minutes=5)


@pytest.mark.parametrize(
    ("printed", "remark"), [(0, "it printed nothing"), (9, "its output is empty lines, or no longer kept")]
)
def test_a_failed_run_without_a_line_of_output(printed: int, remark: str) -> None:
    (below,) = job_table.below(
        [JobStatus(job("backup"), coming(days=1), last=FAILED._replace(bytes=printed))], NOW
    ).values()
    assert plain([below]) == [remark]
