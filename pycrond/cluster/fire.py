"""A fire of a shared job on one node, from its claim to the verdict: a state machine. Pure.

`next_action` and the methods named `on_…` take the time and return what to do; `SharedFires` does it. Times
are Unix seconds by this node's clock.
"""

import enum
import math
from dataclasses import dataclass, field
from typing import NamedTuple

from pycrond.cluster.protocol import Claim, Row
from pycrond.hashing import draw_below

ASK_AHEAD = 1.0  # seconds before its start, at which the first node asks
SECOND_ASKS_AFTER = 2.0  # seconds after its start, at which the second one asks
OTHERS_ASK_AFTER = (4.0, 7.0)  # seconds after its start, between which the others ask
CLOSE_AFTER = 8.0  # seconds after its start, at which a node that may not ask reads which node has the fire
GIVE_UP_AFTER = 10.0  # seconds after its start, at which a fire without an answer is closed
CLOCK_TOLERANCE = 2.0  # seconds by which the clocks of nodes that ask may differ
ANSWER_TIME = 3.0  # seconds that the database has for an answer, however late it was asked
TAKE_OVER_TIME = 60.0  # seconds in which a node that may not take a fire over yet tries again
RETRY_INTERVAL = 1.0  # seconds until a node that may not ask, or a run that waits for a lock, asks again


class Phase(enum.Enum):
    """The phase of a fire on this node."""

    PLANNED = enum.auto()
    """It is in the ledger; nothing was asked."""
    ASKING = enum.auto()
    """The database was asked which node has it."""
    QUEUED = enum.auto()
    """This node has it; it waits for a lock that another run holds."""
    OURS = enum.auto()
    """This node has it, and starts it at its time."""
    CONFIRMING = enum.auto()
    """The confirmation of its start was sent."""
    CLOSING = enum.auto()
    """This node may not claim it: a verdict is written, unless another node has it."""
    OVER = enum.auto()
    """It was handed on: started, given to another node, or skipped."""


class Do(enum.Enum):
    """The next act for a fire."""

    ASK = enum.auto()
    CONFIRM = enum.auto()
    TAKE_OVER = enum.auto()
    CLOSE = enum.auto()
    """Write the action's reason as the verdict, unless the fire has one."""
    START = enum.auto()
    ELSEWHERE = enum.auto()
    """Another node has it; `reason` is that node's name."""
    SKIP = enum.auto()


class Action(NamedTuple):
    """An act and its reason."""

    do: Do
    reason: str = ""
    details: str = ""


NO_DATABASE = Action(Do.SKIP, "no-database", "the database did not answer in time")


class Policy(NamedTuple):
    """The options of the job that concern its claims."""

    confirms: bool = False
    """A start is confirmed by a write first: `node-loss=rerun`, or a lock."""
    runs_in_partition: bool = False
    """`on-partition=run`"""


class Taken(NamedTuple):
    """The run of a dead node, or of this one before it died, that a fire is taken over from."""

    run: str
    ledger: str
    token: str = ""
    """Of the dead node's last heartbeat; empty: it is this node."""


@dataclass(slots=True, eq=False)
class SharedFire:
    """A fire that the nodes of a cluster share."""

    claim: Claim
    start: float
    """When it starts, after its jitter."""
    policy: Policy = field(default_factory=Policy)
    taken: Taken | None = None
    phase: Phase = Phase.PLANNED
    look_at: float = 0.0
    """The time at which `next_action` has something, if no answer comes before."""

    def plan(self, node: str, rank: int | None, now: float) -> None:
        """Set when this node asks, by its place in the order of nodes; None: it may not."""
        if rank is None:
            delay = CLOSE_AFTER
        elif rank == 0:
            delay = -ASK_AHEAD
        elif rank == 1:
            delay = SECOND_ASKS_AFTER
        else:
            first, last = OTHERS_ASK_AFTER
            claim = self.claim
            drawn = draw_below(1001, node, claim.job, str(claim.wall), str(claim.fold)) / 1000
            delay = first + (last - first) * drawn
        self.look_at = max(now, self.start + delay)

    def may_be_closed(self, median: float) -> bool:
        """Return whether all nodes have had time to ask for it. `median` is the time by all their clocks."""
        return max(self.start, self.claim.fire) + CLOSE_AFTER <= median + CLOCK_TOLERANCE

    def next_action(self, now: float, blocked: str | None, *, may_ask: bool, is_first: bool) -> Action | None:
        """Return the action that is due, if there is one.

        `blocked` is the reason for which the job cannot start on this node. `may_ask`: this node may claim
        it. `is_first`: of the nodes that lived when the database was last heard, this one is the first.
        """
        if now < self.look_at or self.phase is Phase.OVER:
            return None
        if self.phase is Phase.PLANNED:
            return self._ask(now) if may_ask and not blocked else self._wait_or_close(now, blocked)
        if self.phase is Phase.QUEUED:
            self.look_at = math.inf  # until the answer
            return Action(Do.ASK)
        if self.phase is Phase.OURS:
            return self._begin(now)
        return self._give_up(is_first=is_first and not blocked)

    def _ask(self, now: float) -> Action:
        if self.taken:  # nothing is lost by waiting: the start is confirmed when this node has been given it
            self._enter(Phase.ASKING, math.inf)
            return Action(Do.TAKE_OVER)
        self._enter(Phase.ASKING, self._deadline(now))
        return Action(Do.ASK)

    def _wait_or_close(self, now: float, blocked: str | None) -> Action | None:
        """The action of a node that may not ask: read again who has the fire, and at last write a verdict."""
        close_at = self.start + (TAKE_OVER_TIME if self.taken else CLOSE_AFTER)
        if now < close_at:
            self.look_at = min(close_at, now + RETRY_INTERVAL)
            return None
        if self.taken:
            return self._end(Do.ELSEWHERE, "another node", "this one may not take it over")
        self._enter(Phase.CLOSING, self._deadline(now))
        return Action(Do.CLOSE, blocked or "no-node", "" if blocked else "no node may run it")

    def _deadline(self, now: float) -> float:
        return max(self.start + GIVE_UP_AFTER, now + ANSWER_TIME)

    def _begin(self, now: float) -> Action:
        """The start of a fire of this node has come."""
        if self.policy.confirms or self.taken:
            self.start = max(now, self.start)
            self._enter(Phase.CONFIRMING, self.start + GIVE_UP_AFTER)
            return Action(Do.CONFIRM)
        self.phase = Phase.OVER
        return Action(Do.START)

    def _give_up(self, *, is_first: bool) -> Action:
        """The database has not answered in time. A fire that this node has starts on no other node."""
        is_for_us = self.phase is Phase.CONFIRMING or (self.phase is Phase.ASKING and is_first)
        self.phase = Phase.OVER
        if self.policy.runs_in_partition and is_for_us and not self.taken:
            return Action(Do.START)
        return NO_DATABASE

    def _enter(self, phase: Phase, look_at: float) -> None:
        self.phase, self.look_at = phase, look_at

    @property
    def is_ours(self) -> bool:
        """Return whether the database has answered that it is this node's."""
        return self.phase in {Phase.OURS, Phase.QUEUED, Phase.CONFIRMING}

    # Answers

    def on_row(self, row: Row | None, now: float) -> Action | None:
        """Take the answer to a question for it: its row, or None where the database has refused it."""
        if self.phase not in {Phase.ASKING, Phase.QUEUED, Phase.CLOSING}:
            return None  # it was given up, or this is the answer to a question that was sent twice
        if row is None and not self.taken:
            return self._end(Do.SKIP, "no-database", "the database refuses it, by its own clock")
        if row is None or row.run != self.claim.run:
            return self._end(Do.ELSEWHERE, row.node if row else "another node", row.state if row else "")
        if row.is_over:
            return self._end(Do.SKIP, row.reason or "daemon-down", f"the cluster has it as {row.state}")
        if self.phase is Phase.CLOSING:  # an earlier daemon asked for it, and this one may not start it
            return self._end(Do.SKIP, "no-node", "this node may not run it any more")
        if row.state == "waiting":
            self._enter(Phase.QUEUED, now + RETRY_INTERVAL)
        else:
            self._enter(Phase.OURS, self.start)
        return None

    def on_confirmed(self, row: Row | None, now: float) -> Action | None:
        """Take the answer to a confirmation: its row, or None where it belongs to this run no more.

        An answer that comes late is none: another node may have taken the fire over meanwhile.
        """
        if self.phase is not Phase.CONFIRMING:
            return None
        if row is None or row.run != self.claim.run or row.is_over:
            return self._end(Do.SKIP, "daemon-down", "it was given to another node, or closed")
        if now >= self.start + GIVE_UP_AFTER:
            return self._end(*NO_DATABASE)
        self.phase = Phase.OVER
        return Action(Do.START)

    def _end(self, do: Do, reason: str, details: str) -> Action:
        self.phase = Phase.OVER
        return Action(do, reason, details)
