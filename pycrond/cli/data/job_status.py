"""The state of each job: its runs, its failures in a row, and its expected success."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from pycrond.alarms.rules import FAILURES
from pycrond.cli.data.access import Access
from pycrond.cli.documents.lists import FailingDocument, OverdueDocument, StandingDocument
from pycrond.cli.next_fire import next_fire
from pycrond.host import machine
from pycrond.jobs.run import BAD_ENDS, OPEN, State
from pycrond.ledger.codec import decode_options
from pycrond.ledger.rows import ExpectedRow, JobRow, PauseRow, RunRow, StandingRow
from pycrond.text import rfc3339

NO_STANDING = StandingRow("", None, 0, None, 0, 0)


class JobStatus(NamedTuple):
    """A job with its runs and its next fire time."""

    job: JobRow
    next: datetime | None
    """In the zone of the job."""
    running: tuple[RunRow, ...] = ()
    last: RunRow | None = None
    """The run that ended last."""
    pause: PauseRow | None = None
    waiting: tuple[RunRow, ...] = ()
    median_s: float | None = None
    last_line: str | None = None
    """The last line that the last run printed, if it failed."""
    standing: StandingRow = NO_STANDING
    passed: RunRow | None = None
    """The latest fires that were skipped or missed since the last run began."""
    overdue: ExpectedRow | None = None
    has_output: bool = True
    """True if the output of its runs is on this machine: a run without a last line then printed nothing."""

    @property
    def has_failed(self) -> bool:
        """True if the last run did not end well, or if no run has succeeded since a failure, on any node."""
        is_bad = self.standing.failures > 0 or (self.last is not None and self.last.state in BAD_ENDS)
        return is_bad and self.standing.elsewhere_at is None

    @property
    def is_troubled(self) -> bool:
        return self.has_failed or self.overdue is not None or self.standing.missed > 0

    @property
    def title(self) -> str:
        return self.job.title

    @property
    def latest(self) -> float:
        """The time of the last start or, for a run that did not start, of its fire."""
        return max((start_of(run) for run in (*self.running, self.last) if run), default=0.0)


def start_of(run: RunRow) -> float:
    """Return the start of a run or, if it did not start, its fire time."""
    return run.started_at or run.fire


def read_jobs(read: Access, now: datetime) -> Sequence[JobStatus]:
    """Return the loaded jobs, without their medians, last lines and the reasons of skipped fires."""
    last, standings, unfinished = read.last_runs(), read.standings(), read.unfinished()
    running = _by_key(run for run in unfinished if run.state == State.RUNNING)
    waiting = _by_key(run for run in unfinished if run.state == State.WAITING)
    for run in unfinished:
        if run.state not in OPEN:  # it has ended without a daemon
            last[run.key] = run
            standings[run.key] = _after(standings.get(run.key, NO_STANDING), run)
    paused = {row.key: row for row in read.pauses(now.timestamp())}
    expected = {row.key: row for row in read.expected() if row.loaded}
    next_times: dict[tuple[str | None, str], datetime | None] = {}
    jobs = []
    for job in read.jobs():
        schedule = (job.canonical, job.zone)
        if schedule not in next_times:
            at = next_fire(job, now)
            next_times[schedule] = machine.load_zone(job.zone).local(at) if at else None
        key = job.key
        runs_of_job = (running.get(key, ()), last.get(key), paused.get(key), waiting.get(key, ()), None, None)
        standing, overdue = standings.get(key, NO_STANDING), expected.get(key)
        if overdue and not overdue.is_overdue(now.timestamp(), decode_options(job.options).jitter):
            overdue = None
        jobs.append(JobStatus(job, next_times[schedule], *runs_of_job, standing, None, overdue))
    return jobs


def gone_and_overdue(read: Access, now: datetime) -> list[ExpectedRow]:
    """Return the removed jobs that have not succeeded within the time of their `expect`."""
    return [row for row in read.expected() if not row.loaded and row.is_overdue(now.timestamp())]


def _by_key(runs: Iterable[RunRow]) -> dict[str, tuple[RunRow, ...]]:
    groups: dict[str, tuple[RunRow, ...]] = {}
    for run in runs:
        groups[run.key] = (*groups.get(run.key, ()), run)
    return groups


def _after(standing: StandingRow, run: RunRow) -> StandingRow:
    """Return the failures in a row after a run that has ended, counted as `ledger.last_runs` counts them."""
    if run.state == State.SUCCEEDED:
        return standing._replace(failing_since=None, failures=0, elsewhere_at=None)
    if run.state not in FAILURES:
        return standing
    since = standing.failing_since or start_of(run)
    times = standing.failures + (run.attempt == 1)
    return standing._replace(failing_since=since, failures=times, elsewhere_at=None)


def standing_json(standing: StandingRow) -> StandingDocument:
    """Return the failures in a row, and the numbers of skipped and missed fires since the last run."""
    since = rfc3339(standing.failing_since)
    failing: FailingDocument | None = {"since": since, "times": max(1, standing.failures)} if since else None
    return {
        "failing": failing,
        "skipped_since": standing.skipped,
        "missed_since": standing.missed,
        "succeeded_elsewhere_at": rfc3339(standing.elsewhere_at),
    }


def overdue_json(row: ExpectedRow) -> OverdueDocument:
    """Return an overdue job as `--json` prints it."""
    return {
        "since": rfc3339(row.overdue_at),
        "expect_s": row.expect,
        "succeeded_at": rfc3339(row.succeeded_at),
    }
