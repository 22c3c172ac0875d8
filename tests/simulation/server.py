"""A server with a clock of its own, thirty jobs and four users, to which in a few days everything happens once.

The wall clock goes on by minutes; a job that lasts for minutes waits at a FIFO until the driver lets it go on.
"""

import contextlib
import os
import pwd
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.conftest import Crond, alive, wait_until
from tests.simulation.jobs import GOING, JOBS, USERS
from tests.support import faketime, proc
from tests.support.rsyslog import Rsyslogd
from tests.support.system import System

HOUR = 60  # minutes
FIRST_UID = 61_001
DISK = "size=24m,mode=755"
SETTLE_TIME = 20.0  # seconds of real time for the jobs of a minute to end
ACCOUNT_FILES = ("passwd", "shadow", "group")


class Server:
    """The machine: its clock, its accounts, its disk, its syslogd and its daemon. Needs root."""

    def __init__(self, directory: Path, rsyslogd: Rsyslogd, seed: int) -> None:
        self.random = random.Random(seed)
        self.crond = Crond(directory)
        self.system = System(self.crond)
        self.directory, self.rsyslogd = directory, rsyslogd
        self.crond.environment |= {
            "PYCROND_SYSLOG": rsyslogd.path,
            "PYTHONPATH": str(Path(__file__).parent / "steps"),
        }
        self.now = datetime(2031, 3, 1, 12, 0, tzinfo=UTC)
        self.begin = self.now
        self.steps = 0.0  # seconds by which the wall clock was turned, in all
        self.passed: Counter[datetime] = Counter()
        """How often each minute was reached: the clock may be set back."""
        self.happened: list[str] = []
        self.mounts: list[Path] = []

    # Accounts, files, start and end

    def set_up(self) -> None:
        """Make the server, in mounts of its own: the accounts of other tests stay as they are."""
        faketime.unshare_mounts()
        for name in ("gates", "tally"):
            (self.directory / name).mkdir()
            (self.directory / name).chmod(0o777)
        for name in ACCOUNT_FILES:
            copy = self.directory / name
            shutil.copy(f"/etc/{name}", copy)
            self._mount(["--bind", str(copy)], Path("/etc", name))
        self.write_accounts({user: FIRST_UID + number for number, user in enumerate(USERS)})
        for user in USERS:
            home = self.directory / "home" / user
            home.mkdir(parents=True)
            os.chown(home, *pwd.getpwnam(user)[2:4])
        self.write_crontabs()
        self.crond.state.mkdir(mode=0o755)
        self._mount(["-t", "tmpfs", "-o", DISK, "none"], self.crond.state)
        self._turn()
        self.start()

    def tear_down(self) -> None:
        self.crond.end()
        for directory in reversed(self.mounts):
            subprocess.run(["umount", "--lazy", str(directory)], check=True)

    def _mount(self, arguments: list[str], directory: Path) -> None:
        subprocess.run(["mount", *arguments, str(directory)], check=True)
        self.mounts.append(directory)

    def write_accounts(self, uids: dict[str, int]) -> None:
        """Write the accounts of the users in place: other processes see the new ones at once."""
        originals = self.directory / "passwd.original"
        if not originals.exists():
            shutil.copy("/etc/passwd", originals)
        lines = [
            f"{user}:x:{uid}:{uid}::{self.directory}/home/{user}:/bin/sh\n" for user, uid in uids.items()
        ]
        text = originals.read_text() + "".join(lines)
        with open("/etc/passwd", "r+", encoding="utf-8") as file:  # at no time without the other accounts
            file.write(text)
            file.truncate()

    def write_crontabs(self, extra: str = "") -> None:
        """Write all crontabs; `extra` are lines at the end of the user ada's."""
        texts: dict[str, str] = {}
        for job in JOBS:
            file = f"var/spool/cron/crontabs/{job.user}" if job.file is None else f"etc/{job.file}"
            options = job.options.replace("{directory}", str(self.directory))
            user = "" if job.file is None else "root "
            texts.setdefault(file, "MAILTO=\n")
            texts[file] += (
                f"#: name={job.name} {options}\n{job.schedule} {user}{job.command(str(self.directory))}\n"
            )
        for file, text in texts.items():
            self.system.write(file, text + (extra if file.endswith("/ada") else ""))

    def start(self) -> None:
        self.crond.run("start")

    # Time

    def _turn(self) -> None:
        self.crond.at(f"{self.now:%F %T.%f}")

    def minutes(self, count: int) -> None:
        """Let minutes pass, one after another."""
        for _ in range(count):
            self.now += timedelta(minutes=1)
            self.passed[self.now] += 1
            self._turn()
            self._open_gates()
            self._settle()

    def _open_gates(self) -> None:
        """Let the jobs go on that have waited for long enough."""
        for gate in (self.directory / "gates").iterdir():
            _, fire, minutes = gate.name.split("@")
            if self.now >= datetime.fromisoformat(fire) + timedelta(minutes=int(minutes)):
                with contextlib.suppress(OSError):  # it was ended meanwhile
                    gate_file = os.open(gate, os.O_WRONLY | os.O_NONBLOCK)
                    os.write(gate_file, b"\n")
                    os.close(gate_file)

    def _settle(self) -> None:
        """Wait until only those jobs run that wait at a gate."""
        deadline = time.monotonic() + SETTLE_TIME
        while (status := self.crond.status()) and time.monotonic() < deadline:
            if status["running"] <= len(os.listdir(self.directory / "gates")):
                return
            time.sleep(0.003)
        assert not status, f"jobs still run at {self.now}: {status}"

    # What happens

    def turn_clock(self, minutes: int) -> None:
        """Turn the wall clock, while the clocks that count go on."""
        pids = [pid for pid in self.crond.processes() if alive(pid)]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        self.steps += minutes * 60.0
        (self.directory / "clock.steps").write_text(str(self.steps))
        self.now += timedelta(minutes=minutes)
        self.passed[self.now] += 1
        self.crond.at(f"{self.now:%F %T.%f}", wake=False)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self._turn()

    def clock_back_a_little(self) -> None:
        self.turn_clock(-self.random.randrange(2, 170))

    def clock_back_by_days(self) -> None:
        self.turn_clock(-self.random.randrange(24 * HOUR, 40 * HOUR))

    def clock_ahead(self) -> None:
        self.turn_clock(self.random.choice([3, 40, 170, 600]))

    def user_goes(self) -> None:
        """Let a user be unknown for hours: its jobs do not start, and run again when the user is back."""
        self.write_accounts({u: FIRST_UID + n for n, u in enumerate(USERS) if u != GOING})
        self.minutes(self.random.randrange(10, 2 * HOUR))
        self.write_accounts({u: FIRST_UID + n for n, u in enumerate(USERS)})

    def user_goes_while_stopped(self) -> None:
        """Start a daemon while a user is unknown."""
        self.crond.run("stop", "--kill-jobs")
        self.write_accounts({u: FIRST_UID + n for n, u in enumerate(USERS) if u != GOING})
        self.minutes_without_daemon(10)
        self.start()
        self.minutes(self.random.randrange(10, 100))
        self.write_accounts({u: FIRST_UID + n for n, u in enumerate(USERS)})

    def disk_fills(self) -> None:
        filler = self.crond.state / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
        self.minutes(self.random.randrange(3, 40))
        filler.unlink()

    def daemon_dies(self) -> None:
        os.kill(self.crond.pid, signal.SIGKILL)
        wait_until(self.crond.status)

    def machine_fails(self) -> None:
        """Kill every process of pycrond's, and start it after a while."""
        self._kill_all()
        self.minutes_without_daemon(self.random.randrange(1, 5 * HOUR))
        self.start()

    def machine_starts_with_old_clock(self) -> None:
        """Start with a clock that is hours behind, as without a battery, and correct it when the daemon runs."""
        self._kill_all()
        behind = self.random.randrange(2 * HOUR, 30 * HOUR)
        self.minutes_without_daemon(5)
        self.turn_clock(-behind)
        self.start()
        self.minutes(self.random.randrange(0, 5))
        self.turn_clock(behind)

    def _kill_all(self) -> None:
        for pid in [*self.crond.programs("keeper"), *self.crond.processes()]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not any(alive(pid) for pid in self.crond.processes()))
        for gate in (self.directory / "gates").iterdir():
            gate.unlink()

    def daemon_is_stopped(self) -> None:
        """Stop the daemon while jobs run, and start it after some of them have ended."""
        self.crond.run("stop")
        self.minutes_without_daemon(self.random.randrange(1, 3 * HOUR))
        self.start()

    def minutes_without_daemon(self, count: int) -> None:
        self.now += timedelta(minutes=count)
        self.crond.at(f"{self.now:%F %T.%f}", wake=False)
        self._open_gates()

    def daemon_is_restarted(self) -> None:
        self.crond.run("restart")

    def crontab_is_broken(self) -> None:
        self.write_crontabs("61 * * * * broken\n")
        self.crond.run("reload", status=None)
        self.minutes(30)
        self.write_crontabs()
        self.crond.run("reload")

    def syslogd_is_dead(self) -> None:
        self.rsyslogd.end()
        self.minutes(self.random.randrange(5, 2 * HOUR))
        self.rsyslogd.start()

    def events(self, names: str | None = None) -> list[Callable[[], None]]:
        """Return what can happen, with `names` only these."""
        events = [
            self.clock_back_a_little,
            self.clock_back_by_days,
            self.clock_ahead,
            self.user_goes,
            self.user_goes_while_stopped,
            self.disk_fills,
            self.daemon_dies,
            self.machine_fails,
            self.machine_starts_with_old_clock,
            self.daemon_is_stopped,
            self.daemon_is_restarted,
            self.crontab_is_broken,
            self.syslogd_is_dead,
        ]
        return [event for event in events if names is None or event.__name__ in names.split(",")]

    def live(self, hours: int, names: str | None = None) -> None:
        """Let hours pass in which everything happens, in random order; then three hours of peace."""
        waiting: list[Callable[[], None]] = []
        passed = 0
        while passed < hours * HOUR:
            if not waiting:
                waiting = self.events(names)
                self.random.shuffle(waiting)
            event = waiting.pop()
            self.happened.append(f"{self.now:%F %H:%M} {event.__name__}")
            before = self.passed.total()
            event()
            self.minutes(self.random.randrange(5, HOUR))
            passed += self.passed.total() - before
        self.minutes(3 * HOUR)

    def memory(self) -> int:
        """Return the daemon's resident memory in KiB."""
        return int(proc.status(self.crond.pid, "VmRSS").split()[0])
