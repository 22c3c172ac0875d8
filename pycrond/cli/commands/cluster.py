"""cluster: set up, watch and drain the cluster that shares jobs over PostgreSQL."""

import argparse
from datetime import timedelta
from zoneinfo import available_timezones

from pycrond.cli.arguments import add_json, count_up_to
from pycrond.cli.cluster import status_report, status_table
from pycrond.cli.cluster.access import cluster_reader, conninfo_of
from pycrond.cli.documents.cluster import ClusterDocument
from pycrond.cli.printing import print_json, print_line
from pycrond.cli.render import terminal
from pycrond.cli.settings_layers import layers, load_settings
from pycrond.cluster import reader_connection
from pycrond.errors import PycrondError
from pycrond.host import machine
from pycrond.setting_values import settle
from pycrond.settings import Settings

MAX_KEEP_DAYS = 36_500
ACTIONS = ("migrate", "status", "drain", "undrain")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    about = (
        "migrate: create the tables, or add what a new version needs; status: show nodes, database and what"
        " needs action; drain: stop a node from claiming fires; undrain: let it claim again"
    )
    parser.add_argument("action", choices=ACTIONS, metavar="|".join(ACTIONS), help=about)
    about = "with drain and undrain: the node (this machine)"
    parser.add_argument("node_name", nargs="?", metavar="NODE", help=about)
    about = "with migrate: the cluster's name, from which H and jitter of shared jobs are drawn"
    parser.add_argument("--name", metavar="NAME", help=about)
    about = "with migrate: the time zone of shared jobs without CRON_TZ (at first that of this machine)"
    parser.add_argument("--zone", metavar="ZONE", help=about)
    about = "with migrate: days after which rows are deleted"
    parser.add_argument("--keep", type=count_up_to(MAX_KEEP_DAYS), metavar="DAYS", help=about)
    parser.set_defaults(of_cluster=True)
    add_json(parser, ClusterDocument)


def run(options: argparse.Namespace) -> int:
    """Carry out the action; `status` returns 1 if a problem needs action."""
    _check(options)
    if options.action == "migrate":  # the running daemon may not have the setting yet
        return _migrate(settle(layers(options, "latest daemon").values()), options)
    settings = load_settings(options)
    if options.action == "status":
        return _status(settings, as_json=options.json)
    return _drain(settings, options.node_name or settings.node_name, drains=options.action == "drain")


def _check(options: argparse.Namespace) -> None:
    """Refuse arguments of another action."""
    action = options.action
    if action not in {"drain", "undrain"} and options.node_name:
        raise PycrondError(f"'pycrond cluster {action}' takes no node: '{options.node_name}'")
    if action != "migrate" and (options.name or options.zone or options.keep):
        raise PycrondError(f"--name, --zone and --keep belong to 'pycrond cluster migrate', not to {action}")
    if action != "status" and options.json:
        raise PycrondError("--json belongs to 'pycrond cluster status'")


def _status(settings: Settings, *, as_json: bool) -> int:
    with cluster_reader(settings) as reader:
        facts = status_report.read(reader)
    if as_json:
        print_json(status_table.document(facts))
    else:
        terminal.show([*status_table.lines(facts, terminal.width())])
    return 1 if any(status_report.problems(facts)) else 0


def _migrate(settings: Settings, options: argparse.Namespace) -> int:
    if options.zone:
        machine.load_zone(options.zone)  # raises for an unknown one
    keep = timedelta(days=options.keep) if options.keep else None
    here = machine.local_zone().name
    new_zone = here if here in available_timezones() else "UTC"  # a zone file may have no such name
    asked = (options.name, options.zone, keep)
    old = reader_connection.migrate(conninfo_of(settings), *asked, new_zone)
    with cluster_reader(settings) as reader:
        cluster = reader.meta()
    done = f"have version {old.after}" if old.before == old.after else f"created, version {old.after}"
    if 0 < old.before < old.after:
        done = f"converted from version {old.before} to {old.after}"
    days = f"{cluster.keep / 86_400:.0f}"
    print_line(f"cluster {cluster.name}, zone {cluster.zone}, rows kept for {days} d: tables {done}")
    changes = {"name": (old.name, cluster.name), "zone": (old.zone, cluster.zone)} if old.before else {}
    if texts := [f"the {name} was {was}" for name, (was, now) in changes.items() if was != now]:
        print_line(f"changed: {', '.join(texts)}; times of shared jobs depend on it")
    return 0


def _drain(settings: Settings, node: str, *, drains: bool) -> int:
    if reader_connection.set_draining(conninfo_of(settings), node, drains=drains):
        print_line(f"{node} {'claims no more fires; claimed ones still run' if drains else 'claims again'}")
        return 0
    with cluster_reader(settings) as reader:
        names = [row.name for row in reader.nodes()]
    known = f"known: {', '.join(names)}" if names else "no node has joined yet"
    raise PycrondError(f"there is no node '{node}' in the cluster ({known})")
