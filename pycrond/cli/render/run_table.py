"""The table of `history`: how each run ended and why, and how its duration compares with the median."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from pycrond.cli.render.formatting import Cell, brief, ending_and_count, joined
from pycrond.cli.render.table import TableColumn
from pycrond.jobs.display_name import display_names
from pycrond.jobs.run import State
from pycrond.ledger.rows import RunRow
from pycrond.text import duration

SLOW_FACTOR = 2.0  # times the median: a run that takes longer stands out
MIN_COMPARABLE_S = 0.1  # shorter runs are not compared with the median


def columns(
    runs: Sequence[RunRow],
    now: datetime,
    medians: Mapping[str, float],
    last_lines: Mapping[int, str],
) -> list[TableColumn]:
    """Return the table. `medians` are by job key; `last_lines`, what failed runs printed last,
    by run number.
    """
    names = display_names((run.key, run.name, run.command) for run in runs)
    took = [_took(run, now) for run in runs]
    usual = [compared(seconds, medians.get(run.key)) for run, seconds in zip(runs, took, strict=True)]
    reasons = [Cell(reason(run, now, last_lines.get(run.id))) for run in runs]
    return [
        TableColumn("RUN", [Cell(str(run.id), "dim") for run in runs], right=True),
        TableColumn("NAME", [Cell(names[run.key]) for run in runs], least=25),
        TableColumn("FIRE", [Cell(brief(run.fire, now)) for run in runs]),
        TableColumn("ENDED", [ending_and_count(run) for run in runs]),
        TableColumn("TOOK", [Cell(duration(seconds)) for seconds in took], right=True),
        TableColumn("USUAL", usual, rank=1, right=True),
        TableColumn("CPU", [Cell(duration(run.cpu_s)) for run in runs], rank=4, right=True),
        TableColumn("MEMORY", [Cell(memory(run.max_rss_kb)) for run in runs], rank=5, right=True),
        TableColumn("LATE", [Cell(lateness(run.lateness_ms)) for run in runs], rank=6, right=True),
        TableColumn("TRIGGER", [Cell(trigger(run)) for run in runs], rank=2),
        TableColumn("REASON", reasons, rank=3, least=14),
    ]


def _took(run: RunRow, now: datetime) -> float | None:
    """Return the duration of a run in seconds; so far, if it has not ended."""
    if run.state == State.RUNNING and run.started_at is not None:
        return max(0.0, now.timestamp() - run.started_at)
    return run.duration_s


def compared(took: float | None, median: float | None) -> Cell:
    """Return a duration as a multiple of the median."""
    if took is None or not median or max(took, median) < MIN_COMPARABLE_S:
        return Cell("")
    times = took / median
    text = f"{times:.1f}x" if times < 100 else f"{times:.0f}x"
    return Cell(text, "busy" if times >= SLOW_FACTOR else "dim")


def memory(kibibytes: int | None) -> str:
    """Return the peak memory of a run in its unit."""
    if kibibytes is None:
        return ""
    for size, unit in ((1 << 20, "GB"), (1 << 10, "MB")):
        if kibibytes >= size:
            return f"{kibibytes / size:.1f} {unit}"
    return f"{kibibytes} kB"


def lateness(milliseconds: float | None) -> str:
    """Return how much later than its fire time a run started."""
    return duration(milliseconds and milliseconds / 1000)


def trigger(run: RunRow) -> str:
    """Return what started a run, if not the schedule, and the number of a further attempt."""
    cause = "" if run.trigger == "schedule" else run.trigger
    return f"{cause} {run.attempt}".strip() if run.attempt > 1 else cause


def reason(run: RunRow, now: datetime, last_line: str | None) -> str:
    """Return why a run ended so; first the last fire time, if the row stands for several."""
    until = f"until {brief(run.until, now)}" if run.until is not None and run.until > run.fire else ""
    return joined(until, run.reason, last_line)
