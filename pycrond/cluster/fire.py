"""A fire of a shared job on one node, from its claim to the verdict: a state machine. Pure.

`next_action` and the methods named `on_…` take the time and return an action; `SharedFires` executes it.
Times are Unix seconds by this node's clock.
"""

import enum
import math
from dataclasses import dataclass, field
from typing import NamedTuple

from pycrond.cluster.protocol import Claim, Row
from pycrond.hashing import draw_below

ASK_AHEAD = 1.0  # seconds before its start at which the first node asks
SECOND_ASKS_AFTER = 2.0  # seconds after its start at which the second node asks
OTHERS_ASK_AFTER = (4.0, 7.0)  # seconds after its start between which the other nodes ask
CLOSE_AFTER = 8.0  # seconds after its start at which a node that may not ask reads which node has the fire
GIVE_UP_AFTER = 10.0  # seconds after its start at which a fire without an answer is closed
CLOCK_TOLERANCE = 2.0  # seconds by which the clocks of nodes that ask may differ
ANSWER_TIME = 3.0  # seconds that the database has for an answer, however late it was asked
TAKE_OVER_TIME = 60.0  # seconds in which a node that may not take a fire over yet tries again
RETRY_INTERVAL = 1.0  # seconds until a node that may not ask, or a run that waits for a lock, asks again


class Phase(enum.Enum):
    """The phase of a fire on this node."""

    PLANNED = enum.auto()
    """The fire is in the ledger; the database was not asked."""
    ASKING = enum.auto()
    """The database was asked which node has the fire."""
    QUEUED = enum.auto()
    """This node has the fire, which waits for a lock that another run holds."""
    OURS = enum.auto()
    """This node has the fire, and starts it at its time."""
    CONFIRMING = enum.auto()
    """The confirmation of the start was sent."""
    CLOSING = enum.auto()
    """This node may not claim the fire: a verdict is written, unless another node has it."""
    OVER = enum.auto()
    """The fire was started, left to another node, or skipped."""


class Do(enum.Enum):
    """The next action for a fire."""

    ASK = enum.auto()
    CONFIRM = enum.auto()
    TAKE_OVER = enum.auto()
    CLOSE = enum.auto()
    """Write the action's reason as the verdict, unless the fire has one."""
    START = enum.auto()
    ELSEWHERE = enum.auto()
    """Another node has the fire; `reason` is that node's name."""
    SKIP = enum.auto()


class Action(NamedTuple):
    """An action and its reason."""

    do: Do
    reason: str = ""
    details: str = ""


NO_DATABASE = Action(Do.SKIP, "no-database", "the database did not answer in time")


class Policy(NamedTuple):
    """The options of the job that concern its claims."""

    confirms: bool = False
    """The database must confirm a start first (`node-loss=rerun`, or a lock)."""
    runs_in_partition: bool = False
    """`on-partition=run`"""


class EarlierRun(NamedTuple):
    """The run of a dead node, or of this node before it died, whose fire is taken over."""

    run: str
    ledger: str
    token: str = ""
    """The token of the dead node's last heartbeat; empty for this node."""


@dataclass(slots=True, eq=False)
class SharedFire:
    """A fire that the nodes of a cluster share."""

    claim: Claim
    start: float
    """The time of its start, with its jitter."""
    policy: Policy = field(default_factory=Policy)
    earlier_run: EarlierRun | None = None
    phase: Phase = Phase.PLANNED
    look_at: float = 0.0
    """The time of the next action, if no answer arrives before."""

    def plan(self, node: str, rank: int | None, now: float) -> None:
        """Set the time at which this node asks, by its place in the order of nodes; None: it may not ask."""
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
        """Return whether all nodes have had time to ask for it; `median` is the median of their clocks."""
        return max(self.start, self.claim.fire) + CLOSE_AFTER <= median + CLOCK_TOLERANCE

    def next_action(self, now: float, blocked: str | None, *, may_ask: bool, is_first: bool) -> Action | None:
        """Return the action that is due, if there is one.

        `blocked` is the reason why the job cannot start on this node. `may_ask`: this node may claim the
        fire. `is_first`: this node is the first of those alive at the database's last answer.
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
        if self.earlier_run:  # it can wait: its start is confirmed after this node has got it
            self._enter(Phase.ASKING, math.inf)
            return Action(Do.TAKE_OVER)
        self._enter(Phase.ASKING, self._deadline(now))
        return Action(Do.ASK)

    def _wait_or_close(self, now: float, blocked: str | None) -> Action | None:
        """Wait as a node that may not ask; at last, read which node has the fire, or write a verdict."""
        close_at = self.start + (TAKE_OVER_TIME if self.earlier_run else CLOSE_AFTER)
        if now < close_at:
            self.look_at = min(close_at, now + RETRY_INTERVAL)
            return None
        if self.earlier_run:
            return self._end(Do.ELSEWHERE, "another node", "this one may not take it over")
        self._enter(Phase.CLOSING, self._deadline(now))
        return Action(Do.CLOSE, blocked or "no-node", "" if blocked else "no node may run it")

    def _deadline(self, now: float) -> float:
        return max(self.start + GIVE_UP_AFTER, now + ANSWER_TIME)

    def _begin(self, now: float) -> Action:
        """Begin a fire of this node whose time has come."""
        if self.policy.confirms or self.earlier_run:
            self.start = max(now, self.start)
            self._enter(Phase.CONFIRMING, self.start + GIVE_UP_AFTER)
            return Action(Do.CONFIRM)
        self.phase = Phase.OVER
        return Action(Do.START)

    def _give_up(self, *, is_first: bool) -> Action:
        """End a fire without an answer in time. If this node has it, no other node starts it."""
        is_for_us = self.phase is Phase.CONFIRMING or (self.phase is Phase.ASKING and is_first)
        self.phase = Phase.OVER
        if self.policy.runs_in_partition and is_for_us and not self.earlier_run:
            return Action(Do.START)
        return NO_DATABASE

    def _enter(self, phase: Phase, look_at: float) -> None:
        self.phase, self.look_at = phase, look_at

    @property
    def is_ours(self) -> bool:
        """True if the database has answered that this node has the fire."""
        return self.phase in {Phase.OURS, Phase.QUEUED, Phase.CONFIRMING}

    # Answers

    def on_row(self, row: Row | None, now: float) -> Action | None:
        """Handle the answer to a question: the fire's row, or None if the database has refused it."""
        if self.phase not in {Phase.ASKING, Phase.QUEUED, Phase.CLOSING}:
            return None  # it was given up, or the question was sent twice
        if row is None and not self.earlier_run:
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
        """Handle the answer to a confirmation: the fire's row, or None if it no longer belongs to this run.

        A late answer does not count: another node may have taken the fire over meanwhile.
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
