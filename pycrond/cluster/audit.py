"""The audit of the cluster. Pure.

It compares the fires that follow from this node's versions of shared jobs with the rows of the database, and
the starts in several ledgers with each other.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from pycrond.cluster.reader_rows import ClaimRow, NodeRow
from pycrond.jobs.options import Options
from pycrond.ledger.audit import Expected, Unaccounted
from pycrond.ledger.codec import decode_options
from pycrond.ledger.copies import StartedRow
from pycrond.ledger.rows import VersionRow
from pycrond.text import duration, rfc3339

ASKING_TIME = 90.0  # seconds after its start in which a fire gets a row
STARTING_TIME = 3600.0  # seconds that a claimed run may wait for room or for a lock
ENDING_TIME = 120.0  # seconds after timeout and grace in which the end of a run is reported
NOT_STARTED = frozenset({"skipped", "missed", "no-node", "no-database"})
Fire = tuple[str, int, int]
"""A job's key, the wall minute and the instant, in whole seconds."""


class Unproven(NamedTuple):
    """A node that has not reported since a time: its later runs are not known."""

    node: str
    since: float


class LedgerStarts(NamedTuple):
    """The first attempts that a machine started, by its ledger."""

    name: str
    """The file; for this machine's ledger, its node."""
    uuid: str | None
    """The UUID by which the cluster knows the ledger."""
    runs: Sequence[StartedRow]


@dataclass(slots=True)
class ClusterAudit:
    """The result of the audit."""

    fires: int = 0
    jobs: int = 0
    findings: list[Unaccounted] = field(default_factory=list)
    unproven: list[Unproven] = field(default_factory=list)


class Database(NamedTuple):
    """The rows of the database."""

    claims: Sequence[ClaimRow]
    """All rows of the audited jobs in the audited span."""
    nodes: Sequence[NodeRow]
    now: float


def audit(
    versions: Sequence[VersionRow],
    expected: Expected,
    database: Database,
    ledgers: Sequence[LedgerStarts],
    span: tuple[float, float],
) -> ClusterAudit:
    """Compare the `expected` fires of shared jobs, after the start of the span up to its end, with the rows
    of the database, and the starts in ledgers with both. The jobs may be a part of all.
    """
    rows = {_fire_of(row): row for row in database.claims}
    options = {version.key: decode_options(version.options) for version in versions}
    due = {(key, wall, round(at)) for key, fires in expected.due.items() for (wall, at) in fires}
    result = ClusterAudit(len(due), len(expected.due), [*expected.findings])
    result.findings += _missing(due - rows.keys(), options, database.now)
    judged = [row for fire, row in rows.items() if fire in due]
    others = [row for fire, row in rows.items() if fire not in due]
    result.findings += _stuck(judged, options, database)
    result.findings += _without_fire(others, versions, expected.repeated, span)
    result.findings += _doubled(ledgers, rows, due, options)
    return result


def together(parts: Iterable[ClusterAudit], nodes: Iterable[NodeRow]) -> ClusterAudit:
    """Merge the audits of parts of the jobs."""
    result = ClusterAudit()
    for part in parts:
        result.fires += part.fires
        result.jobs += part.jobs
        result.findings += part.findings
    result.findings.sort(key=lambda finding: (finding.at, finding.key))
    result.unproven = [Unproven(node.name, node.seen) for node in nodes if node.state == "dead"]
    return result


def _fire_of(row: ClaimRow) -> Fire:
    return row.job, row.wall, round(row.fire)


def _missing(fires: Iterable[Fire], options: Mapping[str, Options], now: float) -> Iterator[Unaccounted]:
    """Yield the fires without a row, except for recent ones, for which no node has asked yet."""
    for key, _, at in fires:
        if at + options[key].jitter + ASKING_TIME <= now:
            yield Unaccounted(key, at, "no row in the database")


def _stuck(
    rows: Iterable[ClaimRow], options: Mapping[str, Options], database: Database
) -> Iterator[Unaccounted]:
    """Yield the rows that have been open for too long."""
    nodes = {node.name: node for node in database.nodes}
    for row in rows:
        if row.ended is None and (
            reason := _why_stuck(row, nodes.get(row.node), options[row.job], database.now)
        ):
            yield Unaccounted(row.job, row.fire, f"{row.state} on {row.node}: {reason}")


def _why_stuck(row: ClaimRow, node: NodeRow | None, options: Options, now: float) -> str:
    if node is None:
        return "there is no such node"
    if node.ledger != row.ledger:
        return "the node has another ledger now"
    if node.is_abandoned:
        return f"the node has been silent for {duration(node.age)}"
    if row.started is not None and options.timeout is not None:
        allowed = options.timeout + options.grace + ENDING_TIME
        if now - row.started > allowed:
            return f"it has run for {duration(now - row.started)}, with timeout={duration(options.timeout)}"
    waited = now - row.fire - options.jitter
    if (
        row.started is None
        and waited > max(STARTING_TIME, options.within or 0.0)
        and options.overlap != "queue"
    ):
        return f"it has not started for {duration(waited)}"
    return ""


def _without_fire(
    rows: Iterable[ClaimRow],
    versions: Iterable[VersionRow],
    repeated: Sequence[tuple[float, float]],
    span: tuple[float, float],
) -> Iterator[Unaccounted]:
    """Yield rows without a fire at times at which this node had a version of the job."""
    in_force: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for version in versions:
        until = span[1] if version.until is None else min(version.until // 60 * 60, span[1])
        in_force[version.key].append((max(version.since // 60 * 60, span[0]), until))
    for row in rows:
        is_in_force = any(first < row.fire <= last for first, last in in_force[row.job])
        is_repeated = any(first <= row.fire <= last for first, last in repeated)
        if is_in_force and not is_repeated:
            yield Unaccounted(row.job, row.fire, f"a row without a fire: {row.state} on {row.node}")


Start = tuple[LedgerStarts, StartedRow]


def _doubled(
    ledgers: Sequence[LedgerStarts],
    rows: Mapping[Fire, ClaimRow],
    due: set[Fire],
    options: Mapping[str, Options],
) -> Iterator[Unaccounted]:
    """Yield fires that two machines started, and starts that the database does not know, but not of jobs
    whose options allow a fire to run twice.
    """
    starts: dict[Fire, list[Start]] = defaultdict(list)
    for ledger in ledgers:
        for run in ledger.runs:
            fire = (run.key, run.wall, round(run.fire))
            if fire in due and not may_repeat(options[run.key]):
                starts[fire].append((ledger, run))
    for fire, fire_starts in starts.items():
        key, _, at = fire
        texts = [f"run {run.id} of {ledger.name}" for ledger, run in fire_starts]
        row = rows.get(fire)
        if row and row.started is not None and not any(_is_of(row, start) for start in fire_starts):
            texts.append(f"run {row.label or row.run} by the database")
        if len(texts) > 1:
            yield Unaccounted(key, at, f"started more than once: {' and '.join(texts)}")
        elif row and row.state in NOT_STARTED:
            yield Unaccounted(key, at, f"{texts[0]} started, but its row is {row.state} on {row.node}")


def _is_of(row: ClaimRow, start: Start) -> bool:
    """Return whether a row belongs to a run in a ledger."""
    ledger, run = start
    return row.run == run.run if run.run else row.ledger == ledger.uuid


def may_repeat(options: Options) -> bool:
    """Return whether a job's options allow a fire to run twice."""
    return options.node_loss == "rerun" or options.on_partition == "run"


def unproven_sentence(node: Unproven) -> str:
    """Return `web3 has not reported: unproven since 2026-11-29T04:00:00Z`."""
    return f"{node.node} has not reported: unproven since {rfc3339(node.since)}"
