"""The identity of the cluster as commands know it, from which shared jobs draw."""

import os

from pycrond.host import users
from pycrond.jobs.shared_identity import SharedIdentity
from pycrond.ledger.cluster import read_identity
from pycrond.settings import Settings
from pycrond.sources.load_result import LoadResult
from pycrond.sources.loader import Loader


def cluster_identity(settings: Settings) -> SharedIdentity | None:
    """Return the identity of the cluster, with empty names where it is not known; None without a cluster."""
    return read_identity(settings.ledger_path) if settings.cluster else None


def cluster_name(settings: Settings) -> str:
    """Return the name of the cluster; empty if it is not known, or there is none."""
    identity = cluster_identity(settings)
    return identity.name if identity else ""


def load_crontabs(settings: Settings) -> LoadResult:
    """Read the crontabs as a daemon of this user would, without saving last good versions."""
    loader = Loader(settings, users.by_uid(os.geteuid()), read_only=True)
    loader.identity = cluster_identity(settings)
    return loader.load()
