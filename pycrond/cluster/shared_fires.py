"""The shared fires that this node holds: it asks for each fire, and then starts it, skips it or leaves it
to another node.
"""

import heapq
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from pycrond.cluster.fire import Action, Do, Phase, SharedFire
from pycrond.cluster.membership import Membership
from pycrond.cluster.outbox import Outbox
from pycrond.cluster.protocol import Row
from pycrond.cluster.shared_jobs import label_of
from pycrond.jobs.job import Job
from pycrond.jobs.run import OPEN, Cause, Fire, Reason, State
from pycrond.ledger.cluster import FireName
from pycrond.runs.launcher import ClaimedRun

READY_AHEAD = 1.5  # seconds before its start at which a fire of this node is prepared
AHEAD = Cause.of(Reason.ELSEWHERE, "left to nodes whose clocks agree: this node's clock is ahead")
NOT_KNOWN = Cause.of(Reason.ELSEWHERE, "left to other nodes: this node has not reached the cluster")
FindObstacle = Callable[[Job, datetime], Reason]
"""Returns the reason why a job could not start now on this node; NONE if it could."""


@dataclass(slots=True, eq=False)
class Held:
    """A shared fire and its run in the ledger."""

    fire: SharedFire
    claimed: ClaimedRun
    rank: int | None = None
    """This node's place in the fire's order of nodes, computed again when nodes join or leave."""
    ranked_for: int = -1
    was_ours: bool = False
    """The database has given the fire to this node: no other node can have it."""

    @property
    def job(self) -> Job:
        return self.claimed.run.job


class SharedFires:
    """Holds fires from their claims to the decisions about them."""

    def __init__(self, membership: Membership, outbox: Outbox, find_obstacle: FindObstacle) -> None:
        self._membership = membership
        self._outbox = outbox
        self._find_obstacle = find_obstacle
        outbox.is_held = self.__contains__
        self._held: dict[str, Held] = {}  # by UUID
        self._names: set[FireName] = set()  # of the fires that are held
        self._looks: list[tuple[float, str]] = []  # a heap of the times of the fires' next steps
        self.starting: list[ClaimedRun] = []
        """The runs that start now."""
        self.owned: list[ClaimedRun] = []
        """Runs of this node that start soon, to be prepared."""
        self.settled: list[tuple[ClaimedRun, Cause]] = []
        """Runs that do not start on this node."""
        self.elsewhere: list[SharedFire] = []
        """The fires of these that another node has."""

    def __contains__(self, run: str) -> bool:
        return run in self._held

    def __iter__(self) -> Iterator[Held]:
        return iter(self._held.values())

    def hold(self, held: Held, now: datetime) -> None:
        """Hold a fire until it is decided."""
        self._held[held.fire.claim.run] = held
        self._names.add(name_of(held.claimed.run.fire))
        held.fire.plan(self._membership.node, self._rank(held), now.timestamp())
        self._look_later(held)

    def has_fire(self, fire: Fire) -> bool:
        """Return whether a fire is held, under any UUID."""
        return name_of(fire) in self._names

    def remove(self, run: str) -> Held | None:
        """Stop holding a fire."""
        held = self._held.pop(run, None)
        if held:
            self._names.discard(name_of(held.claimed.run.fire))
        return held

    def withdraw(self, claimed: ClaimedRun) -> None:
        """Remove a run whose fire is held."""
        for held in [held for held in self if held.claimed is claimed]:
            self.let_go(held.fire.claim.run)

    def let_go(self, run: str) -> Held | None:
        """Stop holding an undecided fire, and return it. In the database this node may have it."""
        held = self.remove(run)
        if held and held.fire.is_ours:
            self._outbox.has_row(run, "claimed")
        return held

    def plan_again(self, now: datetime) -> None:
        """Plan again the times to ask for fires that were not asked for yet: nodes have joined or left."""
        for held in self:
            if held.fire.phase is Phase.PLANNED:
                held.fire.plan(self._membership.node, self._rank(held), now.timestamp())
                self._look_later(held)

    def clock_was_turned(self, step: timedelta) -> None:
        """Move the starts by the step of the clock."""
        for held in self:
            held.fire.start += step.total_seconds()
            held.fire.look_at += step.total_seconds()
        self._looks.clear()
        for held in self:
            self._look_later(held)

    def _rank(self, held: Held) -> int | None:
        claim = held.fire.claim
        if not held.job.entry.options.is_shared:
            return 0  # it has only a cluster lock: no other node has this fire
        if not self._membership.has_observed:
            return 2  # like the nodes that ask last
        if held.ranked_for != self._membership.version:
            held.rank = self._membership.rank(label_of(held.job), claim.job, claim.wall, claim.fold)
            held.ranked_for = self._membership.version
        return held.rank

    def _look_later(self, held: Held) -> None:
        if held.fire.look_at < math.inf:
            heapq.heappush(self._looks, (held.fire.look_at, held.fire.claim.run))

    # Due fires

    @property
    def next_at(self) -> float | None:
        """The time of the next step of a fire, in Unix seconds."""
        while self._looks and self._is_stale(*self._looks[0]):
            heapq.heappop(self._looks)
        return self._looks[0][0] if self._looks else None

    def _is_stale(self, look_at: float, run: str) -> bool:
        held = self._held.get(run)
        return held is None or held.fire.look_at != look_at

    def step(self, now: datetime, *, may_ask: bool, is_fenced: bool) -> None:
        """Take the steps that are due. Without `may_ask`, no fire is asked for, because the ledger cannot be
        written. `is_fenced`: another machine has this node's name and its places in the order.
        """
        seconds = now.timestamp()
        while (at := self.next_at) is not None and at <= seconds:
            held = self._held[heapq.heappop(self._looks)[1]]
            obstacle = self._obstacle(held, now)
            rank = self._rank(held)
            action = held.fire.next_action(
                seconds,
                obstacle or None,
                may_ask=may_ask and rank is not None,
                is_first=rank == 0 and not is_fenced,
            )
            if action:
                self._do(action, held, seconds)
            if held.fire.phase is not Phase.OVER:
                held.fire.look_at = max(held.fire.look_at, seconds + 0.001)
                self._look_later(held)

    def _obstacle(self, held: Held, now: datetime) -> Reason:
        """Return why a run could not start now on this node. A run that may wait for a lock or for the end of
        another run waits in the database, where all nodes see it.
        """
        obstacle = self._find_obstacle(held.job, now)
        waits = held.fire.claim.waits and obstacle in {Reason.OVERLAP, Reason.LOCK}
        return Reason.NONE if waits else obstacle

    # Answers

    def decided(self, answers: Iterable[tuple[str, Row | None]], now: datetime) -> None:
        """Handle the answers about fires: UUIDs, each with its row or None."""
        seconds = now.timestamp()
        for run, row in answers:
            held = self._held.get(run)
            if held is None:
                if row and row.run == run and not row.is_over:
                    self._outbox.has_row(run, row.state)
                continue
            if action := held.fire.on_row(row, seconds):
                self._do(action, held, seconds)
                continue
            self._look_later(held)
            held.was_ours = held.was_ours or held.fire.is_ours
            is_soon = held.fire.start - seconds <= READY_AHEAD
            if held.fire.phase is Phase.OURS and is_soon and not held.fire.policy.confirms:
                self.owned.append(held.claimed)

    def confirmed(self, answers: Iterable[tuple[str, Row | None]], now: datetime) -> None:
        """Handle the answers to confirmations."""
        seconds = now.timestamp()
        for run, row in answers:
            held = self._held.get(run)
            if held is None and row and row.run == run and not row.is_over:
                self._outbox.has_row(run, row.state)
            action = held.fire.on_confirmed(row, seconds) if held else None
            if held and action:
                self._do(action, held, seconds)

    # Actions

    def _do(self, action: Action, held: Held, now: float) -> None:
        fire = held.fire
        match action.do:
            case Do.ASK:
                self._outbox.claims.append(fire.claim)
            case Do.TAKE_OVER:
                self._outbox.takeovers.append(fire)
            case Do.CONFIRM:
                self._outbox.confirmed.append(fire)
            case Do.CLOSE:
                self._outbox.closed.append((fire, action.reason))
            case Do.START:
                self.remove(fire.claim.run)
                self.starting.append(held.claimed)
            case Do.ELSEWHERE:
                self.elsewhere.append(fire)
                self._settle(held, Cause.of(Reason.ELSEWHERE, f"{action.reason} has it"))
            case Do.SKIP:
                self._settle(held, self._cause(action, held, now))

    def _cause(self, action: Action, held: Held, now: float) -> Cause:
        """Return why a fire is skipped. A node whose clock is ahead, or perhaps ahead, does not decide fires
        that are not due for the others.
        """
        median = self._membership.median_time(now)
        may_be_others = held.job.entry.options.is_shared and not held.was_ours
        if action.reason == Reason.NO_DATABASE and may_be_others:
            if median is None:
                return NOT_KNOWN
            if not held.fire.may_be_closed(median):
                return AHEAD
        return Cause(Reason(action.reason), f"{action.reason}: {action.details}".removesuffix(": "))

    def _settle(self, held: Held, cause: Cause) -> None:
        self.remove(held.fire.claim.run)
        self.settled.append((held.claimed, cause))

    def take_settled(self) -> tuple[list[tuple[ClaimedRun, Cause]], list[SharedFire]]:
        """Return the runs since the last call that do not start here, and the fires that other nodes have."""
        settled, self.settled = self.settled, []
        elsewhere, self.elsewhere = self.elsewhere, []
        return [pair for pair in settled if pair[0].run.state in OPEN], elsewhere

    def take_owned(self) -> list[ClaimedRun]:
        """Return the runs to prepare, since the last call."""
        owned, self.owned = self.owned, []
        return [claimed for claimed in dict.fromkeys(owned) if claimed.run.state is State.WAITING]

    def take_starting(self) -> list[ClaimedRun]:
        """Return the runs that start now."""
        starting, self.starting = self.starting, []
        return [claimed for claimed in starting if claimed.run.state in OPEN]


def name_of(fire: Fire) -> FireName:
    """Return the name of a fire, which is unique in the cluster."""
    return fire.job.key, fire.wall, fire.fold
