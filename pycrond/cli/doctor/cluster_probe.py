"""The facts about the cluster that this machine's settings name."""

import contextlib
from dataclasses import dataclass
from importlib.util import find_spec

from pycrond.cluster.probe import Probe, probe
from pycrond.cluster.reader_connection import known_version
from pycrond.errors import PycrondError
from pycrond.ledger.copies import ledger_uuid
from pycrond.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterFacts:
    """The facts about the cluster, as this machine sees it."""

    node: str
    """The name of this machine in the cluster."""
    ledger: str | None = None
    """The UUID of this machine's ledger; None if the ledger has none yet or cannot be read."""
    zone: str
    has_psycopg: bool = True
    error: str = ""
    """The reason why the database does not answer."""
    probe: Probe | None = None
    known_version: int = 0
    """The version of the tables that this pycrond knows."""


def cluster_facts(settings: Settings, zone: str) -> ClusterFacts:
    """Return the facts; `zone` is this machine's time zone."""
    node = settings.node_name
    if find_spec("psycopg") is None:
        return ClusterFacts(node=node, zone=zone, has_psycopg=False)
    try:
        answer, version = probe(settings.cluster), known_version()
    except PycrondError as error:
        return ClusterFacts(node=node, zone=zone, error=str(error))
    ledger = None
    with contextlib.suppress(PycrondError):
        ledger = ledger_uuid(settings.ledger_path)
    return ClusterFacts(node=node, zone=zone, ledger=ledger, probe=answer, known_version=version)
