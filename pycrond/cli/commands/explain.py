"""explain: explain an expression in words, with its next times."""

import argparse

from pycrond import clock
from pycrond.cli import describe
from pycrond.cli.arguments import add_json, add_zone
from pycrond.cli.check.dst_effects import dst_effect
from pycrond.cli.coming_fires import FIRES, ComingFires, clock_cells, parse_expression
from pycrond.cli.documents.times import ExplainDocument
from pycrond.cli.printing import print_json, print_line
from pycrond.cli.time_input import whole_minute
from pycrond.host import machine
from pycrond.schedule.timezone import Zone
from pycrond.text import rfc3339


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("expression", nargs="+", help="such as '*/5 9-17 * * mon-fri'")
    add_zone(parser)
    add_json(parser, ExplainDocument)


def run(options: argparse.Namespace) -> int:
    """Print the description, the rule for the days, the effect of DST, and the next fire times."""
    text = " ".join(options.expression)
    now = clock.now()
    zone = Zone.of(options.tz) if options.tz else machine.local_zone()
    schedule = parse_expression(text)
    notes = [describe.words(schedule)]
    if rule := describe.day_rule(" ".join(text.split())):
        notes.append(rule)
    if change := dst_effect(schedule, zone, now.year):
        notes.append(change)
    times = ComingFires(text, schedule, zone).times(whole_minute(None, now, zone), None, FIRES)
    if options.json:
        document: ExplainDocument = {
            "expression": text,
            "zone": zone.name,
            "words": notes[0],
            "notes": notes[1:],
            "fires": [rfc3339(at.timestamp()) for at in times],
        }
        print_json(document)
        return 0
    for note in notes:
        print_line(note)
    for at in times:
        print_line("  " + "  ".join(cell.text for cell in clock_cells(at, zone, now)))
    return 0
