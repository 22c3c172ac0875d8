"""list --cluster: the jobs that run once in the cluster, with the node of the last run."""

import argparse
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from pycrond import clock
from pycrond.cli.cluster.access import cluster_reader
from pycrond.cli.cluster.claim_rows import as_passed, as_run, claim_document, is_shared_job
from pycrond.cli.data.access import records
from pycrond.cli.data.job_status import NO_STANDING, JobStatus, read_jobs
from pycrond.cli.documents.lists import JobDocument, ListDocument
from pycrond.cli.render import formatting, job_table, table, terminal
from pycrond.cli.render.formatting import Cell
from pycrond.cli.render.table import StyledLine, TableColumn
from pycrond.cluster.reader_rows import ClaimRow, PassedRow
from pycrond.jobs.run import BAD_ENDS, State
from pycrond.settings import Settings
from pycrond.text import counted

DAY = 86_400.0  # seconds
MAX_NAMED_JOBS = 5  # of the jobs that this machine has not loaded
Select = Callable[[Sequence[JobStatus], argparse.Namespace], Sequence[JobStatus]]


class SharedJobs(NamedTuple):
    """The shared jobs that this machine has loaded, with what the cluster knows about them."""

    jobs: Sequence[JobStatus]
    last: Mapping[str, ClaimRow]
    """The newest run that has ended, by job."""
    open: Mapping[str, Sequence[ClaimRow]]
    unknown: Sequence[str]
    """Jobs with fires in the last day that this machine has not loaded."""


def read(settings: Settings, now: datetime) -> SharedJobs:
    """Read the jobs from the ledger and their claims from the database."""
    loaded = read_jobs(records(settings), now)
    local = {status.job.key: status for status in loaded if is_shared_job(status.job)}
    open_claims: dict[str, list[ClaimRow]] = defaultdict(list)
    passed: dict[str, list[PassedRow]] = defaultdict(list)
    with cluster_reader(settings) as cluster:
        last = {row.job: row for row in cluster.last_claims([*local])}
        for row in cluster.open_runs():
            open_claims[row.job].append(row)
        for gap in cluster.passed_since({key: last[key].wall if key in last else 0 for key in local}):
            passed[gap.job].append(gap)
        recent = cluster.jobs_since(cluster.now() - DAY)
        ends = cluster.last_bytes([row.run for row in last.values() if row.state in BAD_ENDS])
    jobs = [
        _with_claims(status, last.get(key), open_claims[key], passed[key], ends)
        for key, status in local.items()
    ]
    known = {status.job.key for status in loaded}
    unknown = [key for key in recent if not {key, key.rpartition("@")[0]} & known]
    return SharedJobs(jobs, last, open_claims, unknown)


def _with_claims(
    status: JobStatus,
    last: ClaimRow | None,
    open_claims: Sequence[ClaimRow],
    passed: Sequence[PassedRow],
    ends: Mapping[str, bytes],
) -> JobStatus:
    """Return the status with the cluster's runs instead of this machine's; `ends` is copied output."""
    fires = {row.state: row.fires for row in passed}
    latest = max(passed, key=lambda row: row.latest, default=None)
    skipped, missed = fires.get(State.SKIPPED, 0), fires.get(State.MISSED, 0)
    return JobStatus(
        status.job,
        status.next,
        running=tuple(as_run(row) for row in open_claims if row.state == State.RUNNING),
        last=as_run(last) if last else None,
        pause=status.pause,
        waiting=tuple(as_run(row) for row in open_claims if row.state == State.WAITING),
        last_line=formatting.last_line(ends.get(last.run, b"")) if last else None,
        standing=NO_STANDING._replace(key=status.job.key, skipped=skipped, missed=missed),
        passed=as_passed(latest) if latest else None,
        has_output=False,
    )


def lines(
    settings: Settings, options: argparse.Namespace, select: Select, width: int, height: int | None = None
) -> Sequence[StyledLine]:
    """Return the table with a column for the node; with `height`, at most `height` lines."""
    here = terminal.here()
    shared = read(settings, here)
    jobs = select(shared.jobs, options)
    if not jobs:
        text = "no shared job matches" if shared.jobs else "no job with on=one is loaded on this machine"
        return [[Cell(text)], *_notes(shared)]
    columns = job_table.columns(jobs, here, width)
    place = next(number for number, column in enumerate(columns) if column.heading == "LAST")
    columns.insert(place, TableColumn("NODE", [Cell(_node(status, shared)) for status in jobs], least=16))
    below = job_table.below(jobs, here)
    shown = [*table.lay_out(columns, width, below), *_notes(shared)]
    return shown if height is None else [table.clipped(line, width) for line in shown[:height]]


def _node(status: JobStatus, shared: SharedJobs) -> str:
    """Return the nodes on which the job runs or, if it does not run, the node of its last run."""
    running = [row.node for row in shared.open.get(status.job.key, ()) if row.state == State.RUNNING]
    last = shared.last.get(status.job.key)
    return ", ".join(running) or (last.node if last else "")


def _notes(shared: SharedJobs) -> Sequence[StyledLine]:
    if not shared.unknown:
        return []
    more = ", …" if len(shared.unknown) > MAX_NAMED_JOBS else ""
    names = ", ".join(shared.unknown[:MAX_NAMED_JOBS]) + more
    text = f"{counted(len(shared.unknown), 'job')} of the cluster not loaded on this machine: {names}"
    return [[Cell(text, "busy")]]


def document(settings: Settings, options: argparse.Namespace, select: Select) -> ListDocument:
    """Return the shared jobs as `list --json` prints them; each run has its node."""
    records_, now = records(settings), clock.now()
    shared = read(settings, now)
    return {
        "daemon": formatting.daemon_json(records_.daemon(), records_.presence()),
        "jobs": [_job(status, shared) for status in select(shared.jobs, options)],
        "gone_overdue": [],
        "problems": [],
        "disk": None,
        "not_loaded": [],
    }


def _job(status: JobStatus, shared: SharedJobs) -> JobDocument:
    key = status.job.key
    last = shared.last.get(key)
    job = job_table.job_json(status)
    job["last"] = claim_document(last) if last else None
    job["nodes"] = [row.node for row in shared.open.get(key, ()) if row.state == State.RUNNING]
    return job
