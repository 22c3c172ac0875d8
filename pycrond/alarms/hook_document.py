"""The facts that a hook gets about a run: as JSON on its standard input, and as variables."""

from collections.abc import Mapping
from typing import Any

from pycrond.alarms import mail_output
from pycrond.jobs.events import Ended
from pycrond.jobs.job import Job
from pycrond.ledger.rows import RunRow, run_json
from pycrond.output.spool import Spool
from pycrond.text import rfc3339, storable

MAX_OUTPUT = 10 << 10  # bytes of the end of the output
_VARIABLES = ("event", "name", "state", "reason", "exit_status", "signal", "duration_s", "attempt", "bytes")
_NO_RUN = {name: None for name in RunRow._fields if name != "folded"} | {"count": None}


def place(job: Job) -> dict[str, Any]:
    """Return the facts about a job; names and commands that are not UTF-8 are escaped as in the ledger."""
    entry = job.entry
    return {"file": storable(entry.file), "line": entry.line, "command": storable(entry.command)}


def ending(end: Ended) -> dict[str, Any]:
    """Return the facts about an end: if the disk is full, the ledger may not have them yet."""
    fire, outcome = end.fire, end.outcome
    return {
        "id": end.run,
        "fire": rfc3339(fire.at.timestamp()),
        "trigger": fire.trigger,
        "attempt": fire.attempt,
        "state": outcome.state,
        "reason": storable(outcome.cause.text),
        "ended_at": rfc3339(end.at.timestamp()),
        "duration_s": end.duration,
        "exit_status": outcome.exit_status,
        "signal": outcome.signal,
        "cpu_s": outcome.cpu_s,
        "max_rss_kb": outcome.max_rss_kb,
    }


def about(row: RunRow | None, facts: Mapping[str, Any], spool_dir: str) -> dict[str, Any]:
    """Return an object of `history` about a run, with `facts`, and the size and the end of its output.

    Without a run, the values of the run are null.
    """
    document: dict[str, Any] = _NO_RUN | (run_json(row) if row else {}) | dict(facts)
    run = document["id"]
    size = Spool(spool_dir, run).size if run else None
    output = mail_output.tail(spool_dir, run, MAX_OUTPUT) if size else ""
    return {**document, "bytes": size, "output": output}


def variables(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the variables of a hook that describe the run."""
    values = [(f"PYCROND_{name.upper()}", document.get(name)) for name in _VARIABLES]
    return [(name, "" if value is None else str(value)) for name, value in values]
