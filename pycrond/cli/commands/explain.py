"""explain, why: an expression in words, and why a job runs at a time or not."""

import argparse
import json
import os

from pycrond import clock
from pycrond.cli import describe
from pycrond.cli.check.dst_effects import dst_effect
from pycrond.cli.commands.next import COUNT, MINUTE, ComingFires, clock_cells, schedule_of, whole_minute
from pycrond.cli.commands.show import find_job, print_table
from pycrond.cli.render import run_table, terminal
from pycrond.cli.render.formatting import Cell
from pycrond.cli.render.table import lay_out
from pycrond.cli.settings_layers import configured
from pycrond.cli.time_input import moment
from pycrond.errors import PycrondError
from pycrond.host import machine
from pycrond.ledger import codec, rows
from pycrond.ledger.reader import Reader
from pycrond.schedule.dst import fire_times
from pycrond.schedule.timezone import Zone
from pycrond.text import rfc3339


def explain(wanted: argparse.Namespace) -> int:
    """An expression in words, how its days are decided, and its next five times."""
    text = " ".join(wanted.expression)
    now = clock.now()
    zone = Zone.of(wanted.tz) if wanted.tz else machine.load_zone(machine.local_zone_name(os.environ))
    schedule = schedule_of(text)
    notes = [describe.words(schedule)]
    if rule := describe.day_rule(" ".join(text.split())):
        notes.append(rule)
    if change := dst_effect(schedule, zone, now.year):
        notes.append(change)
    one = ComingFires(text, schedule, zone)
    times = one.fires(whole_minute(None, now, zone), None, COUNT)
    if wanted.json:
        document = {"expression": text, "zone": zone.name, "words": notes[0], "notes": notes[1:]}
        print(json.dumps(document | {"fires": [rfc3339(at.timestamp()) for at in times]}))
        return 0
    print("\n".join(notes))
    for at in times:
        print("  " + "  ".join(cell.text for cell in clock_cells(at, zone, now)))
    return 0


def why(wanted: argparse.Namespace) -> int:
    """Field by field whether a job is due at a time, and what the ledger says of it."""
    reader = Reader(configured(wanted).state_dir)
    key = find_job(reader, wanted.job)
    row = [one for one in reader.jobs() if one.key == key]
    if not row or row[0].canonical is None:
        raise PycrondError(
            f"'{wanted.job}' {'runs at boot' if row else 'is not loaded any more'}: it has no times"
        )
    zone, schedule = machine.load_zone(row[0].zone), codec.from_text(row[0].canonical)
    now = clock.now()
    asked = moment(wanted.time, now, zone)
    minute = asked.at.replace(second=0, microsecond=0)
    fields_said = describe.checks(schedule, asked.wall)
    due = any(one.at == minute for one in fire_times(schedule, zone, minute, minute + MINUTE))
    runs = reader.at(key, minute.timestamp())
    if wanted.json:
        document = {
            "key": key,
            "time": rfc3339(minute.timestamp()),
            "zone": zone.name,
            "schedule": row[0].schedule,
            "due": due,
            "fields": [
                {"field": one.field, "value": one.value, "wanted": one.required, "matches": one.matches}
                for one in fields_said
            ],
            "runs": [rows.run_json(run) for run in runs],
        }
        print(json.dumps(document))
        return 0
    local = zone.local(minute)
    print(f"{row[0].schedule}  ({row[0].file}:{row[0].line}) at {local:%a %Y-%m-%d %H:%M %Z}")
    head = [[Cell(""), Cell("FIELD"), Cell("IS"), Cell("WANTED")]]
    marks = {True: Cell("yes", "good"), False: Cell("no", "bad")}
    print_table(
        head
        + [[marks[one.matches], Cell(one.field), Cell(one.value), Cell(one.required)] for one in fields_said]
    )
    if rule := describe.day_rule(row[0].schedule):
        print(rule)
    print("It is due then." if due else "It is not due then.")
    if runs:
        about = run_table.columns(runs, terminal.here(now), {key: row[0].command}, {}, {})
        terminal.show(lay_out(about, terminal.width()))
    elif due:
        print("The ledger has no run of it" + (": it is yet to come." if minute > now else "."))
    return 0
