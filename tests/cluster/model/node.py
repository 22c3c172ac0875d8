"""A node with the real protocol and a real ledger; its scheduler and its runs are minimal."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

from pycrond import clock
from pycrond.cluster import cluster as cluster_module
from pycrond.cluster.cluster import Cluster
from pycrond.jobs.jitter import delay
from pycrond.jobs.job import Job
from pycrond.jobs.run import Cause, Fire, Outcome, Reason, Run, State
from pycrond.jobs.shared_identity import SharedIdentity
from pycrond.ledger.cluster import ClusterTable
from pycrond.ledger.rows import GapRow
from pycrond.ledger.writer import Ledger
from pycrond.runs.launcher import ClaimedRun
from pycrond.settings import Settings
from tests.cluster.model.link import ModelLink
from tests.cluster.model.runs import ModelRuns, Start

IDENTITY = SharedIdentity("cluster", "UTC")
MINUTE = 60
MAX_LATENESS = 300.0  # seconds; later minutes are passed over
DIED = Cause.of(Reason.DAEMON_DOWN, "the daemon died before it started the run")
TABLES = ("runs", "cluster_fires", "cluster_node", "last_runs")


class CrashError(Exception):
    """The node's daemon dies now."""


class ModelNode:
    """A node: its ledger, the minute that it has reached and its processes survive its daemon."""

    def __init__(self, name: str, labels: tuple[str, ...], jobs: Sequence[Job], directory: Path) -> None:
        self.name = name
        self.labels = labels
        self.jobs = {job.key: job for job in jobs}
        self._path = str(directory / f"{name}.db")
        self.ledger = Ledger(self._path)
        for table in TABLES:
            self.ledger.file.db.execute(f"DELETE FROM {table}")
        self.cluster: Cluster | None = None
        self.link = ModelLink(name)
        self.starts: list[Start] = []
        self.last = 0
        """The last minute whose fires were claimed, in Unix seconds."""
        self.until = 1 << 40
        """The last minute that has fires."""
        self.run_time = 5.0
        self.offset = 0.0
        """Seconds by which its clock is ahead."""
        self.is_frozen = self.agent_is_frozen = self.is_blocked = False
        self.crashes_at = ""
        """The point of the next start at which its daemon dies: `before`, `written` or `started`."""
        self.active: dict[int, tuple[ClaimedRun, float]] = {}  # by number, with the time of the end
        self._queue: list[ClaimedRun] = []
        self._begun: set[int] = set()  # the runs that the journal has as started
        self._ahead = 0
        self._runs = ModelRuns(self.ledger)

    @property
    def lines(self) -> list[str]:
        return self._runs.lines

    # Life and death

    def boot(self, true_now: float) -> None:
        """Start a daemon."""
        now = true_now + self.offset
        self.ledger.close()
        self.ledger = Ledger(self._path)
        self._runs = ModelRuns(self.ledger)
        self.link = ModelLink(self.name)
        self.link.offset = self.offset
        settings = Settings(
            state_dir="/s", runtime_dir="/r", pidfile="/p", node=self.name, node_labels=self.labels
        )
        with patch.object(cluster_module, "AgentLink", lambda *arguments: self.link):
            runs: Any = self._runs
            poller: Any = None
            table = ClusterTable(self.ledger.file)
            table.remember(table.node_id(), IDENTITY, "")
            self.cluster = Cluster(settings, table, runs, poller, self.obstacle)
        self.link.ledger = self.cluster.membership.ledger
        self.cluster.jobs_follow(IDENTITY)
        self.cluster.replace_jobs(self.jobs, ())
        self._ahead = 0
        unknown = self._recover(now)
        first = self.last or int(now // MINUTE) * MINUTE
        self._pass_over(first, int(now // MINUTE) * MINUTE, now)
        self._resume(now)
        self.cluster.run_again(unknown, clock.at(now))

    def die(self, *, with_machine: bool) -> None:
        """End the daemon at once; with the machine, its runs too."""
        self.cluster = None
        self.is_frozen = self.agent_is_frozen = False
        self.crashes_at = ""
        self.link.lose_connection()
        self._queue.clear()
        if with_machine:
            self.active.clear()

    @property
    def lives(self) -> bool:
        return self.cluster is not None

    def _recover(self, now: float) -> list[Fire]:
        """Close the open runs; return the fires of runs with an unknown end."""
        cancelled, unknown = [], []
        for row in self.ledger.unfinished():
            if (
                row.state in {State.CLAIMED, State.WAITING}
                and row.id not in self._begun
                and row.fire > self.last
            ):
                cancelled.append(row.id)
            elif row.id in self.active:
                continue  # it is alive
            elif row.id in self._begun and row.state in {State.CLAIMED, State.RUNNING}:
                outcome = Outcome(State.UNKNOWN, DIED)
                self.ledger.finished([(row.id, outcome, clock.at(now), None)])
                unknown.append(row.fire_of(self.jobs[row.key]))
            elif row.state == State.CLAIMED and abs(now - row.fire) <= MINUTE:
                self.ledger.wait([(row.id, DIED)])
            elif row.state == State.CLAIMED:
                self.ledger.settle([(row.id, DIED)], State.MISSED, clock.at(now))
        self.ledger.cancel(cancelled)
        return unknown

    def _pass_over(self, last: int, until: int, now: float) -> None:
        """Leave the minutes after `last` to the cluster."""
        until = min(until, self.until)
        minutes = range(last + MINUTE, until + MINUTE, MINUTE)
        shared = [job for job in self.jobs.values() if job.entry.options.is_shared]
        if minutes:
            gaps = [
                GapRow(
                    *(job.key, float(at), at // MINUTE, 0, 0, State.SKIPPED, Reason.ELSEWHERE),
                    *("elsewhere: no daemon ran on this node", now, float(at), 1),
                )
                for at in minutes
                for job in shared
            ]
            self.ledger.pass_over(gaps)
            if self.cluster:
                self.cluster.was_away(clock.at(last + MINUTE), clock.at(now))
        self.last = max(last, until)

    def _resume(self, now: float) -> None:
        claims = []
        for row in self.ledger.waiting():
            start = now if row.start_at is None else row.start_at
            fire = row.fire_of(self.jobs[row.key])._replace(start_at=clock.at(start))
            claims.append(ClaimedRun(Run(row.id, fire, State.WAITING), has_waited=True))
        if claims and self.cluster:
            self.cluster.resume(claims, clock.at(now))

    # The loop

    def turn(self, true_now: float) -> None:
        """Do a turn of the daemon's loop."""
        if self.cluster is None or self.is_frozen:
            return
        now = true_now + self.offset
        try:
            self._end_runs(now, true_now)
            self._claim(self.cluster, now)
            self.cluster.step(clock.at(now), true_now)
            for claimed in self.cluster.take_starting():
                self._admit(claimed, now, true_now)
        except CrashError:
            self.die(with_machine=False)

    def _claim(self, cluster: Cluster, now: float) -> None:
        if now - self.last > MAX_LATENESS:
            cluster.cancel()
            self._ahead = 0
            self._pass_over(self.last, int(now // MINUTE - 1) * MINUTE, now)
        while self.last + MINUTE <= min(now, self.until):
            due = self.last + MINUTE
            if self._ahead != due:
                cluster.claim(self._fires(cluster, due), clock.at(now))
            cluster.minute_came()
            self.last = due
        due = self.last + MINUTE
        if self._ahead != due and due <= self.until and 0 < due - now <= 1:
            cluster.claim(self._fires(cluster, due), clock.at(now), is_coming=True)
            self._ahead = due

    def _fires(self, cluster: Cluster, at: int) -> list[Fire]:
        fires = []
        for job in self.jobs.values():
            fire = Fire(job, clock.at(at), at // MINUTE)
            if seconds := delay(job, fire.at, "cluster", "debian"):
                fire = fire._replace(start_at=fire.at + timedelta(seconds=seconds))
            fires.append(fire)
        return cluster.separate(fires)[1]

    def turn_clock(self, seconds: float) -> None:
        """Turn the clock."""
        self.offset += seconds
        self.link.offset = self.offset
        self.active = {run: (claimed, at + seconds) for run, (claimed, at) in self.active.items()}
        if self.cluster:
            self.cluster.cancel()
            self._ahead = 0
            self.cluster.clock_was_turned(timedelta(seconds=seconds))

    def reload(self) -> None:
        """Make the claims of the next minute again."""
        assert self.cluster
        self.cluster.cancel()
        self._ahead = 0
        self.cluster.replace_jobs(self.jobs, self.cluster.claims)

    def repeat(self, wall: int, era: int, now: float) -> None:
        """Claim a minute once more, as if the clock had been set back to it."""
        assert self.cluster
        fires = [fire._replace(era=era) for fire in self._fires(self.cluster, wall * MINUTE)]
        self.cluster.claim(fires, clock.at(now))

    def obstacle(self, job: Job, _now: object) -> Reason:
        if self.is_blocked:
            return Reason.PAUSED
        overlaps = job.entry.options.overlap != "allow" and self._runs_of(job)
        return Reason.OVERLAP if overlaps else Reason.NONE

    def _runs_of(self, job: Job) -> bool:
        return any(claimed.run.job.key == job.key for claimed, _ in self.active.values())

    # Runs

    def _admit(self, claimed: ClaimedRun, now: float, true_now: float) -> None:
        options = claimed.run.job.entry.options
        if options.overlap != "allow" and self._runs_of(claimed.run.job):
            if options.overlap == "queue":
                self._queue.append(claimed)
                return
            cause = Cause.of(Reason.OVERLAP, "it still runs")
            self._runs.settle([(claimed, cause)], State.SKIPPED, clock.at(now))
            if self.cluster:
                self.cluster.has_changed()
            return
        self._start(claimed, now, true_now)

    def _start(self, claimed: ClaimedRun, now: float, true_now: float) -> None:
        self._crash("before")
        run = claimed.run
        assert self.ledger.may_start([run.id])
        if run.state == State.WAITING:
            run.enter(State.CLAIMED)
        self._crash("written")
        at = run.fire.wall or 0
        row = self.ledger.file.db.execute(
            "SELECT run FROM cluster_fires WHERE key = ? AND wall = ?", (run.job.key, at)
        ).fetchone()
        assert row, "it is not in the ledger"
        end = now + self.run_time
        self.starts.append(Start(run.job.key, at, self.name, row[0], true_now, true_now + self.run_time))
        self._begun.add(run.id)
        self.active[run.id] = claimed, end
        self._crash("started")
        self.ledger.started([(run.id, 1, 1, clock.at(now), 0.0)])
        run.enter(State.RUNNING)
        if self.cluster:
            self.cluster.has_changed()

    def _crash(self, where: str) -> None:
        if self.crashes_at == where:
            raise CrashError

    def _end_runs(self, now: float, true_now: float) -> None:
        ended = [run for run, (_, at) in self.active.items() if at <= now]
        for run in ended:
            del self.active[run]
            self.ledger.finished([(run, Outcome(State.SUCCEEDED, exit_status=0), clock.at(now), 1.0)])
        if ended and self.cluster:
            self.cluster.has_changed()
            queue, self._queue = self._queue, []
            for claimed in queue:
                self._admit(claimed, now, true_now)
