"""The words by which people name jobs: names, keys and their beginnings, file:line, patterns."""

from collections.abc import Iterable, Sequence

from pycrond.errors import PycrondError
from pycrond.jobs.display_name import DIGITS, HASH, is_named


def matching_keys(
    word: str, jobs: Iterable[tuple[str, str | None, str, str]], *, whole: bool = False
) -> list[str]:
    """Return the keys of the jobs that have a word as key, with or without the user, or as file:line, else as
    name for people, else as the beginning of a key: the first of these that any job has.

    `jobs`: key, name, file:line and command; file:line is empty for a job that is gone, because another
    may be there now. A beginning reaches beyond the user; with `whole` none counts. Raises PycrondError
    for an empty word.
    """
    if not word:
        raise PycrondError("the name of a job is empty (see 'pycrond list' for the jobs)")
    exact, named, partial = [], [], []
    shown = word.rpartition("/") if "~" in word else None
    for key, name, place, command in jobs:
        short = key.partition("/")[2]
        if word in {key, short} or (place and word in {place, place.rpartition("/")[2]}):
            exact.append(key)
        elif word == name or (shown and key.startswith(shown[0]) and is_named(shown[2], key, name, command)):
            named.append(key)
        elif _is_beginning(word, key, short):
            partial.append(key)
    return exact or named or ([] if whole else partial)


def _is_beginning(word: str, key: str, short: str) -> bool:
    """Return whether a word begins a key beyond the user; of a hash, with at least `DIGITS` digits."""
    user = len(key) - len(short)
    typed = word[user:] if key.startswith(word) and len(word) > user else word
    return short.startswith(typed) and len(typed) >= (DIGITS if HASH.fullmatch(short) else 1)


def require_one(word: str, keys: Sequence[str], labels: Sequence[str]) -> str:
    """Return the key of the only job that a word may mean; raises PycrondError for none, or more than one."""
    if not keys:
        raise PycrondError(f"no job is called '{word}' (see 'pycrond list')")
    if len(keys) > 1:
        raise PycrondError(f"'{word}' may mean {len(keys)} jobs: {', '.join(labels[:10])}")
    return keys[0]
