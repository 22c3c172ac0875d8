"""The judgement after an attack: the jobs' tallies against the database, the ledgers and the promises."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from tests.chaos_cluster import tally
from tests.chaos_cluster.driver import Attack
from tests.chaos_cluster.kinds import KINDS, Kind
from tests.chaos_cluster.node import Disturbance, Node
from tests.chaos_cluster.tally import Run

CERTAINLY_STARTED = {"succeeded", "failed"}
PERHAPS_STARTED = CERTAINLY_STARTED | {"timed-out", "killed", "lost", "unknown"}
LOCK_SILENCE = 55.0  # seconds of silence, after which a lock is given away; a little less than promised
MAX_LATE = 1.0  # seconds
TURN = 155.0  # seconds: more than a clock is turned by, and the minute in which that ends
STOPPING = {
    *("kill_daemon", "kill_both", "power_off", "power_off_without_jobs", "restart", "stop"),
    *("freeze", "freeze_all", "freeze_daemon"),
}
"""The faults of a node after which its daemon starts nothing for some time."""
ROWS = """
    SELECT job, wall, run::text, node, state, reason, ended IS NOT NULL, number FROM pycrond.claims
    WHERE wall BETWEEN %s AND %s
"""


class Row(NamedTuple):
    """A fire's row in the database."""

    job: str
    wall: int
    run: str
    node: str
    state: str
    reason: str
    is_over: bool
    number: int


Fire = tuple[str, int]
"""A job and the minute of its fire."""


class Judgement:
    """What was promised, and what happened."""

    def __init__(self, attack: Attack, max_late: float | None = MAX_LATE) -> None:
        """`max_late`: seconds that a job of each node may be later than the control's; None: any."""
        self.attack = attack
        self._max_late = max_late
        places = [*attack.nodes, attack.control]
        self.runs = tally.read((node.name, node.tally) for node in places)
        self._walls = range(attack.first, attack.last + 1)
        rows = attack.servers.execute(ROWS, attack.first, attack.last)
        self.rows = {
            (row.job, row.wall): row
            for row in (Row(fields[0].partition("/")[2], *fields[1:]) for fields in rows)
        }
        self.by_fire: dict[Fire, list[Run]] = defaultdict(list)
        for run in self.runs:
            if run.wall in self._walls and not _kind_of(run.job).is_every:
                self.by_fire[run.job, run.wall].append(run)
        self._by_node = {node.name: node for node in places}

    @property
    def verdicts(self) -> Counter[str]:
        """How often each verdict was given."""
        return self.verdicts_of("")

    def verdicts_of(self, option: str) -> Counter[str]:
        """How often each verdict was given to fires of jobs with this in their options."""
        rows = (row for row in self.rows.values() if option in _kind_of(row.job).options)
        return Counter(f"{row.state} {row.reason}".strip() for row in rows)

    def problems(self) -> Iterator[str]:
        """Yield a line for each broken promise."""
        yield from self._unjudged()
        yield from self._doubled()
        yield from self._contradictions()
        yield from self._held_twice()
        yield from self._on_each_node()
        yield from self._audits()

    def _unjudged(self) -> Iterator[str]:
        """Each fire has a row, which is final."""
        for job, kind in self.attack.jobs.items():
            if not KINDS[kind].is_every:
                for wall in self._walls:
                    row = self.rows.get((job, wall))
                    if row is None:
                        yield f"no verdict: {job} {wall} started {_places(self.by_fire[job, wall])}"
                    elif not row.is_over:
                        yield f"not final: {row}"

    def _doubled(self) -> Iterator[str]:
        """No fire starts twice, unless its job allows it. Retries are other attempts of the same node."""
        for (job, wall), runs in self.by_fire.items():
            if _kind_of(job).may_repeat:
                continue
            if len({run.node for run in runs}) > 1 or len({run.attempt for run in runs}) < len(runs):
                row = self.rows.get((job, wall))
                yield f"started twice: {job} {wall} {_places(runs)}, {row}"

    def _contradictions(self) -> Iterator[str]:
        """A verdict says what the tally says."""
        for fire, row in self.rows.items():
            runs = self.by_fire.get(fire, [])
            where = {run.node for run in runs}
            if row.state in CERTAINLY_STARTED and row.node not in where:
                yield f"did not start there: {row}, started {_places(runs)}"
            elif runs and row.state not in PERHAPS_STARTED and not _kind_of(row.job).may_repeat:
                yield f"started in spite of its verdict: {row}, {_places(runs)}"
            elif runs and row.node not in where and not _kind_of(row.job).may_repeat:
                yield f"started elsewhere: {row}, {_places(runs)}"
        for fire, runs in self.by_fire.items():
            if fire not in self.rows:
                yield f"started without a row: {fire}, {_places(runs)}"

    def _held_twice(self) -> Iterator[str]:
        """No two runs hold a lock at once, unless the first one's node is silent for long."""
        by_lock: dict[str, list[Run]] = defaultdict(list)
        for run in self.runs:
            if (lock := _kind_of(run.job).lock(run.job)) and run.node != self.attack.control.name:
                by_lock[lock].append(run)
        for lock, runs in by_lock.items():
            for index, first in enumerate(runs):
                end = self._end_of(first)
                for second in runs[index + 1 : index + 4]:
                    if second.start < end - 0.02 and not self._was_silent(first.node, second.start):
                        yield f"{lock} held twice, {end - second.start:.2f} s: {first}, {second}"

    def _end_of(self, run: Run) -> float:
        if run.end is not None:
            return run.end
        ends = [
            fault.begin
            for fault in self._by_node[run.node].disturbances
            if fault.fault in {"power_off", "stop"} and fault.end > run.start
        ]
        return min([run.start + KINDS[self.attack.jobs[run.job]].seconds, *ends])

    def _was_silent(self, node: str, at: float) -> bool:
        """Return whether faults of the node have lasted for long at a time."""
        begin = at
        for fault in reversed(self._by_node[node].disturbances):
            if fault.begin < begin and fault.end > begin - 10:
                begin = fault.begin
        return at - begin >= LOCK_SILENCE

    def _on_each_node(self) -> Iterator[str]:
        """A job of each node starts on each that lives, whatever the database and the network do."""
        starts: dict[tuple[str, int], list[Run]] = defaultdict(list)
        for run in self.runs:
            if _kind_of(run.job).is_every:
                starts[run.node, run.wall].append(run)
        for wall in self._walls:
            own = max((run.late for run in starts[self.attack.control.name, wall]), default=0.0)
            for node in self._with_right_clocks(wall):
                runs = starts[node.name, wall]
                counts = Counter(run.job for run in runs)
                if counts.total() > len(counts):
                    yield f"started twice on {node.name}: {counts.most_common(3)} {wall}"
                if is_quiet(node.disturbances, wall * 60.0, STOPPING):
                    yield from self._missing_on(node, counts, wall)
                    late = max((run.late for run in runs), default=0.0)
                    if self._max_late is not None and late > own + self._max_late:
                        yield f"late on {node.name}: {late:.2f} s, {wall}; without a cluster {own:.2f} s"

    def _with_right_clocks(self, wall: int) -> list[Node]:
        """The nodes whose clocks show this minute once: set back to it, they start its jobs again, like cron."""
        return [
            node
            for node in self.attack.nodes
            if is_quiet(node.disturbances, wall * 60.0, {"turn_clock"}, before=TURN, after=TURN)
        ]

    def _missing_on(self, node: Node, started: Counter[str], wall: int) -> Iterator[str]:
        every = {job for job, kind in self.attack.jobs.items() if KINDS[kind].is_every}
        if missing := every - started.keys():
            yield f"not started on {node.name}: {sorted(missing)} {wall}"

    def _audits(self) -> Iterator[str]:
        for node in [*self.attack.living, self.attack.control]:
            yield from _audit(node)
            if node is not self.attack.control:
                yield from _audit(node, "--cluster")


def _audit(node: Node, *options: str) -> Iterator[str]:
    done = node.crond.run("audit", *options, status=None)
    if done.returncode:
        yield f"audit {' '.join(options)} on {node.name}: {done.returncode} {done.stdout[-600:]}{done.stderr}"


def is_quiet(
    disturbances: list[Disturbance],
    at: float,
    faults: set[str] | None = None,
    *,
    before: float = 20.0,
    after: float = 5.0,
) -> bool:
    """Return whether none of the faults (None: of any) was near a time."""
    return not any(
        (faults is None or fault.fault in faults) and fault.begin - after <= at <= fault.end + before
        for fault in disturbances
    )


def _kind_of(job: str) -> Kind:
    return KINDS[job.rstrip("0123456789")]


def _places(runs: list[Run]) -> str:
    return ", ".join(f"{run.node} attempt {run.attempt} at +{run.late:.2f} s" for run in runs) or "nowhere"
