"""status --check answers even if the daemon does not."""

import contextlib
import os
import signal
import stat
import subprocess
import time
from datetime import UTC, datetime

import pytest

from pycrond.cli.commands.status import node_lines
from tests.conftest import SCRIPT, Crond, fill_queue

pytestmark = pytest.mark.daemon


def test_a_check_answers_whatever_the_daemon_does(crond: Crond) -> None:
    assert crond.run("status", "--check", status=3).stdout == "not healthy: pycrond is not running\n"
    assert crond.run("status", "--nagios", status=2).stdout == "PYCROND CRITICAL - pycrond is not running\n"
    crond.write("jobs", "0 0 1 1 * true\n")
    crond.run("start")
    assert crond.run("status", "--check").stdout == "healthy: 1 job, 0 running, no start late\n"
    file = crond.directory / "pycrond.prom"
    file.write_text("old")
    file.chmod(0o600)
    old_inode = file.stat().st_ino
    crond.run("metrics", "--output", str(file))
    assert "\npycrond_jobs 1.0\n" in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert file.stat().st_ino != old_inode, "a reader sees the old or the new one, whole"
    assert list(crond.directory.glob("*.prom*")) == [file]
    crond.write("jobs", "0 0 1 1 * true\n61 * * * * true\n")
    crond.run("reload", status=None)
    assert crond.run("status", "--check").stdout.startswith("warning: 1 error in crontabs")
    assert crond.run("status", "--nagios", status=1).stdout.startswith(
        "PYCROND WARNING - 1 error in crontabs"
    )
    os.kill(crond.pid, signal.SIGSTOP)
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        stack.callback(os.kill, crond.pid, signal.SIGCONT)
        fill_queue(str(crond.runtime / "control.sock"), stack)
        lists = subprocess.Popen([SCRIPT, "list"], env=crond.environment, stdout=subprocess.PIPE, text=True)
        done = crond.run("status", "--check", status=4)
        assert time.monotonic() - began < 5
        assert "the daemon does not answer: it hangs or is stopped" in lists.communicate(timeout=20)[0]
    assert done.stdout.startswith("not healthy: pycrond has not answered for ")
    crond.run("status", "--check")


@pytest.mark.parametrize(
    ("away_s", "nodes", "line"),
    [
        (0, 2, "2 of 2 nodes alive"),
        (105, 2, "database not reached since 09:13, before that 2 of 2 nodes alive"),
        (105, 0, "database not reached since 09:13"),
    ],
)
def test_numbers_of_nodes_while_the_database_is_not_reached(away_s: int, nodes: int, line: str) -> None:
    node = {
        "node": "web1",
        "name": "prod",
        "state": "down" if away_s else "idle",
        "detail": None,
        "draining": False,
        "away_s": away_s,
        "nodes": nodes,
        "alive": nodes,
        "undecided": 0,
        "untold": 0,
    }
    assert [*node_lines(node, datetime(2026, 11, 29, 9, 15, tzinfo=UTC))][1:] == [f"    {line}"]
