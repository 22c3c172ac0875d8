"""The command doctor beside a real daemon."""

import json
import os
import signal
from typing import Any

import pytest

from tests.conftest import Crond, wait_until
from tests.support.rsyslog import Rsyslogd

pytestmark = pytest.mark.daemon


def findings(crond: Crond) -> dict[str, dict[str, Any]]:
    document = json.loads(crond.run("doctor", "--json", status=None).stdout)
    return {finding["about"]: finding for finding in document["findings"]}


def test_a_healthy_daemon(crond: Crond, rsyslogd: Rsyslogd) -> None:
    crond.environment["PYCROND_SYSLOG"] = rsyslogd.path
    crond.write("jobs", "* * * * * true\n")
    crond.run("start")
    by_topic = findings(crond)
    for name in ("daemon", "crontabs", "syslog", "disk"):
        assert by_topic[name]["level"] == "ok"
    assert (
        not {"version", "keeper", "pidfile", "failing", "last-good", "never-due", "state"} & by_topic.keys()
    )
    assert all(finding["do"] for finding in by_topic.values() if finding["level"] != "ok")


def test_problems_are_printed_with_exit_status_1(crond: Crond) -> None:
    jobs = "MAILTO=me@example.org\n#: name=bad\n@reboot false\n#: name=never\n0 0 30 2 * x\n"
    crond.write("jobs", jobs)
    crond.environment["PYCROND_MAILER"] = "/nowhere/sendmail"
    crond.run("start")
    wait_until(lambda: [run.state for run in crond.runs()] == ["failed"])
    crond.write("jobs", jobs + "61 * * * * x\n")
    crond.run("reload", status=1)
    lines = crond.run("doctor", status=1).stdout.splitlines()
    problems = "\n".join(line for line in lines if line.startswith("problem"))
    for word in ("1 error", "last-good", "1 job failed last: bad", "mail: 2 jobs", "log: does not exist"):
        assert word in problems
    assert "warning  never-due: 1 job never due: never  -> " in "\n".join(lines)


def test_a_daemon_that_was_killed(crond: Crond) -> None:
    crond.write("jobs", "* * * * * true\n")
    assert findings(crond)["daemon"]["text"] == "does not run"
    crond.run("start")
    pid, keeper = crond.pid, crond.keeper
    for process in (keeper, pid):
        os.kill(process, signal.SIGKILL)
    wait_until(lambda: findings(crond)["daemon"]["text"] == "does not run")
    assert str(pid) in findings(crond)["pidfile"]["text"]


def test_a_killed_keeper_and_a_stopped_daemon(crond: Crond) -> None:
    crond.write("jobs", "* * * * * true\n")
    crond.run("start")
    os.kill(crond.keeper, signal.SIGKILL)
    wait_until(lambda: "keeper" in findings(crond))
    os.kill(crond.pid, signal.SIGSTOP)
    assert "no daemon answers" in findings(crond)["daemon"]["text"]
