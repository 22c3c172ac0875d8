"""The shared fires of a node in its ledger, which are written before they are asked for and when decided."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from pycrond.cluster.fire import EarlierRun, Phase, SharedFire
from pycrond.cluster.membership import Membership
from pycrond.cluster.shared_fires import Held, SharedFires, name_of
from pycrond.cluster.shared_jobs import claim_of, cluster_name, may_wait, policy_of
from pycrond.jobs.events import Event, Skipped
from pycrond.jobs.run import NO_LABEL, Cause, Fire, Reason, State
from pycrond.jobs.shared_identity import SharedIdentity
from pycrond.ledger.cluster import ClusterTable, FireName
from pycrond.runs.launcher import ClaimedRun
from pycrond.runs.runs import Runs

MAX_RESUMED = 60.0  # seconds that a fire may be late when another daemon asks for it
NOT_REACHED = Cause.of(Reason.NO_DATABASE, "this node has not reached the cluster yet")
NOT_ASKED = Cause.of(Reason.DAEMON_DOWN, "it died before the cluster had decided which node has the fire")
WAS_STARTED = Cause.of(Reason.CLOCK_STEP, "this node has started it before")


class LedgerClaims:
    """Claims shared fires in the ledger, gives them to `SharedFires`, and writes the decisions."""

    def __init__(self, table: ClusterTable, runs: Runs, fires: SharedFires, membership: Membership) -> None:
        self._log = runs.termination.log
        self._table = table
        self._runs = runs
        self._fires = fires
        self._membership = membership
        self.identity = table.identity()
        """The cluster's name and zone, as its database has them."""
        self.identity_of_jobs = SharedIdentity()
        """The identity from which the times of the loaded jobs are drawn; if it differs, no fire is asked
        for.
        """
        self.is_suspended = False
        """The daemon stops: other nodes take over fires of dead nodes and catch up missed ones."""
        self.coming: list[str] = []
        """The UUIDs of the fires of the next minute."""
        self._events: list[Event] = []
        self._has_settled = False  # since the last call of `write_decided`

    def resume(self, claims: Sequence[ClaimedRun], now: datetime) -> None:
        """Ask for fires that an earlier daemon has claimed and not started."""
        late = [claimed for claimed in claims if _seconds_late(claimed.run.fire, now) > MAX_RESUMED]
        waiting = [claimed for claimed in late if may_wait(claimed.run.job)]
        self._settle([(claimed, NOT_ASKED) for claimed in late if claimed not in waiting], now)
        in_time = [claimed for claimed in claims if claimed not in late]
        for claimed in (*in_time, *waiting):
            start = max(now, claimed.run.fire.start_at or now)
            claimed.run.fire = claimed.run.fire._replace(start_at=start)
        fires = [claimed.run.fire for claimed in (*in_time, *waiting)]
        runs, earlier_runs = self._write_down(fires, is_durable=True), self._own_earlier_runs(fires)
        self._hold(in_time, runs, now, earlier_runs)
        self._hold(waiting, runs, now, earlier_runs, has_waited=True)

    def _own_earlier_runs(self, fires: Iterable[Fire]) -> dict[FireName, EarlierRun]:
        """Return the earlier runs of fires that this node takes over from itself."""
        named = {name: self._table.runs_of(*name)[1] for name in map(name_of, fires)}
        return {
            name: EarlierRun(earlier, self._membership.ledger) for name, earlier in named.items() if earlier
        }

    def begin(
        self,
        fires: Sequence[Fire],
        now: datetime,
        earlier_runs: Mapping[FireName, EarlierRun] | None = None,
        *,
        is_coming: bool = False,
    ) -> None:
        """Claim fires and hold them. Their UUIDs are written first; the claims make both durable."""
        if self.is_suspended:
            return
        own = self._membership.ledger
        own_runs = {
            name: earlier.run if earlier.ledger == own else None
            for name, earlier in (earlier_runs or {}).items()
        }
        runs = self._write_down(fires, own_runs or None)
        self._hold(self._runs.claim(fires), runs, now, earlier_runs, is_coming=is_coming)

    def take_over(self, fires: Sequence[tuple[Fire, EarlierRun]], now: datetime) -> None:
        """Claim fires of a dead node, unless this node holds them already."""
        earlier_runs = {name_of(fire): earlier for fire, earlier in fires if not self._fires.has_fire(fire)}
        if earlier_runs:
            self.begin([fire for fire, _ in fires if name_of(fire) in earlier_runs], now, earlier_runs)

    def catch_up(self, fires: Sequence[Fire], now: datetime) -> None:
        """Claim fires that no node has decided, unless this node holds them already."""
        if new := [fire for fire in fires if not self._fires.has_fire(fire)]:
            self.begin(new, now)

    def _write_down(
        self,
        fires: Sequence[Fire],
        earlier_runs: Mapping[FireName, str | None] | None = None,
        *,
        is_durable: bool = False,
    ) -> dict[FireName, str]:
        """Write the UUIDs of the fires that need a claim in the database, and return them."""
        clustered = [fire for fire in fires if fire.job.entry.options.is_clustered]
        named = [(fire, cluster_name(fire.job, self._membership.node)) for fire in clustered]
        runs = self._table.begin(named, earlier_runs=earlier_runs, is_durable=is_durable)
        return dict(zip(map(name_of, clustered), runs, strict=True))

    def _hold(
        self,
        claims: Sequence[ClaimedRun],
        runs: Mapping[FireName, str],
        now: datetime,
        earlier_runs: Mapping[FireName, EarlierRun] | None = None,
        *,
        is_coming: bool = False,
        has_waited: bool = False,
    ) -> None:
        """Hold claimed fires until they are decided. `has_waited`: an earlier daemon asked for them, so they
        count only if the database has them as this node's.
        """
        if self.identity_of_jobs != self.identity or not self.identity.name:
            self._table.close(runs.values())
            asked = [name_of(claimed.run.fire) in runs for claimed in claims]
            causes = [NOT_REACHED if is_asked else NO_LABEL for is_asked in asked]
            self._settle([*zip(claims, causes, strict=True)], now)
            return
        settled = []
        for claimed in claims:
            fire, name = claimed.run.fire, name_of(claimed.run.fire)
            if name not in runs:
                settled.append((claimed, NO_LABEL))
                continue
            earlier = earlier_runs.get(name) if earlier_runs else None
            if not earlier and self._table.was_started(fire, claimed.run.id):
                settled.append((claimed, WAS_STARTED))
                continue
            start = max((fire.start_at or fire.at).timestamp(), now.timestamp())
            claim = claim_of(fire, runs[name], self._membership.node, now.timestamp())
            shared = SharedFire(claim, start, policy_of(fire.job), earlier)
            if has_waited:
                shared.phase, shared.claim = Phase.QUEUED, claim._replace(within=0.0)
            self._fires.hold(Held(shared, claimed), now)
            if is_coming:
                self.coming.append(runs[name])
        self._settle(settled, now)

    def cancel(self) -> None:
        """Delete the claims of the next minute. Their UUIDs are kept: the database may have the fires."""
        cancelled = [held.claimed for run in self.coming if (held := self._fires.let_go(run))]
        self.coming.clear()
        self._runs.cancel(cancelled)

    def write_decided(self, now: datetime) -> bool:
        """Write the decisions since the last call; return whether the database must get a report."""
        if owned := self._fires.take_owned():
            self._runs.make_ready(owned)
        settled, elsewhere = self._fires.take_settled()
        self._table.close(fire.claim.run for fire in elsewhere)
        returned = [fire.claim.run for fire in elsewhere if fire.earlier_run]
        self._table.return_fires(returned)
        self._settle(settled, now)
        has_settled, self._has_settled = self._has_settled, False
        return has_settled or bool(returned)

    def _settle(self, settled: Sequence[tuple[ClaimedRun, Cause]], now: datetime) -> None:
        """Record that runs do not start on this node."""
        if not settled:
            return
        self._has_settled = True
        self._runs.launcher.discard([claimed for claimed, _ in settled])
        self._runs.settle(settled, State.SKIPPED, now)
        for claimed, cause in settled:
            run = claimed.run
            self._events.append(Skipped(run.id, run.job.key, cause))
            if cause.reason is not Reason.ELSEWHERE:
                detail = f"{run.job.label} {run.fire.at.astimezone():%F %H:%M}: {cause.text}"
                self._log.write("SKIPPED", detail, now, level="notice")

    def take_events(self) -> list[Event]:
        """Return the fires that were skipped since the last call."""
        events, self._events = self._events, []
        return events


def _seconds_late(fire: Fire, now: datetime) -> float:
    return (now - (fire.start_at or fire.at)).total_seconds()
