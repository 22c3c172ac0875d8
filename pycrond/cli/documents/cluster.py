"""The document of `pycrond cluster status --json`."""

from typing import Annotated, TypedDict

from pycrond.cli.documents.lists import Seconds, Time
from pycrond.cluster.reader_rows import NodeState, Standby, TroubleKind


class NodeDocument(TypedDict):
    """A machine of the cluster."""

    name: str
    machine: Annotated[str, "its host name"]
    state: Annotated[
        NodeState,
        "by the age of the heartbeat on the database's clock; the nodes judge each other by their own clocks",
    ]
    draining: bool
    seen: Annotated[Time, "the last heartbeat"]
    age_s: Annotated[Seconds, "the time since the last heartbeat"]
    offset_ms: Annotated[int | None, "by how much its clock is ahead of the database's"]
    skew_ms: Annotated[int | None, "by how much `offset_ms` differs from the median of the living nodes"]
    claims_last_minute: int
    open_claims: Annotated[int, "fires that are claimed, wait or run"]
    oldest_open: Annotated[Time | None, "the earliest fire time of the open claims"]
    labels: list[str]
    version: Annotated[str, "the version of pycrond"]
    digest: Annotated[str | None, "a hash of its shared jobs"]
    differs: Annotated[bool, "its shared jobs differ from those of most nodes"]


class FiresDocument(TypedDict):
    """Fires of the last day without a run, or whose run was lost."""

    kind: TroubleKind
    fires: int
    jobs: int
    latest: Time


class ClusterDocument(TypedDict):
    """Printed by `pycrond cluster status`."""

    cluster: str
    zone: Annotated[str, "the time zone of shared jobs that name none"]
    schema_version: Annotated[int, "the version of the tables"]
    keep_s: Annotated[Seconds, "the time for which rows are kept"]
    server_version: str
    standby: Standby
    nodes: list[NodeDocument]
    fires: list[FiresDocument]
    remarks: Annotated[list[str], "warnings that stop no job"]
    problems: Annotated[list[str], "problems that need action; the exit status is 1 if there are any"]
