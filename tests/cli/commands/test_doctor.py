"""`pycrond doctor` beside a real daemon."""

import json
import os
import signal
from typing import Any

import pytest

from tests.conftest import Crond, wait_until
from tests.support.rsyslog import Rsyslogd

pytestmark = pytest.mark.daemon


def found(crond: Crond) -> dict[str, dict[str, Any]]:
    document = json.loads(crond.run("doctor", "--json", status=None).stdout)
    return {one["about"]: one for one in document["findings"]}


def test_a_daemon_that_is_well(crond: Crond, rsyslogd: Rsyslogd) -> None:
    crond.environment["PYCROND_SYSLOG"] = rsyslogd.path
    crond.write("jobs", "* * * * * true\n")
    crond.run("start")
    seen = found(crond)
    for name in ("daemon", "crontabs", "syslog", "disk"):
        assert seen[name]["level"] == "ok"
    assert not {"version", "keeper", "pidfile", "failing", "last-good", "never-due", "state"} & seen.keys()
    assert all(one["do"] for one in seen.values() if one["level"] != "ok")


def test_what_is_wrong_is_told_and_is_exit_status_1(crond: Crond) -> None:
    jobs = "MAILTO=me@example.org\n#: name=bad\n@reboot false\n#: name=never\n0 0 30 2 * x\n"
    crond.write("jobs", jobs)
    crond.environment["PYCROND_MAILER"] = "/nowhere/sendmail"
    crond.run("start")
    wait_until(lambda: [run.state for run in crond.runs()] == ["failed"])
    crond.write("jobs", jobs + "61 * * * * x\n")
    crond.run("reload", status=1)
    lines = crond.run("doctor", status=1).stdout.splitlines()
    told = "\n".join(line for line in lines if line.startswith("problem"))
    for word in ("1 error", "last-good", "1 job failed last: bad", "mail: 2 jobs", "log: does not exist"):
        assert word in told
    assert "warning  never-due: 1 job never due: never  -> " in "\n".join(lines)


def test_a_daemon_that_is_gone(crond: Crond) -> None:
    crond.write("jobs", "* * * * * true\n")
    assert found(crond)["daemon"]["text"] == "does not run"
    crond.run("start")
    pid, keeper = crond.pid, crond.keeper
    for one in (keeper, pid):
        os.kill(one, signal.SIGKILL)
    wait_until(lambda: found(crond)["daemon"]["text"] == "does not run")
    assert str(pid) in found(crond)["pidfile"]["text"]


def test_a_keeper_that_is_gone_and_a_daemon_that_hangs(crond: Crond) -> None:
    crond.write("jobs", "* * * * * true\n")
    crond.run("start")
    os.kill(crond.keeper, signal.SIGKILL)
    wait_until(lambda: "keeper" in found(crond))
    os.kill(crond.pid, signal.SIGSTOP)
    assert "no daemon answers" in found(crond)["daemon"]["text"]
