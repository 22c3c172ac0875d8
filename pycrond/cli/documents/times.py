"""The documents of commands that show fire times: next, explain, why, timeline and diff."""

from typing import Annotated, Literal, NotRequired, TypedDict

from pycrond.cli.documents.lists import DisplayName, Key, ProblemDocument, RunDocument, Time


class ComingDocument(TypedDict):
    """A schedule and its coming fire times."""

    key: Key | None
    name: str | None
    display_name: DisplayName | None
    file: str | None
    line: int | None
    schedule: str
    fires: list[Time]


NextDocument = TypedDict(
    "NextDocument", {"from": Time, "until": Time | None, "zone": str, "jobs": list[ComingDocument]}
)
"""Printed by `pycrond next`."""


class ExplainDocument(TypedDict):
    """Printed by `pycrond explain`."""

    expression: str
    zone: str
    words: str
    notes: list[str]
    fires: list[Time]


class FieldDocument(TypedDict):
    """A field of a schedule, compared with a time."""

    field: str
    value: str
    wanted: str
    matches: bool


class WhyDocument(TypedDict):
    """Printed by `pycrond why`."""

    key: Key
    time: Time
    zone: str
    schedule: str
    fields: list[FieldDocument]
    runs: list[RunDocument]
    due: bool


class BarDocument(TypedDict):
    """The time of a run, of a fire that did not start, or of `count` of them."""

    start: Time | None
    end: Annotated[Time | None, "null while it runs"]
    state: Annotated[str, "as in history; `coming`: a fire to come"]
    run: int | None
    count: int


class LaneDocument(TypedDict):
    """A job and what became of it on the day."""

    key: Key
    name: str | None
    display_name: DisplayName
    bars: list[BarDocument]
    node: NotRequired[Annotated[str, "with --cluster: the machine that ran these; missing if none did"]]


class StartsDocument(TypedDict):
    """The number of jobs that start in a minute."""

    minute: Time
    count: int


class SuggestionDocument(TypedDict):
    """A jitter that would spread a stampede."""

    jitter: Annotated[int, "seconds"]
    jobs: Annotated[list[Key], "that should have it"]
    average: Annotated[float, "the number of starts in the largest minute then"]
    most: Annotated[int, "the same on 99 of 100 days"]


class StampedeDocument(TypedDict):
    """A minute in which many jobs start."""

    at: Time
    count: int
    jobs: list[Key]
    again: Annotated[int, "other minutes in which most of them start together"]
    suggestion: SuggestionDocument | None


TimelineDocument = TypedDict(
    "TimelineDocument",
    {
        "day": str | None,
        "from": Time,
        "until": Time,
        "zone": str,
        "lanes": list[LaneDocument],
        "starts": list[StartsDocument],
        "stampedes": list[StampedeDocument],
    },
)
"""Printed by `pycrond timeline`."""


class ChangeDocument(TypedDict):
    """A job that a reload would add, remove or change."""

    kind: Literal["added", "removed", "changed"]
    key: Key
    name: str | None
    display_name: DisplayName
    file: str
    line: int
    schedule: str
    before: Annotated[str | None, "the schedule before"]
    what: Annotated[list[str], "what differs: schedule, zone, command, options, user"]
    won: list[Time]
    lost: list[Time]


class DiffDocument(TypedDict):
    """Printed by `pycrond diff`."""

    changes: list[ChangeDocument]
    kept: Annotated[list[str], "crontabs of which an older version would stay in force"]
    problems: list[ProblemDocument]
