"""What is to be done so that files are in place, or gone again, and nobody else's are touched. Pure.

A file is ours if the record of what was placed has its content's digest; with any other it is somebody's.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

Action = Literal["write", "keep", "leave", "remove"]
Record = Mapping[str, tuple[str, ...]]
"""By path, the digests of what was placed there; two while a newer one is being written over an older one."""
Found = Mapping[str, str]
"""By path, the digest of what is there; without those that are not."""


@dataclass(frozen=True, slots=True)
class Step:
    """What is done with one path, or why nothing is."""

    action: Action
    path: str
    why: str = ""


def to_place(wanted: Mapping[str, str], found: Found, recorded: Record) -> list[Step]:
    """`wanted` has the digest of what is to be at each path. What an older version had placed, and
    this one has not, goes.
    """
    steps = [_place(path, digest, found.get(path), recorded.get(path, ())) for path, digest in wanted.items()]
    gone = [path for path in recorded if path not in wanted]
    return steps + to_remove(found, {path: recorded[path] for path in gone})


def _place(path: str, digest: str, there: str | None, ours: tuple[str, ...]) -> Step:
    if there is None:
        return Step("write", path)
    if there == digest:
        return Step("keep", path, "is as it should be")
    if there in ours:
        return Step("write", path, "in place of an older one")
    why = "was changed since it was placed" if ours else "is there already, and not from here"
    return Step("leave", path, f"{why}: left as it is")


def to_remove(found: Found, recorded: Record) -> list[Step]:
    """All that was placed; what is gone by itself needs nothing."""
    return [_remove(path, found[path], ours) for path, ours in recorded.items() if path in found]


def _remove(path: str, there: str, ours: tuple[str, ...]) -> Step:
    if there in ours:
        return Step("remove", path)
    return Step("leave", path, "was changed since it was placed: left as it is")


def meanwhile(
    steps: Iterable[Step], wanted: Mapping[str, str], recorded: Record
) -> dict[str, tuple[str, ...]]:
    """The record for the time in which the steps are done: whatever was done of them, each file is ours."""
    new = {step.path: wanted[step.path] for step in steps if step.action == "write"}
    kept = {path: digests for path, digests in recorded.items() if path not in new}
    return kept | {path: (*recorded.get(path, ())[-1:], digest) for path, digest in new.items()}


def afterwards(steps: Iterable[Step], during: Record) -> dict[str, tuple[str, ...]]:
    """The record for when they are done."""
    gone = {step.path for step in steps if step.action == "remove"}
    return {path: digests[-1:] for path, digests in during.items() if path not in gone}
