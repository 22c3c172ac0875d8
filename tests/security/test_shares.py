"""A user who uses as many resources as possible does not prevent another user's jobs from running."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pycrond.ledger.rows import RunRow
from tests.conftest import wait_until
from tests.support.system import System

pytestmark = [pytest.mark.daemon, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
SPOOL = "var/spool/cron/crontabs"
WAIT = "while [ ! -e {0}/go ]; do sleep 0.05; done"


def of_user(system: System, user: str) -> list[RunRow]:
    """Return a user's runs, the oldest first."""
    runs = [run for run in system.crond.runs() if run.key.startswith(f"{user}/")]
    return sorted(runs, key=lambda run: run.id)


def states(system: System, user: str) -> list[str]:
    return [run.state for run in of_user(system, user)]


def write(system: System, user: str, text: str) -> None:
    system.write(f"{SPOOL}/{user}", f"HOME=/\n{text}")


def test_a_user_leaves_others_a_place_under_max_running(system: System, shared: Path) -> None:
    system.crond.environment["PYCROND_MAX_RUNNING"] = "3"
    wait = WAIT.format(shared)
    write(system, "nobody", f"@reboot {wait}\n" * 5)
    write(system, "games", "@reboot true\n" * 3)
    system.crond.run("start")
    wait_until(lambda: states(system, "games") == ["succeeded"] * 3)
    assert states(system, "nobody") == ["running"] * 2 + ["waiting"] * 3
    (shared / "go").touch()
    wait_until(lambda: states(system, "nobody") == ["succeeded"] * 5)


def test_the_fires_of_a_minute_start_in_turns(system: System) -> None:
    """A user with hundreds of jobs does not delay another user whose crontab comes later."""
    write(system, "bin", "@reboot true\n" * 200)
    write(system, "games", "@reboot true\n")
    system.crond.run("start")
    wait_until(lambda: all(run.ended_at for run in system.crond.runs()))
    begins = sorted(run.started_at for run in of_user(system, "bin") if run.started_at)
    (run,) = of_user(system, "games")
    assert len(begins) == 200
    assert run.started_at is not None
    assert run.started_at < begins[20]


def test_the_fires_of_a_user_that_wait_are_bounded(system: System, shared: Path) -> None:
    system.crond.environment["PYCROND_MAX_WAITING_USER"] = "4"
    wait = WAIT.format(shared)
    write(
        system, "nobody", f"PYCROND_OVERLAP=queue\nPYCROND_LOCK=mine\n@reboot {wait}\n" + "@reboot true\n" * 9
    )
    write(system, "games", "PYCROND_OVERLAP=queue\nPYCROND_LOCK=mine\n" + "@reboot true\n" * 3)
    system.crond.run("start")
    wait_until(lambda: states(system, "games") == ["succeeded"] * 3)
    assert states(system, "nobody") == ["running"] + ["waiting"] * 4 + ["skipped"] * 5
    skipped = of_user(system, "nobody")[-1]
    assert skipped.reason.startswith(
        "queue-full: the limit of the user's waiting fires is reached, lock: run "
    )
    (shared / "go").touch()
    wait_until(lambda: states(system, "nobody") == ["succeeded"] * 5 + ["skipped"] * 5)


def test_outputs_that_a_user_holds_open_count_as_its_runs(system: System, shared: Path) -> None:
    """Each output takes descriptors of the daemon as long as a background process has it open."""
    system.crond.environment["PYCROND_MAX_RUNNING_USER"] = "3"
    wait = WAIT.format(shared)
    write(system, "nobody", f"@reboot ({wait}) & true\n" * 5)
    write(system, "games", "@reboot true\n" * 5)
    system.crond.run("start")
    wait_until(lambda: states(system, "games") == ["succeeded"] * 5)
    wait_until(lambda: states(system, "nobody") == ["succeeded"] * 3 + ["waiting"] * 2)
    (shared / "go").touch()
    wait_until(lambda: states(system, "nobody") == ["succeeded"] * 5)


def test_the_catch_ups_of_a_user_do_not_delay_those_of_others(system: System) -> None:
    crond = system.crond
    crond.environment["PYCROND_MAX_CATCH_UPS_USER"] = "40"
    write(system, "nobody", "PYCROND_MISSED=all\n* * * * * true\n* * * * * sleep 0\n")
    write(system, "games", "PYCROND_MISSED=once\n30 11 * * * true\n")
    crond.at("2031-03-01 10:00:00")
    crond.run("start")
    crond.run("stop")
    crond.at("2031-03-01 12:00:30", wake=False)
    crond.run("start")
    wait_until(lambda: states(system, "games") == ["succeeded"])
    # One a second: 40 of them come before it where users take no turns.
    assert of_user(system, "games")[0].lateness_ms is not None
    began = of_user(system, "games")[0].started_at
    assert began is not None
    assert datetime.fromtimestamp(began, UTC) < datetime(2031, 3, 1, 12, 0, 50, tzinfo=UTC)
    runs = [run for run in of_user(system, "nobody") if run.trigger == "catch-up"]
    assert len(runs) == 40
    missed = [run for run in of_user(system, "nobody") if run.state == "missed"]
    assert [run.folded for run in missed] == [100, 100], "the older ones, in a row for each job"


def test_the_output_of_a_user_that_waits_for_syslog_is_bounded(system: System, shared: Path) -> None:
    """The spool never holds much more than the limit, however fast a job prints; nothing reads syslog here."""
    system.crond.environment |= {"PYCROND_SPOOL_LIMIT_USER": "2", "PYCROND_SPOOL_LIMIT": "50"}
    write(system, "nobody", f"@reboot yes | head -c 60000000; touch {shared}/done; sleep 100\n")
    write(system, "games", "@reboot echo kept\n")
    system.crond.run("start")
    largest = 0

    def is_done() -> bool:
        nonlocal largest
        largest = max(largest, spooled(system.crond.state))
        return (shared / "done").exists()

    wait_until(is_done)
    assert 0 < largest < 8_000_000, "2 MiB, what a turn of the loop reads, and the last segment of each run"
    assert "kept" in system.crond.run("logs", str(of_user(system, "games")[0].id)).stdout


def spooled(state: Path) -> int:
    """Return the size of all output on disk."""
    sizes = []
    for file in (state / "spool").rglob("*"):
        try:
            sizes.append(file.stat().st_size if file.is_file() else 0)
        except FileNotFoundError:
            continue
    return sum(sizes)
