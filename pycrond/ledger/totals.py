"""The ledger's table of all runs that each job has ever had, by state, with their durations.

It is written in the transaction in which a run ends or a fire is passed over. So the numbers never decrease,
although old runs are folded or deleted.
"""

from collections.abc import Iterable
from typing import NamedTuple

from pycrond.ledger.database import Work

DURATIONS = (1, 10, 60, 600, 3600, 21_600)
"""The upper bounds in seconds of the columns `within_...`, each of which counts all runs up to its bound."""
WITHIN = tuple(f"within_{bound}" for bound in DURATIONS)
SUMS = ("runs", "duration_s", "measured", *WITHIN)
"""The columns that are added up."""
_VALUES = (
    *("coalesce(folded, 1)", "coalesce(duration_s, 0.0)", "duration_s NOT NULL"),
    *(f"coalesce(duration_s <= {bound}, 0)" for bound in DURATIONS),
)
_ADD = ", ".join(f"{column} = run_totals.{column} + excluded.{column}" for column in SUMS)
_INTO = f"INSERT INTO run_totals (key, state, ended_at, {', '.join(SUMS)})"
_CONFLICT = f"ON CONFLICT DO UPDATE SET ended_at = max(run_totals.ended_at, excluded.ended_at), {_ADD}"
COUNT = f"""
    {_INTO} SELECT key, ?2, coalesce(ended_at, 0.0), {", ".join(_VALUES)} FROM runs WHERE id = ?1 {_CONFLICT}
"""  # noqa: S608 -- constants
"""Parameters: a row of runs that have just ended, or of fires that were passed over, and its state."""
MERGE = f"""
    {_INTO} SELECT user || '/', state, ended_at, {", ".join(f"run_totals.{column}" for column in SUMS)}
    FROM run_totals JOIN jobs USING (key) WHERE key = ? AND name IS NULL {_CONFLICT}
"""  # noqa: S608 -- constants
"""Parameter: the key of a job that is forgotten. Without a name, its runs are added to those of its user."""

_SUMS = ", ".join(f"sum({column})" for column in SUMS)
TOTALS = f"""
    SELECT substr(key, 1, instr(key, '/') - 1), name, max(coalesce(loaded > 0, 0)), state, max(ended_at),
    {_SUMS} FROM run_totals LEFT JOIN jobs USING (key) WHERE key BETWEEN :first_key AND :last_key
    GROUP BY 1, name, state ORDER BY min(run_totals.id) LIMIT :row_limit OFFSET :offset
"""  # noqa: S608 -- constants
"""All rows in a reader's scope; the rows of a user's nameless jobs are added up."""


class TotalsRow(NamedTuple):
    """All runs that a named job, or all nameless jobs of a user together, have ever had in a state."""

    user: str
    name: str | None
    loaded: int
    """1 if the job is loaded; has no meaning for nameless jobs."""
    state: str
    ended_at: float
    runs: int
    duration_s: float
    measured: int
    """Runs that have a duration."""
    within_1: int
    """Runs with a duration of at most one second; the next fields likewise."""
    within_10: int
    within_60: int
    within_600: int
    within_3600: int
    within_21600: int


def forgotten(keys: Iterable[tuple[str]]) -> list[Work]:
    """Return the statements to execute before jobs are deleted."""
    rows = [*keys]
    return [(MERGE, rows), ("DELETE FROM run_totals WHERE key = ?", rows)]
