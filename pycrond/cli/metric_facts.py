"""The facts about a daemon and its jobs that `pycrond metrics` shows.

A counter must not decrease while its series exists. Therefore jobs get series of their own in the order of
their first ends: this order does not change, and a removed job keeps its place.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pycrond import clock
from pycrond.cli.daemon_requests import ask_daemon
from pycrond.cli.data.access import LocalRecords, records
from pycrond.cli.printing import print_error
from pycrond.errors import PycrondError
from pycrond.jobs.run import NOT_STARTED, State
from pycrond.ledger.codec import decode_options
from pycrond.ledger.rows import ExpectedRow, JobRow, RunRow
from pycrond.ledger.totals import WITHIN, TotalsRow
from pycrond.settings import Settings
from pycrond.text import printable

ANSWER_TIMEOUT = 3.0  # seconds
UNNAMED, OTHERS = "(unnamed)", "(others)"
"""Labels of jobs that share their series; no job has such a name."""
Label = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts about a daemon and the jobs that its reader may see."""

    now: float
    status: Mapping[str, Any] | None = None
    """The daemon's answer; None if it does not answer."""
    jobs: Sequence[JobRow] = ()
    totals: Sequence[TotalsRow] = ()
    open_runs: Sequence[RunRow] = ()
    expected: Sequence[ExpectedRow] = ()
    overdue: frozenset[str] = frozenset()
    """The keys of the overdue jobs."""


class Labels:
    """The labels of jobs: `max_jobs` jobs at most have labels of their own, the others share labels."""

    def __init__(self, facts: Facts, max_jobs: int) -> None:
        self._names = {job.key: (job.user, job.name) for job in facts.jobs}
        ranked = dict.fromkeys(
            (user, name)
            for user, name in (*((row.user, row.name) for row in facts.totals), *self._names.values())
            if name is not None
        )
        self._own = {*[*ranked][:max_jobs]}

    def of(self, user: str, name: str | None) -> Label:
        """Return the labels `job` and `user`."""
        if name is None:
            return UNNAMED, printable(user)
        return (printable(name), printable(user)) if (user, name) in self._own else (OTHERS, "")

    def of_key(self, key: str) -> Label:
        """Return the labels of a job by its key; a removed job has the labels of jobs without a name."""
        user, _, _ = key.partition("/")
        return self.of(*self._names.get(key, (user, None)))


INITIAL_OUTCOMES = (State.SUCCEEDED, State.FAILED, State.TIMED_OUT, State.MISSED, State.LOST, State.UNKNOWN)
"""Outcomes for which each job has a series from 0, so that Prometheus sees the first one as an increase."""


class RunTotals:
    """The totals of all runs by labels, including runs that the ledger no longer has."""

    def __init__(self, facts: Facts, labels: Labels) -> None:
        self.runs: Counter[tuple[str, str, str]] = Counter()
        """By job, user and outcome."""
        self.durations: dict[Label, list[float]] = {}
        """The number of runs up to each bound, the number of all measured runs, and their sum in seconds."""
        self.ends: dict[Label, float] = {}
        self.successes: dict[Label, float] = {}
        for job in facts.jobs:
            for state in INITIAL_OUTCOMES:
                self.runs[*labels.of(job.user, job.name), state] = 0
        for row in facts.totals:
            label = labels.of(row.user, row.name)
            if row.loaded or label[0] in {UNNAMED, OTHERS}:  # a removed job has no series
                self._add(label, row)

    def _add(self, label: Label, row: TotalsRow) -> None:
        self.runs[*label, row.state] += row.runs
        if row.measured:
            before = self.durations.get(label, [0.0] * (len(WITHIN) + 2))
            added = (*(getattr(row, column) for column in WITHIN), row.measured, row.duration_s)
            self.durations[label] = [old + new for old, new in zip(before, added, strict=True)]
        if row.state not in NOT_STARTED:
            self.ends[label] = max(self.ends.get(label, 0.0), row.ended_at)
        if row.state == State.SUCCEEDED:
            self.successes[label] = max(self.successes.get(label, 0.0), row.ended_at)


def read_facts(settings: Settings) -> Facts:
    """Ask the daemon, and read the ledger; a user who may not read it gets its own jobs from the daemon."""
    now = clock.now().timestamp()
    try:
        status = ask_daemon(settings, "status", timeout=ANSWER_TIMEOUT)
    except PycrondError:
        status = None
    try:
        read = records(settings)
        if status is None and not isinstance(read, LocalRecords):
            return Facts(now)
        jobs, expected = read.jobs(), [row for row in read.expected() if row.loaded]
        jitters = {job.key: decode_options(job.options).jitter for job in jobs if "jitter" in job.options}
        overdue = [row.key for row in expected if row.is_overdue(now, jitters.get(row.key, 0.0))]
        return Facts(now, status, jobs, read.totals(), read.unfinished(), expected, frozenset(overdue))
    except PycrondError as error:  # the ledger cannot be read
        print_error(f"pycrond: {error}")
        return Facts(now, status)
