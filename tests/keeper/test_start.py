"""The detached daemon and its keeper, started from a hostile environment: session, terminal, descriptors, signals."""

import os
import pty
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from pycrond.keeper import start
from tests.conftest import SCRIPT, Crond, alive, wait_until
from tests.support import proc

pytestmark = pytest.mark.daemon

FIRST_OWN_DESCRIPTOR = 3  # the descriptors below are /dev/null
HOSTILE_START = """
import os, resource, signal, sys
directory, program = sys.argv[1:]
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
for number in range(50):
    os.set_inheritable(os.open(f"{directory}/{number}", os.O_RDWR | os.O_CREAT), True)
os.dup2(3, min(hard, 1000) - 1)
os.umask(0o077)
os.chdir(directory)
catchable = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
for number in catchable:
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, catchable)
os.execv(program, [program, "start"])
"""
"""Starts pycrond with 51 open descriptors, a umask, a working directory, and all signals ignored and blocked."""

SUBREAPER = """
import ctypes, subprocess, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
subprocess.run([sys.argv[1], "start"], check=True, stdout=subprocess.DEVNULL)
print("started", flush=True)
sys.stdin.read()
"""

TERMINAL = """
import fcntl, os, sys, termios
terminal = os.open(sys.argv[2], os.O_RDWR)
try:
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
    answer = "taken"
except PermissionError:
    answer = "refused"
tty = open("/proc/self/stat").read().rpartition(")")[2].split()[4]
os.write(int(sys.argv[1]), f"{tty} {answer}".encode())
"""
"""Opens a terminal and asks explicitly for it as its controlling terminal."""


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crond]:
    """A pycrond started from a hostile environment, with a job that has recorded its own state and still runs."""
    crond = Crond(tmp_path_factory.mktemp("hostile"))
    inherited = crond.directory / "inherited"
    inherited.mkdir()
    record = "grep -E '^(Sig|Umask)' /proc/self/status; ls -l /proc/self/fd"
    crond.write(
        "jobs", f"HOME={crond.directory}\n@reboot ({record}) >job.new; mv job.new job; exec sleep 1000\n"
    )
    command = [sys.executable, "-c", HOSTILE_START, str(inherited), SCRIPT]
    try:
        done = subprocess.run(
            command, env=crond.environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        wait_until((crond.directory / "job").exists)
        yield crond
    finally:
        crond.end()


@pytest.fixture(params=["keeper", "daemon"])
def pid(hostile: Crond, request: pytest.FixtureRequest) -> int:
    """The pid of the daemon or of its keeper: both must pass the same tests."""
    return hostile.keeper if request.param == "keeper" else hostile.pid


def test_it_is_in_a_session_whose_leader_has_exited(pid: int) -> None:
    session = proc.stat(pid).session
    assert session not in {pid, os.getsid(0)}
    assert not proc.exists(session), "only a leader could acquire a terminal, and it has exited"


def test_it_has_no_controlling_terminal(pid: int) -> None:
    assert proc.stat(pid).tty == 0


def test_its_working_directory_is_the_root(pid: int) -> None:
    assert os.readlink(f"/proc/{pid}/cwd") == "/"


def test_its_umask_is_022(pid: int) -> None:
    assert proc.status(pid, "Umask") == "0022"


def test_its_standard_descriptors_are_on_dev_null(pid: int) -> None:
    opened = proc.descriptors(pid)
    assert [opened[number] for number in range(3)] == ["/dev/null"] * 3


def test_no_inherited_descriptor_is_open(hostile: Crond, pid: int) -> None:
    opened = proc.descriptors(pid)
    assert not [target for target in opened.values() if "/inherited" in target]
    ours = ("socket:", "pipe:", "anon_inode:", "/proc/", str(hostile.directory))
    assert not [
        target
        for number, target in opened.items()
        if number >= FIRST_OWN_DESCRIPTOR and not target.startswith(ours)
    ]


def test_the_keeper_has_only_the_descriptors_that_it_needs(hostile: Crond) -> None:
    kinds = sorted(target.split(":")[0] for target in proc.descriptors(hostile.keeper).values())
    kinds = [
        kind for kind in kinds if not kind.startswith(str(hostile.runtime / "fifo"))
    ]  # without the FIFOs of runs
    lock, null, pipe, socket_ = str(hostile.state / "lock"), "/dev/null", "pipe", "socket"
    # The pipe of signals; the socket for requests and the socket to the daemon.
    assert kinds == sorted([null] * 3 + [lock] + [pipe] * 2 + [socket_] * 2)


def test_no_signal_is_blocked(pid: int) -> None:
    assert proc.signals(proc.status(pid, "SigBlk")) == set()


def test_no_signal_is_ignored_except_those_that_python_ignores(pid: int) -> None:
    assert proc.signals(proc.status(pid, "SigIgn")) <= {signal.SIGPIPE, signal.SIGXFSZ}


def test_a_job_has_clean_signals_and_umask(hostile: Crond) -> None:
    lines = (hostile.directory / "job").read_text().splitlines()
    fields = dict(line.split(":\t") for line in lines if ":\t" in line)
    assert proc.signals(fields["SigIgn"]) == set()
    assert proc.signals(fields["SigBlk"]) == set()
    assert fields["Umask"] == "0022"


def test_a_job_inherits_no_descriptor(hostile: Crond) -> None:
    opened = [line for line in (hostile.directory / "job").read_text().splitlines() if " -> " in line]
    numbers = {int(line.split(" -> ")[0].split()[-1]) for line in opened}
    assert numbers == {0, 1, 2, 3}, f"3 is the directory that ls reads: {opened}"


def test_its_only_ancestors_are_its_keeper_and_the_first_process(hostile: Crond) -> None:
    keeper, *above = proc.ancestors(hostile.pid)
    assert hostile.programs("keeper") == [keeper]
    # Process 1, or a subreaper between it and this test; never the shell, which has exited.
    assert above[0] in {1, *proc.ancestors(os.getpid())}


def test_the_nearest_subreaper_is_the_keepers_parent(crond: Crond) -> None:
    command = [sys.executable, "-c", SUBREAPER, SCRIPT]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, env=crond.environment, text=True, **pipes) as subreaper:  # type: ignore[call-overload]
        assert subreaper.stdout.readline() == "started\n"
        assert proc.ancestors(crond.pid)[:2] == [crond.keeper, subreaper.pid]
        crond.run("stop")
        subreaper.stdin.close()


def test_the_shell_continues_after_the_start(crond: Crond) -> None:
    # run() returns at the end of the shell's output: the live daemon does not hold the pipes open.
    done = subprocess.run(
        ["sh", "-c", f"{SCRIPT} start; echo prompt"],
        env=crond.environment, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout.endswith("prompt\n")
    assert alive(crond.pid)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_started_with_standard_descriptors_closed(crond: Crond, closed: str) -> None:
    # The first opened files get the numbers 0 to 2: the lock and the sockets must survive.
    subprocess.run(["sh", "-c", f"{SCRIPT} start {closed}"], env=crond.environment, timeout=60, check=True)
    for pid in (crond.keeper, crond.pid):
        opened = proc.descriptors(pid)
        assert [opened[number] for number in range(3)] == ["/dev/null"] * 3
    crond.run("stop")


def test_a_daemon_started_again_is_detached_like_the_first(crond: Crond) -> None:
    crond.run("start", umask=0o077)
    keeper, before = crond.keeper, proc.descriptors(crond.pid)
    second = crond.crash()
    assert proc.stat(second)[1:] == (keeper, *proc.stat(keeper)[2:])
    assert proc.status(second, "Umask") == "0022"
    assert proc.signals(proc.status(second, "SigBlk")) == set()
    wait_until(
        lambda: len(proc.descriptors(second)) == len(before)
    )  # a descriptor may be closed a moment later


# Terminals


@pytest.fixture
def terminal() -> Iterator[str]:
    """A terminal that controls no session."""
    master, slave = pty.openpty()
    yield os.ttyname(slave)
    os.close(master)
    os.close(slave)


class Program(start.KeeperStart):
    """The start of another program in place of the keeper."""

    def command(self, **_: object) -> list[str]:
        return self.daemon


def test_a_detached_process_cannot_acquire_a_terminal(terminal: str) -> None:
    # The code that detaches the keeper starts this program instead.
    parent, child = socket.socketpair()
    with parent:
        with child:
            command = [sys.executable, "-c", TERMINAL, str(child.fileno()), terminal]
            start.detach(Program("", "", command, child.fileno(), child), child)
        assert parent.recv(100).decode() == "0 refused"


def test_a_jobs_terminal_is_not_the_daemons(crond: Crond, terminal: str) -> None:
    tty = crond.directory / "tty"
    crond.write(
        "jobs",
        f"HOME={crond.directory}\n@reboot exec <{terminal}; cut -d' ' -f7 /proc/$$/stat >new; mv new tty; exec sleep 9\n",
    )
    crond.run("start")
    wait_until(tty.exists)
    assert int(tty.read_text()) > 0, "a job leads its session, and has acquired the terminal"
    assert proc.stat(crond.pid).tty == proc.stat(crond.keeper).tty == 0


def in_terminal(commands: str, environment: dict[str, str]) -> tuple[int, int]:
    """Start a shell in a new terminal, and return its pid and the master side of the terminal."""
    pid, master = pty.fork()
    if pid == 0:
        try:
            signal.signal(signal.SIGHUP, signal.SIG_DFL)  # pytest may run under nohup
            os.execve("/bin/sh", ["sh", "-c", commands], environment)
        finally:
            os._exit(127)
    return pid, master


def has_exited(pid: int) -> Callable[[], bool]:
    return lambda: os.waitpid(pid, os.WNOHANG)[0] == pid


def read_until(master: int, text: bytes) -> None:
    output = b""
    while text not in output:
        output += os.read(master, 4096)


def test_it_survives_the_death_of_its_terminal_and_shell(crond: Crond) -> None:
    crond.write("jobs", f"HOME={crond.directory}\n@reboot exec sleep 1000\n")
    shell, master = in_terminal(f"{SCRIPT} start; echo gone; sleep 1000; :", crond.environment)
    read_until(master, b"gone")
    before = (crond.keeper, crond.pid)
    run = crond.history()[0]
    os.close(master)  # the kernel sends HUP to all processes whose controlling terminal it is
    wait_until(has_exited(shell))
    assert (crond.keeper, crond.pid) == before
    assert crond.run("status").stdout
    assert alive(run["pid"]), "the job is not affected either"
    assert crond.json("list")["daemon"]["pid"] == before[1]


def test_a_hangup_of_the_process_group_does_not_reach_it(crond: Crond) -> None:
    # Like sshd, `kill -HUP 0` sends HUP to the process group of the shell.
    shell, master = in_terminal(f"{SCRIPT} start; echo gone; kill -HUP 0; sleep 1000; :", crond.environment)
    read_until(master, b"gone")
    wait_until(has_exited(shell))
    os.close(master)
    assert alive(crond.keeper)
    assert crond.run("status").stdout


def test_the_terminal_is_closed(crond: Crond) -> None:
    shell, master = in_terminal(f"{SCRIPT} start; echo gone", crond.environment)
    read_until(master, b"gone")
    wait_until(has_exited(shell))
    with pytest.raises(OSError, match="Input/output error"):  # no process has it open
        while os.read(master, 4096):
            pass
    os.close(master)
    assert alive(crond.pid)


def test_a_start_under_nohup_still_handles_hup(crond: Crond) -> None:
    subprocess.run(["nohup", SCRIPT, "start"], env=crond.environment, capture_output=True, check=True)
    crond.write("jobs", "0 0 1 1 * true\n")
    os.kill(crond.pid, signal.SIGHUP)
    wait_until(lambda: (crond.status() or {})["jobs"] == 1)
    assert signal.SIGHUP not in proc.signals(proc.status(crond.keeper, "SigIgn"))
