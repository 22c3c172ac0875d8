"""The judgement of status --check, and its two output formats."""

from typing import Any

import pytest

from pycrond.cli.health import Health, Level, Status, judge, line, nagios_line

NOW = 1_749_556_830.0  # half a minute after a whole one
ANSWER: dict[str, Any] = {
    "version": "1",
    "minute": NOW - 30,
    "lateness_ms": {"worst_recent": 12.3},
    "jobs": 3,
    "running": 1,
    "errors": 0,
    "files": 1,
    "kept": [],
    "keeper": True,
    "stopping": False,
    "disk": {"waiting_bytes": 7, "trouble": None, "ledger": None, "blocked_runs": 0},
}

NODE: dict[str, Any] = {
    "node": "a",
    "name": "test",
    "state": "idle",
    "detail": None,
    "away_s": 0,
    "clock_ms": 3,
    "nodes": 3,
    "alive": 2,
    "draining": False,
    "draining_nodes": 1,
    "untold": 2,
    "untold_s": 0,
}


@pytest.mark.parametrize(
    ("facts", "status", "level", "text"),
    [
        ({}, Status.HEALTHY, Level.OK, "3 jobs, 1 running, no start late"),
        ({"minute": NOW - 119}, Status.HEALTHY, Level.OK, "3 jobs, 1 running, no start late"),
        ({"minute": NOW + 3600}, Status.HEALTHY, Level.OK, "3 jobs, 1 running, no start late"),  # turned back
        (
            {"lateness_ms": {"worst_recent": None}},
            Status.HEALTHY,
            Level.OK,
            "3 jobs, 1 running, no start late",
        ),
        (
            {"minute": NOW - 240},
            *(Status.LATE, Level.CRITICAL),
            "the daemon is 3 m behind: it has not started the jobs of this time",
        ),
        (
            {"lateness_ms": {"worst_recent": 61_000.0}},
            *(Status.LATE, Level.CRITICAL),
            "a job started 1 m 1 s late in the last 10 min",
        ),
        ({"stopping": True}, Status.LATE, Level.CRITICAL, "pycrond is stopping and starts no more jobs"),
        ({"files": 0, "errors": 2}, Status.LATE, Level.CRITICAL, "no crontab is loaded: 2 errors"),
        (
            {"disk": {**ANSWER["disk"], "trouble": "No space left on device", "blocked_runs": 2}},
            *(Status.DISK, Level.CRITICAL),
            "output cannot be written (No space left on device): 2 runs held up",
        ),
        (
            {"disk": {**ANSWER["disk"], "ledger": "disk is full"}, "stopping": True},
            *(Status.LATE, Level.CRITICAL),
            "pycrond is stopping and starts no more jobs; the ledger cannot be written (disk is full)",
        ),
        (
            {"errors": 2, "kept": ["/etc/crontab"]},
            *(Status.HEALTHY, Level.WARNING),
            "2 errors in crontabs, 1 crontab in force as before",
        ),
        ({"files": 0}, Status.HEALTHY, Level.WARNING, "no crontab is loaded"),
        (
            {"keeper": False},
            *(Status.HEALTHY, Level.WARNING),
            "the keeper has ended: a daemon that dies is not started again",
        ),
        ({"cluster": NODE}, Status.HEALTHY, Level.OK, "3 jobs, 1 running, no start late"),
        (
            {"cluster": NODE | {"state": "down", "detail": "connection refused", "away_s": 61}},
            *(Status.HEALTHY, Level.WARNING),
            "the cluster's database has not been reached for 1 m 1 s (connection refused)",
        ),
        (
            {"cluster": NODE | {"state": "fenced", "detail": "host2 is node a", "away_s": 121}},
            *(Status.FENCED, Level.CRITICAL),
            "another machine has the name of node a (host2 is node a): shared jobs do not run here",
        ),
        (
            {"cluster": NODE | {"state": "fenced", "detail": "host2 is node a", "away_s": 60}},
            *(Status.HEALTHY, Level.OK),
            "3 jobs, 1 running, no start late",
        ),
        (
            {"cluster": NODE | {"untold_s": 301}},
            *(Status.HEALTHY, Level.WARNING),
            "the cluster's database has not acknowledged a verdict for 5 m 1 s",
        ),
    ],
)
def test_the_judgement(facts: dict[str, Any], status: Status, level: Level, text: str) -> None:
    assert judge(ANSWER | facts, NOW, 60.0)[:3] == (status, level, text)


def test_the_limit_is_an_option() -> None:
    assert judge(ANSWER, NOW, 0.01).text == "a job started 12 ms late in the last 10 min"


def test_a_daemon_of_an_older_version_is_unknown() -> None:
    assert judge({"version": "0.0.9"}, NOW, 60.0).level == Level.UNKNOWN


def test_both_forms_are_a_line() -> None:
    health = judge(ANSWER, NOW, 60.0)
    assert line(health) == "healthy: 3 jobs, 1 running, no start late"
    assert nagios_line(health) == (
        "PYCROND OK - 3 jobs, 1 running, no start late |"
        " behind=0s;;60 lateness=0.012s;;60 jobs=3 running=1 errors=0;0 backlog=7B"
    )
    assert nagios_line(Health(Status.LATE, Level.UNKNOWN, "a|b")) == "PYCROND UNKNOWN - a/b"
    assert line(judge(ANSWER | {"files": 0}, NOW, 60.0)) == "warning: no crontab is loaded"
