"""Access to the cluster's database with the settings of a command."""

from contextlib import AbstractContextManager

from pycrond.cluster.reader import ClusterReader, open_reader
from pycrond.errors import PycrondError
from pycrond.settings import Settings

NO_CLUSTER = (
    "there is no cluster: set 'cluster' in pycrond.toml or PYCROND_CLUSTER; a running daemon uses it after"
    " 'pycrond restart'"
)


def conninfo_of(settings: Settings) -> str:
    """Return the connection string of the cluster's database; raise PycrondError without a cluster."""
    if not settings.cluster:
        raise PycrondError(NO_CLUSTER)
    return settings.cluster


def cluster_reader(settings: Settings, seconds: float | None = None) -> AbstractContextManager[ClusterReader]:
    """Open the database for reading, for at most `seconds`; raise PycrondError if that fails."""
    return open_reader(conninfo_of(settings), seconds)
