"""The messages between the daemon and its agent, which speaks to the database. Pure.

They travel over a SOCK_SEQPACKET socket, one message a packet, as JSON: the name of the class, then its
fields. A message has at most MAX_FIRES fires. The daemon sends requests, each with a number; the agent keeps
a request until the database has answered it, over any number of connections, and sends one `Answer` with its
number. All requests may be carried out more than once: rows are told apart by the run's UUID. Times are Unix
seconds by the daemon's clock.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeVar

T = TypeVar("T")
MAX_FIRES = 100
MAX_MESSAGE = 160 << 10  # bytes of a packet; the kernel's default for a socket's buffer is 208 KiB


class Claim(NamedTuple):
    """A fire that is asked for: its row says whose it is."""

    job: str
    wall: int
    fold: int
    run: str
    """The UUID under which this node's ledger has it."""
    fire: float
    within: float
    """Seconds after the fire in which the database may give it away."""
    rerun: bool = False
    """Another node may take it over, if this one dies."""
    locks: tuple[str, ...] = ()
    """Names of which each must be free or held by this run, or the fire is skipped: reason `overlap` if the
    name begins with `overlap:`, else `lock`."""
    waits: bool = False
    """The row is left open where a lock is held, to be asked for again (`overlap=queue`)."""


class Report(NamedTuple):
    """The state of a fire's row. In a `Tell` it replaces what the row has; in a `Close` it is inserted or
    nothing.
    """

    job: str
    wall: int
    fold: int
    run: str
    fire: float
    state: str
    """`claimed`, `running`, or a state that is final."""
    reason: str = ""
    started: float | None = None
    ended: float | None = None
    status: int | None = None
    """The exit status; 128 and the number of a signal."""
    number: int = 0
    """The run's number on its node."""
    copied_output: int = 0
    """Bytes of its output, from the end, that the agent copies to the database."""


class Row(NamedTuple):
    """A row of the database, as an answer."""

    job: str
    wall: int
    fold: int
    run: str
    node: str
    state: str
    """As told; `waiting` while a lock of a claim with `waits` is held by another run."""
    reason: str
    is_over: bool
    """The state is final."""
    fire: float = 0.0
    ended: float | None = None
    """Only in the answer to a `LastSuccess`."""
    rows_since: int = 0
    """Only in the answer to a `LastFires`."""


class NodeRow(NamedTuple):
    """A node, as the database has it."""

    name: str
    ledger: str
    token: str
    """Changes with each heartbeat."""
    is_draining: bool
    labels: tuple[str, ...]
    version: str
    offset_ms: int | None
    """By how much the node's clock is ahead of the database's."""
    digest: str
    """Of its jobs that the cluster shares."""


# Requests


class Ask(NamedTuple):
    """Claim fires. Answered with a row for each fire; without one for a fire that the database refuses, as it
    is too old or too new.
    """

    number: int
    skew: float
    """Seconds by which the database's clock is behind the median of the nodes."""
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
    """The dead node's."""
    token: str
    """The dead node's last one that was seen: with another one it lives."""
    fires: tuple[tuple[Claim, str], ...]
    """Each with the UUID of the dead node's run."""


class Bury(NamedTuple):
    """Close the open fires of a dead node that may not be taken over as `lost`, and release its locks."""

    number: int
    ledger: str
    token: str
    all_of_them: bool = False
    """Also those that may be taken over: nobody has."""


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
    """Insert final rows for fires that nobody may have asked for, or nothing. Answered with a row for each
    fire.
    """

    number: int
    rows: tuple[Report, ...]


class Tell(NamedTuple):
    """Write what has become of runs. Answered with the rows that now have that state. A row that is missing
    is inserted; one that belongs to another run is answered as it is, and nothing is written: it ran twice.
    """

    number: int
    rows: tuple[Report, ...]


class Open(NamedTuple):
    """Ask for the open rows under this node's ledger."""

    number: int


class LastFires(NamedTuple):
    """Ask for the newest row of each of these jobs before a time, and how many it has since another one."""

    number: int
    jobs: tuple[str, ...]
    since: float
    before: float


class LastSuccess(NamedTuple):
    """Ask for the newest success of each of these jobs, on whatever node, if it ended after a time."""

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
    """Counts the connections of this agent: what was observed before begins anew with each."""
    offset_ms: int
    """By how much this machine's clock is ahead of the database's."""
    nodes: tuple[NodeRow, ...]


class Registered(NamedTuple):
    """The agent has connected, and holds the node's name."""

    connection: int
    cluster: str
    zone: str
    """The time zone of shared jobs that name none."""
    timeline: str = ""
    """The server and its timeline, for the agent that follows (`--timeline`): a lower one is refused."""


class Status(NamedTuple):
    """The agent's state has changed. That it asks, or tries again to connect, is not reported."""

    state: str
    """`connecting`, `registering`, `idle`, `stalled`, `down` or `fenced`."""
    detail: str = ""
    """For people: the error, or who has the node's name."""


def batches(values: Sequence[T]) -> Iterator[tuple[T, ...]]:
    """Yield the values, at most so many at once as a message has."""
    return (tuple(values[first : first + MAX_FIRES]) for first in range(0, len(values), MAX_FIRES))


Message = Request | Ping | Answer | Nodes | Registered | Status
