"""The messages between the daemon and its agent, which speaks to the database. Pure.

They travel over a SOCK_SEQPACKET socket, one message a packet, as JSON: the name of the class, then its
fields. A message has at most MAX_FIRES fires. The daemon sends requests, each with a number; the agent keeps
a request until the database has answered it, over any number of connections, and sends one `Answer` with its
number. All requests may be carried out more than once: rows are identified by the run's UUID. Times are Unix
seconds of the daemon's clock.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeVar

T = TypeVar("T")
MAX_FIRES = 100
MAX_MESSAGE = 160 << 10  # bytes of a packet; the kernel's default for a socket's buffer is 208 KiB


class Claim(NamedTuple):
    """A fire that a node asks for; its row in the database names the node that has it."""

    job: str
    wall: int
    fold: int
    run: str
    """The UUID of its run in this node's ledger."""
    fire: float
    within: float
    """Seconds after the fire time in which the database may give it to a node."""
    rerun: bool = False
    """Another node may take it over if this node dies."""
    locks: tuple[str, ...] = ()
    """Names that all must be free, or held by this run; else the fire is skipped: reason `overlap` for a name
    that begins with `overlap:`, else `lock`."""
    waits: bool = False
    """If a lock is held, the row stays open, to be asked for again (`overlap=queue`)."""


class Report(NamedTuple):
    """The state of a fire's row. A `Tell` replaces the state of an existing row; a `Close` inserts a row if
    there is none.
    """

    job: str
    wall: int
    fold: int
    run: str
    fire: float
    state: str
    """`claimed`, `running`, or a final state."""
    reason: str = ""
    started: float | None = None
    ended: float | None = None
    status: int | None = None
    """The exit status, or 128 plus the number of a signal."""
    number: int = 0
    """The run's number on its node."""
    copied_output: int = 0
    """The number of last bytes of its output that the agent copies to the database."""


class Row(NamedTuple):
    """A row of the database, as an answer."""

    job: str
    wall: int
    fold: int
    run: str
    node: str
    state: str
    """The reported state; `waiting` while another run holds a lock of a claim with `waits`."""
    reason: str
    is_over: bool
    """The state is final."""
    fire: float = 0.0
    ended: float | None = None
    """Only in the answer to a `LastSuccess`."""
    rows_since: int = 0
    """Only in the answer to a `LastFires`."""


class NodeRow(NamedTuple):
    """The row of a node in the database."""

    name: str
    ledger: str
    token: str
    """Changes with each heartbeat."""
    is_draining: bool
    labels: tuple[str, ...]
    version: str
    offset_ms: int | None
    """Milliseconds by which the node's clock is ahead of the database's."""
    digest: str
    """The digest of its jobs that the cluster shares."""


# Requests


class Ask(NamedTuple):
    """Claim fires. Answered with a row for each fire, except for fires that the database refuses because they
    are too old or too new.
    """

    number: int
    skew: float
    """Seconds by which the database's clock is behind the median of the nodes' clocks."""
    claims: tuple[Claim, ...]


class Confirm(NamedTuple):
    """Write that runs start now. Answered with the rows that still belong to them, state `running`."""

    number: int
    runs: tuple[Report, ...]


class TakeOver(NamedTuple):
    """Take over open fires (`rerun`) of a dead node. Answered with a row for each fire that belongs to the
    new run.
    """

    number: int
    ledger: str
    """The dead node's ledger."""
    token: str
    """The token of the dead node's last heartbeat: with another token it is alive."""
    fires: tuple[tuple[Claim, str], ...]
    """The claims, each with the UUID of the dead node's run."""


class Bury(NamedTuple):
    """Close a dead node's open fires as `lost`, except those that may be taken over; release its locks."""

    number: int
    ledger: str
    token: str
    all_of_them: bool = False
    """Close also fires that may be taken over, because no node has done so."""


class Abandoned(NamedTuple):
    """Ask for the open rows of a node that may be taken over (`rerun`), or only those that hold no locks."""

    number: int
    ledger: str
    with_locks: bool


class Beat(NamedTuple):
    """Send a heartbeat. Answered with `Nodes`."""

    number: int
    digest: str


class Close(NamedTuple):
    """Insert final rows for fires without a row. Answered with the row of each fire."""

    number: int
    rows: tuple[Report, ...]


class Tell(NamedTuple):
    """Write the states of runs. Answered with the rows that now have these states. A missing row is inserted.
    A row of another run is returned unchanged: the fire ran twice.
    """

    number: int
    rows: tuple[Report, ...]


class Open(NamedTuple):
    """Ask for the open rows under this node's ledger."""

    number: int


class LastFires(NamedTuple):
    """Ask for the newest row of each of these jobs before a time, and the number of its rows since a time."""

    number: int
    jobs: tuple[str, ...]
    since: float
    before: float


class LastSuccess(NamedTuple):
    """Ask for the newest success of each of these jobs on any node, if it ended after a time."""

    number: int
    jobs: tuple[tuple[str, float], ...]


class Ping(NamedTuple):
    """Ask the agent, not the database, for a sign of life. Answered at once with its `Status`."""


Request = Ask | Confirm | TakeOver | Abandoned | Bury | Beat | Close | Tell | Open | LastFires | LastSuccess


# From the agent


class Answer(NamedTuple):
    """The answer to a request: only after a COMMIT that the database has confirmed."""

    number: int
    rows: tuple[Row, ...]
    more: bool = False
    """Another answer with this number follows: each has at most MAX_FIRES rows."""


class Nodes(NamedTuple):
    """The answer to a heartbeat."""

    number: int
    connection: int
    """The number of this agent's connection; observations restart with each connection."""
    offset_ms: int
    """Milliseconds by which this machine's clock is ahead of the database's."""
    nodes: tuple[NodeRow, ...]


class Registered(NamedTuple):
    """The agent has connected, and holds the node's name."""

    connection: int
    cluster: str
    zone: str
    """The time zone of shared jobs without a zone."""
    timeline: str = ""
    """The server and its timeline, for the next agent (`--timeline`), which refuses a lower timeline."""


class Status(NamedTuple):
    """The agent's new state. Requests in progress and new attempts to connect are not reported."""

    state: str
    """`connecting`, `registering`, `idle`, `stalled`, `down` or `fenced`."""
    detail: str = ""
    """For users: the error, or the machine that has the node's name."""


def batches(values: Sequence[T]) -> Iterator[tuple[T, ...]]:
    """Yield the values in batches of at most MAX_FIRES."""
    return (tuple(values[first : first + MAX_FIRES]) for first in range(0, len(values), MAX_FIRES))


Message = Request | Ping | Answer | Nodes | Registered | Status
