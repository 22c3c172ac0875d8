"""Users that appear and vanish while the daemon runs, and a name service that does not answer."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pycrond.ledger.rows import RunRow
from tests.conftest import wait_until
from tests.support.loop import Log
from tests.support.system import System

pytestmark = [pytest.mark.daemon, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
SPOOL = "var/spool/cron/crontabs/"
GONE = "account: there is no user 'games'"
SLOW_LIBRARY = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
/* A directory has a file for each user about whom the name service answers late; it contains the seconds. */
int getgrouplist(const char *user, gid_t group, gid_t *groups, int *count) {
    char path[4096];
    unsigned seconds = 0;
    snprintf(path, sizeof path, "%s/%s", getenv("SLOW_USERS"), user);
    FILE *file = fopen(path, "r");
    if (file) {
        if (fscanf(file, "%u", &seconds) == 1)
            while (seconds)
                seconds = sleep(seconds);
        fclose(file);
    }
    int (*next)(const char *, gid_t, gid_t *, int *) = dlsym(RTLD_NEXT, "getgrouplist");
    return next(user, group, groups, count);
}
"""


@pytest.fixture
def log(system: System) -> Iterator[Log]:
    """A syslogd of `system`."""
    log = Log(system.crond.syslog)
    log.open()
    yield log
    log.close()


def details(log: Log, event: str) -> list[str]:
    """Return the details of all lines of this event that have arrived."""
    log.read()
    return log.details(event)


def run_of(system: System, name: str, number: int) -> RunRow:
    """Wait for the end of a job's run with this number, counted from 1, and return its row."""
    runs: list[RunRow] = []

    def has_ended() -> bool:
        runs[:] = [run for run in system.crond.runs() if run.name == name][::-1]
        return len(runs) >= number and bool(runs[number - 1].ended_at)

    wait_until(has_ended)
    return runs[number - 1]


def test_a_user_who_vanishes_keeps_its_jobs_and_one_who_appears_gets_them(
    system: System, shared: Path, log: Log
) -> None:
    passwd = system.with_copies(shared, "passwd")["passwd"]
    before = passwd.read_text()
    crond = system.crond
    crond.at("2031-03-01 11:59:30")
    system.write("etc/cron.d/x", "HOME=/\n#: name=known\n* * * * * games true\n* * * * * ghost true\n")
    system.write(SPOOL + "games", "HOME=/\n#: name=own\n* * * * * true\n")
    assert "error: not run, there is no user 'ghost'" in crond.run("start").stderr
    crond.at("2031-03-01 12:00:01")
    assert [run_of(system, name, 1).state for name in ("known", "own")] == ["succeeded"] * 2
    passwd.write_text("".join(line for line in before.splitlines(True) if not line.startswith("games:")))
    crond.at("2031-03-01 12:01:01")
    assert [run_of(system, name, 2).reason for name in ("known", "own")] == [GONE] * 2
    assert (
        f"{system.root}/etc/cron.d/x:3: error: not run, there is no user"
        in crond.run("reload", status=None).stderr
    )
    crond.at("2031-03-01 12:02:01")
    assert [run_of(system, name, 3).reason for name in ("known", "own")] == [GONE] * 2
    crond.run("stop")
    crond.run("start")
    assert sorted(job["name"] for job in crond.json("list")["jobs"]) == ["known", "own"]
    crond.at("2031-03-01 12:03:01")
    for name in ("known", "own"):
        run = run_of(system, name, 4)
        assert (run.state, run.reason[:9]) == ("failed", "account: ")
    ghost = "ghost:x:4242:4242::/:/bin/sh\n"
    passwd.write_text(before + ghost)
    crond.at("2031-03-01 12:04:01")
    assert [run_of(system, name, 5).state for name in ("known", "own")] == ["succeeded"] * 2
    wait_until(lambda: len(crond.json("list")["jobs"]) == 3)
    crond.at("2031-03-01 12:05:01")
    wait_until(lambda: any(run.key.startswith("ghost/") and run.ended_at for run in crond.runs()))
    crond.run("audit", "--since", "2031-03-01 12:00")
    expected = [
        "there is no user 'games' any more: its jobs do not start until there is",
        "there is a user 'games' now: its jobs start",
        "there is a user 'ghost' now: its jobs start",
    ]
    wait_until(lambda: details(log, "ACCOUNT") == expected)


def test_a_crontab_of_a_user_who_has_another_uid_is_read_again(system: System, shared: Path) -> None:
    """The file belongs to the earlier uid of the user."""
    passwd = system.with_copies(shared, "passwd")["passwd"]
    system.write(SPOOL + "games", "HOME=/\n#: name=own\n0 0 1 1 * true\n")
    system.write("etc/cron.d/x", "HOME=/\n#: name=by-root\n0 0 1 1 * games id -u\n")
    system.crond.run("start")
    uid = pwd.getpwnam("games").pw_uid
    passwd.write_text(passwd.read_text().replace(f"games:x:{uid}:", "games:x:4242:"))
    system.crond.run("run", "by-root", status=None)
    assert f"had uid {uid}, and has 4242 now" in run_of(system, "by-root", 1).reason
    assert "wrong file owner" in system.crond.run("reload", status=None).stderr
    assert [job["name"] for job in system.crond.json("list")["jobs"]] == ["by-root"]
    system.crond.run("run", "by-root")
    assert run_of(system, "by-root", 2).state == "succeeded"


def test_a_slow_lookup_delays_only_the_jobs_of_its_user(system: System, shared: Path, log: Log) -> None:
    if not shutil.which("cc"):
        pytest.skip("needs a C compiler")
    library = shared / "slow.so"
    (shared / "slow.c").write_text(SLOW_LIBRARY)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, shared / "slow.c", "-ldl"], check=True)
    crond = system.crond
    crond.at("2031-03-01 11:59:52")
    crond.environment["LD_PRELOAD"] += f":{library}"
    crond.environment["SLOW_USERS"] = str(shared)
    jobs = "".join(f"#: name={user}\n* * * * * {user} true\n" for user in ("games", "man", "nobody"))
    system.write("etc/crontab", "HOME=/\n" + jobs)
    crond.run("start")
    (shared / "games").write_text("8")
    (shared / "man").write_text("8")
    assert run_of(system, "nobody", 1).state == "succeeded"
    # A reload and a client do not wait either.
    assert "3 jobs" in crond.run("reload", status=None).stdout
    late = [run_of(system, name, 1) for name in ("games", "man")]
    assert [run.state for run in late] == ["succeeded"] * 2, "the groups that it had"
    assert (run_of(system, "nobody", 1).lateness_ms or 0) < 1000
    assert all(2000 < (run.lateness_ms or 0) < 6500 for run in late)
    warning = "the name service has not answered about user games for 5 s: its last answer is used"
    wait_until(lambda: warning in details(log, "WARNING"))
