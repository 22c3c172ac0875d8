"""Reading of crontabs as this user's daemon would read them: those of its settings, or a named one."""

import os
import sys

from pycrond.crontab.parser import Crontab, parse
from pycrond.host import machine, users
from pycrond.jobs.shared_identity import SharedIdentity
from pycrond.ledger.cluster import read_identity
from pycrond.settings import Settings
from pycrond.sources import file_rules, files, system
from pycrond.sources.file_rules import PermissionCheck
from pycrond.sources.load_result import LoadResult
from pycrond.sources.loader import Loader

STDIN = "-"


def cluster_identity(settings: Settings) -> SharedIdentity | None:
    """Return the cluster's identity, from which shared jobs draw random values; None without a cluster. Its
    names are empty if they are not known yet.
    """
    return read_identity(settings.ledger_path) if settings.cluster else None


def cluster_name(settings: Settings) -> str:
    """Return the name of the cluster; empty without a cluster, or if the name is not known yet."""
    identity = cluster_identity(settings)
    return identity.name if identity else ""


def load_crontabs(settings: Settings) -> LoadResult:
    """Read the crontabs of the settings, without saving last good versions."""
    loader = Loader(settings, users.by_uid(os.geteuid()), read_only=True)
    loader.identity = cluster_identity(settings)
    return loader.load()


def read_named_crontab(file: str, check: PermissionCheck = file_rules.NO_CHECK) -> bytes:
    """Return the bytes of a file or, for `-`, of standard input; raise UnreadableError if refused."""
    return sys.stdin.buffer.read() if file == STDIN else files.read_crontab(file, check)


def parse_crontab(data: bytes, file: str, settings: Settings) -> Crontab:
    """Parse a crontab of this user; if the file's path is that of a system crontab, it has a user column."""
    return parse(
        data,
        file,
        system=system.has_user_column(file),
        dialect=system.dialect_of(settings),
        user=users.by_uid(os.geteuid()).name,
        seed=machine.machine_id(),
        cluster=cluster_identity(settings),
    )
