"""Which of the daemon's variables reach jobs with inherit-env, and what goes before them."""

from datetime import UTC, datetime

import pytest

from pycrond.jobs.job import Account
from pycrond.jobs.run import Fire
from pycrond.runs.command import describe, inherited
from tests.conftest import jobs_of

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("name", ["DATABASE_URL", "PATH", "TZ", "LANG", "http_proxy", "A", "MAILTOX", "_A"])
def test_what_is_given(name: str) -> None:
    assert inherited({name: "x"}, wanted=True) == {name: "x"}
    assert inherited({name: "x"}, wanted=False) == {}


@pytest.mark.parametrize(
    "name",
    [
        *("LD_PRELOAD", "LD_LIBRARY_PATH", "PYCROND_STATE_DIR", "NOTIFY_SOCKET"),
        *("LISTEN_FDS", "WATCHDOG_USEC", "INVOCATION_ID", "MAINPID", "SYSTEMD_EXEC_PID"),
        *("HOME", "SHELL", "LOGNAME", "USER", "PWD", "_", "MAILTO", "1A", ""),
    ],
)
def test_what_is_not(name: str) -> None:
    assert inherited({name: "x"}, wanted=True) == {}


def environment(text: str, groups: tuple[int, ...] | None = None) -> tuple[dict[str, str], tuple[str, ...]]:
    (job,) = jobs_of(text)
    given = {"A": "daemon", "B": "daemon", "PATH": "/opt", "TMPDIR": "/t"}
    account = Account("me", 1, 1, "/home/me")
    launch = describe(Fire(job, NOON, 0), 1, account, "f", "/bin", groups=groups, inherited=given)
    return dict(launch.environment), launch.arguments


def test_the_crontab_goes_before_it() -> None:
    found, _ = environment("B=crontab\n* * * * * x\n")
    assert (found["A"], found["B"], found["PATH"], found["HOME"]) == ("daemon", "crontab", "/opt", "/home/me")
    found, _ = environment("PATH=/mine\n* * * * * x\n")
    assert found["PATH"] == "/mine"


def test_none_of_it_that_could_make_a_program_load_or_write_files_reaches_one_of_root() -> None:
    found, arguments = environment("* * * * * x\n", groups=(1,))
    assert "TMPDIR" not in found
    assert "TMPDIR=/t" in arguments
    assert found["A"] == "daemon"
