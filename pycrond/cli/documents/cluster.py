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
    age_s: Annotated[Seconds, "since then"]
    offset_ms: Annotated[int | None, "by how much its clock is ahead of the database's"]
    skew_ms: Annotated[int | None, "by how much that differs from the median of the nodes that are alive"]
    claims_last_minute: int
    open_claims: Annotated[int, "fires that are claimed, wait or run"]
    oldest_open: Annotated[Time | None, "the earliest fire time of these"]
    labels: list[str]
    version: Annotated[str, "of pycrond"]
    digest: Annotated[str | None, "of its shared jobs"]
    differs: Annotated[bool, "its shared jobs are not those of most nodes"]


class FiresDocument(TypedDict):
    """Fires of the last day that no run came of, or whose run was lost."""

    kind: TroubleKind
    fires: int
    jobs: int
    latest: Time


class ClusterDocument(TypedDict):
    """Printed by `pycrond cluster status`."""

    cluster: str
    zone: Annotated[str, "of shared jobs that name none"]
    schema_version: Annotated[int, "of the tables"]
    keep_s: Annotated[Seconds, "for which rows are kept"]
    server_version: str
    standby: Standby
    nodes: list[NodeDocument]
    fires: list[FiresDocument]
    remarks: Annotated[list[str], "worth a look"]
    problems: Annotated[list[str], "in need of a person: the exit status is 1 if there are any"]
