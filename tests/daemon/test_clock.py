"""A clock that is set back by days, a clock that is wrong when a daemon starts, and a new /etc/localtime."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Crond, wait_until
from tests.support import faketime
from tests.support.loop import Log

pytestmark = pytest.mark.daemon

SOON = 12  # seconds, a little more than the first retry of a mail


class Clock:
    """The wall clock of a pycrond; elapsed time is not changed."""

    def __init__(self, crond: Crond) -> None:
        self.crond = crond
        crond.environment |= {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}

    def set(self, moment: str) -> None:
        """Set the clock, and wait until the due jobs have ended."""
        self.crond.at(moment)
        wait_until(lambda: not (self.crond.status() or {"running": 0})["running"])

    def stop(self) -> None:
        """Stop the daemon by a command with the real clock, because libfaketime breaks sleep in this mode."""
        environment = {name: value for name, value in self.crond.environment.items() if name != "LD_PRELOAD"}
        self.crond.run("stop", env=environment)


@pytest.fixture
def clock(crond: Crond) -> Clock:
    faketime.library()
    return Clock(crond)


def spans(crond: Crond, name: str, state: str) -> list[tuple[str, str, int]]:
    """Return the first fire, the last fire and the number of fires of a job's rows in a state."""
    return [
        (run["fire"][5:16], run["until"][5:16], run["count"])
        for run in crond.history()[::-1]
        if run["name"] == name and run["state"] == state
    ]


def test_all_that_waits_goes_on_waiting_as_long_when_the_clock_is_set_back_by_days(clock: Clock) -> None:
    crond, tries = clock.crond, clock.crond.directory / "tries"
    mailer = crond.directory / "mailer"
    mailer.write_text(f"#!/bin/sh\necho >> {tries}\nexit 75\n")
    mailer.chmod(0o755)
    crond.environment["PYCROND_MAILER"] = str(mailer)
    crond.write(
        "jobs",
        "#: name=mailed\n0 12 * * * echo hello\n#: name=retried retries=1 retry-delay=8s mail=never\n0 12 * * * false\n"
        "#: name=paused\n* * * * * true\n",
    )
    clock.set("2031-03-10 11:59:30")
    crond.run("start")
    crond.run("pause", "paused", "--for", "60s")
    clock.set("2031-03-10 12:00:01")
    wait_until(tries.exists)
    clock.set("2031-03-04 09:10:05")
    wait_until(lambda: len(tries.read_text()) > 1, SOON)  # the mail is tried again
    wait_until(
        lambda: [run.state for run in crond.runs() if run.name == "retried"] == ["failed", "failed"], SOON
    )
    assert crond.json("list")["jobs"][2]["paused"]["until"].startswith("2031-03-04T09:1")


def test_a_clock_that_is_behind_at_the_start_loses_nothing_and_the_audit_accuses_nobody(clock: Clock) -> None:
    crond = clock.crond
    crond.write("jobs", "#: name=each\n* * * * * true\n#: name=fixed\n0-59/2 0-23 * * * true\n")
    clock.set("2031-03-10 12:00:30")
    crond.run("start")
    for second in ("12:01:01", "12:02:01", "12:03:01"):
        clock.set(f"2031-03-10 {second}")
    clock.stop()
    crond.write("more", "#: name=new\n* * * * * true\n#: name=newfixed\n3,5 8 * * * true\n")
    clock.set("2031-03-05 08:00:30")
    crond.run("start")
    clock.set("2031-03-05 08:03:01")
    assert "all accounted for" in crond.run("audit").stdout
    clock.stop()
    crond.run("start")  # still behind: the record of the later time survives a restart
    clock.set("2031-03-10 13:00:20")
    clock.set("2031-03-10 13:01:01")
    assert "all accounted for" in crond.run("audit").stdout
    assert spans(crond, "each", "missed") == [("03-10T12:04", "03-10T13:00", 57)]
    assert spans(crond, "fixed", "missed") == [("03-10T12:04", "03-10T13:00", 29)]
    started = [(run["fire"], run["key"]) for run in crond.history() if run["started_at"]]
    assert len(started) == len(set(started))


def test_fires_between_a_clock_set_back_and_its_old_time_are_not_lost_after_a_restart(clock: Clock) -> None:
    crond = clock.crond
    crond.write("jobs", "#: name=hourly\n30 0-23 * * * true\n#: name=each missed=all\n* * * * * true\n")
    clock.set("2031-03-10 10:29:30")
    crond.run("start")
    clock.set("2031-03-10 10:30:01")
    clock.set("2031-03-10 10:31:01")
    clock.set("2031-03-10 10:20:01")
    clock.stop()
    clock.set("2031-03-10 12:40:10")
    crond.run("start")
    assert spans(crond, "hourly", "missed") == [("03-10T11:30", "03-10T12:30", 2)]
    assert "all accounted for" in crond.run("audit").stdout


# The time zone of the machine

needs_mounts = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root and unshare(1)"
)


@pytest.fixture
def localtime(crond: Crond) -> Iterator[Path]:
    """The file /etc/localtime of a pycrond, in Berlin."""
    etc = crond.directory / "etc"
    shutil.copytree("/etc", etc, symlinks=True, ignore_dangling_symlinks=True)
    file = etc / "localtime"
    link(file, "Europe/Berlin")
    mount = ["unshare", "--mount", "--propagation", "private", "sh", "-c"]
    crond.prefix = [*mount, 'mount --bind "$0" /etc && exec "$@"', str(etc)]
    yield file


def link(file: Path, zone: str) -> None:
    """Replace the link by a rename, as `timedatectl set-timezone` does."""
    new = file.with_name("new")
    new.symlink_to(f"/usr/share/zoneinfo/{zone}")
    new.replace(file)


@needs_mounts
def test_another_time_zone_is_followed_from_the_next_minute_on(crond: Crond, localtime: Path) -> None:
    crond.write(
        "jobs",
        "#: name=noon\n0 12 * * * true\n#: name=half\n30 13 * * * true\n#: name=each\n* * * * * true\n"
        "CRON_TZ=Europe/Berlin\n#: name=berlin\n31 12 * * * true\n",
    )
    crond.at("2031-03-10 10:59:30")
    del crond.environment["TZ"]

    log = Log(crond.syslog)
    log.open()

    def at(moment: str) -> None:
        log.read()
        crond.at(moment)
        del crond.environment["TZ"]
        wait_until(lambda: not (crond.status() or {})["running"])

    crond.run("start")
    at("2031-03-10 11:00:01")
    at("2031-03-10 11:30:01")
    link(localtime, "Europe/London")
    at("2031-03-10 11:31:01")  # in Berlin 12:31
    assert (crond.status() or {})["zone"] == "Europe/London"
    assert {job["name"]: job["zone"] for job in crond.json("list")["jobs"]} == {
        **dict.fromkeys(("noon", "half", "each"), "Europe/London"),
        "berlin": "Europe/Berlin",
    }
    at("2031-03-10 12:00:01")  # a second noon
    localtime.unlink()
    shutil.copy("/usr/share/zoneinfo/Europe/Helsinki", localtime)
    at("2031-03-10 12:01:01")  # 14:01 in Helsinki: the clock was set forward, past 13:30
    assert (crond.status() or {})["zone"] == "Europe/Helsinki"
    at("2031-03-10 12:02:01")
    fires = {(run["name"], run["fire"][11:16]) for run in crond.history() if run["name"] != "each"}
    assert fires == {("noon", "11:00"), ("berlin", "11:31"), ("half", "12:01")}
    assert "all accounted for" in crond.run("audit").stdout

    def zone_lines() -> list[str]:
        log.read()
        return [detail for detail in log.details("INFO") if "zone" in detail]

    wait_until(lambda: len(zone_lines()) == 2)
    assert zone_lines() == [
        "the time zone is now Europe/London, it was Europe/Berlin",
        "the time zone is now Europe/Helsinki, it was Europe/London",
    ]
    log.close()
