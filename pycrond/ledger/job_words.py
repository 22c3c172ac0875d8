"""The words by which people name jobs: names, keys and their beginnings, file:line, patterns."""

from collections.abc import Iterable, Sequence

from pycrond.errors import PycrondError
from pycrond.jobs.display_name import is_named


def matching_keys(word: str, jobs: Iterable[tuple[str, str | None, str, str]]) -> list[str]:
    """Return the keys of the jobs that have `word` as their key, name, display name or file:line; if there is
    none, of the jobs whose keys begin with it.

    `jobs`: key, name, file:line and command; file:line is empty for a job that is gone, because another job
    may be there now.
    """
    exact, partial = [], []
    displayed = word.rpartition("/") if "~" in word else None
    for key, name, place, command in jobs:
        if (
            word in {key, name}
            or (place and word in {place, place.rpartition("/")[2]})
            or (displayed and key.startswith(displayed[0]) and is_named(displayed[2], key, name, command))
        ):
            exact.append(key)
        elif key.startswith(word) or key.partition("/")[2].startswith(word):
            partial.append(key)
    return exact or partial


def require_one(word: str, keys: Sequence[str], labels: Sequence[str]) -> str:
    """Return the key of the only job that a word may mean; raises PycrondError for none, or more than one."""
    if not keys:
        raise PycrondError(f"no job is called '{word}' (see 'pycrond list')")
    if len(keys) > 1:
        raise PycrondError(f"'{word}' may mean {len(keys)} jobs: {', '.join(labels[:10])}")
    return keys[0]
