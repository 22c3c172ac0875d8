"""logs --cluster: the output of runs that their nodes have copied to the database."""

import argparse
from collections.abc import Iterable, Iterator, Sequence

from pycrond.cli import selectors
from pycrond.cli.cluster.access import cluster_reader
from pycrond.cli.cluster.claim_rows import as_run
from pycrond.cli.cluster.job_words import find_jobs, find_run
from pycrond.cli.printing import print_error, print_output
from pycrond.cli.render import formatting, terminal
from pycrond.cluster.reader import ClusterReader
from pycrond.cluster.reader_rows import ClaimRow
from pycrond.errors import PycrondError
from pycrond.settings import Settings

MAX_RUNS = 1000  # newest runs whose output is read, with --since


def run(settings: Settings, options: argparse.Namespace, most: int | None) -> int:
    """Print the last lines of named runs and of the newest run of each named job; --since: of all its runs.
    For output that is not in the database, print where it is. Return 1 if the database has no output of any
    of the runs.
    """
    if not options.selected:
        raise PycrondError("--cluster needs a job or a run: pycrond logs --cluster JOB")
    if options.follow or options.stream:
        raise PycrondError("--cluster excludes --follow and --stream: use them on the run's node")
    since, until = selectors.period(options)
    with cluster_reader(settings) as cluster:
        claims = [*_selected(settings, cluster, options.selected, since, until)]
        outputs = cluster.outputs([claim.run for claim in claims])
    claims.sort(key=lambda claim: claim.started or claim.fire)
    lines = [*_lines(claims, outputs)]
    paint = terminal.painter()
    for head, line in lines[-most:] if most else lines:
        print_output(line, head, paint)
    absent = [claim for claim in claims if claim.run not in outputs]
    for claim in absent:
        print_error(f"pycrond: {absence(claim)}")
    return 1 if len(absent) == len(claims) else 0


def _selected(
    settings: Settings, cluster: ClusterReader, words: Sequence[str], since: float | None, until: float | None
) -> Iterator[ClaimRow]:
    for word in words:
        claim = find_run(cluster, word)
        if claim is not None:
            yield claim
            continue
        keys = find_jobs(settings, cluster, word)
        started = [
            row
            for row in cluster.claims(MAX_RUNS, jobs=keys, since=since, until=until)
            if row.started is not None
        ]
        if not started:
            raise PycrondError(f"no run of '{word}' has started in the cluster in that time")
        newest = {row.job: row for row in reversed(started)}  # the newest come first
        yield from newest.values() if since is None else started


def _lines(claims: Iterable[ClaimRow], outputs: dict[str, bytes]) -> Iterator[tuple[str, str]]:
    """Yield the lines of output, each with its head: the start of its run, the job and the node."""
    now = terminal.here()
    for claim in claims:
        text = outputs.get(claim.run, b"").decode("utf-8", "surrogateescape")
        run = as_run(claim)._replace(name=f"{claim.name}@{claim.node}", key=f"{claim.job}@{claim.node}")
        head = formatting.log_head(run, claim.started or claim.fire, now).rstrip(" ")
        for line in text.removesuffix("\n").split("\n") if text else ():
            yield head, line.removesuffix("\r")


def absence(claim: ClaimRow) -> str:
    """Return the reason why the database has no output of a run, and how to see the output."""
    if claim.started is None:
        return f"{claim.job} did not start on {claim.node}: {formatting.joined(claim.state, claim.reason)}"
    words = str(claim.number) if claim.number else claim.job
    why = "it printed nothing, or its node did not copy it (the setting cluster-output)"
    if claim.ended is None:
        why = "it has not ended"
    return (
        f"the database has no output of {claim.label or claim.job}: {why};"
        f" on {claim.node}, 'pycrond logs {words}' shows what there is"
    )
