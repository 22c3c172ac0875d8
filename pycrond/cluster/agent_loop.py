"""The agent's loop: joins its states, its connection and the daemon's socket.

It waits in one place, only for the socket, the connection and its deadlines.
"""

import random
import select
from typing import Protocol

import psycopg

from pycrond import clock
from pycrond.cluster import node_statements, statements
from pycrond.cluster.agent_socket import AgentSocket
from pycrond.cluster.agent_state import Agent, Connect, Disconnect, Greet, Retire, Send, State, Work
from pycrond.cluster.database import Committed, Connection, Failed
from pycrond.cluster.database_hosts import Hosts, Parameters, conninfo_of, name_of
from pycrond.cluster.dns_lookup import Lookup
from pycrond.cluster.node_identity import Identity
from pycrond.cluster.output_copy import PIECE_SIZE, Copy
from pycrond.cluster.protocol import Answer, Beat, NodeRow, Nodes, Ping, Registered, Report, Row, Status, Tell
from pycrond.cluster.registration import Registration, Timeline
from pycrond.errors import PycrondError


class Watched(Protocol):
    """A descriptor that the loop waits for."""

    def fileno(self) -> int: ...

    @property
    def events(self) -> int: ...


class AgentLoop:
    """Carries out the actions of the agent's states, and transfers messages."""

    def __init__(
        self, daemon: AgentSocket, hosts: Hosts, identity: Identity, spool: str, timeline: Timeline
    ) -> None:
        self._daemon = daemon
        self._hosts = hosts
        self._identity = identity
        self._node = statements.Node(identity.name, identity.ledger)
        self._spool = spool
        self._timeline = timeline
        self._agent = Agent(random.random, clock.elapsed())
        self._lookup = Lookup()
        self._host: Parameters = {}  # the host that is being tried, or is connected
        self._connection: Connection | None = None
        self._connections = 0  # counts them, for the daemon
        self._registration = Registration(identity)
        self._sent: Work | None = None  # the request whose transaction was sent
        self._sent_at = 0.0  # by the wall clock
        self._offset = 0.0  # seconds by which this machine's clock is ahead of the server's
        self._nodes = 1  # the number of nodes in the cluster
        self._reported = Status("")
        self._reasons: list[str] = []  # the errors of the hosts that were tried one after the other

    def run(self) -> None:
        """Run until the daemon closes the socket."""
        with self._daemon:
            while self._receive_requests():
                self._act()
                self._report()
                if self._wait():
                    self._receive()
        self._lookup.close()
        if self._connection:
            self._connection.close()

    def _wait(self) -> bool:
        """Wait for the next event or deadline; return whether the connection or the look-up is ready."""
        poll = select.poll()
        watched: list[Watched] = [
            self._daemon,
            self._lookup,
            *([self._connection] if self._connection else []),
        ]
        for source in watched:
            poll.register(source, source.events)
        deadline = self._agent.deadline()
        timeout = None if deadline is None else max(0.0, deadline - clock.elapsed()) * 1000 + 1
        ready = dict(poll.poll(timeout))
        return any(source.fileno() in ready for source in watched[1:])

    # The daemon

    def _receive_requests(self) -> bool:
        messages = self._daemon.receive()
        if messages is None:
            return False
        self._daemon.flush()
        for message in messages:
            if isinstance(message, Ping):
                self._daemon.send(self._reported if self._reported.state else self._agent.status())
            elif not isinstance(message, Answer | Nodes | Registered | Status):
                self._agent.receive(message)
        return True

    def _report(self) -> None:
        """Report a new state to the daemon. A request in progress is not a new state, nor is another attempt
        to connect or to get the name.
        """
        status = self._agent.status()
        if status.state == State.ASKING:
            status = status._replace(state=State.IDLE)
        has_failed = self._reported.state in {State.DOWN, State.FENCED} and self._reported.detail
        is_trying = has_failed and status.state in {State.CONNECTING, State.REGISTERING}
        if status != self._reported and not is_trying:
            self._reported = status
            self._daemon.send(status)

    # The database

    def _act(self) -> None:
        """Carry out all actions that are due."""
        now = clock.elapsed()
        while (action := self._agent.next_action(now)) is not None:
            try:
                match action:
                    case Connect():
                        self._connect()
                    case Disconnect():
                        self._lose("the server does not accept the connection in time", now)
                    case Greet():
                        self._send(self._registration.statements())
                    case Retire():
                        self._send(node_statements.retire(), is_durable=False)
                    case Send():
                        self._send_request(action)
            except psycopg.Error as error:
                self._lose(str(error), now)

    def _connect(self) -> None:
        self._host = self._hosts.next()
        if name := name_of(self._host):
            self._lookup.begin(name)
        else:
            self._connection = Connection(conninfo_of(self._host, []))

    def _send_request(self, action: Send) -> None:
        request = self._sent = action.request
        match request:
            case Beat():
                offset = round(self._offset * 1000)
                beat = node_statements.beat(
                    self._identity, self._identity.new_token(), offset, request.digest
                )
                self._send(beat, is_durable=False)
            case Copy():
                piece = (request.runs[0].run, str(request.piece), request.data[:PIECE_SIZE])
                self._send((statements.Statement(node_statements.ADD_PIECE, piece),))
            case _:
                self._send(statements.statements(request, self._node, again=action.is_repeated))

    def _send(self, parts: tuple[statements.Statement, ...], *, is_durable: bool = True) -> None:
        if self._connection is None:
            raise psycopg.OperationalError("there is no connection")
        self._sent_at = clock.now().timestamp()
        self._connection.send(parts, is_durable=is_durable)

    def _receive(self) -> None:
        """Read the server's replies."""
        now = clock.elapsed()
        try:
            is_waiting = self._connection is None and self._agent.state == State.CONNECTING
            if addresses := self._lookup.result(name_of(self._host) if is_waiting else ""):
                self._connection = Connection(conninfo_of(self._host, addresses, self._hosts.rounds))
                return
            if self._connection is None:
                return
            if not self._connection.is_connected:
                if self._connection.connect():
                    self._begin(now)
                return
            if (outcome := self._connection.receive()) is not None:
                self._handle_outcome(outcome, now)
        except (psycopg.Error, PycrondError) as error:
            self._lose(str(error), now)

    def _begin(self, now: float) -> None:
        self._connections += 1
        self._identity.disconnected()
        self._registration = Registration(self._identity)
        self._agent.connected(now)

    def _lose(self, reason: str, now: float) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None
        self._sent = None
        self._reasons.append(" ".join(reason.split()))
        self._agent.lost(now, "; ".join(self._reasons), has_other_host=self._hosts.has_untried)
        if not self._hosts.has_untried:
            self._reasons = []

    def _handle_outcome(self, outcome: Committed | Failed, now: float) -> None:
        request, self._sent = self._sent, None
        if isinstance(outcome, Failed):
            if self._agent.is_registering or outcome.is_read_only:
                raise PycrondError(outcome.reason)
            self._agent.unanswered(now, outcome.reason)
        elif self._agent.is_registering:
            self._handle_registration(outcome, now)
        else:
            timeline = self._timeline._replace(number=outcome.timeline)
            self._timeline.require(timeline)
            self._handle_results(request, outcome, now)
            if timeline != self._timeline:
                self._register_again(now, "the server has changed")

    def _handle_registration(self, committed: Committed, now: float) -> None:
        is_over = self._registration.read(committed, now)
        if (server_clock := self._registration.take_clock()) is not None:
            self._offset = (self._sent_at + clock.now().timestamp()) / 2 - server_clock
        if self._registration.system:
            timeline = Timeline(self._registration.system, committed.timeline)
            self._timeline.require(timeline)
            self._timeline = timeline
        if self._registration.blocked:
            self._agent.fenced(now, self._registration.blocked.who)
            self._registration = Registration(self._identity)
            return
        self._agent.registered(now, is_over=is_over)
        if is_over:
            self._hosts.succeeded()
            self._reasons = []
            cluster = self._registration.cluster
            self._report()
            self._daemon.send(Registered(self._connections, *cluster, str(self._timeline)))

    def _register_again(self, now: float, reason: str) -> None:
        self._connections += 1
        self._registration = Registration(self._identity)
        self._agent.unnamed(now, reason)

    def _handle_results(self, request: Work | None, committed: Committed, now: float) -> None:
        """Answer a request with the results of its transaction."""
        results = committed.results
        match request:
            case None:
                is_over = results[0][0] < node_statements.DELETED_AT_ONCE
                self._agent.retired(now, self._nodes, is_over=is_over)
            case Beat() if not results[0]:
                self._register_again(now, "another agent has the node's name")
            case Beat():
                self._agent.answered(now)
                self._answer_beats(request, committed)
            case Copy():
                self._agent.answered(now)
                self._copy(request.following())
            case _:
                rows = statements.answer(request, results)
                if rows is None:
                    self._agent.unanswered(now, "", at_once=True)
                    return
                self._agent.answered(now)
                if isinstance(request, Tell) and (copied := _copied(request, rows)):
                    self._copy(Copy(copied, Answer(request.number, rows)))
                else:
                    self._daemon.answer(request.number, rows)

    def _answer_beats(self, request: Beat, committed: Committed) -> None:
        _, nodes, server_clock = committed.results
        self._offset = (self._sent_at + clock.now().timestamp()) / 2 - server_clock[0]
        rows = tuple(NodeRow(*node) for node in nodes)
        self._nodes = len(rows)
        for number in (request.number, *self._agent.answered_beats()):
            offset = round(self._offset * 1000)
            self._daemon.send(Nodes(number, self._connections, offset, rows))

    def _copy(self, copy: Copy) -> None:
        """Copy the rest of the runs' output, then answer the request that reported the runs."""
        if left := copy.read(self._spool):
            self._agent.receive(left)
        else:
            self._daemon.answer(copy.answer.number, copy.answer.rows)


def _copied(request: Tell, rows: tuple[Row, ...]) -> tuple[Report, ...]:
    """Return the runs whose output is copied: ended runs that own their rows."""
    over = {row.run for row in rows if row.is_over}
    return tuple(run for run in request.rows if run.copied_output > 0 and run.run in over)
