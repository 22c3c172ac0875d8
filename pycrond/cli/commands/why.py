"""why: explain why a job is due at a time, or not, and how its run ended."""

import argparse
from collections.abc import Sequence
from datetime import datetime

from pycrond import clock
from pycrond.cli import describe
from pycrond.cli.arguments import JOB, add_json
from pycrond.cli.data.access import as_present
from pycrond.cli.describe import FieldCheck
from pycrond.cli.documents.times import WhyDocument
from pycrond.cli.printing import print_json, print_line, print_table
from pycrond.cli.render import run_table, terminal
from pycrond.cli.render.formatting import Cell
from pycrond.cli.render.job_table import failing
from pycrond.cli.selectors import find_job
from pycrond.cli.settings_layers import load_settings
from pycrond.cli.time_input import MINUTE, moment
from pycrond.errors import PycrondError
from pycrond.host import machine
from pycrond.jobs.run import Reason
from pycrond.ledger import codec
from pycrond.ledger.reader import Reader
from pycrond.ledger.rows import JobRow, RunRow
from pycrond.schedule.fire_times import fire_times
from pycrond.text import rfc3339


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", metavar="JOB", help=JOB)
    parser.add_argument("time", help="such as '02:30', 'yesterday 02:30', 2026-03-29T02:30")
    add_json(parser, WhyDocument)


def run(options: argparse.Namespace) -> int:
    """Compare the time with each field of the schedule, and show the ledger's runs of that time."""
    settings = load_settings(options)
    reader = Reader(settings.state_dir)
    job = _loaded_job(reader, options.job)
    zone, schedule = machine.load_zone(job.zone), codec.decode_schedule(job.canonical or "")
    typed = moment(options.time, clock.now(), zone)
    minute = typed.at.replace(second=0, microsecond=0)
    checks = describe.checks(schedule, typed.wall)
    due = _is_due(job, minute)
    runs = as_present(reader, settings, reader.at(job.key, minute.timestamp()))
    if options.json:
        print_json(_document(job, minute, checks, runs, due=due))
        return 0
    print_line(f"{job.schedule}  ({job.file}:{job.line}) at {zone.local(minute):%a %Y-%m-%d %H:%M %Z}")
    _print_checks(checks)
    if rule := describe.day_rule(job.schedule):
        print_line(rule)
    print_line("It is due then." if due else "It is not due then.")
    _print_runs(runs, minute, due=due)
    if not runs and (hint := _other_reading(reader, job, options, minute, due=due)):
        print_line(hint)
    if node := _other_node(runs):
        print_line(f"Node {node} has claimed it; see pycrond history --cluster {options.job}")
    standing = reader.standings([job.key]).get(job.key)
    if standing and standing.failing_since is not None:
        print_line(f"The job is {failing(standing.failing_since, standing.failures, terminal.here())}.")
    return 0


def _is_due(job: JobRow, minute: datetime) -> bool:
    schedule = codec.decode_schedule(job.canonical or "")
    fires = fire_times(schedule, machine.load_zone(job.zone), minute, minute + MINUTE)
    return any(fire.at == minute for fire in fires)


def _other_reading(
    reader: Reader, job: JobRow, options: argparse.Namespace, minute: datetime, *, due: bool
) -> str | None:
    """Return a hint if a run or a fire has the typed time in the terminal's zone, which `history` uses."""
    try:
        local_zone = machine.local_zone()
        local = moment(options.time, clock.now(), local_zone).at.replace(second=0, microsecond=0)
    except PycrondError:  # a TZ that is a rule, not a name, or a time beyond the calendar
        return None
    has_run = bool(reader.at(job.key, local.timestamp()))
    if local == minute or not (has_run or (_is_due(job, local) and not due)):
        return None
    in_job_zone = machine.load_zone(job.zone).local(local)
    reason = "the ledger has a run" if has_run else "it is due then"
    times = f"{local_zone.local(local):%H:%M %Z}, by this terminal's clock, is {in_job_zone:%H:%M %Z}"
    return f"{times}, and {reason}: pycrond why {options.job} {in_job_zone:%Y-%m-%dT%H:%M}"


def _other_node(runs: Sequence[RunRow]) -> str | None:
    """Return the node that has claimed the fire, by the reason in this node's row."""
    start, end = f"{Reason.ELSEWHERE}: ", " has it"
    reasons = [run.reason for run in runs if run.reason.startswith(start) and run.reason.endswith(end)]
    return next((reason.removeprefix(start).removesuffix(end) for reason in reasons), None)


def _loaded_job(reader: Reader, word: str) -> JobRow:
    """Return the row of a job that has a schedule."""
    key = find_job(reader, word)
    loaded = [job for job in reader.jobs() if job.key == key]
    if not loaded:
        raise PycrondError(f"'{word}' is not loaded any more: it has no fire times")
    if loaded[0].canonical is None:
        raise PycrondError(f"'{word}' runs at boot: it has no fire times")
    return loaded[0]


def _document(
    job: JobRow, minute: datetime, checks: Sequence[FieldCheck], runs: Sequence[RunRow], *, due: bool
) -> WhyDocument:
    return {
        "key": job.key,
        "time": rfc3339(minute.timestamp()),
        "zone": machine.load_zone(job.zone).name,
        "schedule": job.schedule,
        "fields": [
            {"field": check.field, "value": check.value, "wanted": check.required, "matches": check.matches}
            for check in checks
        ],
        "runs": [run_table.run_document(run) for run in runs],
        "due": due,
    }


def _print_checks(checks: Sequence[FieldCheck]) -> None:
    marks = {True: Cell("yes", "good"), False: Cell("no", "bad")}
    head = [Cell(""), Cell("FIELD"), Cell("IS"), Cell("WANTED")]
    body = [
        [marks[check.matches], Cell(check.field), Cell(check.value), Cell(check.required)] for check in checks
    ]
    print_table([head, *body])


def _print_runs(runs: Sequence[RunRow], minute: datetime, *, due: bool) -> None:
    now = clock.now()
    if runs:
        columns = run_table.columns(runs, terminal.here(now), {}, {})
        terminal.show(run_table.lay_out(columns, terminal.width()))
    elif due and minute > now:
        print_line("The ledger has no run of it: the time has not come yet.")
    elif due:
        print_line("The ledger has no run of it.")
