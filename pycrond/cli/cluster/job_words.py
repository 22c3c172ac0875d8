"""The selection of jobs and runs of the cluster by words of the command line."""

import re
from collections.abc import Sequence

from pycrond.cli import selectors
from pycrond.cli.data.access import records
from pycrond.cluster.reader import ClusterReader
from pycrond.cluster.reader_rows import ClaimRow
from pycrond.errors import PycrondError
from pycrond.settings import Settings

SEARCH_PERIOD = 30 * 86_400.0  # seconds before now in which jobs of other machines are searched
_LABELLED = re.compile(r"([0-9]{1,9})@(.+)")
_UUID = re.compile(r"[0-9a-f]{8}(?:-?[0-9a-f]{1,4}){0,3}(?:-?[0-9a-f]{1,12})?", re.IGNORECASE)


def find_jobs(settings: Settings, cluster: ClusterReader, word: str | None) -> list[str] | None:
    """Return the keys of this machine's jobs that a word selects or, without any, of the cluster's jobs."""
    if word is None:
        return None
    try:
        return selectors.find_jobs(records(settings), word)
    except PycrondError as error:
        matching = [key for key in cluster.jobs_since(cluster.now() - SEARCH_PERIOD) if _is_called(key, word)]
        if not matching:
            raise PycrondError(f"no job is called '{word}', here or in the cluster") from error
        return matching


def _is_called(key: str, word: str) -> bool:
    from fnmatch import fnmatchcase

    names = (key, key.partition("/")[2])
    return any(fnmatchcase(name, word) if selectors.is_pattern(word) else name == word for name in names)


def find_run(cluster: ClusterReader, word: str) -> ClaimRow | None:
    """Return the run that a word names: a label such as `12@web1`, a UUID or a number; None without one.

    Raise PycrondError if there is no run with a label, or if the word names several runs.
    """
    labelled = _LABELLED.fullmatch(word)
    if labelled:
        return _require_run(word, cluster.claims(2, number=int(labelled[1]), node=labelled[2]))
    rows = list[ClaimRow]()
    if word.isdecimal() and len(word) <= 9:
        rows = cluster.claims(10, number=int(word))
    if not rows and _UUID.fullmatch(word):
        rows = cluster.claims(2, run=f"{word.lower()}%")
    return _require_run(word, rows) if rows else None  # a job may be called like that


def _require_run(word: str, rows: Sequence[ClaimRow]) -> ClaimRow:
    if not rows:
        raise PycrondError(f"the cluster has no run {word} (see 'pycrond history --cluster')")
    if len(rows) > 1:
        raise PycrondError(
            f"several runs are called {word}: {', '.join(row.label or row.run for row in rows)}"
        )
    return rows[0]
