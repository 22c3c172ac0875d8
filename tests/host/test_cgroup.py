"""The effect of nice, ionice, memory and cpu on a job's process, with a cgroup and without."""

import os
from pathlib import Path

import pytest

from pycrond.host import cgroup
from pycrond.host.cgroup import ResourceLimits, own_cgroup
from pycrond.host.spawn import NO_LIMITS
from pycrond.jobs.options import Options
from tests.support import packages
from tests.support.loop import Loop


def printed(loop: Loop, options: str, command: str, *, grouped: bool = True) -> list[str]:
    loop.begin(f"#: name=job {options}\n* * * * * {command}\n")
    if not grouped:
        loop.daemon.subsystems.runs.limits._base = None
    loop.minutes(1)
    loop.settle()
    return loop.log.details("CMDOUT")


def test_a_job_runs_with_its_nice_value(loop: Loop) -> None:
    assert printed(loop, "nice=7", "nice") == [str(os.nice(0) + 7)]


@pytest.mark.parametrize(
    ("option", "shown"),
    [("idle", "idle"), ("best-effort:6", "best-effort: prio 6"), ("best-effort", "best-effort: prio 4")],
)
def test_a_job_runs_in_its_io_scheduling_class(loop: Loop, option: str, shown: str) -> None:
    assert printed(loop, f"ionice={option}", "ionice") == [shown]


def test_memory_and_cpu_are_resource_limits_without_a_cgroup(loop: Loop) -> None:
    lines = printed(loop, "memory=512M cpu=0.5 timeout=100s", "ulimit -v; ulimit -t", grouped=False)
    assert lines == [str(512 * 1024), "50"]


def test_a_share_of_the_processor_without_a_timeout_has_no_effect(loop: Loop) -> None:
    assert printed(loop, "cpu=0.5", "ulimit -t", grouped=False) == ["unlimited"]


def test_a_job_with_all_limits_leads_a_session_of_its_own(loop: Loop) -> None:
    options = "nice=3 ionice=idle memory=1G cpu=1 timeout=60s"
    lines = printed(loop, options, "echo $$; ps -o sid= -p $$; nice; ionice")
    assert lines[0] == lines[1].strip()
    assert lines[2:] == [str(os.nice(0) + 3), "idle"]


def test_a_job_that_exceeds_its_memory_fails(loop: Loop) -> None:
    printed(loop, "memory=64M", "python3 -c 'x = bytearray(1 << 30)'", grouped=False)
    assert loop.runs()[0].state == "failed"


def test_a_job_without_limits_needs_no_spawner(tmp_path: Path) -> None:
    limits = ResourceLimits(str(tmp_path))
    assert set(limits.mechanisms()) == {"memory", "cpu"}
    limits._base = None
    assert limits.mechanisms()["memory"] == "RLIMIT_AS of each process"
    assert limits.limits(Options(), 1) == NO_LIMITS


@pytest.mark.parametrize(
    ("files", "memory", "cpu", "why"),
    [
        ({"cgroup.controllers": "cpuset cpu memory\n"}, True, True, "the root cgroup has no cgroup.type"),
        ({"cgroup.controllers": "cpu pids\n"}, False, True, "there is no memory controller"),
        (
            {"cgroup.controllers": "cpu memory\n", "cgroup.type": "domain\n", "cgroup.procs": "7\n"},
            False,
            False,
            "the daemon is in it",
        ),
        (
            {"cgroup.controllers": "cpu memory\n", "cgroup.type": "domain\n", "cgroup.procs": ""},
            True,
            True,
            "the daemon is in a leaf of its own",
        ),
        ({}, False, False, "no controller"),
        (
            {"cgroup.controllers": "", "base/cgroup.subtree_control": "memory\n"},
            True,
            False,
            "enabled before",
        ),
    ],
)
def test_the_mechanisms_of_the_limits_depend_on_the_controllers(
    tmp_path: Path, files: dict[str, str], memory: bool, cpu: bool, why: str
) -> None:
    limits = ResourceLimits(str(tmp_path))
    limits._base = str(tmp_path / "base")
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    before = sorted(tmp_path.rglob("*"))
    mechanisms = limits.mechanisms()
    assert [mechanisms[name] == "cgroup" for name in ("memory", "cpu")] == [memory, cpu], why
    assert sorted(tmp_path.rglob("*")) == before, "a query changes nothing"


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
def test_the_cgroup_of_the_daemon_is_read_from_its_mounts_and_membership(
    tmp_path: Path, mounts: str, membership: str, group: str | None
) -> None:
    (tmp_path / "mounts").write_text(mounts)
    (tmp_path / "membership").write_text(membership)
    assert own_cgroup(str(tmp_path / "mounts"), str(tmp_path / "membership")) == group


@pytest.mark.parametrize("has_kill", [True, False])
def test_a_cgroup_contains_all_processes_of_a_run(
    loop: Loop, monkeypatch: pytest.MonkeyPatch, has_kill: bool
) -> None:
    """All of them can be killed, also on a Linux without cgroup.kill."""
    if not os.access(own_cgroup() or "/nowhere", os.W_OK):
        packages.give_up("no cgroup of version 2 can be made here")
    loop.begin("#: timeout=60s\n* * * * * env -i setsid sleep 100 & sleep 100\n")
    loop.minutes(1)
    limits = loop.daemon.subsystems.runs.limits
    loop.until(lambda: len(limits.pids(1) or []) == 3)
    if not has_kill:
        monkeypatch.setattr(cgroup, "_write", lambda *words: False)
    limits.kill(1)
    loop.until(lambda: limits.pids(1) in (None, []))
    loop.settle()


@pytest.mark.parametrize(
    ("own", "leaf", "parent"),
    [
        ("system.slice/pycrond.service", True, "system.slice/pycrond.service"),
        ("system.slice/pycrond.service/daemon", False, "system.slice/pycrond.service"),
        ("system.slice/pycrond.service/other", False, "system.slice/pycrond.service"),
        ("system.slice/plain.service", False, "system.slice/plain.service"),
        ("user@7.service/app.slice/pycrond.service", True, "user@7.service/app.slice/pycrond.service"),
        (
            "user@7.service/app.slice/pycrond.service/daemon",
            False,
            "user@7.service/app.slice/pycrond.service",
        ),
        ("user@7.service/app.slice/terminal.scope", False, "user@7.service/app.slice/terminal.scope"),
    ],
)
def test_the_daemon_enters_a_leaf_of_what_is_delegated_and_makes_cgroups_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: str, leaf: bool, parent: str
) -> None:
    """systemd marks the cgroup of a unit with Delegate=yes; `other` is made by DelegateSubgroup=."""
    group = tmp_path / own
    group.mkdir(parents=True)
    (group / "daemon").mkdir(exist_ok=True)
    (group / "daemon/cgroup.procs").touch()
    marked = str(tmp_path / "system.slice/pycrond.service")
    monkeypatch.setattr(os, "getxattr", lambda path, name: b"1" if path == marked else b"")
    monkeypatch.setattr(cgroup, "own_cgroup", lambda: str(group))
    cgroup.enter_leaf()
    assert (group / "daemon/cgroup.procs").read_text() == "0" * leaf
    assert os.path.dirname(ResourceLimits("/state")._base or "") == str(tmp_path / parent)


def test_controllers_are_taken_from_the_innermost_cgroups_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = tmp_path / "user@7.service/app.slice/pycrond.service"
    written: list[tuple[str, str]] = []
    for name in ("", "pycrond-1", "pycrond-1/5", ".control"):
        (unit / name).mkdir(parents=True, exist_ok=True)
        (unit / name / "cgroup.subtree_control").write_text("" if "5" in name else "cpu memory\n")
    monkeypatch.setattr(cgroup, "own_cgroup", lambda: str(unit / ".control"))
    monkeypatch.setattr(cgroup, "_write", lambda *words: written.append((words[0], words[2])))
    cgroup.disable_controllers()
    paths = [path for path, text in written if text]
    assert paths.index(str(unit)) == len(paths) - 1
    assert (str(unit / "pycrond-1"), "-cpu -memory") in written


def test_the_peak_of_a_cgroup_counts_only_if_the_run_is_the_first_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cgroup, "own_cgroup", lambda: str(tmp_path))
    limits = ResourceLimits("/state")

    def peak(run: int, text: str) -> int | None:
        group = limits.limits(Options(memory=1 << 30), run).cgroup
        Path(group, "memory.peak").write_text(text)
        return limits.peak(run)

    assert peak(1, "8400896\n") == 8204
    assert peak(1, "8400896\n") is None, "another run may have been in it"
    assert peak(2, "0\n") is None, "the process could not enter it"
    assert limits.peak(3) is None
    later = ResourceLimits("/state")
    later.find_existing()
    assert later.peak(1) == 8204, "the cgroup of a run that an earlier daemon has started"
