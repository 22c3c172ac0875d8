"""Measures how late jobs start in a cluster: in calm minutes, when nodes die, and without the database.

python -m tests.chaos_cluster.measure [--jobs J] [--every E] [--minutes N]
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from pycrond.hashing import digest_words
from tests.chaos_cluster import tally
from tests.chaos_cluster.driver import Attack, attack
from tests.chaos_cluster.figures import lateness
from tests.chaos_cluster.kinds import KINDS
from tests.chaos_cluster.node import Node
from tests.chaos_cluster.tally import Run
from tests.conftest import ME
from tests.support import command_server

KILLED_BEFORE = 5.0  # seconds before the minute: the others do not know yet
SPARED = 30.0  # seconds at least between the return of a node and the death of the next one


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=100, help="number of jobs with on=one")
    parser.add_argument("--every", type=int, default=20, help="number of jobs with on=every")
    parser.add_argument("--minutes", type=int, default=5, help="of each part")
    parser.add_argument("--nodes", type=int, default=5)
    options = parser.parse_args(arguments)
    kinds = {f"plain{number}": "plain" for number in range(options.jobs)}
    kinds |= {f"every{number}": "every" for number in range(options.every)}
    with tempfile.TemporaryDirectory(prefix="cluster.", dir="/tmp") as directory:
        try:
            with attack(Path(directory), nodes=options.nodes, named=kinds) as cluster:
                _measure(cluster, options.minutes)
        finally:
            command_server.end()
    return 0


def _measure(cluster: Attack, minutes: int) -> None:
    cluster.start()
    first = cluster.first
    _sleep_until(first + minutes, -20.0)
    print("calm minutes:")
    _print(cluster, range(first, first + minutes))
    deaths = _kill_nodes(cluster, minutes)
    runs = [run for wall, node in deaths.items() for run in _first_fires_of(node, wall, cluster)]
    print(f"the preferred node was killed {KILLED_BEFORE:.0f} s before: {lateness(runs)}")
    expected = sum(
        _preferred(f"{ME}/{job}", wall, cluster) == node.name
        for wall, node in deaths.items()
        for job, kind in cluster.jobs.items()
        if not KINDS[kind].is_every
    )
    print(f"  of {expected} such fires")
    first = int(time.time()) // 60 + 1
    _sleep_until(first, -10.0)
    for server in cluster.servers.both:
        server.freeze()
    _sleep_until(first + minutes // 2, -10.0)
    for server in cluster.servers.both:
        server.thaw()
    cluster.servers.end()
    _sleep_until(first + minutes, -10.0)
    print("the servers were silent for half of these minutes, then killed:")
    _print(cluster, range(first, first + minutes))


def _kill_nodes(cluster: Attack, minutes: int) -> dict[int, Node]:
    """Kill one node after the other, each shortly before a minute; return them by their minutes."""
    deaths: dict[int, Node] = {}
    for number in range(minutes):
        node = cluster.nodes[number % len(cluster.nodes)]
        wall = int(time.time() + SPARED) // 60 + 1
        _sleep_until(wall, -KILLED_BEFORE)
        node.crond.end()
        deaths[wall] = node
        _sleep_until(wall, 12.0)
        node.start()
    _sleep_until(int(time.time()) // 60, 20.0)
    return deaths


def _first_fires_of(node: Node, wall: int, cluster: Attack) -> list[Run]:
    """Return the runs of a minute that this node would have asked for first."""
    runs = tally.read((place.name, place.tally) for place in cluster.nodes)
    return [
        run
        for run in runs
        if run.wall == wall
        and not KINDS[cluster.jobs[run.job]].is_every
        and _preferred(f"{ME}/{run.job}", wall, cluster) == node.name
    ]


def _preferred(job: str, wall: int, cluster: Attack) -> str:
    """Return the node that is ranked first."""
    names = [node.name for node in cluster.nodes]
    return min(names, key=lambda name: digest_words(name, job, str(wall), "0", size=8))


def _print(cluster: Attack, walls: range) -> None:
    places = [*cluster.nodes, cluster.control]
    runs = [run for run in tally.read((place.name, place.tally) for place in places) if run.wall in walls]
    own = [run for run in runs if KINDS[cluster.jobs[run.job]].is_every]
    print("  on=one:           ", lateness([run for run in runs if run not in own]))
    print("  on=every:         ", lateness([run for run in own if run.node != cluster.control.name]))
    print("  without a cluster:", lateness([run for run in own if run.node == cluster.control.name]))
    sys.stdout.flush()


def _sleep_until(wall: int, seconds: float) -> None:
    time.sleep(max(0.0, wall * 60 + seconds - time.time()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
