"""What `history` tells of runs: how each ended and why, and how it compares with what is usual."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from pycrond.cli.render import formatting
from pycrond.cli.render.formatting import Cell
from pycrond.cli.render.table import Column
from pycrond.ledger.rows import RunRow

LONG = 2.0  # times what it usually takes
SHORT_S = 0.1  # of so little no one is several times the other


def columns(
    runs: Sequence[RunRow],
    now: datetime,
    commands: Mapping[str, str],
    medians: Mapping[str, float],
    last_lines: Mapping[int, str],
) -> list[Column]:
    """The table: run, job, when and how are always there. `commands` and `medians` are of jobs, by key,
    `last_lines` those of what runs printed that did not end well, by number.
    """
    names = [Cell(formatting.title(run.key, run.name, commands.get(run.key, ""))) for run in runs]
    took = [_took(run, now) for run in runs]
    usual = [compared(seconds, medians.get(run.key)) for run, seconds in zip(runs, took, strict=True)]
    reasons = [reason(run, now, last_lines.get(run.id)) for run in runs]
    return [
        Column("RUN", [Cell(str(run.id), "dim") for run in runs], right=True),
        Column("NAME", names, least=20),
        Column("FIRE", [Cell(_at(run.fire, now)) for run in runs]),
        Column("ENDED", [formatting.ended(run) for run in runs]),
        Column("TOOK", [Cell(formatting.took(seconds)) for seconds in took], right=True),
        Column("USUAL", usual, rank=1, right=True),
        Column("CPU", [Cell(_cpu(run.cpu_s)) for run in runs], rank=4, right=True),
        Column("MEMORY", [Cell(memory(run.max_rss_kb)) for run in runs], rank=5, right=True),
        Column("LATE", [Cell(late(run.lateness_ms)) for run in runs], rank=6, right=True),
        Column("TRIGGER", [Cell(trigger(run)) for run in runs], rank=2),
        Column("REASON", [Cell(why) for why in reasons], rank=3, least=14),
    ]


def _took(run: RunRow, now: datetime) -> float | None:
    """So far, where it is not over."""
    if run.state == "running" and run.started_at is not None:
        return max(0.0, now.timestamp() - run.started_at)
    return run.duration_s


def _at(seconds: float, now: datetime) -> str:
    return formatting.brief(datetime.fromtimestamp(seconds, UTC), now)


def compared(took: float | None, median: float | None) -> Cell:
    """How many times as long as usual it took."""
    if took is None or not median or max(took, median) < SHORT_S:
        return Cell("")
    times = took / median
    text = f"{times:.1f}x" if times < 100 else f"{times:.0f}x"
    return Cell(text, "busy" if times >= LONG else "dim")


def _cpu(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds:.2f} s" if seconds < 10 else formatting.took(seconds)


def memory(kibibytes: int | None) -> str:
    """The most it had."""
    if kibibytes is None:
        return ""
    for size, unit in ((1 << 20, "GB"), (1 << 10, "MB")):
        if kibibytes >= size:
            return f"{kibibytes / size:.1f} {unit}"
    return f"{kibibytes} kB"


def late(milliseconds: float | None) -> str:
    """By how much it started later than it was due."""
    if milliseconds is None:
        return ""
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else formatting.took(milliseconds / 1000)


def trigger(run: RunRow) -> str:
    """What started it, where that is not the schedule, and at which attempt."""
    told = "" if run.trigger == "schedule" else run.trigger
    return f"{told} {run.attempt}".strip() if run.attempt > 1 else told


def reason(run: RunRow, now: datetime, last_line: str | None) -> str:
    """Why it ended so; of several in one row also until when."""
    several = run.until is not None and run.until > run.fire
    until = f"until {_at(run.until or run.fire, now)}" if several else ""
    return ": ".join(text for text in (until, run.reason, last_line) if text)
