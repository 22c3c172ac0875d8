"""A cell: a daemon in mount and pid namespaces of its own, with its own /etc, spool, /run and /dev/log.

The daemon sees no crontab of the machine, and no process outlives the cell. The CPU time of all processes is
read from a cgroup (version 1 or 2) where one can be made, else it is added up from /proc.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

from crond import DISK, MEMORY, proc_status, wait_until
from daemons import Daemon
from past import fill
from recorder import Recorder, make_recorder
from sink import DIE_WITH_PARENT, Sink

OTHER, OTHER_UID = "bench", 54321
"""A user that is not root."""
FILES = 100
"""The number of additional users with uid 0: `files-0`, `files-1`, …; each can have a crontab."""
PAM = "auth required pam_permit.so\naccount required pam_permit.so\nsession required pam_permit.so\n"
INSIDE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "inside.py")
CGROUPS = ("/sys/fs/cgroup/cpuacct", "/sys/fs/cgroup")


class Cell:
    """The directories of a cell, its log, and its daemon while it runs."""

    def __init__(self, daemon: Daemon, directory: str, shared: str) -> None:
        self.daemon = daemon
        self.directory = directory
        self.state = os.path.join(directory, "state")
        self._spool = directory + daemon.spool.replace("/var/spool", "/spool")
        self._unshare: subprocess.Popen[bytes] | None = None
        self._cgroup = _cgroup()
        for name in ("dev", "state"):
            os.mkdir(os.path.join(directory, name))
        os.makedirs(self._spool)
        _make_etc(os.path.join(directory, "etc"))
        self.recorder: Recorder = make_recorder(shared)
        with open(self.recorder.path, "wb"):
            os.chmod(self.recorder.path, 0o666)
        self.sink = Sink(shared)

    def write(self, text: str, user: str = "root") -> None:
        """Write the crontab of a user."""
        path = os.path.join(self._spool, user)
        with open(path + "~", "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path + "~", 0o600)
        os.chown(path + "~", OTHER_UID if user == OTHER else 0, 0)
        os.rename(path + "~", path)

    def job(self, name: int | str, then: str = "") -> str:
        """Return a command that records its start. Different names give different commands."""
        record = self.recorder.command.replace("%", "\\%")
        return f"{record}; exec {then}" if then else f"exec {record} #{name}"

    # The daemon

    def start(self) -> int:
        """Start the daemon and return the time of its execution, in nanoseconds since 1970. It is not ready
        yet.

        Before the first start of a daemon with past runs, its ledger is filled.
        """
        if self.daemon.past and not os.path.exists(os.path.join(self.state, "ledger")):
            self._start()
            wait_until(lambda: fill(os.path.join(self.state, "ledger"), self.daemon.past), 600)
            self.stop()
            self.recorder.reset()
        return self._start()

    def _start(self) -> int:
        began = os.path.join(self.directory, "began")
        argv = list(self.daemon.argv)
        if self.daemon.name in {"pycrond", "past"}:
            argv += ["--state-dir", self.state, "--pidfile", "/run/pycrond.pid"]
        shared = os.path.dirname(self.sink.path)
        binds = [(os.path.join(self.directory, name), point) for name, point in BINDS]
        description = {
            "mounts": [["-t", "tmpfs", "none", "/run"], *(["--rbind", *pair] for pair in binds)],
            "devices": os.path.join(self.directory, "dev"),
            "log": self.sink.path,
            "shared": os.path.dirname(shared) if shared.startswith("/dev/shm") else "",
            "began": began,
            "argv": argv,
        }
        unshare = "unshare --mount --pid --fork --mount-proc --kill-child --propagation private --"
        enter = f"echo $$ >{self._cgroup}/cgroup.procs;" if self._cgroup else ""
        environment = {name: os.environ[name] for name in ("PATH", "TZ") if name in os.environ}
        with open(os.path.join(self.directory, "errors"), "ab") as errors:
            first = [sys.executable, "-I", "-S", INSIDE, json.dumps(description)]
            self._unshare = subprocess.Popen(
                ["sh", "-c", f'{enter} exec {DIE_WITH_PARENT} {unshare} "$@"', "sh", *first],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                start_new_session=True,
            )
        if not _wait_for(lambda: os.path.exists(began) and os.path.getsize(began) > 0):
            raise RuntimeError(f"{self.daemon.name} does not start: {self.errors()}")
        with open(began, encoding="ascii") as file:
            timestamp = int(file.read())
        os.unlink(began)
        return timestamp

    def wait_until_detached(self) -> None:
        """Wait until the command that starts the daemon has ended."""

        def has_daemon() -> bool:
            with contextlib.suppress(IndexError):
                return bool(self.pid)
            return False

        wait_until(has_daemon, 60)

    def errors(self) -> str:
        with open(os.path.join(self.directory, "errors"), encoding="utf-8", errors="replace") as file:
            return file.read()[-2000:]

    def stop(self) -> None:
        """Terminate the daemon, then kill the first process of the pid namespace, and all others with it."""
        if self._unshare is None:
            return
        with contextlib.suppress(ProcessLookupError, IndexError):
            os.kill(self.pid, signal.SIGTERM)
            wait_until(lambda: len(self.pids()) <= 1, 5)
        self._unshare.kill()  # unshare --kill-child
        self._unshare.wait()
        self._unshare = None
        time.sleep(0.2)

    def close(self) -> None:
        self.stop()
        self.sink.end()
        if self._cgroup:
            _wait_for(lambda: not _read(f"{self._cgroup}/cgroup.procs"))
            with contextlib.suppress(OSError):
                os.rmdir(self._cgroup)

    # Measurements

    @property
    def pid(self) -> int:
        """The daemon's pid outside the namespace. Raises IndexError if it has ended."""
        return self._descendant(self.daemon.generation)

    @property
    def keeper(self) -> int:
        """The keeper's pid outside the namespace."""
        return self._descendant(1)

    def _descendant(self, generation: int) -> int:
        assert self._unshare is not None
        pid = _children(self._unshare.pid)[0]
        for _ in range(generation):
            pid = _children(pid)[0]
        return pid

    def pids(self) -> list[int]:
        """Return the pids of all processes in the namespace."""
        assert self._unshare is not None
        pids, generation = [], _children(self._unshare.pid)
        while generation:
            pids += generation
            generation = [child for pid in generation for child in _children(pid)]
        return pids

    def zombies(self) -> int:
        return sum(_state(pid) == "Z" for pid in self.pids())

    def cpu(self) -> float:
        """Return the CPU time of all processes of the cell up to now, in ms."""
        if not self._cgroup:
            return sum(_ticks(pid) for pid in self.pids())
        if text := _read(f"{self._cgroup}/cpuacct.usage"):
            return int(text) / 1e6
        return int(_read(f"{self._cgroup}/cpu.stat").split()[1]) / 1e3

    def own_cpu(self) -> float:
        """Return the CPU time of the daemon itself, in ms."""
        return int(_read(f"/proc/{self.pid}/schedstat").split()[0]) / 1e6

    def resident(self) -> float:
        """Return the daemon's resident memory in 10^6 bytes; pages shared with others count in full."""
        return int(proc_status(self.pid)["VmRSS"]) * 1024 / 1e6

    def wakeups(self) -> int:
        return int(proc_status(self.pid)["voluntary_ctxt_switches"])


BINDS = (("etc", "/etc"), ("spool", "/var/spool"), ("dev", "/dev"))


@contextlib.contextmanager
def open_cell(daemon: Daemon) -> Iterator[Cell]:
    """Make a cell without crontabs whose daemon is not started yet, and remove it at the end."""
    directory = tempfile.mkdtemp(prefix="pycrond-cell-", dir=DISK)
    shared = tempfile.mkdtemp(prefix="pycrond-cell-", dir=MEMORY)
    os.chmod(shared, 0o755)  # jobs of another user record there
    try:
        with contextlib.closing(Cell(daemon, directory, shared)) as cell:
            yield cell
    finally:
        shutil.rmtree(directory)
        shutil.rmtree(shared)


def _make_etc(directory: str) -> None:
    """Copy the machine's /etc without its crontabs, and add the users of the benchmark."""
    subprocess.run(["cp", "-a", "/etc", directory], check=True)
    shutil.rmtree(os.path.join(directory, "cron.d"), ignore_errors=True)
    os.mkdir(os.path.join(directory, "cron.d"))
    with open(os.path.join(directory, "crontab"), "wb"):
        os.chmod(os.path.join(directory, "crontab"), 0o644)
    with open(os.path.join(directory, "passwd"), "a", encoding="utf-8") as file:
        file.write(f"{OTHER}:x:{OTHER_UID}:{OTHER_UID}::/:/bin/sh\n")
        file.writelines(f"files-{number}:x:0:0::/:/bin/sh\n" for number in range(FILES))
    with open(os.path.join(directory, "group"), "a", encoding="utf-8") as file:
        file.write(f"{OTHER}:x:{OTHER_UID}:\n")
    os.makedirs(os.path.join(directory, "pam.d"), exist_ok=True)
    for name in ("cron", "crond"):
        with open(os.path.join(directory, "pam.d", name), "w", encoding="ascii") as file:
            file.write(PAM)


def _cgroup() -> str:
    """Make a cgroup that counts CPU time and return its path; empty if that is impossible."""
    for root in CGROUPS:
        path = os.path.join(root, f"pycrond-bench-{os.getpid()}")
        if os.path.exists(os.path.join(root, "cgroup.procs")):
            with contextlib.suppress(OSError):
                os.makedirs(path, exist_ok=True)
                if os.path.exists(f"{path}/cpuacct.usage") or os.path.exists(f"{path}/cpu.stat"):
                    return path
    return ""


def _children(pid: int) -> list[int]:
    return [int(word) for word in _read(f"/proc/{pid}/task/{pid}/children").split()]


def _state(pid: int) -> str:
    return _read(f"/proc/{pid}/stat").rpartition(")")[2].strip()[:1]


def _ticks(pid: int) -> float:
    """Return the CPU time of a process and of the children it has reaped, in ms."""
    words = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return sum(map(int, words[11:15])) * 1000 / os.sysconf("SC_CLK_TCK") if words else 0.0


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _wait_for(condition: Callable[[], object], seconds: float = 10) -> bool:
    """Poll a condition every 5 ms; return False if it is not true after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True
