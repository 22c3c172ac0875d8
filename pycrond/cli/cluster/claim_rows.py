"""Claims in the form of runs, so that the tables and documents of runs show them, too. Pure."""

from sys import intern

from pycrond.cli.documents.lists import RunDocument
from pycrond.cli.render.run_table import run_document
from pycrond.cluster.reader_rows import BarRow, ClaimRow, PassedRow
from pycrond.jobs.run import OPEN, State
from pycrond.ledger.codec import decode_options
from pycrond.ledger.rows import JobRow, RunRow, SpanRow


def is_shared_job(job: JobRow) -> bool:
    """Return whether a loaded job runs once in the cluster."""
    return decode_options(job.options).is_shared


def as_run(claim: ClaimRow) -> RunRow:
    """Return a claim as a run, without processor time, memory and bytes, which the database does not have."""
    return RunRow(
        id=claim.number,
        key=claim.job,
        name=claim.name,
        fire=claim.fire,
        trigger="schedule",
        attempt=1,
        state=claim.state,
        reason=claim.reason,
        pid=None,
        started_at=claim.started,
        ended_at=claim.ended,
        duration_s=_difference(claim.ended, claim.started),
        exit_status=claim.status if claim.state != State.SUCCEEDED else claim.status or 0,
        signal=None,
        cpu_s=None,
        max_rss_kb=None,
        lateness_ms=None if claim.started is None else 1000 * max(0.0, claim.started - claim.fire),
        bytes=0,
        until=None,
        folded=None,
    )


def as_passed(row: PassedRow) -> RunRow:
    """Return skipped or missed fires as the row of the latest."""
    claim = ClaimRow(
        row.job, 0, 0, row.latest, "", "", "", False, row.state, row.reason, 0.0, None, None, None, 0
    )
    return as_run(claim)


def _difference(end: float | None, start: float | None) -> float | None:
    return None if end is None or start is None else max(0.0, end - start)


def claim_document(claim: ClaimRow) -> RunDocument:
    """Return a claim as `--json` prints it."""
    return {**run_document(as_run(claim)), "node": claim.node, "uuid": claim.run}


def as_span(claim: BarRow, key: str, now: float) -> SpanRow:
    """Return a claim as a bar of a lane of the timeline."""
    start = claim.fire if claim.started is None else claim.started
    end = claim.ended if claim.state not in OPEN else None
    if claim.started is None:
        end = start
    elif end is not None:
        end = max(start, end)
    return SpanRow(min(start, now), end, intern(claim.state), claim.number or None, 1, 1, key)
