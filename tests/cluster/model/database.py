"""The rules of the cluster's database, without a database: rows, locks and nodes, changed by whole requests."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

from pycrond.cluster.protocol import (
    Abandoned,
    Answer,
    Ask,
    Beat,
    Bury,
    Claim,
    Close,
    Confirm,
    LastFires,
    NodeRow,
    Nodes,
    Open,
    Report,
    Request,
    Row,
    TakeOver,
    Tell,
)

WAITS = ("claimed", "waiting")
OPEN = (*WAITS, "running")
NOT_STARTED = ("skipped", "missed")
Key = tuple[int, int, str]
"""The wall minute, the fold and the job."""


@dataclass
class Fire:
    """A row of `claims`."""

    job: str
    wall: int
    fold: int
    fire: float
    run: str
    node: str
    ledger: str
    state: str
    rerun: bool = False
    reason: str = ""

    @property
    def is_over(self) -> bool:
        return self.state not in OPEN

    @property
    def row(self) -> Row:
        names = self.job, self.wall, self.fold, self.run, self.node
        return Row(*names, self.state, self.reason, self.is_over, self.fire)


class Sender(NamedTuple):
    """The node that sends a request, and the seconds by which its clock is ahead."""

    node: str
    ledger: str
    connection: int = 1
    offset: float = 0.0


def key_of(row: Claim | Report | Fire) -> Key:
    return row.wall, row.fold, row.job


def runs(rows: Iterable[Claim | Report]) -> set[str]:
    return {row.run for row in rows}


class ModelDatabase:
    """The rows of the database, and the effect of each request on them."""

    def __init__(self) -> None:
        self.fires: dict[Key, Fire] = {}
        self.locks: dict[str, tuple[str, str]] = {}
        """The run and the ledger that hold each lock."""
        self.nodes: dict[str, NodeRow] = {}
        self.beats: dict[str, float] = {}
        """The time of each node's last heartbeat."""
        self._tokens = count(1)

    def execute(self, request: Request, sender: Sender, now: float) -> Answer | Nodes:
        """Carry a request out, and return its answer."""
        if isinstance(request, Beat):
            return self._beat(request, sender, now)
        self._change(request, sender, now)
        return Answer(request.number, tuple(self._rows(request, sender)))

    def _change(self, request: Request, sender: Sender, now: float) -> None:
        match request:
            case Ask():
                self._ask(request, sender, now)
            case Confirm(runs=reports):
                self._confirm(reports)
            case TakeOver():
                self._take_over(request, sender)
            case Bury():
                self._bury(request)
            case Close(rows=reports):
                self._close(reports, sender)
            case Tell(rows=reports):
                for report in reports:
                    self._tell(report, sender)

    def _rows(self, request: Request, sender: Sender) -> list[Row]:
        match request:
            case Ask(claims=asked) | Close(rows=asked) | Tell(rows=asked):
                return self._read(asked)
            case Confirm(runs=reports):
                return [
                    row for row in self._read(reports) if row.state == "running" and row.run in runs(reports)
                ]
            case TakeOver(fires=pairs):
                claims = tuple(claim for claim, _ in pairs)
                return [row for row in self._read(claims) if not row.is_over and row.run in runs(claims)]
            case Abandoned() | Open():
                is_own = isinstance(request, Open)
                ledger = sender.ledger if isinstance(request, Open) else request.ledger
                held = {run for run, _ in self.locks.values()}
                if isinstance(request, Abandoned) and request.with_locks:
                    held = set()
                return [
                    fire.row
                    for fire in self._open_of(ledger)
                    if is_own or (fire.rerun and fire.run not in held)
                ]
            case LastFires(jobs=jobs):
                newest = {fire.job: fire for fire in sorted(self.fires.values(), key=key_of)}
                return [newest[job].row for job in jobs if job in newest]
        return []

    def _open_of(self, ledger: str) -> list[Fire]:
        return [fire for fire in self.fires.values() if fire.ledger == ledger and not fire.is_over]

    def _confirm(self, reports: tuple[Report, ...]) -> None:
        for report in reports:
            fire = self.fires.get(key_of(report))
            if fire and fire.run == report.run and fire.state in {"claimed", "running"}:
                fire.state = "running"

    def _read(self, asked: tuple[Claim, ...] | tuple[Report, ...]) -> list[Row]:
        return [self.fires[key].row for row in asked if (key := key_of(row)) in self.fires]

    def _beat(self, request: Beat, sender: Sender, now: float) -> Nodes:
        node = self.nodes.get(sender.node)
        token, offset = f"token-{next(self._tokens)}", round(1000 * sender.offset)
        node = node or NodeRow(sender.node, sender.ledger, "", False, (), "1", None, "")
        self.nodes[sender.node] = node._replace(ledger=sender.ledger, token=token, offset_ms=offset)
        self.beats[sender.node] = now
        return Nodes(request.number, sender.connection, offset, tuple(self.nodes.values()))

    def _ask(self, request: Ask, sender: Sender, now: float) -> None:
        claims = sorted(request.claims, key=key_of)
        for claim in claims:
            late = now + request.skew - claim.fire
            if key_of(claim) not in self.fires and -3 <= late <= claim.within:
                names = claim.job, claim.wall, claim.fold, claim.fire, claim.run
                self.fires[key_of(claim)] = Fire(*names, *sender[:2], "claimed", claim.rerun)
        own = [
            (claim, fire)
            for claim in claims
            if (fire := self.fires.get(key_of(claim))) and fire.run == claim.run and fire.state in WAITS
        ]
        wanted = sorted((lock, *key_of(claim), claim.run) for claim, _ in own for lock in claim.locks)
        for lock, _, _, _, run in wanted:
            self.locks.setdefault(lock, (run, sender.ledger))
        for claim, fire in own:
            missing = [lock for lock in claim.locks if self.locks[lock][0] != claim.run]
            if missing:
                is_overlap = any(lock.startswith("overlap:") for lock in missing)
                fire.state = "waiting" if claim.waits else "skipped"
                fire.reason = "overlap" if is_overlap else "lock"
                self._unlock(claim.run)
            elif claim.locks:
                fire.state, fire.reason = "claimed", ""

    def _unlock(self, run: str) -> None:
        self.locks = {name: holder for name, holder in self.locks.items() if holder[0] != run}

    def _is_dead(self, ledger: str, token: str, sender: Sender | None = None) -> bool:
        return bool(sender and sender.ledger == ledger) or any(
            (node.ledger, node.token) == (ledger, token) for node in self.nodes.values()
        )

    def _take_over(self, request: TakeOver, sender: Sender) -> None:
        if not self._is_dead(request.ledger, request.token, sender):
            return
        for claim, old in sorted(request.fires, key=lambda pair: key_of(pair[0])):
            fire = self.fires.get(key_of(claim))
            is_old = fire and (fire.run, fire.ledger) == (old, request.ledger)
            if fire is None or not is_old or fire.is_over or not fire.rerun:
                continue
            fire.run, fire.node, fire.ledger = claim.run, *sender[:2]
            fire.state = "waiting" if fire.state == "waiting" else "claimed"
            for name, (run, _) in self.locks.items():
                if run == old:
                    self.locks[name] = claim.run, sender.ledger

    def _bury(self, request: Bury) -> None:
        if not self._is_dead(request.ledger, request.token):
            return
        for fire in self.fires.values():
            is_left = fire.ledger == request.ledger and not fire.is_over
            if is_left and (request.all_of_them or not fire.rerun):
                fire.state = "lost"
        held = {fire.run for fire in self.fires.values() if not fire.is_over}
        self.locks = {
            name: (run, ledger)
            for name, (run, ledger) in self.locks.items()
            if ledger != request.ledger or run in held
        }

    def _close(self, reports: tuple[Report, ...], sender: Sender) -> None:
        for report in sorted(reports, key=key_of):
            fire = self.fires.get(key_of(report))
            if fire is None:
                self._insert(report, sender)
            elif fire.run == report.run and not fire.is_over:
                fire.state, fire.reason = report.state, report.reason
                self._unlock(fire.run)

    def _insert(self, report: Report, sender: Sender) -> None:
        names = report.job, report.wall, report.fold, report.fire, report.run
        fire = Fire(*names, *sender[:2], report.state, reason=report.reason)
        self.fires[key_of(report)] = fire

    def _tell(self, report: Report, sender: Sender) -> None:
        fire = self.fires.get(key_of(report))
        was_started = report.state not in (*WAITS, *NOT_STARTED)
        if fire is None or (fire.run != report.run and fire.state in NOT_STARTED and was_started):
            self._insert(report, sender)
        elif fire.run == report.run and (
            not fire.is_over or report.state not in OPEN or fire.state == "lost"
        ):
            fire.state, fire.reason = report.state, report.reason
        fire = self.fires[key_of(report)]
        if fire.run == report.run and fire.is_over:
            self._unlock(fire.run)

    def drain(self, node: str, *, is_draining: bool) -> None:
        if node in self.nodes:
            self.nodes[node] = self.nodes[node]._replace(is_draining=is_draining)

    def set_labels(self, node: str, labels: tuple[str, ...]) -> None:
        empty = NodeRow(node, "", "", False, (), "1", None, "")
        self.nodes[node] = self.nodes.get(node, empty)._replace(labels=labels)
