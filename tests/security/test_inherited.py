"""The table of inherited attributes in docs/security.md is true, however the daemon was started."""

import ctypes
import functools
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.conftest import wait_until
from tests.support import proc
from tests.support.system import System

pytestmark = [pytest.mark.daemon, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
DOCUMENT = Path(__file__).parents[2] / "docs" / "security.md"
NOBODY = pwd.getpwnam("nobody")
HOME = Path(f"/tmp/pycrond-inherited-{os.getpid()}")
WATCHED = f"setpriv --dump > {HOME}/$$; exec sleep 1000"
"""The command of the job, and of a process that is started directly, to compare with."""

UNUSUAL = r"""
import ctypes, os, resource, signal, struct, sys
libc = ctypes.CDLL(None)
os.umask(0)
os.nice(5)
os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
for number, low in ((resource.RLIMIT_NOFILE, 700), (resource.RLIMIT_CORE, 0), (resource.RLIMIT_STACK, 4 << 20)):
    hard = resource.getrlimit(number)[1]
    resource.setrlimit(number, (low, min(hard, 2 * low) if hard > 0 else 2 * low))
for name, value in (("oom_score_adj", "300"), ("coredump_filter", "0x11"), ("loginuid", "4242")):
    try:
        with open(f"/proc/self/{name}", "w") as file:
            file.write(value)
    except OSError:
        pass
for number in {*range(1, 65)} - {9, 19, 32, 33}:
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
signal.pthread_sigmask(signal.SIG_BLOCK, {*range(1, 65)} - {9, 19, 32, 33})
os.set_inheritable(os.open("/etc/passwd", os.O_RDONLY), True)
os.setgroups([4, 27])
os.setgid(4)
libc.syscall(251, 1, 0, 2 << 13 | 6)  # ioprio_set: best effort, 6
libc.prctl(29, 20_000_000, 0, 0, 0)  # timer slack: 20 ms
libc.prctl(36, 1, 0, 0, 0)  # subreaper
libc.prctl(41, 1, 0, 0, 0)  # no transparent huge pages
libc.prctl(38, 1, 0, 0, 0)  # no new privileges
libc.prctl(24, 22, 0, 0, 0)  # the bounding set without CAP_SYS_BOOT
allow = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0x7FFF0000))  # BPF_RET, SECCOMP_RET_ALLOW
libc.prctl(22, 2, ctypes.create_string_buffer(struct.pack("HxxxxxxP", 1, ctypes.addressof(allow))))
libc.prctl(53, 0, 4, 0, 0)  # speculative store bypass is off, if the processor can do that
os.chdir("/usr")
libc.personality(0x0040000)  # ADDR_NO_RANDOMIZE
header, data = struct.pack("Ii", 0x20080522, 0), bytearray(24)
libc.capget(header, (ctypes.c_char * 24).from_buffer(data))
fields = [*struct.unpack("6I", data)]
fields[2] = 1 << 5  # CAP_KILL is inheritable
libc.capset(header, struct.pack("6I", *fields))
libc.prctl(47, 2, 5, 0, 0)  # and ambient
libc.prctl(28, 1 << 6, 0, 0, 0)  # securebits: SECBIT_NO_CAP_AMBIENT_RAISE
os.environ["SECRET"] = "of the daemon"
os.execv(sys.argv[1], sys.argv[1:])
"""


class Rule(NamedTuple):
    """A row of the table."""

    attribute: str
    value: str


def table() -> list[Rule]:
    _, _, section = DOCUMENT.read_text().partition("## What a job inherits\n")
    rows = re.findall(r"^\| (.*?) \| (.*?) \|.*\|$", section, re.MULTILINE)
    return [Rule(*row) for row in rows[1:]]


def status(*names: str) -> Callable[[int], object]:
    return lambda pid: [proc.status(pid, name).split() for name in names]


def content(name: str) -> Callable[[int], object]:
    def read(pid: int) -> object:
        file = Path(f"/proc/{pid}/{name}")
        return file.read_bytes() if file.exists() else b""

    return read


def fields(*numbers: int) -> Callable[[int], object]:
    """Return a function that reads fields of /proc/PID/stat, counted as in proc(5)."""
    return lambda pid: [
        Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[number - 3] for number in numbers
    ]


def signals(name: str) -> Callable[[int], object]:
    return lambda pid: proc.signals(proc.status(pid, name))


def io_priority(pid: int) -> object:
    number = {"x86_64": 252, "aarch64": 31}[os.uname().machine]
    return ctypes.CDLL(None).syscall(number, 1, pid)


def namespaces(pid: int) -> object:
    names = sorted(os.listdir(f"/proc/{pid}/ns"))
    return [os.readlink(f"/proc/{pid}/ns/{name}") for name in names]


def dumped(name: str) -> Callable[[int], object]:
    """Return a function that reads a line that `setpriv --dump` has printed in a process."""
    return lambda pid: re.findall(rf"^{name}: (.*)$", (HOME / str(pid)).read_text(), re.MULTILINE)


OBSERVERS: dict[str, Callable[[int], object]] = {
    "user and group ids (real, effective, saved, file system)": status("Uid", "Gid"),
    "supplementary groups": status("Groups"),
    "permitted, effective, inheritable and ambient capabilities": status(
        "CapPrm", "CapEff", "CapInh", "CapAmb"
    ),
    "capability bounding set": status("CapBnd"),
    "securebits": dumped("Securebits"),
    "no new privileges": status("NoNewPrivs"),
    "seccomp filters": status("Seccomp"),
    "session keyring": lambda pid: pid,  # test_keyrings.py looks at it
    "login user of the audit log": content("loginuid"),
    "session of the audit log": content("sessionid"),
    "session and process group": lambda pid: {os.getsid(pid), os.getpgid(pid)},
    "controlling terminal": fields(7),
    "parent-death signal": dumped("Parent death signal"),
    "environment": content("environ"),
    "working directory": lambda pid: os.readlink(f"/proc/{pid}/cwd"),
    "root directory": lambda pid: os.readlink(f"/proc/{pid}/root"),
    "namespaces": namespaces,
    "cgroup": content("cgroup"),
    "umask": status("Umask"),
    "open descriptors": lambda pid: sorted(proc.descriptors(pid)),
    "blocked signals": signals("SigBlk"),
    "ignored signals": signals("SigIgn"),
    "resource limits": content("limits"),
    "nice value": fields(19),
    "scheduling policy": fields(41),
    "CPU affinity": status("Cpus_allowed"),
    "I/O priority": io_priority,
    "timer slack": content("timerslack_ns"),
    "OOM score adjustment": content("oom_score_adj"),
    "execution domain (personality)": content("personality"),
    "core dump filter": content("coredump_filter"),
    "transparent huge pages": status("THP_enabled"),
    "speculation control": status("Speculation_Store_Bypass"),
}
THE_USERS: dict[str, object] = {
    "user and group ids (real, effective, saved, file system)": [
        [str(NOBODY.pw_uid)] * 4,
        [str(NOBODY.pw_gid)] * 4,
    ],
    "supplementary groups": [[str(NOBODY.pw_gid)]],
    "login user of the audit log": str(NOBODY.pw_uid).encode(),
}
NONE: dict[str, object] = {
    "permitted, effective, inheritable and ambient capabilities": [["0" * 16]] * 4,
    "controlling terminal": ["0"],
    "parent-death signal": ["[none]"],
    "blocked signals": set(),
    "ignored signals": set(),
}
LITERALS: dict[str, object] = {
    "HOME": str(HOME),
    "022": [["0022"]],
    "0, 1, 2": [0, 1, 2],
    "50 \u00b5s": b"50000\n",
}


AUDIT = {"login user of the audit log", "session of the audit log"}
"""Attributes that a container may not change."""


@functools.cache
def can_change_login_user() -> bool:
    """Return whether this kernel has login users, and lets root change one that is set."""
    twice = "{ echo 0 >/proc/self/loginuid && echo 1 >/proc/self/loginuid; } 2>/dev/null"
    return subprocess.run(["/bin/sh", "-c", twice], check=False).returncode == 0


def is_true(rule: Rule, job: int, witness: int) -> bool:
    """Return whether a process has the value in the table; `witness` was started in the daemon's surroundings."""
    value = OBSERVERS[rule.attribute](job)
    is_refused = rule.attribute in AUDIT and not can_change_login_user()
    match "the daemon's" if is_refused else rule.value:
        case "the daemon's":
            return value == OBSERVERS[rule.attribute](witness)
        case "the user's":
            return value == THE_USERS[rule.attribute]
        case "none":
            return value == NONE[rule.attribute]
        case "its own":
            return value == {job} or value != OBSERVERS[rule.attribute](witness)
        case "the crontab's":
            return isinstance(value, bytes) and b"MINE=1\0" in value and b"SECRET" not in value
    return value == LITERALS[rule.value]


@pytest.fixture
def witness(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has the unusual attributes, which `tmp_path/start.py` sets and then executes its arguments."""
    HOME.mkdir()
    HOME.chmod(0o777)
    script = tmp_path / "start.py"
    script.write_text(UNUSUAL)
    with subprocess.Popen([sys.executable, script, "/bin/sh", "-c", WATCHED]) as process:
        yield process
        process.send_signal(signal.SIGKILL)
    shutil.rmtree(HOME)


def start(system: System, directory: Path) -> None:
    system.crond.prefix = [sys.executable, str(directory / "start.py")]
    system.crond.run("start")
    system.crond.prefix = []


@pytest.mark.usefixtures("witness")
def test_roots_jobs_have_roots_groups(system: System, tmp_path: Path) -> None:
    system.write("etc/crontab", "HOME=/\n@reboot root id -g; id -G\n")
    start(system, tmp_path)
    root = os.getgrouplist("root", 0)
    assert [[*map(int, line.split())] for line in system.output()] == [[0], root]


def test_the_table_names_each_attribute_that_is_compared() -> None:
    assert [rule.attribute for rule in table()] == [*OBSERVERS]


def test_a_job_has_what_the_table_says(
    system: System, witness: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    system.write("etc/crontab", f"HOME={HOME}\nMINE=1\n#: name=job\n@reboot nobody {WATCHED}\n")
    start(system, tmp_path)

    def pids() -> list[int]:
        return [int(file.name) for file in HOME.iterdir() if "Parent" in file.read_text()]

    wait_until(lambda: len(pids()) == 2)
    (job,) = {*pids()} - {witness.pid}
    wait_until(lambda: all(b"sleep" in Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids()))
    wrong = {
        rule: (OBSERVERS[rule.attribute](job), OBSERVERS[rule.attribute](witness.pid))
        for rule in table()
        if not is_true(rule, job, witness.pid)
    }
    assert not wrong
    system.crond.run("kill", "job")


USUAL = {
    "user and group ids (real, effective, saved, file system)",
    "session and process group",
    "controlling terminal",
    "parent-death signal",
    "root directory",
    "namespaces",
    "cgroup",
    "blocked signals",
    "speculation control",
}
"""Attributes that a test cannot change easily, or that the shell of the witness resets."""


def test_the_surroundings_are_unusual(witness: subprocess.Popen[bytes]) -> None:
    """Otherwise the comparison above would show nothing."""
    wait_until((HOME / str(witness.pid)).exists)
    mine = os.getpid()
    (HOME / str(mine)).write_text(subprocess.check_output(["setpriv", "--dump"], text=True))
    attributes = OBSERVERS.keys() - USUAL - (set() if can_change_login_user() else AUDIT)
    assert not {name for name in attributes if OBSERVERS[name](mine) == OBSERVERS[name](witness.pid)}
