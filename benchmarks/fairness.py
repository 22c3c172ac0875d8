"""Fairness: while a user attacks the daemon, another user's job starts on time, and `status` answers."""

import contextlib
import os
import pwd
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

from attacks import ATTACKS, USER, run_as
from bursts import wait_for_second, wait_past_minute
from crond import Crond, open_crond, proc_status
from daemons import Daemon
from figures import Figure

VICTIM = "daemon"
"""The user whose job is to start on time, and who asks for the status."""
ATTACK_SECOND = 20  # of a minute, in which an attack begins
END_SECOND = 10  # of a later minute, when the victim's job has run
PROBE = """
worst = 0.0
def act():
    global worst
    began = time.perf_counter()
    assert "pid" in ask(command="status")
    worst = max(worst, time.perf_counter() - began)
    print(worst * 1000, flush=True)
    time.sleep(0.05)
while True:
    act()
"""


class System:
    """A daemon with `--system`, whose crontabs lie below a directory, as the target of attacks."""

    def __init__(self, crond: Crond) -> None:
        self._crond = crond
        self._root = os.path.join(crond.directory, "root")
        self.socket = os.path.join(crond.runtime_dir, "control.sock")
        self.ledger = os.path.join(crond.directory, "state", "ledger")
        self.starts = os.path.join(crond.directory, "starts")
        self._is_over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._programs: list[subprocess.Popen[bytes]] = []
        for directory in (crond.directory, crond.runtime_dir):
            os.chmod(directory, 0o755)
        for name in ("etc/cron.d", "var/spool/cron/crontabs"):
            os.makedirs(os.path.join(self._root, name))
        with open(os.path.join(self._root, "etc/os-release"), "w", encoding="ascii") as file:
            file.write("ID=debian\n")
        with open(self.starts, "wb"):
            os.chmod(self.starts, 0o666)
        del crond.environment["PYCROND_CRONTABS"]
        crond.environment |= {"PYCROND_SYSTEM": "yes", "PYCROND_ROOT": self._root}

    def write(self, user: str, text: str) -> None:
        path = os.path.join(self._root, "var/spool/cron/crontabs", user)
        new = os.path.join(self._root, f"{user}.new")
        with open(new, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(new, 0o600)
        os.chown(new, *pwd.getpwnam(user)[2:4])
        os.rename(new, path)

    def run_thread(self, function: Callable[[threading.Event], None]) -> None:
        self._threads.append(threading.Thread(target=function, args=(self._is_over,), daemon=True))
        self._threads[-1].start()

    def restart(self) -> None:
        self._crond.run("stop")
        self._crond.run("start")

    def end_later(self, program: subprocess.Popen[bytes]) -> None:
        self._programs.append(program)

    def reset_starts(self) -> None:
        """Discard the recorded starts."""
        os.truncate(self.starts, 0)

    def latenesses(self) -> list[float]:
        """Return the delays of the victim's recorded starts after their minutes, in ms."""
        with open(self.starts, encoding="ascii") as file:
            return [float(line) % 60 * 1000 for line in file]

    def peak_memory(self) -> float:
        """Return the most resident memory that the daemon has had, in 10^6 bytes."""
        return int(proc_status(self._crond.pid)["VmHWM"]) * 1024 / 1e6

    def end(self) -> None:
        """End the attack, and the jobs that run."""
        self._is_over.set()
        self._crond.run("stop", "--kill-jobs")
        for program in self._programs:
            program.kill()
            program.wait()
        for thread in self._threads:
            thread.join()


@contextlib.contextmanager
def _system() -> Iterator[System]:
    """Start a daemon with the victim's job, and end it and the attack."""
    with open_crond() as crond:
        system = System(crond)
        system.write(VICTIM, f"HOME=/\n* * * * * date +\\%s.\\%N >>{system.starts}\n")
        try:
            crond.run("start")
            yield system
        finally:
            system.end()


def figures(daemon: Daemon, minutes: int) -> list[Figure]:
    """Measure `minutes` minutes of each attack; each value of a row is the worst value of one attack."""
    late, status, memory = [], [], []
    for name, attack in ATTACKS.items():
        with _system() as system:
            wait_for_second(ATTACK_SECOND)
            attack(system)
            wait_past_minute()
            system.reset_starts()
            probe = run_as(system, VICTIM, PROBE)
            time.sleep(60 * minutes)
            wait_for_second(END_SECOND)
            late.append(max(system.latenesses(), default=60_000.0))
            memory.append(system.peak_memory())
            probe.kill()
            answers, _ = probe.communicate()
            status.append(float(answers.split()[-1]) if answers.split() else 60_000.0)
        measured = f"{late[-1]:.0f} ms late, status in {status[-1]:.0f} ms, {memory[-1]:.0f} MB"
        print(f"  {USER} attacks by {name}: {measured}", file=sys.stderr, flush=True)
    return [
        Figure("fairness.late", daemon.name, late),
        Figure("fairness.status", daemon.name, status),
        Figure("fairness.memory", daemon.name, memory),
    ]
