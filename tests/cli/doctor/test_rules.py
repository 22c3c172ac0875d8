"""What doctor makes of facts, row by row."""

from dataclasses import replace
from typing import Any

import pytest

from pycrond.cli.doctor.facts import DaemonFacts, MachineFacts, OtherCron, PlaceFacts
from pycrond.cli.doctor.rules import MIB, diagnose

RUNNING = DaemonFacts(locked=True, answers=True, pid=7, version="1", zone="UTC")
WELL = MachineFacts(
    version="1",
    daemon=RUNNING,
    reads=("/etc/pycrond/crontabs",),
    rivals=(),
    syslog="/dev/log",
    syslog_trouble="",
    log_stderr=False,
    zone="UTC",
    zone_known=True,
    timezone_file="UTC",
    zone_from="TZ",
    synchronised=True,
    clock_programs=(),
    state=PlaceFacts("/var/lib/pycrond", "ext4"),
    runtime=PlaceFacts("/run/pycrond", "tmpfs"),
    unit="pycrond.service",
    kill_mode="process",
    mailer="/usr/sbin/sendmail",
    has_mailer=True,
)
SYSTEM = ("/etc/crontab", "/etc/cron.d", "/var/spool/cron")
CRON = OtherCron("cron (pid 5)", SYSTEM, "kill 5")
BUSYBOX = OtherCron("crond (pid 5)", ("/var/spool/cron/crontabs",), "kill 5")


def test_all_is_well() -> None:
    found = diagnose(WELL)
    assert {one.level for one in found} == {"ok"}
    assert [one.about for one in found] == [
        *("daemon", "other-cron", "crontabs", "syslog", "zone", "clock", "disk", "systemd"),
    ]


@pytest.mark.parametrize(
    ("facts", "level", "about", "text"),
    [
        ({"daemon": DaemonFacts(locked=False, answers=False)}, "warning", "daemon", "does not run"),
        ({"daemon": DaemonFacts(locked=True, answers=False)}, "problem", "daemon", "no daemon answers"),
        (
            {"daemon": DaemonFacts(locked=True, answers=False, left=2)},
            "warning",
            "daemon",
            "2 jobs still running",
        ),
        ({"daemon": DaemonFacts(locked=False, answers=False, stale_pid=9)}, "warning", "pidfile", "names 9"),
        ({"daemon": replace(RUNNING, version="0")}, "warning", "version", "installed is 1"),
        ({"daemon": replace(RUNNING, has_keeper=False)}, "warning", "keeper", "was killed"),
        ({"rivals": (CRON,)}, "ok", "other-cron", "other crontabs than we do"),
        ({"rivals": (CRON,), "reads": SYSTEM}, "problem", "other-cron", "every job runs twice"),
        ({"rivals": (CRON,), "reads": ("/etc/cron.d",)}, "problem", "other-cron", "runs twice"),
        ({"rivals": (CRON,), "reads": ("/etc/cron.daily",)}, "ok", "other-cron", "other crontabs"),
        ({"rivals": (BUSYBOX,), "reads": SYSTEM}, "problem", "other-cron", "runs twice"),
        ({"broken": ("f:1:1: error: x", "y")}, "problem", "crontabs", "2 errors, the first: f:1:1: error: x"),
        ({"kept": ("/c/a",)}, "problem", "last-good", "/c/a"),
        ({"failing": tuple("abcdefg")}, "problem", "failing", "7 jobs failed last: a, b, c, d, e, …"),
        ({"never": ("a",)}, "warning", "never-due", "1 job never due: a"),
        ({"mailed": ("a",), "has_mailer": False}, "problem", "mail", "there is no /usr/sbin/sendmail"),
        ({"syslog_trouble": "is not there"}, "problem", "syslog", "/dev/log: is not there"),
        ({"syslog_trouble": "is not there", "log_stderr": True}, "warning", "syslog", "waits on disk"),
        ({"zone": "Mars", "zone_known": False}, "problem", "zone", "no time zone"),
        ({"zone": "Europe/Berlin"}, "warning", "zone", "the daemon runs in UTC, TZ here says Europe/Berlin"),
        ({"timezone_file": "Asia/Tokyo"}, "warning", "zone", "/etc/timezone says Asia/Tokyo"),
        ({"timezone_file": ""}, "ok", "zone", "UTC, by TZ"),
        ({"synchronised": False}, "warning", "clock", "nothing runs"),
        (
            {"synchronised": None, "clock_programs": ("chronyd",)},
            "warning",
            "clock",
            "not yet synchronised (chronyd runs)",
        ),
        ({"state": PlaceFacts("/s", "ext4", free=100 * MIB)}, "warning", "disk", "100 MiB free"),
        ({"state": PlaceFacts("/s", "ext4", free=MIB)}, "problem", "disk", "1 MiB free"),
        ({"state": PlaceFacts("/s", "ext4", inodes=10)}, "problem", "disk", "10 inodes free"),
        ({"state": PlaceFacts("/s", "ext4", "its group may write it")}, "problem", "state", "/s: its group"),
        ({"runtime": PlaceFacts("/r", "ext4")}, "warning", "runtime", "on ext4"),
        ({"ledger": 3 << 30}, "warning", "ledger", "3072 MiB"),
        ({"kill_mode": "control-group"}, "problem", "systemd", "kills all running jobs"),
    ],
)
def test_one_thing_is_wrong(facts: dict[str, Any], level: str, about: str, text: str) -> None:
    (found,) = [one for one in diagnose(replace(WELL, **facts)) if one.about == about]
    assert (found.level, text in found.text) == (level, True), found
    assert bool(found.do) is (level != "ok")
