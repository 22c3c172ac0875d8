"""The documents of commands that judge: check, audit, doctor and config."""

from typing import Annotated, Any, Literal, NotRequired, TypedDict

from pycrond.cli.documents.lists import FileChangeDocument, FileProblemDocument, Key, Time


class EntryDocument(TypedDict):
    """A parsed entry."""

    line: int
    schedule: str
    zone: str | None
    user: str | None
    command: str
    stdin: str | None
    environment: dict[str, str]
    options: Annotated[dict[str, Any], "those that differ from the defaults"]


class CheckedFileDocument(TypedDict):
    """A crontab that was checked."""

    file: str
    entries: Annotated[int, "valid entries"]
    problems: list[FileProblemDocument]
    parsed: NotRequired[Annotated[list[EntryDocument], "with --verbose"]]


class CheckDocument(TypedDict):
    """Printed by `pycrond check`."""

    files: list[CheckedFileDocument]
    not_loaded: NotRequired[list[FileChangeDocument]]


class AuditFindingDocument(TypedDict):
    """A fire time without its verdict, or a verdict that does not fit a fire time."""

    key: Key
    display_name: str | None
    fire: Time
    what: str


class UnprovenDocument(TypedDict):
    """A node of the cluster that has not reported."""

    node: str
    since: Time


AuditDocument = TypedDict(
    "AuditDocument",
    {
        "from": Time | None,
        "until": Time,
        "jobs": int,
        "fires": int,
        "findings": list[AuditFindingDocument],
        "unproven": NotRequired[Annotated[list[UnprovenDocument], "with --cluster"]],
    },
)
"""Printed by `pycrond audit`."""


class FindingDocument(TypedDict):
    """A finding; `do` is its remedy or empty."""

    level: Literal["ok", "warning", "problem"]
    about: str
    text: str
    do: str


class DoctorDocument(TypedDict):
    """Printed by `pycrond doctor`."""

    findings: list[FindingDocument]


SettingDocument = TypedDict("SettingDocument", {"setting": str, "value": Any, "from": str})
"""A setting, its value and the value's origin."""


class ConfigDocument(TypedDict):
    """Printed by `pycrond config`."""

    config_file: str
    settings: list[SettingDocument]
