"""The judgement after days: the ledger against the jobs' own records, an independent reading of the schedules, and
what one look at `list` shows.
"""

import os
from collections import Counter, defaultdict
from datetime import datetime, timedelta

from pycrond.ledger.reader import Reader
from pycrond.ledger.rows import RunRow
from tests.conftest import wait_until
from tests.simulation.jobs import FAILS, JOBS, MAY_FAIL, WORKS, SimulatedJob
from tests.simulation.server import Server
from tests.support.judge import Judge

STARTED = {"succeeded", "failed", "unknown", "killed", "timed-out", "replaced", "running"}
MEMORY = 45_000  # KiB
NOT_EXECUTED = 126  # of a process whose spawner was killed before it let it go on


class Judgement:
    """The rows and the records of a server."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.crond = server.crond

    def judge(self) -> Counter[str]:
        """Check the promises, and return how often runs ended in which way."""
        self.audit()
        reader = Reader(str(self.crond.state))
        self.runs = reader.history(None, 10_000_000)
        reader.close()
        self.faults: list[str] = []
        for job in JOBS:
            self._judge_minutes(job)
            self._judge_runs(job)
        self._judge_list()
        self._judge_leftovers()
        assert not self.faults, "\n".join(self.faults[:40])
        return Counter(run.state for run in self.runs)

    def audit(self) -> None:
        done = self.crond.run("audit", status=None)
        assert done.returncode == 0, done.stdout + done.stderr

    def _judge_minutes(self, job: SimulatedJob) -> None:
        """Check that each minute that matches has a verdict, whatever the clock, the daemon and the user did."""
        spans = [(run.fire, run.fire if run.until is None else run.until) for run in self._rows(job)]
        single = {first for first, last in spans if first == last}
        longer = [(first, last) for first, last in spans if first != last]
        matches = Judge(job.wall_schedule)
        at, missing = self.server.begin + timedelta(minutes=1), []
        while at <= self.server.now:
            stamp = at.timestamp()
            known = stamp in single or any(first <= stamp <= last for first, last in longer)
            if not known and matches(int(stamp) // 60):
                missing.append(f"{at:%F %H:%M}")
            at += timedelta(minutes=1)
        if missing:
            self.faults.append(f"{job.name}: no verdict for {len(missing)} fires: {missing[:5]}")

    def _rows(self, job: SimulatedJob) -> list[RunRow]:
        return [run for run in self.runs if run.key == f"{job.user}/{job.name}"]

    def _judge_runs(self, job: SimulatedJob) -> None:
        """Check that a fire ran once each time that its minute came, that every run has a row, and that the ends are
        true.
        """
        file = self.server.directory / "tally" / job.name
        records = Counter(file.read_text().splitlines() if file.exists() else [])
        states: dict[float, set[str]] = defaultdict(set)
        caught = Counter(run.fire for run in self._rows(job) if run.trigger == "catch-up")
        for run in self._rows(job):
            states[run.fire].add(run.state)
            wrong = {FAILS: {"succeeded"}, WORKS: {"failed", "timed-out"}, MAY_FAIL: set[str]()}[job.end]
            is_judged = run.exit_status not in {None, NOT_EXECUTED} and "retries" not in job.options
            if run.state in wrong and is_judged:
                self.faults.append(f"{job.name}: {run}")
        for record, count in records.items():
            at = datetime.fromisoformat(record.split()[0])
            caught_up = caught[
                at.timestamp()
            ]  # while the minute was passed over, before the clock was set back
            if count > max(1, self.server.passed[at] + caught_up):
                self.faults.append(f"{job.name}: ran {count} times for {record}")
            if not states[at.timestamp()] & STARTED and not self._is_folded(job, at.timestamp()):
                self.faults.append(f"{job.name}: no row of the run for {record}: {states[at.timestamp()]}")

    def _is_folded(self, job: SimulatedJob, at: float) -> bool:
        return any(run.fire <= at <= run.until for run in self._rows(job) if run.until is not None)

    def _judge_list(self) -> None:
        """Check that one look at `list` shows what fails, and nothing else but what was missed."""
        jobs = self.crond.json("list", "--failed")["jobs"]
        shown = {job["name"] for job in jobs if job["failing"] or job["overdue"]}
        expected = {job.name for job in JOBS if job.end == FAILS}
        either = {job.name for job in JOBS if job.end == MAY_FAIL}
        # A job whose user was unknown when it was last due has failed, too.
        either |= {job["name"] for job in jobs if (job["last"]["reason"] or "").startswith("account")}
        if shown - either != expected - either:
            self.faults.append(f"list --failed: {sorted(shown)}, expected {sorted(expected)}")
        if others := {job["name"] for job in jobs if not job["missed_since"]} - shown - either:
            self.faults.append(f"list --failed shows {others} for no reason")
        text = self.crond.run("list").stdout
        lines = {name: line for line in text.splitlines() for name in expected if f" {name} " in f" {line} "}
        self.faults += [f"list does not show {name}" for name in expected - lines.keys()]

    def _judge_leftovers(self) -> None:
        directory = self.crond.runtime / "fifo"
        gates = self.server.directory / "gates"
        wait_until(lambda: len(os.listdir(directory)) <= len(os.listdir(gates)), 20.0)
        memory = self.server.memory()
        if memory > MEMORY:
            self.faults.append(f"the daemon has {memory} KiB of memory")
