"""A container that crun runs, as docker would: its own processes, mounts and a read-only root file system."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

UNIFIED = 'mount -t cgroup2 none /sys/fs/cgroup && exec "$@"'
CRUN = ("unshare", "--mount", "sh", "-c", UNIFIED, "crun", "crun", "--cgroup-manager=disabled")
"""crun refuses to run where cgroups of both versions are mounted, although it is to use none."""
NAMESPACES = ("pid", "mount", "ipc", "uts", "network")
TIME_LIMIT = 30.0  # seconds for any fact to become true
SYSTEM_MOUNTS: tuple[tuple[str, str, str, list[str]], ...] = (
    ("/proc", "proc", "proc", []),
    ("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
    ("/dev/shm", "tmpfs", "shm", ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
)


def wait_until(fact: Callable[[], object], seconds: float = TIME_LIMIT) -> None:
    deadline = time.monotonic() + seconds
    while not fact():
        if time.monotonic() >= deadline:
            raise AssertionError(f"still not true after {seconds:.0f} s")
        time.sleep(0.01)


@dataclass(slots=True)
class Container:
    """What a container is started with, and its process."""

    root: Path
    """The image's file system, which no container changes."""
    config: Mapping[str, Any]
    """The image's settings, as docker's API shows them."""
    directory: Path
    """An empty directory: the bundle."""
    binds: Mapping[str, Path] = field(default_factory=dict)
    """Directories of the machine, by their paths in the container; those that end with `:ro` are read-only."""
    tmpfs: tuple[str, ...] = ("/tmp",)
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    """UID:GID, empty for that of the image."""
    command: tuple[str, ...] = ()
    """Instead of the image's own."""
    stdout: Any = None
    """Where standard output and error go; None: the file `log`."""
    process: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        return f"pycrond-{os.getpid()}-{self.directory.name}"

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text()

    def start(self) -> "Container":
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "config.json").write_text(json.dumps(self._specification()))
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*CRUN, "run", f"--bundle={self.directory}", self.name],
                stdin=subprocess.DEVNULL,
                stdout=self.stdout or log,
                stderr=subprocess.STDOUT,
            )
        return self

    def _specification(self) -> dict[str, Any]:
        uid, gid = map(int, (self.user or self.config["User"]).split(":"))
        home = [] if any(entry.startswith("HOME=") for entry in self.config["Env"]) else ["HOME=/"]
        mounts: list[dict[str, Any]] = [
            {"destination": path, "type": kind, "source": source, "options": options}
            for path, kind, source, options in SYSTEM_MOUNTS
        ]
        mounts += [
            {"destination": path, "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=1777"]}
            for path in self.tmpfs
        ]
        for path, source in self.binds.items():
            target, _, mode = path.partition(":")
            options = ["bind", "ro" if mode == "ro" else "rw"]
            mounts.append({"destination": target, "type": "bind", "source": str(source), "options": options})
        return {
            "ociVersion": "1.0.2",
            "root": {"path": str(self.root), "readonly": True},
            "hostname": "container",
            "process": {
                "terminal": False,
                "user": {"uid": uid, "gid": gid},
                "args": [*(self.command or self.config["Entrypoint"])],
                "env": [
                    *self.config["Env"],
                    *home,
                    *(f"{name}={value}" for name, value in self.environment.items()),
                ],
                "cwd": self.config["WorkingDir"] or "/",
                "capabilities": {},
                "noNewPrivileges": True,
            },
            "mounts": mounts,
            "linux": {"namespaces": [{"type": name} for name in NAMESPACES]},
        }

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the container, as `docker exec` does."""
        words = [*CRUN, "exec", f"--user={self.user or self.config['User']}", self.name, *command]
        return subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)

    @property
    def has_ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    @property
    def is_ready(self) -> bool:
        return self.execute("pycrond", "status").returncode == 0

    @property
    def pid(self) -> int:
        """The pid of its process 1 on this machine; 0 while there is none."""
        done = subprocess.run([*CRUN, "state", self.name], capture_output=True, text=True, check=False)
        return int(json.loads(done.stdout)["pid"]) if done.returncode == 0 else 0

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def stop(self, limit: float = 10.0) -> tuple[float, int]:
        """Send TERM, and KILL after `limit`, as `docker stop` does; return the seconds and the exit status."""
        assert self.process
        began, first = time.monotonic(), os.pidfd_open(self.pid)
        signal.pidfd_send_signal(first, signal.SIGTERM)
        try:
            status = self.process.wait(limit)
        except subprocess.TimeoutExpired:
            signal.pidfd_send_signal(first, signal.SIGKILL)
            status = self.process.wait(limit)
        os.close(first)
        return time.monotonic() - began, status

    def close(self) -> None:
        """End it, whatever it does."""
        if self.process and self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError, OSError):
                if pid := self.pid:
                    os.kill(pid, signal.SIGKILL)
            self.process.wait(10)
        subprocess.run([*CRUN, "delete", "--force", self.name], capture_output=True, check=False)
