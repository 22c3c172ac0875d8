"""The judgement after a round of the attack: what must hold, held; by what the jobs themselves and syslog say."""

import contextlib
import os
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pycrond.ledger.reader import Reader
from pycrond.ledger.rows import RunRow
from pycrond.output import spool
from tests.chaos.kinds import KINDS
from tests.conftest import Crond, alive, wait_until
from tests.support import proc
from tests.support.judge import Judge
from tests.support.rsyslog import Rsyslogd

LINE = re.compile(rb"CMDOUT \((\w+) (\S+) (\d+)x*\)")
INSTANT = "unknown: the daemon died in the instant of its start"  # one a death at most
STARTED = {"succeeded", "failed", "unknown", "killed", "timed-out"}


@dataclass
class Judgement:
    """The jobs of a round, by name: their kinds, their schedules; and all that is known of them."""

    crond: Crond
    rsyslogd: Rsyslogd
    jobs: dict[str, str]
    schedules: dict[str, str]
    until: datetime
    kills: int

    def judge(self) -> Counter[str]:
        """After everything has come to rest; returns how the runs ended, those that nobody saw ending by why."""
        wait_until(self._is_idle, 120.0)
        wait_until(lambda: (self.crond.status() or {"backlog": 1})["backlog"] == 0, 120.0)
        done = self.crond.run("audit", status=None)
        assert done.returncode == 0, done.stdout + done.stderr
        reader = Reader(str(self.crond.state))
        self.runs = reader.history(None, 10_000_000)
        begin = reader._db.execute("SELECT min(since) FROM job_versions").fetchone()[0]
        reader.close()
        self._judge_minutes(int(begin))
        self._judge_runs()
        self._judge_options()
        self._judge_output()
        self._judge_leftovers()
        ends = Counter(
            run.state + f": {run.reason}" * (run.state in {"unknown", "lost"} and run.folded is None)
            for run in self.runs
        )
        assert ends[INSTANT] <= self.kills, ends
        assert not [end for end in ends if end.startswith(("unknown: ", "lost")) and end != INSTANT], ends
        return ends

    def _is_idle(self) -> bool:
        """Nothing runs, and nothing waits but for its time."""
        status = self.crond.status()
        return status is not None and not status["running"] and not sum(status["waiting"].values())

    def _judge_options(self) -> None:
        """Each attempt ran once; what is to run alone never ran beside another."""
        for name, kind in self.jobs.items():
            attempts = Counter(self._lines(f"{name}.attempts"))
            assert not [one for one, count in attempts.items() if count > 1], (name, attempts)
            assert not self._lines(f"{name}.beside"), (name, self._lines(f"{name}.beside"))
            for attempt in attempts:
                fire, _, number = attempt.partition("/")
                assert KINDS[kind].attempts or number == "1", (name, fire, number)
        waiting = [run for run in self.runs if run.state == "waiting"]
        assert not waiting, waiting

    def _lines(self, name: str) -> list[str]:
        file = self.crond.folder / "tally" / name
        return file.read_text().split() if file.exists() else []

    def _tally(self, name: str) -> Counter[str]:
        """The fires that a job says it ran for."""
        return Counter(self._lines(name))

    def _by_fire(self) -> dict[str, dict[str, list[RunRow]]]:
        """By name and fire time."""
        found: dict[str, dict[str, list[RunRow]]] = defaultdict(lambda: defaultdict(list))
        for run in self.runs:
            if run.folded is None and run.name in self.jobs:
                found[run.name][datetime.fromtimestamp(run.fire, UTC).strftime("%FT%TZ")].append(run)
        return found

    def _judge_minutes(self, begin: int) -> None:
        """Minute by minute, with a matcher that knows nothing of `schedule`: each has a verdict."""
        for name, text in self.schedules.items():
            mine = [
                (run.fire, run.fire if run.until is None else run.until)
                for run in self.runs
                if run.name == name
            ]
            single = {first for first, last in mine if first == last}
            spans = [(first, last) for first, last in mine if first != last]
            matches = Judge(text)
            for wall in range(begin // 60 + 1, int(self.until.timestamp()) // 60 + 1):
                at = wall * 60.0
                known = at in single or any(first <= at <= last for first, last in spans)
                assert known or not matches(wall), (name, datetime.fromtimestamp(at, UTC))

    def _judge_runs(self) -> None:
        """By what the jobs say, each ran at most once a fire, never without a verdict; and ended as it did."""
        by_fire = self._by_fire()
        for name, kind in self.jobs.items():
            ran = self._tally(name)
            if not KINDS[kind].attempts:
                assert not [fire for fire, count in ran.items() if count > 1], (name, ran)
            for fire in ran:
                states = [run.state for run in by_fire[name][fire]] or self._folded(name, fire)
                assert set(states) & STARTED, (name, fire, states)
            for fire, runs in by_fire[name].items():
                for run in runs:
                    if run.state in {"succeeded", "failed"} and not run.reason:
                        assert fire in ran, (name, run)
                    if run.state in {"succeeded", "failed"} and not KINDS[kind].options:
                        assert (run.exit_status, run.signal) == (KINDS[kind].status, KINDS[kind].signal), run

    def _folded(self, name: str, fire: str) -> list[str]:
        """The states of rows that stand for several fires, this one among them."""
        at = datetime.fromisoformat(fire).timestamp()
        mine = [run for run in self.runs if run.name == name and run.until is not None]
        return [run.state for run in mine if run.fire <= at <= (run.until or 0)]

    def _judge_output(self) -> None:
        """Each line of each run that ran: once in its spool, at least once in syslog."""
        told = self._told()
        by_fire = self._by_fire()
        for name, kind in self.jobs.items():
            fires = self._tally(name).keys() & by_fire[name].keys()
            for fire in () if KINDS[kind].options else fires:
                # One of an era that was never started prints nothing.
                runs = [run.id for run in by_fire[name][fire]]
                size, wanted = sum(self._size(run) for run in runs), set(range(1, KINDS[kind].lines + 1))
                if size < spool.SEGMENT:  # of longer ones the beginning is gone
                    said = Counter(self._text(runs).split("\n"))
                    said.subtract([KINDS[kind].rest, *(f"{name} {fire} {number}" for number in wanted)])
                    assert not any(said.values()), (
                        name,
                        fire,
                        runs,
                        {one: n for one, n in said.items() if n},
                    )
                assert size == KINDS[kind].size(name, fire), (name, fire, runs, size)
                missing = wanted - told[name, fire]
                assert not missing, (name, fire, runs, len(missing), sorted(missing)[:20])

    def _told(self) -> dict[tuple[str, str], set[int]]:
        """The numbers of the lines that syslog has, by name and fire time."""
        told: dict[tuple[str, str], set[int]] = defaultdict(set)
        with (self.rsyslogd.home / "lines").open("rb") as lines:
            for line in lines:
                if found := LINE.search(line):
                    told[found[1].decode(), found[2].decode()].add(int(found[3]))
        return told

    def _size(self, run: int) -> int:
        return spool.Spool(str(self.crond.state / "spool"), run).size

    def _text(self, runs: list[int]) -> str:
        """What is kept of their output."""
        folder = str(self.crond.state / "spool")
        return b"".join(
            spool.read(folder, run, spool.first_offset(folder, run) or 0, 1 << 21) for run in runs
        ).decode()

    def _judge_leftovers(self) -> None:
        """No FIFO, no zombie, no descriptor more than a quiet daemon has, hardly more memory."""
        wait_until(lambda: not os.listdir(self.crond.runtime / "fifo"), 20.0)
        keeper, daemon = self.crond.keeper, self.crond.pid
        wait_until(lambda: not [one for pid in (keeper, daemon) for one in _children(pid) if not alive(one)])
        assert len(proc.descriptors(keeper)) <= 12, proc.descriptors(keeper)
        assert len(proc.descriptors(daemon)) <= 24, proc.descriptors(daemon)
        assert _memory(keeper) < 14_000, _memory(keeper)
        assert _memory(daemon) < 45_000, _memory(daemon)


def _memory(pid: int) -> int:
    """KiB."""
    return int(proc.status(pid, "VmRSS").split()[0])


def _children(pid: int) -> list[int]:
    with contextlib.suppress(FileNotFoundError):
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []
