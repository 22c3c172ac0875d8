"""A proper daemon, whatever it was started from: one start from an ugly place, looked at from all sides."""

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

ABOVE = 3  # of /dev/null
UGLY = """
import os, resource, signal, sys
folder, program = sys.argv[1:]
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
for number in range(50):
    os.set_inheritable(os.open(f"{folder}/{number}", os.O_RDWR | os.O_CREAT), True)
os.dup2(3, min(hard, 1000) - 1)
os.umask(0o077)
os.chdir(folder)
catchable = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
for number in catchable:
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, catchable)
os.execv(program, [program, "start"])
"""
"""Has 50 descriptors open and one far up, a umask, a folder; ignores all signals and blocks them."""

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
    taken = "taken"
except PermissionError:
    taken = "refused"
tty = open("/proc/self/stat").read().rpartition(")")[2].split()[4]
os.write(int(sys.argv[1]), f"{tty} {taken}".encode())
"""
"""Opens a terminal, and asks outright for it to be its controlling one."""


@pytest.fixture(scope="module")
def ugly(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crond]:
    """Started once from an ugly place, with a job that has said how it looks and lives on."""
    crond = Crond(tmp_path_factory.mktemp("ugly"))
    inherited = crond.folder / "inherited"
    inherited.mkdir()
    look_at = "grep -E '^(Sig|Umask)' /proc/self/status; ls -l /proc/self/fd"
    crond.write(
        "jobs", f"HOME={crond.folder}\n@reboot ({look_at}) >job.new; mv job.new job; exec sleep 1000\n"
    )
    command = [sys.executable, "-c", UGLY, str(inherited), SCRIPT]
    try:
        done = subprocess.run(
            command, env=crond.environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        wait_until((crond.folder / "job").exists)
        yield crond
    finally:
        crond.end()


@pytest.fixture(params=["keeper", "daemon"])
def pid(ugly: Crond, request: pytest.FixtureRequest) -> int:
    """What holds of the daemon holds of its keeper."""
    return ugly.keeper if request.param == "keeper" else ugly.pid


def test_it_is_in_a_session_of_which_it_is_not_the_leader(pid: int) -> None:
    session = proc.stat(pid).session
    assert session not in {pid, os.getsid(0)}
    assert not proc.exists(session), "the leader that could be given a terminal has gone"


def test_it_has_no_controlling_terminal(pid: int) -> None:
    assert proc.stat(pid).tty == 0


def test_its_working_directory_is_the_root(pid: int) -> None:
    assert os.readlink(f"/proc/{pid}/cwd") == "/"


def test_its_umask_is_022(pid: int) -> None:
    assert proc.status(pid, "Umask") == "0022"


def test_its_standard_descriptors_are_on_dev_null(pid: int) -> None:
    opened = proc.descriptors(pid)
    assert [opened[number] for number in range(3)] == ["/dev/null"] * 3


def test_no_inherited_descriptor_is_open(ugly: Crond, pid: int) -> None:
    opened = proc.descriptors(pid)
    assert not [target for target in opened.values() if "/inherited" in target]
    ours = ("socket:", "pipe:", "anon_inode:", str(ugly.folder))
    assert not [
        target for number, target in opened.items() if number >= ABOVE and not target.startswith(ours)
    ]


def test_the_keeper_holds_nothing_but_what_it_needs(ugly: Crond) -> None:
    kinds = sorted(target.split(":")[0] for target in proc.descriptors(ugly.keeper).values())
    kinds = [
        kind for kind in kinds if not kind.startswith(str(ugly.runtime / "fifo"))
    ]  # what it holds for runs
    lock, null, pipe, socket_ = str(ugly.state / "lock"), "/dev/null", "pipe", "socket"
    # The pipe of signals; the sockets that `start` asks at and that the daemon speaks on.
    assert kinds == sorted([null] * 3 + [lock] + [pipe] * 2 + [socket_] * 2)


def test_no_signal_is_blocked(pid: int) -> None:
    assert proc.signals(proc.status(pid, "SigBlk")) == set()


def test_no_signal_is_ignored_but_what_python_ignores(pid: int) -> None:
    assert proc.signals(proc.status(pid, "SigIgn")) <= {signal.SIGPIPE, signal.SIGXFSZ}


def test_a_job_has_clean_signals_and_umask(ugly: Crond) -> None:
    lines = (ugly.folder / "job").read_text().splitlines()
    fields = dict(line.split(":\t") for line in lines if ":\t" in line)
    assert proc.signals(fields["SigIgn"]) == set()
    assert proc.signals(fields["SigBlk"]) == set()
    assert fields["Umask"] == "0022"


def test_a_job_inherits_no_descriptor(ugly: Crond) -> None:
    opened = [line for line in (ugly.folder / "job").read_text().splitlines() if " -> " in line]
    numbers = {int(line.split(" -> ")[0].split()[-1]) for line in opened}
    assert numbers == {0, 1, 2, 3}, f"3 is what ls lists them by: {opened}"


def test_its_only_ancestors_are_its_keeper_and_the_first_process(ugly: Crond) -> None:
    keeper, *above = proc.ancestors(ugly.pid)
    assert ugly.programs("keeper") == [keeper]
    # 1, or a subreaper between it and us; never the shell it was started from, which lives no more.
    assert above[0] in {1, *proc.ancestors(os.getpid())}


def test_the_nearest_subreaper_is_the_keepers_parent(crond: Crond) -> None:
    command = [sys.executable, "-c", SUBREAPER, SCRIPT]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, env=crond.environment, text=True, **pipes) as subreaper:  # type: ignore[call-overload]
        assert subreaper.stdout.readline() == "started\n"
        assert proc.ancestors(crond.pid)[:2] == [crond.keeper, subreaper.pid]
        crond.run("stop")
        subreaper.stdin.close()


def test_the_shell_has_its_prompt_back(crond: Crond) -> None:
    # The daemon lives, and holds no end of the pipes that the shell's words come through: they end.
    done = subprocess.run(
        ["sh", "-c", f"{SCRIPT} start; echo prompt"],
        env=crond.environment, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout.endswith("prompt\n")
    assert alive(crond.pid)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_started_with_standard_descriptors_closed(crond: Crond, closed: str) -> None:
    # The first files that are opened get these numbers: the lock and the sockets must survive.
    subprocess.run(["sh", "-c", f"{SCRIPT} start {closed}"], env=crond.environment, timeout=60, check=True)
    for pid in (crond.keeper, crond.pid):
        opened = proc.descriptors(pid)
        assert [opened[number] for number in range(3)] == ["/dev/null"] * 3
    crond.run("stop")


def test_started_again_it_is_as_proper_as_the_first(crond: Crond) -> None:
    crond.run("start", umask=0o077)
    keeper, first = crond.keeper, crond.pid
    before = proc.descriptors(first)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: (crond.status() or {"pid": first})["pid"] != first)
    second = crond.pid
    assert proc.stat(second)[1:] == (keeper, *proc.stat(keeper)[2:])
    assert proc.status(second, "Umask") == "0022"
    assert proc.signals(proc.status(second, "SigBlk")) == set()
    wait_until(lambda: len(proc.descriptors(second)) == len(before))  # we may have one open a moment longer


# Terminals


@pytest.fixture
def terminal() -> Iterator[str]:
    """A free terminal, nobody's controlling one."""
    ours, its = pty.openpty()
    yield os.ttyname(its)
    os.close(ours)
    os.close(its)


def test_opening_a_terminal_does_not_give_it_one_back(terminal: str) -> None:
    # The daemon's own code puts this program in the keeper's place: what it cannot, nobody there can.
    ours, its = socket.socketpair()
    with ours:
        with its:
            start.detach([sys.executable, "-c", TERMINAL, str(its.fileno()), terminal], (), its)
        assert ours.recv(100).decode() == "0 refused"


def test_a_jobs_terminal_is_not_the_daemons(crond: Crond, terminal: str) -> None:
    said = crond.folder / "tty"
    crond.write(
        "jobs",
        f"HOME={crond.folder}\n@reboot exec <{terminal}; cut -d' ' -f7 /proc/$$/stat >new; mv new tty; exec sleep 9\n",
    )
    crond.run("start")
    wait_until(said.exists)
    assert int(said.read_text()) > 0, "a job leads its session, and has got the terminal"
    assert proc.stat(crond.pid).tty == proc.stat(crond.keeper).tty == 0


def in_terminal(commands: str, environment: dict[str, str]) -> tuple[int, int]:
    """A shell in a terminal of its own, doing this: its pid, and the terminal's other end."""
    pid, master = pty.fork()
    if pid == 0:
        try:
            os.execve("/bin/sh", ["sh", "-c", commands], environment)
        finally:
            os._exit(127)
    return pid, master


def end_of(pid: int) -> Callable[[], bool]:
    return lambda: os.waitpid(pid, os.WNOHANG)[0] == pid


def read_until(master: int, text: bytes) -> None:
    said = b""
    while text not in said:
        said += os.read(master, 4096)


def test_it_survives_the_death_of_its_terminal_and_shell(crond: Crond) -> None:
    crond.write("jobs", f"HOME={crond.folder}\n@reboot exec sleep 1000\n")
    shell, master = in_terminal(f"{SCRIPT} start; echo gone; sleep 1000; :", crond.environment)
    read_until(master, b"gone")
    before = (crond.keeper, crond.pid)
    run = crond.history()[0]
    os.close(master)  # the kernel sends HUP to all that have it as their controlling terminal
    wait_until(end_of(shell))
    assert (crond.keeper, crond.pid) == before
    assert crond.run("status").stdout
    assert alive(run["pid"]), "nor does a job notice"
    assert crond.json("list")["daemon"]["pid"] == before[1]


def test_a_hangup_of_everything_in_the_terminal_does_not_reach_it(crond: Crond) -> None:
    # As sshd and a shell's `kill -HUP 0` do it: HUP to the group, then KILL to the shell.
    shell, master = in_terminal(f"{SCRIPT} start; echo gone; kill -HUP 0; sleep 1000; :", crond.environment)
    read_until(master, b"gone")
    wait_until(end_of(shell))
    os.close(master)
    assert alive(crond.keeper)
    assert crond.run("status").stdout


def test_the_terminal_has_been_let_go(crond: Crond) -> None:
    shell, master = in_terminal(f"{SCRIPT} start; echo gone", crond.environment)
    read_until(master, b"gone")
    wait_until(end_of(shell))
    with pytest.raises(OSError, match="Input/output error"):  # the last to have it open has closed it
        while os.read(master, 4096):
            pass
    os.close(master)
    assert alive(crond.pid)


def test_nohup_is_no_different(crond: Crond) -> None:
    subprocess.run(["nohup", SCRIPT, "start"], env=crond.environment, capture_output=True, check=True)
    crond.write("jobs", "0 0 1 1 * true\n")
    os.kill(crond.pid, signal.SIGHUP)
    wait_until(lambda: (crond.status() or {})["jobs"] == 1)
    assert signal.SIGHUP not in proc.signals(proc.status(crond.keeper, "SigIgn"))
