"""`make chaos-cluster CLUSTER='--minutes 20'`: attacks on a cluster of real daemons and servers; prints the results.

python -m tests.chaos_cluster.run [--minutes N] [--seed S] [--jobs J] [--every E] [--nodes 5] [--spread S] [--clocks] [--destroy] [--keep DIRECTORY]
"""

import argparse
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos_cluster import figures
from tests.chaos_cluster.driver import Attack, attack
from tests.chaos_cluster.judgement import Judgement
from tests.chaos_cluster.kinds import jobs
from tests.chaos_cluster.plan import plan
from tests.support import command_server, faketime

SHOWN = 40  # problems


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=3.0, help="of faults")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1000, help="number of jobs that the nodes share")
    parser.add_argument("--every", type=int, default=5, help="number of jobs that each node has for itself")
    parser.add_argument("--spread", type=int, default=0, help="seconds within which nine of ten jobs start")
    parser.add_argument("--nodes", type=int, default=5)
    parser.add_argument(
        "--clocks", action="store_true", help="give the nodes clocks of their own (libfaketime)"
    )
    parser.add_argument("--destroy", action="store_true", help="at the end, have a node die for ever")
    parser.add_argument("--calm", action="store_true", help="without faults")
    parser.add_argument("--fsync", action="store_true", help="have the servers write to the disk")
    parser.add_argument("--keep", metavar="DIRECTORY", help="copy the files of the nodes to it")
    options = parser.parse_args(arguments)
    if options.clocks:
        faketime.hide_shared_memory()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # leaves nothing behind, like Control-C
    print(f"seed {options.seed}: {options.jobs} jobs, {options.nodes} nodes", flush=True)
    with tempfile.TemporaryDirectory(prefix="cluster.", dir="/tmp") as directory:
        try:
            arena = attack(
                Path(directory),
                nodes=options.nodes,
                named=jobs(options.jobs, options.every),
                spread=options.spread,
                fsync=options.fsync,
                clocks=options.clocks,
            )
            with arena as cluster:
                problems = _run(cluster, options)
                if options.keep:
                    _keep(cluster, Path(options.keep) / str(options.seed))
        finally:
            command_server.end()
    return 1 if problems else 0


def _run(cluster: Attack, options: argparse.Namespace) -> list[str]:
    cluster.start()
    names = [] if options.calm else [node.name for node in cluster.nodes]
    faults = plan(options.seed, options.minutes * 60, names, clocks=options.clocks) if names else {}
    cluster.run(faults, options.minutes * 60, lambda line: print(line + "\n", end="", flush=True))
    if options.destroy:
        cluster.destroy()
    since = time.monotonic()
    cluster.heal()
    print(f"healed in {time.monotonic() - since:.0f} s", flush=True)
    judgement = Judgement(cluster)
    problems = [*judgement.problems()]
    print(*figures.lines(judgement), sep="\n")
    print(f"seed {options.seed}: {len(problems)} problems, {len(cluster.failures)} faults failed")
    print(*problems[:SHOWN], sep="\n", flush=True)
    return problems


def _keep(cluster: Attack, target: Path) -> None:
    """Copy ledgers, tallies, logs and the rows of the database."""
    for node in [*cluster.nodes, cluster.control]:
        (target / node.name).mkdir(parents=True, exist_ok=True)
        for path in [node.tally, *node.crond.state.iterdir()]:
            if path.is_file():
                shutil.copy(path, target / node.name / path.name)
    rows = cluster.servers.execute("SELECT * FROM pycrond.claims ORDER BY wall, job")
    (target / "claims").write_text("\n".join(" | ".join(map(str, row)) for row in rows) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
