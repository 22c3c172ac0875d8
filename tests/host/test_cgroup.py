"""nice, ionice, memory, cpu: what a job's own process finds, with a cgroup and without one."""

import os
from pathlib import Path

import pytest

from pycrond.host.cgroup import ResourceLimits, own_cgroup
from pycrond.jobs.options import Options
from tests.support import packages
from tests.support.loop import Loop


def printed(loop: Loop, options: str, command: str, *, grouped: bool = True) -> list[str]:
    loop.begin(f"#: name=job {options}\n* * * * * {command}\n")
    if not grouped:
        loop.daemon.subsystems.runs.limits._base = None
    loop.minutes(1)
    loop.settle()
    return loop.log.said("CMDOUT")


def test_nice(loop: Loop) -> None:
    assert printed(loop, "nice=7", "nice") == [str(os.nice(0) + 7)]


@pytest.mark.parametrize(
    ("option", "shown"),
    [("idle", "idle"), ("best-effort:6", "best-effort: prio 6"), ("best-effort", "best-effort: prio 4")],
)
def test_ionice(loop: Loop, option: str, shown: str) -> None:
    assert printed(loop, f"ionice={option}", "ionice") == [shown]


def test_memory_and_cpu_without_a_cgroup(loop: Loop) -> None:
    said = printed(loop, "memory=512M cpu=0.5 timeout=100s", "ulimit -v; ulimit -t", grouped=False)
    assert said == [str(512 * 1024), "50"]


def test_a_share_of_the_processor_without_a_timeout_is_not_in_force(loop: Loop) -> None:
    assert printed(loop, "cpu=0.5", "ulimit -t", grouped=False) == ["unlimited"]


def test_all_at_once_and_still_a_session_of_its_own(loop: Loop) -> None:
    options = "nice=3 ionice=idle memory=1G cpu=1 timeout=60s"
    said = printed(loop, options, "echo $$; ps -o sid= -p $$; nice; ionice")
    assert said[0] == said[1].strip()
    assert said[2:] == [str(os.nice(0) + 3), "idle"]


def test_a_job_that_exceeds_its_memory_fails(loop: Loop) -> None:
    printed(loop, "memory=64M", "python3 -c 'x = bytearray(1 << 30)'", grouped=False)
    assert loop.runs()[0].state == "failed"


def test_where_limits_are_said_to_be(tmp_path: Path) -> None:
    limits = ResourceLimits(str(tmp_path))
    said = limits.mechanisms()
    assert set(said) == {"memory", "cpu"}
    limits._base = None
    assert limits.mechanisms()["memory"] == "RLIMIT_AS of each process"
    assert limits.command_prefix(Options(), 1) == ()


@pytest.mark.parametrize(
    ("mounts", "membership", "group"),
    [
        (
            "30 24 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
            "0::/system.slice/x.service\n",
            "/sys/fs/cgroup/system.slice/x.service",
        ),
        (
            "30 24 0:27 / /sys/fs/cgroup/unified rw - cgroup2 c rw\n",
            "4:memory:/a\n0::/\n",
            "/sys/fs/cgroup/unified",
        ),
        ("30 24 0:27 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n", "4:memory:/a\n", None),
    ],
)
def test_which_cgroup_is_ours(tmp_path: Path, mounts: str, membership: str, group: str | None) -> None:
    (tmp_path / "mounts").write_text(mounts)
    (tmp_path / "membership").write_text(membership)
    assert own_cgroup(str(tmp_path / "mounts"), str(tmp_path / "membership")) == group


def test_a_cgroup_holds_all_that_a_run_starts(loop: Loop) -> None:
    if not os.access(own_cgroup() or "/nowhere", os.W_OK):
        packages.give_up("no cgroup of version 2 may be made here")
    loop.begin("#: timeout=60s\n* * * * * setsid sleep 100 & sleep 100\n")
    loop.minutes(1)
    loop.until(lambda: len(loop.daemon.subsystems.runs.limits.pids(1) or []) == 3)
    assert loop.daemon.subsystems.runs.limits.kill(1)
    loop.settle()
    assert loop.daemon.subsystems.runs.limits.pids(1) in (None, [])
