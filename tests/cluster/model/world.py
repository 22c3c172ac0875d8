"""Some nodes, a database and time, and the judgement of the result."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from random import Random

from pycrond.cluster.protocol import Beat, Request
from pycrond.crontab.parser import parse
from pycrond.jobs.job import Job, make_jobs
from pycrond.jobs.run import ENDS, State
from tests.cluster.model.database import OPEN, Fire, ModelDatabase, Sender
from tests.cluster.model.node import MINUTE, ModelNode
from tests.cluster.model.runs import Start

BEGIN = 1_750_000_020  # a minute begins
SHARED = {
    "plain": "on=one",
    "lock": "on=one lock=cluster:shared",
    "skip": "on=one overlap=skip",
    "queue": "on=one overlap=queue",
    "rerun": "on=one node-loss=rerun",
    "again": "on=one node-loss=rerun overlap=queue",
    "locked": "on=one node-loss=rerun lock=cluster:shared",
    "part": "on=one on-partition=run",
    "label": "on=one:db",
    "late": "on=one jitter=25s",
    "slow": "on=one jitter=5m",
    "once": "on=one missed=once",
    "each": "on=every lock=cluster:shared",
}
"""The options of the jobs, by name."""
AT_LEAST_ONCE = {"rerun", "again", "locked", "part"}
STARTS_WITHIN = {"plain": 15, "rerun": 15, "part": 15, "label": 15, "late": 40, "slow": 315}
"""Seconds after its minute within which a job starts, if all is well."""
LOCK_HOLDS = 55.0  # seconds of a node's silence, through which its runs keep their locks
RECOVERY_TIME = 1_200  # seconds


def make_job(name: str, options: str) -> Job:
    text = f"#: name={name} {options}\n* * * * * true\n"
    table = parse(text.encode(), "f")
    assert not table.problems, table.problems
    (job,) = make_jobs(table.entries, "me")
    return job


class World:
    """Nodes that share a database."""

    def __init__(self, directory: Path, count: int, jobs: Sequence[str], seed: int) -> None:
        self.random = Random(seed)
        self.database = ModelDatabase()
        self.has_database = True
        self.now = float(BEGIN - 5)
        self._faulty_at: set[int] = set()
        """Seconds in which something was wrong with a node or the database."""
        self._forgotten: set[str] = set()
        """Runs whose ends a failover has lost."""
        self._held_bytes: list[tuple[Sender, Request]] = []
        """Requests of agents that are dead, which the database has not carried out."""
        chosen = [make_job(name, SHARED[name]) for name in jobs]
        self.nodes = [
            ModelNode(f"node{number}", ("db",) if number == 0 else (), chosen, directory)
            for number in range(count)
        ]
        for node in self.nodes:
            node.boot(self.now)
        self.run_on(380 if "slow" in jobs else 80)  # all jobs have rows, and all nodes know each other

    # Time

    def close(self) -> None:
        """Close all files."""
        for node in self.nodes:
            node.ledger.close()

    def run_on(self, seconds: int) -> None:
        for _ in range(seconds):
            self.now += 1
            self.tick()

    def tick(self) -> None:
        """Let all nodes and agents do their work of this second, in some order."""
        order = self.random.sample(self.nodes, len(self.nodes))
        for node in order:
            self.connect(node)
            node.turn(self.now)
        for node in self.random.sample(order, len(order)):
            self.work(node)
            node.turn(self.now)
        for node in order:
            self.work(node)
            node.turn(self.now)
        if not self.is_healthy:
            self._faulty_at.add(int(self.now))
        self.check()

    @property
    def is_healthy(self) -> bool:
        nodes = self.database.nodes.values()
        return (
            self.agrees()
            and not any(node.is_blocked or node.crashes_at for node in self.nodes)
            and not any(node.is_draining for node in nodes)
        )

    def connect(self, node: ModelNode) -> None:
        link = node.link
        is_possible = self.has_database and link.mode != "stuck"
        if node.lives and is_possible and not link.is_connected and not node.agent_is_frozen:
            link.connect(node.labels, self.database)

    def work(self, node: ModelNode) -> None:
        if self.has_database and node.lives and not node.agent_is_frozen:
            node.link.work(self.database, self.now, self.random)

    # Faults

    def lose_database(self) -> None:
        self.has_database = False
        for node in self.nodes:
            node.link.lose_connection()

    def fail_over(self) -> None:
        """Replace the database by another server, which lacks the ends of some runs."""
        self.lose_database()
        self.has_database = True
        started = {start.run: start for starts in self.starts.values() for start in starts}
        for fire in self.database.fires.values():
            is_told = fire.run in started and fire.is_over and fire.fire > self.now - 300
            locks = self.locks_of(fire)
            if is_told and not locks & self.database.locks.keys() and self.random.random() < 0.3:
                fire.state = "running"
                self._forgotten.add(fire.run)
                self.database.locks.update(dict.fromkeys(locks, (fire.run, fire.ledger)))

    @staticmethod
    def locks_of(fire: Fire) -> set[str]:
        name = fire.job.split("@")[0].removeprefix("me/")
        locks = {"lock:me/shared"} if name in {"lock", "locked", "each"} else set()
        return locks | ({f"overlap:{fire.job}"} if name in {"skip", "queue", "again"} else set())

    def crash(self, node: ModelNode, *, with_machine: bool) -> None:
        words = node.link.last_words(self.random)
        if words and not isinstance(words, Beat):
            self._held_bytes.append((node.link.sender, words))
        node.die(with_machine=with_machine)

    def release_held_bytes(self) -> None:
        """Carry out requests of dead agents."""
        held, self._held_bytes = self._held_bytes, []
        for sender, request in held:
            self.database.execute(request, sender, self.now)

    def agrees(self) -> bool:
        """Return whether all nodes live and hear each other."""
        return self.has_database and not any(
            node.is_frozen or not node.link.is_connected or node.link.mode != "quick" for node in self.nodes
        )

    # Judgement

    @property
    def starts(self) -> dict[tuple[str, int], list[Start]]:
        """Return all starts, by the name of the job in the cluster and its minute."""
        starts: dict[tuple[str, int], list[Start]] = defaultdict(list)
        for node in self.nodes:
            for start in node.starts:
                name = f"{start.key}@{node.name}" if start.key == "me/each" else start.key
                starts[name, start.wall].append(start)
        return starts

    def check(self) -> None:
        """Check the rules that hold at any time."""
        early = [fire for fire in self.database.fires.values() if fire.fire > self.now + 3]
        assert not early, f"it has not come: {early}"
        new = [start for node in self.nodes for start in node.starts if start.at == self.now]
        if not new:
            return
        for (name, wall), starts in self.starts.items():
            if name.split("@")[0].removeprefix("me/") not in AT_LEAST_ONCE:
                assert len(starts) == 1, f"{name} at {wall} ran twice: {starts}"
        for start in new:
            self._check_locks(start)

    def _check_locks(self, start: Start) -> None:
        """Check that no other run that has this run's lock runs on a node that is not silent."""
        for node in self.nodes:
            silence = self.now - self.database.beats.get(node.name, 0.0)
            for other in node.starts:
                is_same = (other.key, other.wall, other.node) == (start.key, start.wall, start.node)
                if is_same or not _exclude(start, other) or other.at < self.now - 120:
                    continue
                runs = other.at <= self.now < other.ends_at and any(
                    claimed.run.job.key == other.key and claimed.run.fire.wall == other.wall
                    for claimed, _ in node.active.values()
                )
                assert not runs or silence >= LOCK_HOLDS, f"{start} has the lock of {other}"

    def heal(self, dead: Sequence[ModelNode] = ()) -> None:
        """End all faults but the deaths of some nodes, let no more fires come, and let time pass."""
        self.has_database = True
        last = int(self.now // MINUTE) * MINUTE
        for node in self.nodes:
            node.until, node.link.mode, node.run_time = last, "quick", min(node.run_time, 10.0)
            node.is_frozen = node.agent_is_frozen = node.is_blocked = False
            node.crashes_at = ""
            self.database.drain(node.name, is_draining=False)
            if node in dead and node.lives:
                self.crash(node, with_machine=True)
            elif node not in dead and not node.lives:
                node.boot(self.now)
        self.release_held_bytes()
        self.run_on(420 if "me/slow" in self.nodes[0].jobs else 200)  # until all gaps are decided
        for _ in range(RECOVERY_TIME // 20):
            if self.is_settled(dead):
                break
            self.run_on(20)
        self.judge(dead, last)

    def is_settled(self, dead: Sequence[ModelNode]) -> bool:
        living = [node for node in self.nodes if node not in dead]
        is_open = any(not fire.is_over for fire in self.database.fires.values())
        return not is_open and not any(node.active or self._untold(node) for node in living)

    def _untold(self, node: ModelNode) -> int:
        """Return the number of fires without a verdict in the database, except for fires that are not due
        yet.
        """
        where = "WHERE is_open = 1 AND fire <= ?"
        rows = node.ledger.file.db.execute(f"SELECT count(*) FROM cluster_fires {where}", (self.now,))
        return int(rows.fetchone()[0])

    def judge(self, dead: Sequence[ModelNode], last: int) -> None:
        """Check the rules that hold when all faults are repaired."""
        fires = {(fire.job, fire.wall): fire for fire in self.database.fires.values()}
        left = [fire for fire in fires.values() if not fire.is_over]
        assert not left, f"no verdict: {left}"
        assert not self.database.locks, self.database.locks
        names = [key for key in self.nodes[0].jobs if key != "me/each"]
        minutes = range(BEGIN // MINUTE, last // MINUTE + 1)
        without = [(name, wall) for name in names for wall in minutes if (name, wall) not in fires]
        assert not without, f"no row: {without}"
        for (job, wall), fire in fires.items():
            latest = STARTS_WITHIN.get(job.removeprefix("me/"))
            if latest is not None and wall <= last // MINUTE:
                at = wall * MINUTE
                was_well = not self._faulty_at.intersection(range(at - 60, at + latest))
                assert not was_well or (job, wall) in self.starts, f"nobody ran {fire}"
        for name, starts in self.starts.items():
            fire = fires[name]
            is_own = any(start.run == fire.run for start in starts)  # not that of another node, taken over
            assert fire.state not in {"skipped", "missed"} or not is_own, f"{fire} was started: {starts}"
        for name, fire in fires.items():
            if fire.state in ENDS - {State.LOST, State.UNKNOWN}:
                assert name in self.starts, f"{fire} was not started"
        for node in self.nodes:
            if node not in dead:
                self._judge_ledger(node, fires)

    def _judge_ledger(self, node: ModelNode, fires: dict[tuple[str, int], Fire]) -> None:
        assert not self._untold(node), f"{node.name} has something to tell"
        assert node.cluster is not None
        assert not node.cluster.claims
        rows = node.ledger.file.db.execute(
            "SELECT of.job, of.wall, of.run, runs.state, runs.reason_code FROM cluster_fires AS of"
            " JOIN runs USING (key, wall, fold)"
            " ORDER BY runs.state IN ('skipped', 'missed') DESC, runs.attempt"
        ).fetchall()
        verdicts = {(job, wall): (run, state, reason) for job, wall, run, state, reason in rows}
        for name, (run, state, reason) in verdicts.items():
            assert state not in OPEN, f"{node.name}: {name} is {state}"
            if name not in fires and name[1] * MINUTE > node.until:
                continue  # its clock was wrong, and the minute has not come yet
            fire = fires[name]
            if fire.run == run:
                # A run closed as lost after a failover has lost its end stays lost.
                is_forgotten = run in self._forgotten and fire.state == "lost"
                is_left = reason == "elsewhere"
                assert is_left or is_forgotten or fire.state == state, (
                    f"{node.name}: {name} is {state}, the row {fire}"
                )
            elif state not in {"skipped", "missed"}:
                assert name[0].removeprefix("me/") in AT_LEAST_ONCE, f"{node.name} ran {name}: {fire}"


def _exclude(one: Start, other: Start) -> bool:
    """Return whether two runs may not run at the same time, whatever their fires and nodes."""
    names = one.key.removeprefix("me/"), other.key.removeprefix("me/")
    return set(names) <= {"lock", "locked", "each"} or (
        names[0] == names[1] and names[0] in {"skip", "queue", "again"}
    )
