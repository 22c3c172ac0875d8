"""The words by which people select jobs and runs of the cluster."""

import re
from collections.abc import Sequence

from pycrond.cli import selectors
from pycrond.cli.data.access import records
from pycrond.cluster.reader import ClusterReader
from pycrond.cluster.reader_rows import ClaimRow
from pycrond.errors import PycrondError
from pycrond.settings import Settings

SEARCHED = 30 * 86_400.0  # seconds in which jobs are searched that this machine does not know
_LABELLED = re.compile(r"([0-9]{1,9})@(.+)")
_UUID = re.compile(r"[0-9a-f]{8}(?:-?[0-9a-f]{1,4}){0,3}(?:-?[0-9a-f]{1,12})?", re.IGNORECASE)


def find_jobs(settings: Settings, cluster: ClusterReader, word: str | None) -> list[str] | None:
    """Return the keys that a word means: of jobs of this machine or, where it has none, of the cluster's."""
    if word is None:
        return None
    try:
        return selectors.find_jobs(records(settings), word)
    except PycrondError as error:
        matching = [key for key in cluster.jobs_since(cluster.now() - SEARCHED) if _is_called(key, word)]
        if not matching:
            raise PycrondError(f"no job is called '{word}', here or in the cluster") from error
        return matching


def _is_called(key: str, word: str) -> bool:
    from fnmatch import fnmatchcase

    names = (key, key.partition("/")[2])
    return any(fnmatchcase(name, word) if selectors.is_pattern(word) else name == word for name in names)


def find_run(cluster: ClusterReader, word: str) -> ClaimRow | None:
    """Return the run that a word names, as `12@web1`, by its UUID or its number; None where it names none.

    Raises PycrondError where it can only be a run and there is none, or more than one.
    """
    labelled = _LABELLED.fullmatch(word)
    if labelled:
        return _one(word, cluster.claims(2, number=int(labelled[1]), node=labelled[2]))
    rows = list[ClaimRow]()
    if word.isdecimal() and len(word) <= 9:
        rows = cluster.claims(10, number=int(word))
    if not rows and _UUID.fullmatch(word):
        rows = cluster.claims(2, run=f"{word.lower()}%")
    return _one(word, rows) if rows else None  # a job may be called like that


def _one(word: str, rows: Sequence[ClaimRow]) -> ClaimRow:
    if not rows:
        raise PycrondError(f"the cluster has no run {word} (see 'pycrond history --cluster')")
    if len(rows) > 1:
        raise PycrondError(
            f"several runs are called {word}: {', '.join(row.label or row.run for row in rows)}"
        )
    return rows[0]
