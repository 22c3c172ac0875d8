"""Requests about fires, in batches, and reports of runs, repeated until the database acknowledges them."""

import math
from collections.abc import Callable, Sequence

from pycrond import clock
from pycrond.cluster.agent_link import AgentLink
from pycrond.cluster.fire import SharedFire  # noqa: TC001
from pycrond.cluster.protocol import (
    Answer,
    Ask,
    Claim,
    Close,
    Confirm,
    Open,
    Report,
    Row,
    TakeOver,
    Tell,
    batches,
)
from pycrond.jobs.run import ENDS, NOT_STARTED, OPEN, Reason, State
from pycrond.ledger.cluster import ClusterTable, OpenFire
from pycrond.output.daemon_log import DaemonLog

MAX_UNACKNOWLEDGED = 500  # reports
WITHDRAWN_AFTER = 20.0  # seconds after its time; a fire that still has no run was withdrawn
FINAL = ENDS | NOT_STARTED
LEFT = {Reason.ELSEWHERE, Reason.CLOCK_STEP}
"""If the clock of this node shows a minute twice, it is decided once, perhaps by another node."""
MISSED = (State.MISSED, Reason.DAEMON_DOWN)


class Outbox:
    """Collects the requests of a turn of the loop, and sends them."""

    def __init__(self, link: AgentLink, table: ClusterTable, log: DaemonLog, copied_output: int) -> None:
        """`copied_output` is the number of last bytes of each run's output that are copied."""
        self._link = link
        self._table = table
        self._log = log
        self._copied_output = copied_output
        self.claims: list[Claim] = []
        self.takeovers: list[SharedFire] = []
        self.confirmed: list[SharedFire] = []
        self.closed: list[tuple[SharedFire, str]] = []
        """Fires that this node may not claim, each with the reason."""
        self.has_changed = True
        """True if some runs may have to be reported."""
        self.is_held: Callable[[str], bool] = lambda _run: False
        """Returns whether the fire with a UUID is not decided yet; set by `SharedFires`."""
        self._sent_states: dict[str, str] = {}  # not acknowledged, by UUID

    @property
    def unacknowledged(self) -> int:
        """The number of reports that the database has not acknowledged."""
        return len(self._sent_states)

    def send(self, now: float, median: float | None, skew: float) -> None:
        """Send the collected requests, and report the runs whose states have changed.

        `median` is the median time of all nodes' clocks. No fire is closed while it is None (not known): a
        node whose clock is ahead would close fires that are not due for the others. Without a connection,
        questions are kept here, and dropped with their fires, because an outage may take hours.
        """
        latest = -math.inf if median is None else median
        if self._link.is_connected:
            self._ask(now, latest, skew)
            self._send_takeovers()
        self.claims = [claim for claim in self.claims if self.is_held(claim.run)]
        self.confirmed = [fire for fire in self.confirmed if self.is_held(fire.claim.run)]
        self.closed = [pair for pair in self.closed if self.is_held(pair[0].claim.run)]
        if self.has_changed and self._link.is_connected and self._table.can_be_durable:
            self._send_reports(now, latest)

    def _ask(self, now: float, latest: float, skew: float) -> None:
        number = self._link.number
        claims = [*{claim.run: claim for claim in self.claims}.values()]
        for some in batches(claims):
            self._link.send(Ask(number(), skew, some))
        for fires in batches(self.confirmed):
            reports = tuple(_report(fire.claim, State.RUNNING, started=now) for fire in fires)
            self._link.send(Confirm(number(), reports))
        due = [pair for pair in self.closed if pair[0].may_be_closed(latest)]
        for closings in batches(due):
            rows = tuple(_report(fire.claim, State.SKIPPED, reason) for fire, reason in closings)
            self._link.send(Close(number(), rows))
        self.claims, self.confirmed = [], []
        self.closed = [pair for pair in self.closed if pair not in due]

    def _send_takeovers(self) -> None:
        takeovers, self.takeovers = self.takeovers, []
        by_node: dict[tuple[str, str], list[tuple[Claim, str]]] = {}
        for fire in takeovers:
            if earlier := fire.earlier_run:
                pair = (fire.claim, earlier.run)
                by_node.setdefault((earlier.ledger, earlier.token), []).append(pair)
        for (ledger, token), pairs in by_node.items():
            for some in batches(pairs):
                self._link.send(TakeOver(self._link.number(), ledger, token, some))

    # Reports of runs

    def connected(self) -> None:
        """Repeat the reports of the last connection, and ask for this node's open rows: after a failover the
        database may have lost rows that it had acknowledged.
        """
        for request in [*self._link.pending.values()]:
            if isinstance(request, Open):
                self._link.forget(request.number)
        self._link.send(Open(self._link.number()))
        self.has_changed = True

    def _send_reports(self, now: float, latest: float) -> None:
        self.has_changed = False
        reports: list[Report] = []
        left: list[str] = []
        for fire in self._table.open_fires(now - WITHDRAWN_AFTER):
            if len(self._sent_states) >= MAX_UNACKNOWLEDGED:
                break  # an answer continues
            report = None if self.is_held(fire.run) else self._state_of(fire, left)
            if report and report.state in NOT_STARTED and report.fire > latest:
                continue  # it was decided with a clock that is ahead
            if report and self._sent_states.get(fire.run) != report.state:
                self._sent_states[fire.run] = report.state
                reports.append(report)
        self._table.close(left)
        for some in batches(reports):
            self._link.send(Tell(self._link.number(), some))

    def _state_of(self, fire: OpenFire, left: list[str]) -> Report | None:
        """Return the report of a fire; None if there is nothing to report yet.

        If this node has left a fire to others (it was withdrawn, or no daemon ran), it reports the fire only
        if it has a row in the database already; else the UUID is added to `left`.
        """
        state, reason = fire.state or State.SKIPPED, fire.reason or ""
        is_left = fire.state is None or reason in LEFT
        if is_left:
            state, reason = MISSED if fire.state else (State.SKIPPED, Reason.REMOVED)
        elif state in OPEN:
            state = State.RUNNING if state == State.RUNNING or (fire.attempt or 1) > 1 else State.CLAIMED
        if state in FINAL and (state == fire.acknowledged or (is_left and not fire.acknowledged)):
            left.append(fire.run)
        if state in {State.CLAIMED, fire.acknowledged} or (is_left and not fire.acknowledged):
            return None
        is_copied = state in ENDS and self._copied_output
        return Report(
            *(fire.job, fire.wall, fire.fold, fire.run, fire.fire, state, reason),
            *(fire.started, fire.ended, fire.status, fire.number, self._copied_output if is_copied else 0),
        )

    def has_row(self, run: str, state: str) -> None:
        """Note that the database has a fire of this node in this state, even if the fire was withdrawn."""
        self._table.reopen([(run, state)])
        self.has_changed = True

    def answered(self, answer: Answer, request: object) -> None:
        """Handle the answer to a Tell or an Open."""
        match request:
            case Tell(rows=reports):
                rows = {row[:3]: row for row in answer.rows}
                states = [self._acknowledged(report, rows.get(report[:3])) for report in reports]
                self._table.acknowledge(filter(None, states))
                self.has_changed = True
            case Open():
                self._check(answer.rows)

    def _acknowledged(self, report: Report, row: Row | None) -> tuple[str, str, bool] | None:
        """Return the UUID, the reported state, and whether it is final; None: repeat the report."""
        self._sent_states.pop(report.run, None)
        if row is None:
            return None
        is_final = report.state in FINAL
        if row.run != report.run:
            if report.state not in NOT_STARTED:
                detail = f"{report.job}: {row.node} has the fire of run {report.number} too ({row.state})"
                self._log.write("CLUSTER", detail, clock.now(), level="warning")
            is_final = True
        return report.run, report.state, is_final

    def _check(self, rows: Sequence[Row]) -> None:
        """Compare this ledger's open rows in the database with the ledger. Both may have lost rows: the
        database in a failover, the ledger when its file was replaced.
        """
        known = [row for row in rows if self._is_known(row)]
        self._table.reopen((row.run, row.state) for row in known)
        claims = [
            Claim(row.job, row.wall, row.fold, row.run, row.fire, 0.0) for row in rows if row not in known
        ]
        unknown = [_report(claim, State.UNKNOWN, Reason.DAEMON_DOWN) for claim in claims]
        for some in batches(unknown):
            self._link.send(Tell(self._link.number(), some))

    def _is_known(self, row: Row) -> bool:
        """Return whether this node has a row's run, or will take over its fire."""
        if self._table.is_known(row.run):
            return True
        taker = self._table.taker_of(row.run)
        if taker and self.is_held(taker):
            return True
        return self._table.adopt(row.job, row.wall, row.fold, row.fire, row.run, row.state)


def _report(claim: Claim, state: str, reason: str = "", *, started: float | None = None) -> Report:
    return Report(claim.job, claim.wall, claim.fold, claim.run, claim.fire, state, reason, started)
