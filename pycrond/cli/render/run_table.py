"""The table of `history`: each run with its end, the reason, and its duration compared with the median."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import cast

from pycrond.cli.documents.lists import RunDocument
from pycrond.cli.render import table
from pycrond.cli.render.formatting import Cell, ending, ending_and_count, joined, period
from pycrond.cli.render.table import StyledLine, TableColumn
from pycrond.jobs.display_name import display_names
from pycrond.jobs.run import OPEN, State
from pycrond.ledger.rows import RunRow, run_json
from pycrond.text import duration

SLOW_FACTOR = 2.0  # times the median; longer runs are highlighted
MIN_COMPARABLE_S = 0.1  # shorter runs are not compared with the median


def columns(
    runs: Sequence[RunRow], now: datetime, medians: Mapping[str, float], last_lines: Mapping[int, str]
) -> list[TableColumn]:
    """Return the columns. `medians` are by job key; `last_lines` are last lines of failed runs, by number."""
    names = display_names((run.key, run.name, run.command) for run in runs)
    took = [_took(run, now) for run in runs]
    usual = [compared(seconds, medians.get(run.key)) for run, seconds in zip(runs, took, strict=True)]
    reasons = [Cell(joined(run.reason, last_lines.get(run.id))) for run in runs]
    return [
        TableColumn("RUN", [Cell(str(run.id), "dim") for run in runs], right=True),
        TableColumn("FIRE", [Cell(period(run.fire, run.until, now)) for run in runs]),
        TableColumn("NAME", [Cell(names[run.key]) for run in runs], least=25),
        TableColumn("ENDED", [ending_and_count(run) for run in runs]),
        TableColumn("TOOK", [Cell(duration(seconds)) for seconds in took], right=True),
        TableColumn("USUAL", usual, rank=3, right=True),
        TableColumn("CPU", [Cell(duration(run.cpu_s)) for run in runs], rank=5, right=True),
        TableColumn("MEMORY", [Cell(memory(run.max_rss_kb)) for run in runs], rank=6, right=True),
        TableColumn("LATE", [Cell(lateness(run.lateness_ms)) for run in runs], rank=4, right=True),
        TableColumn("TRIGGER", [Cell(trigger(run)) for run in runs], rank=2),
        TableColumn("REASON", reasons, rank=1),
    ]


def lay_out(columns: Sequence[TableColumn], width: int) -> list[StyledLine]:
    """Return the lines of the table. If there is no room for a whole reason, reasons are below their rows."""
    *others, reasons = columns
    needed = sum(min(column.natural, column.least) + column.gap for column in others if not column.rank)
    if needed + reasons.natural <= width:
        return table.lay_out(columns, width)
    below = {place: [cell] for place, cell in enumerate(reasons.cells) if cell.text}
    return table.lay_out(others, width, below)


def grouped(runs: Iterable[RunRow]) -> list[RunRow]:
    """Return a row for each series of runs of a job with equal ends and reasons; the newest first, as in
    `runs`.

    A row has the first and the last fire time, the number of runs, and the other values of the newest run.
    """
    groups: list[RunRow] = []
    places: dict[str, int] = {}
    for run in runs:
        place = places.get(run.key)
        if place is None or run.state in OPEN or _end(groups[place]) != _end(run):
            places[run.key] = len(groups)
            groups.append(run)
            continue
        newest = groups[place]
        number = (newest.folded or 1) + (run.folded or 1)
        last = max(newest.until or newest.fire, run.until or run.fire)
        groups[place] = newest._replace(fire=min(newest.fire, run.fire), until=last, folded=number)
    return groups


def _end(run: RunRow) -> tuple[Cell, str]:
    """Return the end of a run, and the first word of its reason."""
    return ending(run), run.reason.partition(":")[0]


def _took(run: RunRow, now: datetime) -> float | None:
    """Return the duration of a run in seconds; of a running one, up to now."""
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
    """Return the peak memory of a run in a readable unit."""
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
    """Return the trigger of a run, if it is not the schedule, and the number of a further attempt."""
    cause = "" if run.trigger == "schedule" else run.trigger
    return f"{cause} {run.attempt}".strip() if run.attempt > 1 else cause


def run_document(run: RunRow) -> RunDocument:
    """Return a run as every `--json` prints it."""
    return cast("RunDocument", run_json(run))
