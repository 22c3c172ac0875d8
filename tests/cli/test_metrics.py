"""pycrond metrics: its counters and labels, and the alert rules that use them."""

import re
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from pycrond.cli.metric_facts import Facts
from pycrond.cli.metric_families import Collector
from pycrond.jobs.run import Fire, Outcome, Reason, State
from pycrond.ledger.reader import Reader
from pycrond.ledger.rows import ExpectedRow, GapRow, JobRow, OldRow
from pycrond.ledger.totals import TotalsRow
from pycrond.ledger.writer import Ledger
from tests.conftest import jobs_of
from tests.ledger.test_writer import rows
from tests.support import promtool

NOW = 1_749_556_830.0
CONTRIB = Path(__file__).parents[2] / "contrib"
STATUS: dict[str, Any] = {
    "start": 7,
    "started_at": NOW - 900,
    "minute": NOW - 30,
    "jobs": 3,
    "errors": 1,
    "alarms": 2,
    "disk": {"waiting_bytes": 5, "kept_bytes": 7, "blocked_bytes": 3, "ledger_pending": 4},
    "lateness_ms": {"total": {"starts": 9, "seconds": 12.5, "within": {"0.1": 5, "1.0": 6, "10.0": 8}}},
}

NODE: dict[str, Any] = {
    "node": "a",
    "name": "test",
    "state": "idle",
    "detail": None,
    "away_s": 0,
    "clock_ms": -1500,
    "nodes": 5,
    "alive": 4,
    "draining": False,
    "draining_nodes": 1,
    "untold": 2,
    "untold_s": 60,
}


def job(name: str | None, key: str = "", user: str = "root") -> JobRow:
    return JobRow(key or f"{user}/{name}", name, user, "/f", 1, "@daily", None, "UTC", "true", "{}")


def totals(
    name: str | None, state: str = "succeeded", runs: int = 1, loaded: int = 1, user: str = "root"
) -> TotalsRow:
    return TotalsRow(user, name, loaded, state, NOW - 60, runs, 2.5 * runs, runs, 0, *[runs] * 5)


def samples(facts: Facts, max_jobs: int = 1000) -> dict[tuple[str, ...], float]:
    """Return the samples in a text of metrics: values by name and labels."""
    text = generate_latest(Collector(facts, max_jobs)).decode()
    values = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    assert not [sample for sample in values if not sample.name.startswith("pycrond_")]
    return {(sample.name, *dict(sorted(sample.labels.items())).values()): sample.value for sample in values}


def runs(facts: Facts, max_jobs: int = 1000) -> dict[tuple[str, ...], float]:
    """Return the counts of runs by job, outcome and user."""
    values = samples(facts, max_jobs).items()
    return {
        key[1:]: value
        for key, value in values
        if key[0] == "pycrond_runs_total" and (value or "failed" in key)
    }


def test_without_a_daemon_it_is_down_and_the_ledger_still_counts() -> None:
    values = samples(Facts(NOW, None, [job("a")], [totals("a", runs=3)]))
    assert values["pycrond_up",] == 0
    assert values["pycrond_runs_total", "a", "succeeded", "root"] == 3
    assert ("pycrond_jobs",) not in values


def test_the_figures_of_a_daemon() -> None:
    values = samples(Facts(NOW, STATUS))
    assert {name: value for (name, *labels), value in values.items() if not labels} == {
        "pycrond_up": 1,
        "pycrond_metrics_timestamp_seconds": NOW,
        "pycrond_daemon_starts_total": 7,
        "pycrond_daemon_start_timestamp_seconds": NOW - 900,
        "pycrond_last_minute_timestamp_seconds": NOW - 30,
        "pycrond_jobs": 3,
        "pycrond_crontab_errors": 1,
        "pycrond_delivery_backlog_bytes": 5,
        "pycrond_spool_bytes": 12,
        "pycrond_blocked_bytes": 3,
        "pycrond_ledger_pending_rows": 4,
        "pycrond_alarms_pending": 2,
        "pycrond_start_lateness_seconds_count": 9,
        "pycrond_start_lateness_seconds_sum": 12.5,
    }
    assert values["pycrond_start_lateness_seconds_bucket", "10.0"] == 8
    assert values["pycrond_start_lateness_seconds_bucket", "+Inf"] == 9
    old = samples(Facts(NOW, {"version": "0.0.9"}))
    assert (old["pycrond_up",], ("pycrond_jobs",) in old) == (1, False)


def test_the_figures_of_a_node() -> None:
    values = samples(Facts(NOW, STATUS | {"cluster": NODE}))
    assert {key: value for key, value in values.items() if key[0].startswith("pycrond_cluster_")} == {
        ("pycrond_cluster_connected",): 1,
        ("pycrond_cluster_nodes", "alive"): 3,
        ("pycrond_cluster_nodes", "draining"): 1,
        ("pycrond_cluster_nodes", "silent"): 1,
        ("pycrond_cluster_untold_fires",): 2,
        ("pycrond_cluster_untold_seconds",): 60,
        ("pycrond_cluster_clock_disagreement_seconds",): -1.5,
    }
    away = samples(Facts(NOW, STATUS | {"cluster": NODE | {"state": "down", "away_s": 1}}))
    assert away["pycrond_cluster_connected",] == 0


def test_the_series_of_a_job() -> None:
    expected = ExpectedRow("root/a", "a", 1, 60.0, 0.0, None)
    rows = [totals("a", runs=3), totals("a", "failed")._replace(ended_at=NOW)]
    facts = Facts(NOW, None, [job("a"), job("b")], rows, expected=[expected], overdue=frozenset({"root/a"}))
    values = samples(facts)
    assert values["pycrond_last_success_timestamp_seconds", "a", "root"] == NOW - 60
    assert values["pycrond_last_end_timestamp_seconds", "a", "root"] == NOW
    assert values["pycrond_run_duration_seconds_bucket", "a", "1.0", "root"] == 0
    assert values["pycrond_run_duration_seconds_bucket", "a", "10.0", "root"] == 4
    assert values["pycrond_run_duration_seconds_count", "a", "root"] == 4
    assert values["pycrond_run_duration_seconds_sum", "a", "root"] == 10
    assert values["pycrond_overdue_jobs", "a", "root"] == 1
    for outcome in ("failed", "timed-out", "lost", "unknown", "missed"):
        assert values["pycrond_runs_total", "b", outcome, "root"] == 0, "its first one is an increase"
    assert ("pycrond_overdue_jobs", "b", "root") not in values


def test_jobs_without_a_name_share_the_series_of_their_user() -> None:
    nameless = [job(None, "root/1234"), job(None, "root/5678"), job(None, "ada/1", "ada")]
    facts = Facts(NOW, None, nameless, [totals(None, runs=5), totals(None, runs=2, user="ada")])
    assert runs(facts) == {
        ("(unnamed)", "succeeded", "root"): 5,
        ("(unnamed)", "failed", "root"): 0,
        ("(unnamed)", "succeeded", "ada"): 2,
        ("(unnamed)", "failed", "ada"): 0,
    }


def test_beyond_a_number_of_jobs_they_share_one_series_and_no_counter_falls() -> None:
    names = ["a", "b", "c", "d"]
    facts = Facts(NOW, None, [*map(job, names)], [totals(name) for name in names])
    before = runs(facts, 2)
    assert before == {
        **{(name, "succeeded", "root"): 1 for name in "ab"},
        **{(name, "failed", "root"): 0 for name in "ab"},
        ("(others)", "succeeded", ""): 2,
        ("(others)", "failed", ""): 0,
    }
    left = [totals(name, loaded=name not in "ac") for name in names]
    gone = runs(replace(facts, jobs=[job("b"), job("d")], totals=left), 2)
    assert {key: value for key, value in before.items() if key[0] != "a"} == gone
    later = runs(replace(facts, jobs=[*facts.jobs, job("0")], totals=[*facts.totals, totals("0")]), 2)
    assert later == before | {("(others)", "succeeded", ""): 3}


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb", "a\x1bb", "a\udc80b", "a}b"])
def test_no_name_breaks_the_format(name: str) -> None:
    (key,) = {key[0] for key in runs(Facts(NOW, None, [job(name, "root/x")]))}
    assert key.isprintable()
    assert key[0] + key[-1] == "ab"


NOON = datetime(2025, 6, 10, 12, tzinfo=UTC)


def counts(directory: Path) -> Sequence[tuple[str | None, str, int, float]]:
    reader = Reader(str(directory))
    values = [(row.name, row.state, row.runs, row.duration_s) for row in reader.totals()]
    reader.close()
    return values


def test_the_ledger_counts_each_end_once_and_goes_on_counting_what_is_folded(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path / "ledger"))
    text = "#: name=a\n* * * * * true\n* * * * * false\n"
    ledger.load(rows(text), [], NOON)
    named, nameless = jobs_of(text)
    due = [(named, NOON), (named, NOON + timedelta(minutes=1)), (nameless, NOON)]
    ids = ledger.claim([Fire(job, at, int(at.timestamp()) // 60) for job, at in due])
    first, second, third = (run for run in ids if run)
    ledger.finished(
        [(first, Outcome(State.SUCCEEDED), NOON, 2.0), (third, Outcome(State.FAILED), NOON, 70.0)]
    )
    assert counts(tmp_path) == [("a", "succeeded", 1, 2.0), (None, "failed", 1, 70.0)]
    ledger.finished([(second, Outcome(State.SUCCEEDED), NOON, 3.0)])
    at = NOON.timestamp() + 120
    gap = GapRow(named.key, at, int(at) // 60, 0, 0, State.MISSED, Reason.DAEMON_DOWN, "", at, at + 60, 2)
    ledger.pass_over([gap])
    known = [("a", "succeeded", 2, 5.0), (None, "failed", 1, 70.0), ("a", "missed", 2, 0.0)]
    assert counts(tmp_path) == known
    old = [
        OldRow(run, at - 120 + index, int(at) // 60 - 2, 0, 0, 1, State.SUCCEEDED, 0)
        for index, run in enumerate((first, second))
    ]
    ledger.archive.fold(named.key, old)
    assert counts(tmp_path) == known
    ledger.load(rows("#: name=a\n* * * * * true\n"), [], NOON)
    ledger.file.write(("DELETE FROM runs", [()]))
    ledger.archive.forget_gone_jobs("", NOON.timestamp() + 1)
    keys = ledger.file.db.execute("SELECT DISTINCT key FROM run_totals")
    assert {key for (key,) in keys} == {"root/a", "root/"}
    assert sorted(counts(tmp_path), key=str) == sorted(known, key=str), (
        "a nameless job that is forgotten counts"
    )
    ledger.close()


def exported() -> set[str]:
    """Return the names of all samples."""
    facts = Facts(
        NOW,
        STATUS | {"cluster": NODE},
        [job("a")],
        [totals("a")],
        expected=[ExpectedRow("root/a", "a", 1, 1.0, 0.0, None)],
    )
    return {key[0] for key in samples(facts)}


RULES = yaml.safe_load((CONTRIB / "prometheus-rules.yaml").read_text())["groups"][0]["rules"]
TESTS = yaml.safe_load((CONTRIB / "prometheus-rules-test.yaml").read_text())["tests"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_uses_what_is_exported_and_has_a_test_in_which_it_fires_and_one_in_which_not(
    rule: Any,
) -> None:
    used = set(re.findall(r"pycrond_\w+", rule["expr"]))
    assert used
    assert not used - exported()
    cases = [case for test in TESTS for case in test["alert_rule_test"] if case["alertname"] == rule["alert"]]
    assert {bool(case["exp_alerts"]) for case in cases} == {True, False}


@pytest.mark.process
def test_promtool_passes_the_tests_of_the_rules() -> None:
    command = [promtool.program(), "test", "rules", "prometheus-rules-test.yaml"]
    done = subprocess.run(command, cwd=CONTRIB, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
