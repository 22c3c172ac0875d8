"""Plans for placing and removing files, and for the record of the placed files. Pure.

A file is ours if the record has the digest of its content; any other file is never touched.
"""

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

Action = Literal["write", "keep", "leave", "remove"]
Record = Mapping[str, tuple[str, ...]]
"""The digests of the placed content, by path; two while a newer version is written over an older one."""
Digests = Mapping[str, str]
"""The digest of a file's content, by path."""


class SetupStep(NamedTuple):
    """An action on one path."""

    action: Action
    path: str
    reason: str = ""


def plan_placement(files: Digests, existing: Digests, recorded: Record) -> list[SetupStep]:
    """Return the steps that place `files` and remove all other placed files that still exist."""
    steps = [
        _placement(path, digest, existing.get(path), recorded.get(path, ())) for path, digest in files.items()
    ]
    obsolete = [path for path in recorded if path in existing and path not in files]
    return steps + [_removal(path, existing[path], recorded[path]) for path in obsolete]


def _placement(path: str, digest: str, existing: str | None, ours: tuple[str, ...]) -> SetupStep:
    if existing is None:
        return SetupStep("write", path)
    if existing == digest:
        return SetupStep("keep", path, "is up to date")
    if existing in ours:
        return SetupStep("write", path, "in place of an older one")
    reason = "was changed since it was placed" if ours else "exists already, and not from here"
    return SetupStep("leave", path, f"{reason}: left as it is")


def _removal(path: str, existing: str, ours: tuple[str, ...]) -> SetupStep:
    if existing in ours:
        return SetupStep("remove", path)
    return SetupStep("leave", path, "was changed since it was placed: left as it is")


def record_during(steps: Iterable[SetupStep], files: Digests, recorded: Record) -> dict[str, tuple[str, ...]]:
    """Return the record during the steps: it has each placed file even after a crash at any step."""
    new = {step.path: files[step.path] for step in steps if step.action == "write"}
    kept = {path: digests for path, digests in recorded.items() if path not in new}
    return kept | {path: (*recorded.get(path, ())[-1:], digest) for path, digest in new.items()}


def record_after(steps: Iterable[SetupStep], during: Record) -> dict[str, tuple[str, ...]]:
    """Return the record after the steps."""
    removed = {step.path for step in steps if step.action == "remove"}
    return {path: digests[-1:] for path, digests in during.items() if path not in removed}
