"""The same line of the same file under Debian's cron and pycrond, both with Debian's PAM stack: the same process."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Crond, wait_until
from tests.support import debian_cron
from tests.support.debian_cron import DebianCron

pytestmark = [
    pytest.mark.daemon,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: an /etc of its own, with a user"),
]
UID, GROUP = 54321, 54322
FILES = ("environ", "limits", "status", "stat", "loginuid", "oom_score_adj", "setgroups", "timerslack_ns")
PROBE = f"""
directory=$1${{PYCROND_RUN:+ours}}
cd "$directory" || exit
for file in {" ".join(FILES)}; do cat /proc/$PPID/$file >$file; done
(cd /proc/$PPID && for link in cwd root fd/*; do echo "$link $(readlink $link)"; done) >links
touch complete
"""
LIMITS = """
prober soft nofile 222
prober hard nofile 333
prober hard fsize 123456
prober soft core 0
prober hard nproc 5000
prober - priority 3
"""
STATUS = ("Umask", "Uid", "Gid", "Groups", "NoNewPrivs", "Seccomp", "SigBlk", "SigIgn", "ShdPnd")
CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
SIGNALS_OF_GLIBC = 3 << 31
"""Its posix_spawn(3) leaves 32 and 33 ignored, which its own functions set again when they need them."""
OURS = {"USER", "PYCROND_JOB", "PYCROND_RUN", "PYCROND_FIRE_TIME", "PYCROND_STATE_DIR", "PYCROND_ATTEMPT"}
"""The variables that jobs of pycrond have besides those of Debian's; see docs/moving.md."""


class Process:
    """The shell of a job, as the probe sees it."""

    def __init__(self, directory: Path) -> None:
        text = {name: (directory / name).read_text() for name in (*FILES, "links")}
        self.environment = dict(line.split("=", 1) for line in text["environ"].split("\0") if line)
        self.limits = text["limits"].splitlines()
        fields = dict(line.split(":\t", 1) for line in text["status"].splitlines() if ":\t" in line)
        self.status = {name: fields[name].strip() for name in (*STATUS, *CAPABILITIES)}
        self.status["SigIgn"] = f"{int(self.status['SigIgn'], 16) & ~SIGNALS_OF_GLIBC:016x}"
        pid, _, *rest = (
            text["stat"].rpartition(")")[0].split(" ", 1) + text["stat"].rpartition(")")[2].split()
        )
        self.leads = (rest[2] == pid, rest[3] == pid)
        """Two flags: it leads its process group; it leads its session."""
        self.terminal, self.nice = rest[4], rest[16]
        self.links = dict(line.split(" ", 1) for line in text["links"].splitlines())
        self.other = [
            text[name].strip() for name in ("loginuid", "oom_score_adj", "setgroups", "timerslack_ns")
        ]


@pytest.fixture
def processes(crond: Crond, shared: Path) -> Iterator[tuple[Process, Process]]:
    """The process of the job under Debian's cron, and under pycrond."""
    debian_cron.program()
    probe, out = shared / "probe", shared / "out"
    probe.write_text(PROBE)
    for place in (out, out / "ours"):
        place.mkdir()
        os.chown(place, UID, UID)
    crond.at("2031-06-01 11:59:02")
    fake = {
        name: crond.environment[name]
        for name in ("LD_PRELOAD", "FAKETIME_TIMESTAMP_FILE", "FAKETIME_NO_CACHE")
    }
    line = f"FROM_CRONTAB=yes\nLANG=from_crontab\n* * * * * prober /bin/sh {probe} {out}/; :\n"
    etc = {
        "passwd": f"prober:x:{UID}:{UID}::/nonexistent/home:/bin/bash\n",
        "group": f"prober:x:{UID}:\nprobers:x:{GROUP}:prober\n",
        "shadow": "prober:*:20000:0:99999:7:::\n",
        "cron.d/probe": line,
        "pam.d/cron": f"{debian_cron.pam_service()}session optional pam_umask.so umask=027\n",
        "security/limits.conf": LIMITS,
        "environment": "FROM_PAM=yes\nLANG=from_pam\nPATH=/from/pam\n",
        "default/locale": "LC_TIME=from_locale\n",
    }
    cron = DebianCron(crond.directory / "cron", "", {**fake, "DONT_FAKE_MONOTONIC": "1"}, etc)
    try:
        crond.environment |= {"PYCROND_SYSTEM": "yes", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        crond.prefix = cron.prefix
        crond.run("start", "--beside-cron")
        crond.at("2031-06-01 12:00:01")

        def have_both_ended() -> bool:
            cron.poke()
            return (out / "complete").exists() and (out / "ours/complete").exists()

        wait_until(have_both_ended)
        yield Process(out), Process(out / "ours")
    finally:
        cron.end()


def test_a_job_is_the_same_process_under_debians_cron(processes: tuple[Process, Process]) -> None:
    theirs, ours = processes
    assert {name: ours.environment[name] for name in theirs.environment} == theirs.environment
    assert {*ours.environment} - {*theirs.environment} == OURS
    assert (theirs.environment["FROM_PAM"], theirs.environment["LANG"]) == ("yes", "from_crontab")
    assert ours.limits == theirs.limits
    assert [line.split()[3:5] for line in ours.limits if "open files" in line] == [["222", "333"]]
    assert ours.status == theirs.status
    assert (ours.leads, ours.terminal, ours.nice) == (theirs.leads, theirs.terminal, theirs.nice)
    assert (ours.leads, ours.nice) == ((True, True), "3")
    assert ours.status["Umask"] in {"0027", "0007"}  # the second where each user has a group
    assert ours.other == theirs.other
    assert ours.links.keys() == theirs.links.keys() == {"cwd", "root", "fd/0", "fd/1", "fd/2"}
    assert ours.links["cwd"] == theirs.links["cwd"] == "/var/spool/cron"
    assert ours.links["fd/0"] == "/dev/null", "Debian's has an empty pipe there"
