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
    """A job with its runs and fires of the day."""

    key: Key
    name: str | None
    display_name: DisplayName
    bars: list[BarDocument]
    node: NotRequired[Annotated[str, "with --cluster: the node that ran these; missing if no node did"]]


class StartsDocument(TypedDict):
    """The number of jobs that start in a minute."""

    minute: Time
    count: int


class SuggestionDocument(TypedDict):
    """A jitter that would spread a stampede."""

    jitter: Annotated[int, "seconds"]
    jobs: Annotated[list[Key], "the jobs that should get the jitter"]
    average: Annotated[float, "the average number of starts in the largest minute with this jitter"]
    most: Annotated[int, "the number of starts that is not exceeded on 99 of 100 days"]


class StampedeDocument(TypedDict):
    """A minute in which many jobs start."""

    at: Time
    count: int
    jobs: list[Key]
    again: Annotated[int, "other minutes in which most of these jobs start together"]
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
    what: Annotated[list[str], "the differing parts: schedule, zone, command, options, user"]
    won: list[Time]
    lost: list[Time]


class DiffDocument(TypedDict):
    """Printed by `pycrond diff`."""

    changes: list[ChangeDocument]
    kept: Annotated[list[str], "crontabs whose last good version would stay in force"]
    problems: list[ProblemDocument]
