"""The ledger's table of each job's last ended run, and of the fires passed over since.

It is written in the transaction in which a run ends or a fire is passed over, so that no reader has to
search all runs.
"""

from collections.abc import Iterable, Sequence

from pycrond.jobs.run import NOT_STARTED, State
from pycrond.ledger import totals
from pycrond.ledger.database import Work

LAST_RUN = """
    INSERT INTO last_runs (key, run, failing_since, failures, passed, skipped, missed)
    SELECT over.key, over.id, iif(?2 IN ('succeeded', 'killed'), NULL, coalesce(over.started_at, over.fire)),
    iif(?2 IN ('succeeded', 'killed') OR over.attempt > 1, 0, coalesce(over.folded, 1)), max(later.id),
    coalesce(sum(coalesce(later.folded, 1)) FILTER (WHERE later.state = 'skipped'), 0),
    coalesce(sum(coalesce(later.folded, 1)) FILTER (WHERE later.state = 'missed'), 0)
    FROM runs AS over LEFT JOIN runs AS later ON later.key = over.key AND later.id > over.id
    AND later.state IN ('skipped', 'missed')
    WHERE over.id = ?1 AND (?2 <> 'killed' OR over.started_at NOT NULL) GROUP BY over.id
    ON CONFLICT DO UPDATE SET run = max(excluded.run, coalesce(run, 0)),
    passed = iif(excluded.run > coalesce(run, 0), excluded.passed, passed),
    skipped = iif(excluded.run > coalesce(run, 0), excluded.skipped, skipped),
    missed = iif(excluded.run > coalesce(run, 0), excluded.missed, missed),
    failing_since = iif(?2 = 'succeeded', NULL, coalesce(failing_since, excluded.failing_since)),
    failures = iif(?2 = 'succeeded', 0, failures + excluded.failures),
    elsewhere_at = iif(?2 = 'killed' AND excluded.run <= coalesce(run, 0), elsewhere_at, NULL)
"""
"""Parameters: an ended run and its state. A killed run counts neither as a failure nor as a success. Of
overlapping runs, the run that began last stays the last.
"""
PASSED = """
    INSERT INTO last_runs (key, failures, passed, skipped, missed)
    SELECT key, 0, id, iif(?2 = 'skipped', coalesce(folded, 1), 0), iif(?2 = 'missed', coalesce(folded, 1), 0)
    FROM runs WHERE id = ?1
    ON CONFLICT DO UPDATE SET passed = max(excluded.passed, coalesce(passed, 0)),
    skipped = skipped + excluded.skipped, missed = missed + excluded.missed
"""
"""Parameters: a row of fires that were skipped or missed, and its state."""
SUCCEEDED_ELSEWHERE = """
    UPDATE last_runs SET failing_since = NULL, failures = 0, elsewhere_at = ?1 WHERE key = ?2
    AND NOT EXISTS (SELECT 1 FROM runs WHERE id = last_runs.run AND (state IN ('failed', 'timed-out')
    AND ended_at > ?1 OR state IN ('lost', 'unknown') AND coalesce(started_at, fire) > ?1))
"""
"""A later failure on this node remains. The end of a lost or unknown run is not known: its start counts."""


def changes(states: Sequence[tuple[int, State]]) -> list[Work]:
    """Return the statements that follow from states of runs that have just been written."""
    return [
        (PASSED, [row for row in states if row[1] in NOT_STARTED]),
        (LAST_RUN, [row for row in states if row[1] not in NOT_STARTED]),
        (totals.COUNT, states),
    ]


def succeeded_elsewhere(rows: Iterable[tuple[str, float | None]]) -> Work:
    """Return the statement for jobs that succeeded on other nodes: keys, and ends in Unix seconds."""
    return SUCCEEDED_ELSEWHERE, [(at, key) for key, at in rows]
