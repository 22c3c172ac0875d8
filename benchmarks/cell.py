"""A cell: one daemon in mount and pid namespaces of its own, with its own /etc, spool, /run and /dev/log.

Nothing of the machine's crontabs is seen there, and nothing that is started there outlives the cell. What all
of its processes cost is read from a cgroup where there is one (version 1 or 2), else added up from /proc.
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
from recorder import Recorder, recorder
from sink import WITH_US, Sink

OTHER = "bench"
"""A user that is not root; `files-0`, `files-1`, … are names of root's."""
OTHER_UID = 54321
FILES = 100
PAM = "auth required pam_permit.so\naccount required pam_permit.so\nsession required pam_permit.so\n"
INSIDE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "inside.py")
CGROUPS = ("/sys/fs/cgroup/cpuacct", "/sys/fs/cgroup")


class Cell:
    """Its folders, its daemon once it is started, its log."""

    def __init__(self, daemon: Daemon, folder: str, shared: str) -> None:
        self.daemon = daemon
        self.folder = folder
        self.state = os.path.join(folder, "state")
        self._spool = folder + daemon.spool.replace("/var/spool", "/spool")
        self._outside: subprocess.Popen[bytes] | None = None
        self._cgroup = _cgroup()
        for name in ("dev", "state"):
            os.mkdir(os.path.join(folder, name))
        os.makedirs(self._spool)
        _make_etc(os.path.join(folder, "etc"))
        self.clock: Recorder = recorder(shared)
        with open(self.clock.path, "wb"):
            os.chmod(self.clock.path, 0o666)
        self.sink = Sink(shared)

    def write(self, text: str, user: str = "root") -> None:
        """The crontab of one user."""
        path = os.path.join(self._spool, user)
        with open(path + "~", "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path + "~", 0o600)
        os.chown(path + "~", OTHER_UID if user == OTHER else 0, 0)
        os.rename(path + "~", path)

    def job(self, name: int | str, then: str = "") -> str:
        """A command that records its start; each name another one, as jobs in life are."""
        record = self.clock.command.replace("%", "\\%")
        return f"{record}; exec {then}" if then else f"exec {record} #{name}"

    # The daemon

    def start(self) -> int:
        """Start it; when it was executed, in nanoseconds since 1970. It need not be ready."""
        if self.daemon.past and not os.path.exists(os.path.join(self.state, "ledger")):
            self._start()
            wait_until(lambda: fill(os.path.join(self.state, "ledger"), self.daemon.past), 60)
            self.stop()
            self.clock.forget()
        return self._start()

    def _start(self) -> int:
        began = os.path.join(self.folder, "began")
        argv = list(self.daemon.argv)
        if self.daemon.name in {"pycrond", "past"}:
            argv += ["--state-dir", self.state, "--pidfile", "/run/pycrond.pid"]
        shared = os.path.dirname(self.sink.path)
        binds = [(os.path.join(self.folder, name), place) for name, place in BINDS]
        cell = {
            "mounts": [["-t", "tmpfs", "none", "/run"], *(["--rbind", *pair] for pair in binds)],
            "devices": os.path.join(self.folder, "dev"),
            "log": self.sink.path,
            "shared": os.path.dirname(shared) if shared.startswith("/dev/shm") else "",
            "began": began,
            "argv": argv,
        }
        unshare = f"{WITH_US} unshare --mount --pid --fork --mount-proc --kill-child --propagation private --"
        enter = f"echo $$ >{self._cgroup}/cgroup.procs;" if self._cgroup else ""
        environment = {name: os.environ[name] for name in ("PATH", "TZ") if name in os.environ}
        with open(os.path.join(self.folder, "errors"), "ab") as errors:
            first = [sys.executable, "-I", "-S", INSIDE, json.dumps(cell)]
            self._outside = subprocess.Popen(
                ["sh", "-c", f'{enter} exec {unshare} "$@"', "sh", *first],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                start_new_session=True,
            )
        if not _soon(lambda: os.path.exists(began) and os.path.getsize(began) > 0):
            raise RuntimeError(f"{self.daemon.name} does not start: {self.errors()}")
        with open(began, encoding="ascii") as file:
            at = int(file.read())
        os.unlink(began)
        return at

    def detached(self) -> None:
        """Wait until a command that starts a daemon has ended."""

        def there() -> bool:
            with contextlib.suppress(IndexError):
                return bool(self.pid)
            return False

        wait_until(there, 60)

    def errors(self) -> str:
        with open(os.path.join(self.folder, "errors"), encoding="utf-8", errors="replace") as file:
            return file.read()[-2000:]

    def stop(self) -> None:
        """Ask the daemon to end, then end the cell: its first process takes all others with it."""
        if self._outside is None:
            return
        with contextlib.suppress(ProcessLookupError, IndexError):
            os.kill(self.pid, signal.SIGTERM)
            wait_until(lambda: len(self.pids()) <= 1, 5)
        self._outside.kill()  # unshare --kill-child
        self._outside.wait()
        self._outside = None
        time.sleep(0.2)

    def close(self) -> None:
        self.stop()
        self.sink.end()
        if self._cgroup:
            _soon(lambda: not _read(f"{self._cgroup}/cgroup.procs"))
            with contextlib.suppress(OSError):
                os.rmdir(self._cgroup)

    # What it costs

    @property
    def pid(self) -> int:
        """The daemon's, as seen from outside. Raises IndexError where it has ended."""
        return self._descendant(self.daemon.generation)

    @property
    def keeper(self) -> int:
        return self._descendant(1)

    def _descendant(self, generation: int) -> int:
        assert self._outside is not None
        pid = _children(self._outside.pid)[0]
        for _ in range(generation):
            pid = _children(pid)[0]
        return pid

    def pids(self) -> list[int]:
        """Every process of the cell but unshare(1)'s."""
        assert self._outside is not None
        found, new = [], _children(self._outside.pid)
        while new:
            found += new
            new = [child for pid in new for child in _children(pid)]
        return found

    def zombies(self) -> int:
        return sum(_state(pid) == "Z" for pid in self.pids())

    def cpu(self) -> float:
        """Milliseconds of processor that all processes of the cell have taken up to now."""
        if not self._cgroup:
            return sum(_ticks(pid) for pid in self.pids())
        if text := _read(f"{self._cgroup}/cpuacct.usage"):
            return int(text) / 1e6
        return int(_read(f"{self._cgroup}/cpu.stat").split()[1]) / 1e3

    def own_cpu(self) -> float:
        """Milliseconds of processor that the daemon itself has taken."""
        return int(_read(f"/proc/{self.pid}/schedstat").split()[0]) / 1e6

    def resident(self) -> float:
        """Of the daemon, in 10^6 bytes; pages of files that others map too are counted in full."""
        return int(proc_status(self.pid)["VmRSS"]) * 1024 / 1e6

    def wakeups(self) -> int:
        return int(proc_status(self.pid)["voluntary_ctxt_switches"])


BINDS = (("etc", "/etc"), ("spool", "/var/spool"), ("dev", "/dev"))


@contextlib.contextmanager
def cell(daemon: Daemon) -> Iterator[Cell]:
    """One that has no crontab and is not started yet."""
    folder = tempfile.mkdtemp(prefix="pycrond-cell-", dir=DISK)
    shared = tempfile.mkdtemp(prefix="pycrond-cell-", dir=MEMORY)
    os.chmod(shared, 0o755)  # jobs of another user record there
    try:
        with contextlib.closing(Cell(daemon, folder, shared)) as one:
            yield one
    finally:
        shutil.rmtree(folder)
        shutil.rmtree(shared)


def _make_etc(folder: str) -> None:
    """The machine's /etc without its crontabs, and with our users."""
    subprocess.run(["cp", "-a", "/etc", folder], check=True)
    shutil.rmtree(os.path.join(folder, "cron.d"), ignore_errors=True)
    os.mkdir(os.path.join(folder, "cron.d"))
    with open(os.path.join(folder, "crontab"), "wb"):
        os.chmod(os.path.join(folder, "crontab"), 0o644)
    with open(os.path.join(folder, "passwd"), "a", encoding="utf-8") as file:
        file.write(f"{OTHER}:x:{OTHER_UID}:{OTHER_UID}::/:/bin/sh\n")
        file.writelines(f"files-{number}:x:0:0::/:/bin/sh\n" for number in range(FILES))
    with open(os.path.join(folder, "group"), "a", encoding="utf-8") as file:
        file.write(f"{OTHER}:x:{OTHER_UID}:\n")
    os.makedirs(os.path.join(folder, "pam.d"), exist_ok=True)
    for name in ("cron", "crond"):
        with open(os.path.join(folder, "pam.d", name), "w", encoding="ascii") as file:
            file.write(PAM)


def _cgroup() -> str:
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
    """Of a process and the children it has reaped, in ms."""
    words = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return sum(map(int, words[11:15])) * 1000 / os.sysconf("SC_CLK_TCK") if words else 0.0


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _soon(fact: Callable[[], object], seconds: float = 10) -> bool:
    give_up = time.monotonic() + seconds
    while not fact():
        if time.monotonic() > give_up:
            return False
        time.sleep(0.005)
    return True
