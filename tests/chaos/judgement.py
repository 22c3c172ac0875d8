"""The judgement after a round of the attack: the ledger and the spool against the jobs' own records and syslog."""

import os
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime

from pycrond.ledger.reader import Reader
from pycrond.ledger.rows import RunRow
from pycrond.output import spool
from tests.chaos.kinds import KINDS
from tests.conftest import Crond, alive, children, wait_until
from tests.support import proc
from tests.support.judge import Judge
from tests.support.rsyslog import Rsyslogd

LINE = re.compile(rb"CMDOUT \((\w+) (\S+) (\d+)x*\)")
INSTANT = "unknown: the daemon died in the instant of its start"  # at most one for each death of a daemon
STARTED = {"succeeded", "failed", "unknown", "killed", "timed-out"}


@dataclass
class Judgement:
    """The jobs of a round, their kinds and schedules by name, and the runs in the ledger."""

    crond: Crond
    rsyslogd: Rsyslogd
    jobs: dict[str, str]
    schedules: dict[str, str]
    until: datetime
    kills: int
    was_full: bool
    """Whether the disk was full for a time."""

    def judge(self) -> Counter[str]:
        """Wait until nothing runs, check the promises, and return how often runs ended in which way.

        The runs whose end nobody saw are counted by their reason.
        """
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
        """Return whether no job runs, and none waits for another run's end."""
        status = self.crond.status()
        return status is not None and not status["running"] and not sum(status["waiting"].values())

    def _judge_options(self) -> None:
        """Check that each attempt ran once, and that a job with `overlap` or `lock` never ran beside another run."""
        for name, kind in self.jobs.items():
            attempts = Counter(self._lines(f"{name}.attempts"))
            assert not [attempt for attempt, count in attempts.items() if count > 1], (name, attempts)
            assert not self._lines(f"{name}.beside"), (name, self._lines(f"{name}.beside"))
            for attempt in attempts:
                fire, _, number = attempt.partition("/")
                assert KINDS[kind].attempts or number == "1", (name, fire, number)
        waiting = [run for run in self.runs if run.state == "waiting"]
        assert not waiting, waiting

    def _lines(self, name: str) -> list[str]:
        file = self.crond.directory / "tally" / name
        return file.read_text().split() if file.exists() else []

    def _tally(self, name: str) -> Counter[str]:
        """Return how often a job ran for each fire time, by its own record."""
        return Counter(self._lines(name))

    def _by_fire(self) -> dict[str, dict[str, list[RunRow]]]:
        """Return the rows by name and fire time; rows that stand for several fires are left out."""
        rows: dict[str, dict[str, list[RunRow]]] = defaultdict(lambda: defaultdict(list))
        for run in self.runs:
            if run.folded is None and run.name in self.jobs:
                rows[run.name][datetime.fromtimestamp(run.fire, UTC).strftime("%FT%TZ")].append(run)
        return rows

    def _judge_minutes(self, begin: int) -> None:
        """Check that each minute has a verdict, by an implementation of schedules that is independent of pycrond."""
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
        """Check by the jobs' records: at most one run for each fire, none without a row, each with its true end."""
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
        """Return the states of the rows that stand for several fires, if this fire is one of them."""
        at = datetime.fromisoformat(fire).timestamp()
        mine = [run for run in self.runs if run.name == name and run.until is not None]
        return [run.state for run in mine if run.fire <= at <= (run.until or 0)]

    def _judge_output(self) -> None:
        """Check that each line of each run is once in its spool, and at least once in syslog. If the disk was
        full, the spool or its front may be gone: delivered output is deleted then, the oldest first.
        """
        logged = self._logged_lines()
        by_fire = self._by_fire()
        for name, kind in self.jobs.items():
            fires = self._tally(name).keys() & by_fire[name].keys()
            for fire in () if KINDS[kind].options else fires:
                # A row can be of an earlier era of the job, whose run never started and printed nothing.
                runs = [run.id for run in by_fire[name][fire]]
                size, numbers = sum(self._size(run) for run in runs), set(range(1, KINDS[kind].lines + 1))
                if not size and self.was_full:
                    size = KINDS[kind].size(name, fire)
                elif size < spool.SEGMENT_SIZE:  # of longer output only the end is kept
                    text = self._text(runs)
                    is_cut = self.was_full and len(text) < size
                    lines = Counter(text.split("\n")[is_cut:])
                    lines.subtract([KINDS[kind].rest, *(f"{name} {fire} {number}" for number in numbers)])
                    wrong = {
                        line: count for line, count in lines.items() if count and not (is_cut and count < 0)
                    }
                    assert not wrong, (name, fire, runs, wrong)
                assert size == KINDS[kind].size(name, fire), (name, fire, runs, size)
                missing = numbers - logged[name, fire]
                assert not missing, (name, fire, runs, len(missing), sorted(missing)[:20])

    def _logged_lines(self) -> dict[tuple[str, str], set[int]]:
        """Return the numbers of the lines in syslog, by name and fire time."""
        logged: dict[tuple[str, str], set[int]] = defaultdict(set)
        with (self.rsyslogd.home / "lines").open("rb") as lines:
            for line in lines:
                if match := LINE.search(line):
                    logged[match[1].decode(), match[2].decode()].add(int(match[3]))
        return logged

    def _size(self, run: int) -> int:
        return spool.Spool(str(self.crond.state / "spool"), run).size

    def _text(self, runs: list[int]) -> str:
        """Return the output of the runs, as far as it is kept."""
        outputs = [spool.Spool(str(self.crond.state / "spool"), run) for run in runs]
        return b"".join(output.read(output.kept_start, 1 << 21) for output in outputs).decode()

    def _judge_leftovers(self) -> None:
        """Check that no FIFO and no zombie is left, and that descriptors and memory are those of an idle daemon."""
        wait_until(lambda: not os.listdir(self.crond.runtime / "fifo"), 20.0)
        keeper, daemon = self.crond.keeper, self.crond.pid
        wait_until(lambda: all(alive(child) for pid in (keeper, daemon) for child in children(pid)))
        assert len(proc.descriptors(keeper)) <= 12, proc.descriptors(keeper)
        assert len(proc.descriptors(daemon)) <= 24, proc.descriptors(daemon)
        assert _memory(keeper) < 14_000, _memory(keeper)
        assert _memory(daemon) < 45_000, _memory(daemon)


def _memory(pid: int) -> int:
    """Return the resident memory in KiB."""
    return int(proc.status(pid, "VmRSS").split()[0])
