"""The words by which people name jobs: names, keys and their beginnings, file:line, patterns."""

from collections.abc import Iterable, Sequence

from pycrond.errors import PycrondError
from pycrond.jobs.display_name import is_named


def matching_keys(word: str, jobs: Iterable[tuple[str, str | None, str, str]]) -> list[str]:
    """Return the keys of the jobs that have a word as name for people, with or without the user, as file:line
    or key, else as the beginning of a key.

    `jobs`: key, name, file:line and command; file:line is empty for a job that is gone, as another may stand
    there now.
    """
    exact, partial = [], []
    shown = word.rpartition("/") if "~" in word else None
    for key, name, place, command in jobs:
        if (
            word in {key, name}
            or (place and word in {place, place.rpartition("/")[2]})
            or (shown and key.startswith(shown[0]) and is_named(shown[2], key, name, command))
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
