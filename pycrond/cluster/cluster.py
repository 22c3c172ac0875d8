"""A node in its cluster: joins its shared fires, the other nodes and the agent.

The scheduler passes fires to `claim`; `take_starting` returns the runs to start.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from pycrond import clock
from pycrond.cluster.agent_link import AgentLink
from pycrond.cluster.dead_nodes import DeadNodes
from pycrond.cluster.ledger_claims import LedgerClaims
from pycrond.cluster.membership import BEAT_INTERVAL, Membership
from pycrond.cluster.missed_fires import MissedFires
from pycrond.cluster.outbox import Outbox
from pycrond.cluster.protocol import (
    Abandoned,
    Answer,
    Ask,
    Beat,
    Close,
    Confirm,
    LastFires,
    LastSuccess,
    Nodes,
    Registered,
    Status,
    TakeOver,
)
from pycrond.cluster.shared_fires import FindObstacle, SharedFires
from pycrond.cluster.shared_jobs import concerns_others, digest_of, zone_of
from pycrond.cluster.successes import Successes
from pycrond.host.poller import Poller
from pycrond.jobs.events import Event, Missed
from pycrond.jobs.job import Job
from pycrond.jobs.run import Fire
from pycrond.jobs.shared_identity import SharedIdentity
from pycrond.ledger.cluster import ClusterTable
from pycrond.runs.launcher import ClaimedRun
from pycrond.runs.runs import Runs
from pycrond.settings import Settings

DELETE_INTERVAL = 10.0  # seconds between two deletions of some old rows


class Cluster:
    """The shared fires of this node, the other nodes, and the agent."""

    def __init__(
        self, settings: Settings, table: ClusterTable, runs: Runs, poller: Poller, find_obstacle: FindObstacle
    ) -> None:
        self._log = runs.termination.log
        self._table = table
        self.labels = frozenset(settings.node_labels)
        self.membership = Membership(settings.node_name, table.node_id())
        arguments = (
            f"--node={settings.node_name}",
            f"--ledger={self.membership.ledger}",
            f"--labels={','.join(settings.node_labels)}",
            f"--spool={settings.spool_dir}",
        )
        self._link = AgentLink(arguments, settings.cluster, poller, self._log)
        self._link.timeline = table.timeline()
        self._outbox = Outbox(self._link, table, self._log, settings.cluster_output << 10)
        self._fires = SharedFires(self.membership, self._outbox, find_obstacle)
        self._dead_nodes = DeadNodes(self.membership, self._link, table, self._log)
        self._claims = LedgerClaims(table, runs, self._fires, self.membership)
        self._jobs: Mapping[str, Job] = {}
        self._missed_events: list[Event] = []
        self.successes = Successes(self.membership, self._link)
        """The successes of jobs with `expect`, on all nodes."""
        self._missed_fires = MissedFires(self._link, table, lambda job: zone_of(job, self.identity))
        self.digest = ""
        """The digest of the jobs that the cluster shares."""
        self._is_fenced = False  # another machine has this node's name
        self._beat_at = 0.0  # by clock.elapsed
        self._delete_at = 0.0

    @property
    def identity(self) -> SharedIdentity:
        """The cluster's name and zone, as its database has them."""
        return self._claims.identity

    def jobs_follow(self, identity: SharedIdentity) -> None:
        """Note that the times of the loaded jobs are drawn from this identity."""
        self._claims.identity_of_jobs = identity

    # Fires

    def separate(self, fires: Iterable[Fire]) -> tuple[list[Fire], list[Fire]]:
        """Return the fires that this node starts alone, and the fires that need a decision of the cluster."""
        own: list[Fire] = []
        shared: list[Fire] = []
        for fire in fires:
            (shared if concerns_others(fire, self.labels) else own).append(fire)
        return own, shared

    def claim(self, fires: Sequence[Fire], now: datetime, *, is_coming: bool = False) -> None:
        """Claim fires, and ask for each at its time. `is_coming`: they are due in the next minute."""
        planned = [fire._replace(start_at=fire.start_at or fire.at) for fire in fires]
        self._claims.begin(planned, now, is_coming=is_coming)

    def resume(self, claims: Sequence[ClaimedRun], now: datetime) -> None:
        """Ask for fires that an earlier daemon has claimed and not started."""
        self._claims.resume(claims, now)

    def minute_came(self) -> None:
        """Note that the fires of the next minute are due, so that `cancel` keeps them."""
        self._claims.coming.clear()

    def cancel(self) -> None:
        """Delete the claims of the next minute."""
        self._claims.cancel()

    @property
    def claims(self) -> list[ClaimedRun]:
        """The runs of fires that are not decided yet."""
        return [held.claimed for held in self._fires]

    def withdraw(self, claimed: ClaimedRun) -> None:
        """Remove a run whose fire is not decided yet."""
        self._fires.withdraw(claimed)
        self._outbox.has_changed = True

    def replace_jobs(self, jobs: Mapping[str, Job], kept: Sequence[ClaimedRun]) -> None:
        """Use these jobs, and remove the runs that are not decided yet, except for `kept`."""
        self._jobs = jobs
        for claimed in [claimed for claimed in self.claims if claimed not in kept]:
            self._fires.withdraw(claimed)
        self.digest = digest_of(jobs.values())
        self._outbox.has_changed = True

    def clock_was_turned(self, step: timedelta) -> None:
        """Move the starts of fires by the step of the clock."""
        self._fires.clock_was_turned(step)
        self.membership.clock_was_turned(step.total_seconds())

    def has_changed(self) -> None:
        """Report runs that have started or ended to the database in the next step."""
        self._outbox.has_changed = True

    def run_again(self, ended: Iterable[Fire], now: datetime) -> None:
        """Run fires again that were running when this node died (`node-loss=rerun`)."""
        self._claims.take_over(self._dead_nodes.own_fires(ended, self._jobs, now), now)

    def ledger_is_new(self) -> None:
        """Restore the cluster's rows of a new ledger from the database."""
        self._table.remember(self.membership.ledger, self.identity, self._link.timeline)
        self._outbox.connected()

    def was_away(self, since: datetime, now: datetime) -> None:
        """Search for fires since that minute that no node has decided: this node was away."""
        self._missed_fires.was_away(since, now)

    # The loop

    def step(self, now: datetime, elapsed: float) -> None:
        """Handle the agent's messages, act on the fires that are due, and send the resulting requests."""
        self._link.step(elapsed)
        for message, request in self._link.take_messages():
            match message:
                case Answer():
                    self._answered(message, request, now)
                case Nodes():
                    self.membership.observe(message, elapsed)
                    self._fires.plan_again(now)
                    self._dead_nodes.step(now)
                    self._missed_fires.ask(self._jobs.values())
                    self._outbox.has_changed = True
                case Registered():
                    self._registered(message, now)
                    self.successes.connected(elapsed)
                case Status():
                    self._report(message, now)
        self._fires.step(now, may_ask=self._table.can_be_durable, is_fenced=self._is_fenced)
        self._finish(now)
        self._beat(elapsed)
        if elapsed >= self._delete_at:
            self._delete_at = elapsed + DELETE_INTERVAL
            self._table.delete_old(now.timestamp())

    def _beat(self, elapsed: float) -> None:
        if elapsed >= self._beat_at and not self._is_beating():
            self._beat_at = elapsed + BEAT_INTERVAL
            self._link.send(Beat(self._link.number(), self.digest))

    def _is_beating(self) -> bool:
        return any(isinstance(sent, Beat) for sent in self._link.pending.values())

    def _finish(self, now: datetime) -> None:
        """Write the decisions to the ledger, and send the requests of this turn."""
        if self._claims.write_decided(now):
            self._outbox.has_changed = True
        median = self.membership.median_time(now.timestamp())
        if median is not None:
            self._claims.catch_up(self._missed_fires.step(self._jobs, clock.at(median), now), now)
        self._outbox.send(now.timestamp(), median, self.membership.skew())

    def retry_in(self, elapsed: float) -> float | None:
        """Seconds until `step` has something to do, not counting fires."""
        beat_in = None if self._is_beating() else max(0.0, self._beat_at - elapsed)
        waits = (beat_in, self._link.retry_in(elapsed), 0.0 if self._missed_fires.has_more else None)
        return min((wait for wait in waits if wait is not None), default=None)

    @property
    def next_at(self) -> float | None:
        """The time of the next step of a fire, in Unix seconds."""
        return self._fires.next_at

    def take_starting(self) -> list[ClaimedRun]:
        """Return the runs that start now."""
        return self._fires.take_starting()

    def take_events(self) -> list[Event]:
        """Return the fires that were skipped, or missed by all nodes, since the last call."""
        missed, self._missed_events = self._missed_events, []
        return [*self._claims.take_events(), *missed]

    def children_ended(self, ended: Sequence[tuple[int, int]]) -> None:
        """Note the ends of children that are not runs: the agent may be one of them."""
        self._link.children_ended(ended)

    def suspend(self) -> None:
        """Leave the undecided fires to the next daemon, and accept no others."""
        self._claims.is_suspended = True
        for claimed in self.claims:
            self._fires.withdraw(claimed)

    def report_last(self, now: datetime, elapsed: float) -> bool:
        """Report the runs that have ended to the database; return whether some are not acknowledged yet."""
        self.suspend()
        self._link.receive()
        self.step(now, elapsed)
        return self._link.is_connected and (self._outbox.has_changed or self._outbox.unacknowledged > 0)

    def close(self) -> None:
        """End the agent."""
        self._link.close()

    # Answers

    def _answered(self, answer: Answer, request: object, now: datetime) -> None:
        rows = {row[:3]: row for row in answer.rows}
        match request:
            case Ask(claims=claims):
                self._fires.decided([(claim.run, rows.get(claim[:3])) for claim in claims], now)
            case TakeOver(fires=fires):
                self._fires.decided([(claim.run, rows.get(claim[:3])) for claim, _ in fires], now)
            case Close(rows=reports):
                self._fires.decided([(report.run, rows.get(report[:3])) for report in reports], now)
                missed = self._missed_fires.missed(reports, {row.run for row in answer.rows})
                self._missed_events += [Missed(None, key) for key in missed]
            case Confirm(runs=reports):
                self._fires.confirmed([(report.run, rows.get(report[:3])) for report in reports], now)
            case Abandoned(ledger=ledger):
                abandoned = self._dead_nodes.fires_to_take(answer.rows, ledger, self._jobs, now)
                self._claims.take_over(abandoned, now)
            case LastFires():
                self._missed_fires.answered(answer.rows)
            case LastSuccess():
                self.successes.answered(answer.number, answer.rows)
            case _:
                self._outbox.answered(answer, request)

    def _registered(self, message: Registered, now: datetime) -> None:
        identity = SharedIdentity(message.cluster, message.zone)
        self._claims.identity, self._link.timeline = identity, message.timeline
        self._table.remember(self.membership.ledger, identity, message.timeline)
        self._is_fenced = False
        self._outbox.connected()
        self.membership.begin_anew()
        self._beat_at = 0.0
        self._log.write("CLUSTER", f"{self.membership.node} is a node of {identity.name}", now)

    def _report(self, status: Status, now: datetime) -> None:
        self._is_fenced = self._is_fenced or status.state == "fenced"
        if status.detail:  # also after a failed request
            self._log.write("CLUSTER", f"{status.state}: {status.detail}", now, level="warning")

    def facts(self) -> dict[str, Any]:
        """Return the facts that `status` shows."""
        since, rows = self._table.unacknowledged_since(), self.membership.rows
        unacknowledged_s = 0.0 if since is None else clock.now().timestamp() - since
        return {
            "node": self.membership.node,
            "name": self.identity.name or None,
            "state": self._link.status.state,
            "detail": self._link.status.detail or None,
            "away_s": int(self._link.away_for(clock.elapsed())),
            "nodes": len(rows),
            "alive": len(self.membership.alive()),
            "draining": self.membership.is_draining,
            "draining_nodes": sum(row.is_draining for row in self.membership.alive()),
            "clock_ms": round(self.membership.disagreement_ms() or 0),
            "undecided": len(self.claims),
            "untold": self._table.count_open(),
            "untold_s": max(0, int(unacknowledged_s)),
        }
