"""Rows of facts with the finding that doctor draws from them."""

from dataclasses import replace
from typing import Any

import pytest

from pycrond.cli.doctor.facts import DaemonFacts, DirectoryFacts, MachineFacts, OtherCron
from pycrond.cli.doctor.rules import MIB, diagnose

RUNNING = DaemonFacts(is_locked=True, answers=True, pid=7, version="1", zone="UTC")
HEALTHY = MachineFacts(
    version="1",
    daemon=RUNNING,
    crontabs=("/etc/pycrond/crontabs",),
    other_crons=(),
    syslog="/dev/log",
    syslog_error="",
    log_stderr=False,
    zone="UTC",
    zone_exists=True,
    timezone_file="UTC",
    zone_source="TZ",
    synchronised=True,
    clock_programs=(),
    state=DirectoryFacts("/var/lib/pycrond", "ext4"),
    runtime=DirectoryFacts("/run/pycrond", "tmpfs"),
    unit="pycrond.service",
    kill_mode="process",
    mailer="/usr/sbin/sendmail",
    has_mailer=True,
)
SYSTEM = ("/etc/crontab", "/etc/cron.d", "/var/spool/cron")
CRON = OtherCron("cron (pid 5)", SYSTEM, "kill 5")
BUSYBOX = OtherCron("crond (pid 5)", ("/var/spool/cron/crontabs",), "kill 5")


def test_a_healthy_machine_has_no_warnings() -> None:
    findings = diagnose(HEALTHY)
    assert {finding.level for finding in findings} == {"ok"}
    assert [finding.about for finding in findings] == [
        *("daemon", "other-cron", "crontabs", "syslog", "zone", "clock", "disk", "systemd")
    ]


@pytest.mark.parametrize(
    ("facts", "level", "about", "text"),
    [
        ({"daemon": DaemonFacts(is_locked=False, answers=False)}, "warning", "daemon", "does not run"),
        ({"exposed_password": "/etc/p.toml"}, "problem", "password", "can read the password of the cluster"),
        ({"daemon": DaemonFacts(is_locked=True, answers=False)}, "problem", "daemon", "no daemon answers"),
        (
            {"daemon": DaemonFacts(is_locked=True, answers=False, jobs_left=2)},
            "warning",
            "daemon",
            "2 jobs still running",
        ),
        (
            {"daemon": DaemonFacts(is_locked=False, answers=False, stale_pid=9)},
            "warning",
            "pidfile",
            "names 9",
        ),
        ({"daemon": replace(RUNNING, version="0")}, "warning", "version", "installed is 1"),
        ({"daemon": replace(RUNNING, has_keeper=False)}, "warning", "keeper", "was killed"),
        ({"other_crons": (CRON,)}, "ok", "other-cron", "other crontabs than pycrond"),
        ({"other_crons": (CRON,), "crontabs": SYSTEM}, "problem", "other-cron", "every job runs twice"),
        ({"other_crons": (CRON,), "crontabs": ("/etc/cron.d",)}, "problem", "other-cron", "runs twice"),
        ({"other_crons": (CRON,), "crontabs": ("/etc/cron.daily",)}, "ok", "other-cron", "other crontabs"),
        ({"other_crons": (BUSYBOX,), "crontabs": SYSTEM}, "problem", "other-cron", "runs twice"),
        (
            {"crontab_errors": ("f:1:1: error: x", "y")},
            "problem",
            "crontabs",
            "2 errors, the first: f:1:1: error: x",
        ),
        ({"kept_crontabs": ("/c/a",)}, "problem", "last-good", "/c/a"),
        ({"failing_jobs": tuple("abcdefg")}, "problem", "failing", "7 jobs failed last: a, b, c, d, e, …"),
        ({"never_due_jobs": ("a",)}, "warning", "never-due", "1 job never due: a"),
        (
            {"jobs_with_mailto": ("a",), "has_mailer": False},
            "problem",
            "mail",
            "there is no /usr/sbin/sendmail",
        ),
        ({"syslog_error": "does not exist"}, "problem", "syslog", "/dev/log: does not exist"),
        ({"syslog_error": "does not exist", "log_stderr": True}, "warning", "syslog", "waits on disk"),
        ({"syslog": "none"}, "ok", "syslog", "none: messages go to standard output"),
        ({"zone": "Mars", "zone_exists": False}, "problem", "zone", "no time zone"),
        ({"zone": "Europe/Berlin"}, "warning", "zone", "the daemon runs in UTC, TZ here says Europe/Berlin"),
        ({"timezone_file": "Asia/Tokyo"}, "warning", "zone", "/etc/timezone says Asia/Tokyo"),
        ({"timezone_file": ""}, "ok", "zone", "UTC, by TZ"),
        ({"idle_crontabs": ("/etc/crontab",)}, "warning", "other-cron", "no cron runs the system's crontabs"),
        (
            {"idle_crontabs": ("/etc/crontab",), "other_crons": (CRON,)},
            "ok",
            "other-cron",
            "cron (pid 5) runs",
        ),
        ({"crontab_command": None}, "warning", "crontab", "no command crontab"),
        ({"synchronised": False}, "warning", "clock", "nothing runs"),
        (
            {"synchronised": None, "clock_programs": ("chronyd",)},
            "warning",
            "clock",
            "not yet synchronised (chronyd runs)",
        ),
        ({"state": DirectoryFacts("/s", "ext4", free_bytes=100 * MIB)}, "warning", "disk", "100 MiB free"),
        ({"state": DirectoryFacts("/s", "ext4", free_bytes=MIB)}, "problem", "disk", "1 MiB free"),
        ({"state": DirectoryFacts("/s", "ext4", free_inodes=10)}, "problem", "disk", "10 inodes free"),
        (
            {"state": DirectoryFacts("/s", "ext4", "its group may write it")},
            "problem",
            "state",
            "/s: its group",
        ),
        ({"runtime": DirectoryFacts("/r", "ext4")}, "warning", "runtime", "on ext4"),
        ({"ledger_bytes": 3 << 30}, "warning", "ledger", "3072 MiB"),
        ({"kill_mode": "control-group"}, "problem", "systemd", "kills all running jobs"),
    ],
)
def test_one_fact_differs(facts: dict[str, Any], level: str, about: str, text: str) -> None:
    (finding,) = [finding for finding in diagnose(replace(HEALTHY, **facts)) if finding.about == about]
    assert (finding.level, text in finding.text) == (level, True), finding
    assert bool(finding.remedy) is (level != "ok")


@pytest.mark.parametrize(
    ("zone", "remedy"),
    [
        ("UTC", "echo UTC > /etc/timezone"),
        ("America/Argentina/Buenos_Aires", "echo America/Argentina/Buenos_Aires > /etc/timezone"),
        ("Etc/GMT+3", "echo Etc/GMT+3 > /etc/timezone"),
        ("<+03>-3", "give both the same name of a time zone"),
        ("CET-1CEST,M3.5.0,M10.5.0/3", "give both the same name of a time zone"),
        ("/etc/localtime", "give both the same name of a time zone"),
        ("UTC; rm x", "give both the same name of a time zone"),
    ],
)
def test_a_zone_is_copied_only_where_it_is_a_name(zone: str, remedy: str) -> None:
    facts = replace(HEALTHY, zone=zone, timezone_file="Mars", daemon=replace(HEALTHY.daemon, zone=zone))
    (finding,) = [finding for finding in diagnose(facts) if finding.about == "zone"]
    assert finding.remedy == remedy
