"""The attack: a real daemon with a clock of its own is killed, edited, stopped and starved, and then judged.

A seed determines the jobs, the order of the faults and their times; the scheduling of processes remains random.
"""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pycrond.ledger.reader import Reader
from tests.chaos.judgement import Judgement
from tests.chaos.kinds import KINDS
from tests.conftest import Crond, alive, wait_until
from tests.support import proc
from tests.support.rsyslog import Rsyslogd

if TYPE_CHECKING:
    from collections.abc import Callable

MINUTE = timedelta(minutes=1)
SYSCALLS, SYSCALLS_A_JOB = 400, 12  # made in one turn of the loop


class Chaos:
    """A round with one daemon, its jobs, and the faults injected into it."""

    def __init__(
        self, directory: Path, rsyslogd: Rsyslogd, seed: int, copies: int = 3, *, quick: bool = False
    ) -> None:
        """Write `copies` jobs of each kind; with `quick` only kinds that end at once, and every minute."""
        self.random = random.Random(seed)
        self.crond = Crond(directory)
        self.crond.environment["PYCROND_SYSLOG"] = rsyslogd.path
        self.rsyslogd = rsyslogd
        self.now = datetime(2031, 3, 1, 12, 0, tzinfo=UTC)
        self.ahead = 0.0  # seconds by which the daemon's clock is ahead of the real one
        self.kills: Counter[str] = Counter()
        self.done: list[str] = []  # the faults, in order
        self.turned = self.random.random() < 0.5
        """True: the wall clock alone is set to each minute. False: CLOCK_MONOTONIC leaps too, like after a suspend."""
        if self.turned:
            self.crond.environment["FAKETIME_DONT_FAKE_MONOTONIC"] = "1"
            self.crond.environment["PYTHONPATH"] = str(Path(__file__).parent / "turned")
        self.jobs = {
            f"{kind}{number}": kind
            for kind, traits in KINDS.items()
            if traits.quick or not quick
            for number in range(1 if traits.rare else copies)
        }
        often = ["* * * * *"] if quick else ["* * * * *", "*/2 * * * *", "0-59/3 * * * *"]
        self.schedules = {
            name: "*/9 * * * *" if KINDS[kind].rare else self.random.choice(often)
            for name, kind in self.jobs.items()
        }
        (directory / "tally").mkdir()
        self.write()

    def write(self, extra: str = "") -> None:
        """Write the crontab. Each job counts its runs in a tally, and prints its name in every line."""
        lines = [f"HOME={self.crond.directory}"]
        for name, kind in self.jobs.items():
            tally = str(self.crond.directory / "tally" / name)
            options = KINDS[kind].options.replace("{tally}", tally)
            command = KINDS[kind].command(name, tally)
            lines += [f"#: name={name} {options}", f"{self.schedules[name]} {command}"]
        self.crond.write("jobs", "\n".join([*lines, extra]) + "\n")

    def start(self) -> None:
        self._turn(self.now - MINUTE / 2)
        self.crond.run("start")

    def judge(self) -> Counter[str]:
        """Wait until nothing runs, check the promises, and return how often runs ended in which way."""
        self.minute()
        return Judgement(
            self.crond,
            self.rsyslogd,
            self.jobs,
            self.schedules,
            self.now,
            kills=self.kills.total(),
            was_full="fill_disk" in self.done,
        ).judge()

    # Time

    def minute(self, minutes: int = 1, before: float = 0.0, *, wake: bool = True) -> None:
        """Set the clock forward by some minutes, or to some seconds before the last of them."""
        reached = datetime.fromtimestamp(time.time() + self.ahead, UTC).replace(second=0, microsecond=0)
        self.now = max(self.now, reached) + minutes * MINUTE
        self._turn(self.now - timedelta(seconds=before), wake=wake)

    def come_to_minute(self) -> None:
        """Set the clock to the next minute, or to just before it: a daemon claims the runs in the last second."""
        if self.random.random() < 0.5:
            self.minute()
            return
        self.minute(before=0.3)
        time.sleep(self.random.random() * 0.4)
        self.crond.status()  # the kernel's timer does not follow this clock

    def _turn(self, moment: datetime, *, wake: bool = True) -> None:
        self.ahead = moment.timestamp() - time.time()
        self.crond.at(f"{moment:%F %T.%f}", wake=wake)

    def pid(self) -> int | None:
        """Wait for a daemon that answers, and return its pid."""
        wait_until(self.crond.status, 60.0)
        return int((self.crond.status() or {"pid": 0})["pid"]) or None

    # Faults

    def kill(self) -> None:
        """Kill the daemon at a random time near the beginning of a minute."""
        pid = self.pid()
        self.come_to_minute()
        time.sleep(self.random.random() * 0.3)
        self._end(pid, "instant")

    def kill_at_system_call(self, number: int | None = None) -> None:
        """Kill the daemon, by strace(1), when it enters its n-th system call.

        A given `number` counts from when all output is delivered; without it n is random, from now.
        """
        pid = self.pid()
        if number:
            wait_until(lambda: not (self.crond.status() or {"backlog": 1})["backlog"], 30.0)
        count = number or self.random.randrange(1, SYSCALLS + SYSCALLS_A_JOB * len(self.jobs))
        inject = f"inject=all:signal=KILL:when={count}"
        tracer = subprocess.Popen(
            ["strace", "-qq", "-o", "/dev/null", "-e", inject, "-p", str(pid)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        with contextlib.suppress(AssertionError, OSError):  # the daemon may have ended
            wait_until(lambda: proc.status(pid or 0, "TracerPid") != "0" if alive(pid or 0) else True, 5.0)
        self.minute(wake=False)
        with contextlib.suppress(AssertionError, OSError):
            os.kill(
                pid or 0, signal.SIGCHLD
            )  # wakes the daemon; the kernel's timer knows nothing of this clock
            wait_until(lambda: not alive(pid or 0), 0.6)
        tracer.terminate()
        tracer.wait()
        self._end(pid, "system call" if not alive(pid or 0) else "after")

    def _end(self, pid: int | None, how: str) -> None:
        with contextlib.suppress(ProcessLookupError):
            if pid and alive(pid):
                os.kill(pid, signal.SIGKILL)
        self.kills[how] += 1
        wait_until(lambda: not pid or not proc.exists(pid))

    def stop_and_start(self) -> None:
        self.crond.run("stop", *self.random.choice([[], ["--wait=0.5"]]), status=None)
        if not self.turned:  # the keeper waits 10 s for output of strays, by a clock that is about to leap
            wait_until(lambda: not self._strays(), 30.0)
        self.minute(self.random.choice([1, 1, 5]))
        done = self.crond.run("start", status=None)
        assert done.returncode == 0 or "already running" in done.stderr, done.stderr

    def _strays(self) -> list[int]:
        """Return the pids of living processes that the jobs have started."""
        programs = {*self.crond.programs("keeper"), *self.crond.programs("daemon")}
        return [pid for pid in self.crond.processes() if pid not in programs and alive(pid)]

    def restart(self) -> None:
        done = self.crond.run("restart", status=None)
        assert done.returncode == 0 or "not restarted" in done.stderr, done.stdout + done.stderr

    def signal_storm(self) -> None:
        pid = self.pid()
        for _ in range(30):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid or 0, self.random.choice([signal.SIGHUP, signal.SIGUSR2, signal.SIGCHLD]))

    def jump(self) -> None:
        """Set the clock forward by minutes or hours."""
        self.minute(self.random.choice([2, 4, 30, 200]))

    def edit(self) -> None:
        self.write(self.random.choice(["", "61 * * * * broken", "@daily true"]))
        self.crond.run("reload", status=None)

    def edit_in_a_storm(self) -> None:
        """Write the crontab in place 50 times while signals make the daemon read it all the time."""
        pid, is_over = self.pid(), threading.Event()

        def storm() -> None:
            with contextlib.suppress(ProcessLookupError):
                while pid and not is_over.wait(0.001):
                    os.kill(pid, signal.SIGHUP)

        hups = threading.Thread(target=storm)
        hups.start()
        for _ in range(50):
            self.write(self.random.choice(["", "61 * * * * broken", "@daily true"]))
        is_over.set()
        hups.join()
        self.minute()

    def fill_disk(self) -> None:
        """Leave the state directory without space for two minutes, if it is a file system of its own."""
        state = self.crond.state
        if not os.path.ismount(state):
            return
        pid = self.pid()
        with contextlib.suppress(OSError), open(state / "filler", "wb", buffering=0) as filler:
            while True:
                filler.write(b"x" * 4096)
        self.minute()
        time.sleep(0.3)
        self.minute()
        time.sleep(0.3)
        if self.random.random() < 0.3:
            self._end(pid, "full disk")
        (state / "filler").unlink()
        self.pid()
        wait_until(self._has_room, 10.0)

    def _has_room(self) -> bool:
        """Return whether the daemon has caught up on the writes that failed."""
        reader = Reader(str(self.crond.state))
        (claimed,) = reader._db.execute("SELECT count(*) FROM runs WHERE state = 'claimed'").fetchone()
        reader.close()
        return not claimed

    def hurt_syslogd(self) -> None:
        match self.random.randrange(3):
            case 0:
                self.rsyslogd.pause()
                self.minute()
                self.rsyslogd.go_on()
            case 1:
                self.rsyslogd.end(signal.SIGTERM)
                self.minute()
                self.rsyslogd.start()
            case _:
                self.rsyslogd.end(signal.SIGKILL)
                self.rsyslogd.start()

    def inject_fault(self) -> None:
        """Inject a random fault, the worst ones most often."""
        faults: list[tuple[Callable[[], None], int]] = [
            (self.kill, 6),
            (self.minute, 4),
            (self.stop_and_start, 1),
            (self.restart, 1),
            (self.signal_storm, 1),
            (self.jump, 1),
            (self.edit, 1),
            (self.edit_in_a_storm, 1),
            (self.hurt_syslogd, 2),
            (self.fill_disk, 1),
        ]
        if shutil.which("strace"):
            faults.append((self.kill_at_system_call, 6))
        (call,) = self.random.choices([call for call, _ in faults], [weight for _, weight in faults])
        self.done.append(call.__name__)
        if not self.turned:
            self.pid()  # a daemon that is starting would time out when its clock leaps
        call()
