"""The attack: real daemons under a clock of their own, killed, edited, stopped and starved, and then judged.

Reproducible as far as processes are: a seed gives the jobs, the order of the blows and their moments.
"""

import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pycrond import spool
from pycrond.reader import Reader
from tests.conftest import Crond, _forget_shared_clock, alive, wait_until
from tests.daemon import look
from tests.judge import Judge
from tests.rsyslog import Rsyslogd

if TYPE_CHECKING:
    from collections.abc import Callable

MINUTE = timedelta(minutes=1)
SYSCALLS_MOST = 400  # in one turn of the daemon; beyond, a blow falls in a later one
SAY = 'say() { n=$1; while [ $n -gt 0 ]; do echo "{name} $PYCROND_FIRE_TIME $n"; n=$((n-1)); done; }'
TALLY = 'echo "$PYCROND_FIRE_TIME" >>{folder}/tally/{name}; '
KINDS = {  # what a job does, and how many lines it prints
    "short": ("say 1", 1),
    "silent": ("true", 0),
    "failing": ("say 2; exit 3", 2),
    "chatty": ("say 300", 300),
    "long": ("say 1; sleep 0.7; say 1", 2),
    "half": ("say 2; printf half", 2),
    "killed": ("say 3; kill -9 $$", 3),
    "forking": ("say 1; (sleep 0.4; say 2) & say 1", 4),
    "stubborn": ("trap '' TERM; say 1; sleep 0.3; say 1", 2),
    "closing": ("say 2; exec >&- 2>&-; sleep 0.2", 2),
}


class Chaos:
    """One daemon's life, with its jobs and what is done to it."""

    def __init__(self, folder: Path, rsyslogd: Rsyslogd, seed: int, copies: int = 3) -> None:
        self.chance = random.Random(seed)
        self.crond = Crond(folder)
        self.crond.environment["PYCROND_SYSLOG"] = rsyslogd.path
        self.rsyslogd = rsyslogd
        self.now = datetime(2031, 3, 1, 12, 0, tzinfo=UTC)
        self.kills: Counter[str] = Counter()
        self.done: list[str] = []  # the blows, in order
        self.jobs = {f"{kind}{number}": kind for kind in KINDS for number in range(copies)}
        self.schedules = {
            name: self.chance.choice(["* * * * *", "*/2 * * * *", "0-59/3 * * * *"]) for name in self.jobs
        }
        (folder / "tally").mkdir()
        self.write()

    def write(self, extra: str = "") -> None:
        """The crontab; each job keeps a tally of its own, and says who it is in every line."""
        lines = [f"HOME={self.crond.folder}"]
        for name, kind in self.jobs.items():
            say, tally = SAY.replace("{name}", name), TALLY.format(folder=self.crond.folder, name=name)
            lines += [f"#: name={name}", f"{self.schedules[name]} {tally}{say}; {KINDS[kind][0]}"]
        self.crond.write("jobs", "\n".join([*lines, extra]) + "\n")

    def start(self) -> None:
        self.crond.at(f"{self.now - MINUTE / 2:%F %T}")
        self.crond.run("start")

    # Time

    def minute(self, minutes: int = 1) -> None:
        """The clock goes on: to the next minute, or by a jump."""
        self.now += minutes * MINUTE
        self.crond.at(f"{self.now:%F %T}")

    def pid(self) -> int | None:
        """The daemon's, once there is one that answers."""
        wait_until(self.crond.status, 30.0)
        return int((self.crond.status() or {"pid": 0})["pid"]) or None

    # Blows

    def kill(self) -> None:
        """At any instant around a minute."""
        pid = self.pid()
        self.minute()
        time.sleep(self.chance.random() * 0.3)
        self._end(pid, "instant")

    def kill_at_system_call(self, number: int | None = None) -> None:
        """On its way into the n-th system call from now: strace(1) sends the signal."""
        pid = self.pid()
        count = number or self.chance.randrange(1, SYSCALLS_MOST)
        inject = f"inject=all:signal=KILL:when={count}"
        tracer = subprocess.Popen(
            ["strace", "-qq", "-o", "/dev/null", "-e", inject, "-p", str(pid)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        with contextlib.suppress(AssertionError, OSError):  # it may have ended already
            wait_until(lambda: look.status(pid or 0, "TracerPid") != "0" if alive(pid or 0) else True, 5.0)
        self.now += MINUTE
        new = self.crond.folder / "clock.new"
        new.write_text(f"{self.now.timestamp() - time.time():+.6f}\n")
        new.replace(self.crond.folder / "clock")
        with contextlib.suppress(AssertionError, OSError):
            os.kill(pid or 0, signal.SIGCHLD)  # wakes it; the kernel's timer knows nothing of this clock
            wait_until(lambda: not alive(pid or 0), 0.6)
        tracer.terminate()
        tracer.wait()
        self._end(pid, "system call" if not alive(pid or 0) else "after")

    def _end(self, pid: int | None, how: str) -> None:
        with contextlib.suppress(ProcessLookupError):
            if pid and alive(pid):
                os.kill(pid, signal.SIGKILL)
        self.kills[how] += 1
        wait_until(lambda: not pid or not look.exists(pid))
        _forget_shared_clock(pid or 0)  # else another process with this number cannot start

    def stop_and_start(self) -> None:
        self.crond.run("stop", *self.chance.choice([[], ["--wait=0.5"]]), status=None)
        time.sleep(0.6)  # the keeper waits 10 s for strays to print, by a clock that is about to leap
        self.minute(self.chance.choice([1, 1, 5]))
        done = self.crond.run("start", status=None)
        assert done.returncode == 0 or "already running" in done.stderr, done.stderr

    def restart(self) -> None:
        self.crond.run("restart", status=None)

    def signal_storm(self) -> None:
        pid = self.pid()
        for _ in range(30):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid or 0, self.chance.choice([signal.SIGHUP, signal.SIGUSR2, signal.SIGCHLD]))

    def jump(self) -> None:
        """The clock is turned forward, or the machine slept."""
        self.minute(self.chance.choice([2, 4, 30, 200]))

    def edit(self) -> None:
        self.write(self.chance.choice(["", "61 * * * * broken", "@daily true"]))
        self.crond.run("reload", status=None)

    def fill_disk(self) -> None:
        """For two minutes the state directory takes nothing more, if it is a file system of its own."""
        state = self.crond.state
        if not os.path.ismount(state):
            return
        self.pid()
        with contextlib.suppress(OSError), open(state / "filler", "wb", buffering=0) as filler:
            while True:
                filler.write(b"x" * 4096)
        self.minute()
        time.sleep(0.3)
        self.minute()
        time.sleep(0.3)
        (state / "filler").unlink()
        wait_until(self._has_room, 10.0)

    def _has_room(self) -> bool:
        """The daemon has written what it owed, if it owed anything."""
        reader = Reader(str(self.crond.state))
        (claimed,) = reader._db.execute("SELECT count(*) FROM runs WHERE state = 'claimed'").fetchone()
        reader.close()
        return not claimed

    def hurt_syslogd(self) -> None:
        match self.chance.randrange(3):
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

    def blow(self) -> None:
        """Something bad, the worst most often."""
        blows: list[tuple[Callable[[], None], int]] = [
            (self.kill, 6),
            (self.minute, 4),
            (self.stop_and_start, 1),
            (self.restart, 1),
            (self.signal_storm, 1),
            (self.jump, 1),
            (self.edit, 1),
            (self.hurt_syslogd, 2),
            (self.fill_disk, 1),
        ]
        if shutil.which("strace"):
            blows.append((self.kill_at_system_call, 6))
        (call,) = self.chance.choices([call for call, _ in blows], [weight for _, weight in blows])
        self.done.append(call.__name__)
        call()

    # Judgement

    def judge(self) -> None:
        """After everything has come to rest: what must hold, held."""
        self.minute()
        wait_until(lambda: (self.crond.status() or {"running": 1, "backlog": 1})["running"] == 0, 60.0)
        wait_until(lambda: (self.crond.status() or {"backlog": 1})["backlog"] == 0, 60.0)
        done = self.crond.run("audit", status=None)
        assert done.returncode == 0, done.stdout + done.stderr
        self._judge_tallies()
        self._judge_minutes()
        self._judge_output()
        self._judge_leftovers()

    def _rows(self) -> dict[str, dict[str, list[tuple[int, str]]]]:
        """By name and fire time: run and state."""
        reader = Reader(str(self.crond.state))
        found: dict[str, dict[str, list[tuple[int, str]]]] = defaultdict(lambda: defaultdict(list))
        for run in reader.history(None, 1_000_000):
            if run.folded is None and run.name in self.jobs:
                fire = datetime.fromtimestamp(run.fire, UTC).strftime("%FT%TZ")
                found[run.name][fire].append((run.id, run.state))
        reader.close()
        return found

    def _judge_tallies(self) -> None:
        """By what the jobs say themselves, each ran at most once a fire, and never without a verdict."""
        rows = self._rows()
        for name in self.jobs:
            tally = self.crond.folder / "tally" / name
            ran = Counter(tally.read_text().split() if tally.exists() else [])
            assert not [fire for fire, count in ran.items() if count > 1], (name, ran)
            for fire in ran:
                states = [state for _, state in rows[name][fire]] or self._folded(name, fire)
                assert set(states) & {"succeeded", "failed", "unknown", "killed"}, (name, fire, states)
            for fire, several in rows[name].items():
                if {state for _, state in several} & {"succeeded", "failed"} and self.jobs[name] != "killed":
                    assert fire in ran, (name, fire, several)

    def _folded(self, name: str, fire: str) -> list[str]:
        """The states of rows that stand for several fires, this one among them."""
        at = datetime.fromisoformat(fire).timestamp()
        reader = Reader(str(self.crond.state))
        found = [run for run in reader.history(None, 1_000_000) if run.name == name and run.until is not None]
        reader.close()
        return [run.state for run in found if run.fire <= at <= (run.until or 0)]

    def _judge_minutes(self) -> None:
        """Minute by minute, with a matcher that knows nothing of `schedule`: each has a verdict."""
        reader = Reader(str(self.crond.state))
        begin = reader._db.execute("SELECT min(since) FROM job_versions").fetchone()[0]
        for name, text in self.schedules.items():
            verdicts = reader._db.execute(
                "SELECT fire, coalesce(until, fire) FROM runs JOIN jobs USING (key) WHERE name = ?", (name,)
            ).fetchall()
            single = {first for first, last in verdicts if first == last}
            spans = [(first, last) for first, last in verdicts if first != last]
            matches = Judge(text)
            for wall in range(int(begin) // 60 + 1, int(self.now.timestamp()) // 60 + 1):
                if matches(wall):
                    at = wall * 60.0
                    known = at in single or any(first <= at <= last for first, last in spans)
                    assert known, (name, datetime.fromtimestamp(at, UTC))
        reader.close()

    def _judge_output(self) -> None:
        """Each line of each run that had a tally: once in its spool, at least once in syslog."""
        said = set(re.findall(r"CMDOUT \((\w+ \S+ \d+)\)", "\n".join(self.rsyslogd.lines())))
        for name, fires in self._rows().items():
            kind = self.jobs[name]
            tally = self.crond.folder / "tally" / name
            ran = set(tally.read_text().split()) if tally.exists() else set()
            for fire in ran & fires.keys():
                # One of an era that was never started prints nothing.
                text = b"".join(self._output(run) for run, _ in fires[fire]).decode()
                counts = Counter(line for line in text.split("\n") if line.startswith(f"{name} "))
                assert sum(counts.values()) == KINDS[kind][1], (name, fire, fires[fire], counts)
                assert set(counts) <= said, (name, fire, set(counts) - said)

    def _output(self, run: int) -> bytes:
        folder = str(self.crond.state / "spool")
        return spool.read(folder, run, spool.first_offset(folder, run) or 0, 1 << 24)

    def _judge_leftovers(self) -> None:
        """No FIFO, no zombie, no descriptor more than a quiet daemon has."""
        wait_until(lambda: not os.listdir(self.crond.runtime / "fifo"), 20.0)
        keeper = self.crond.keeper
        wait_until(
            lambda: not [one for pid in (keeper, self.crond.pid) for one in _children(pid) if not alive(one)]
        )
        assert len(look.descriptors(keeper)) <= 12, look.descriptors(keeper)
        assert len(look.descriptors(self.crond.pid)) <= 24, look.descriptors(self.crond.pid)
        assert int(look.status(keeper, "VmRSS").split()[0]) < 14_000
        assert int(look.status(self.crond.pid, "VmRSS").split()[0]) < 45_000


def _children(pid: int) -> list[int]:
    with contextlib.suppress(FileNotFoundError):
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []
