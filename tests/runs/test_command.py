"""The environment of a job with the option `inherit-env`: inherited variables and excluded variables."""

from datetime import UTC, datetime

import pytest

from pycrond.jobs.job import Account
from pycrond.jobs.run import Fire
from pycrond.runs.command import describe, inherited
from tests.conftest import jobs_of

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "name", ["DATABASE_URL", "PATH", "TZ", "LANG", "http_proxy", "A", "MAILTOX", "_A", "PGHOST"]
)
def test_a_job_inherits_ordinary_variables_only_with_the_option(name: str) -> None:
    assert inherited({name: "x"}, is_enabled=True) == {name: "x"}
    assert inherited({name: "x"}, is_enabled=False) == {}


@pytest.mark.parametrize(
    "name",
    [
        *("LD_PRELOAD", "LD_LIBRARY_PATH", "PYCROND_STATE_DIR", "NOTIFY_SOCKET"),
        *("LISTEN_FDS", "WATCHDOG_USEC", "INVOCATION_ID", "MAINPID", "SYSTEMD_EXEC_PID"),
        *("HOME", "SHELL", "LOGNAME", "USER", "PWD", "_", "MAILTO", "1A", "", "PGPASSWORD"),
    ],
)
def test_a_job_never_inherits_variables_that_are_for_the_daemon_or_its_user(name: str) -> None:
    assert inherited({name: "x"}, is_enabled=True) == {}


def environment(text: str) -> tuple[dict[str, str], tuple[str, ...]]:
    (job,) = jobs_of(text)
    daemon_variables = {"A": "daemon", "B": "daemon", "PATH": "/opt", "TMPDIR": "/t"}
    account = Account("me", 1, 1, "/home/me")
    launch = describe(Fire(job, NOON, 0), 1, account, "f", "/bin", inherited=daemon_variables)
    return dict(launch.environment), launch.arguments


def test_variables_of_the_crontab_replace_inherited_variables() -> None:
    variables, _ = environment("B=crontab\n* * * * * x\n")
    assert (variables["A"], variables["B"], variables["PATH"], variables["HOME"]) == (
        "daemon",
        "crontab",
        "/opt",
        "/home/me",
    )
    variables, _ = environment("PATH=/mine\n* * * * * x\n")
    assert variables["PATH"] == "/mine"


def test_the_program_of_a_job_is_the_shell_itself() -> None:
    """No other program gets the variables, and none shows them among its arguments."""
    text = "BASH_FUNC_echo%%=() { id; }\nLD_PRELOAD=/tmp/x.so\nSHELL=/tmp/sh\n* * * * * x\n"
    variables, arguments = environment(text)
    assert {"BASH_FUNC_echo%%", "LD_PRELOAD", "TMPDIR", "A"} < variables.keys()
    assert arguments == ("/tmp/sh", "-c", "x")
