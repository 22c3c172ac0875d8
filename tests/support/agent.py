"""Real agents of a cluster, with a test in place of the daemon."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from pycrond.cluster.agent_loop import AgentLoop
from pycrond.cluster.agent_socket import AgentSocket
from pycrond.cluster.database_hosts import Hosts
from pycrond.cluster.node_identity import Identity
from pycrond.cluster.packets import decode, encode
from pycrond.cluster.protocol import (
    MAX_MESSAGE,
    Answer,
    Ask,
    Beat,
    Claim,
    Close,
    Confirm,
    Message,
    Nodes,
    Open,
    Registered,
    Report,
    Request,
    Row,
    Status,
    Tell,
)
from pycrond.cluster.registration import Timeline

WAIT = 60.0  # seconds


class Agent:
    """An agent, and the daemon's end of its socket. Its loop is in a thread; `AgentProcess` has the program."""

    def __init__(self, conninfo: str, name: str, ledger: str = "", **options: Any) -> None:
        self.name = name
        self.ledger = ledger or str(uuid4())
        self.received: list[Message] = []
        self._numbers = 0
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.begin(theirs, conninfo, options)

    def begin(self, theirs: socket.socket, conninfo: str, options: dict[str, Any]) -> None:
        identity = Identity(self.name, self.ledger, "host", options.get("labels", ()), "1.0")
        timeline = options.get("timeline", Timeline())
        self.loop = AgentLoop(
            *(AgentSocket(theirs.detach()), Hosts(conninfo, self.name), identity),
            *(options.get("spool", ""), timeline),
        )
        self._thread = threading.Thread(target=self.loop.run)
        self._thread.start()

    def end(self) -> None:
        self._socket.close()
        self._thread.join()

    # Requests

    def send(self, kind: Callable[..., Request], *fields: Any) -> int:
        """Send a request; return its number."""
        self._numbers += 1
        self._socket.send(encode(kind(self._numbers, *fields)))
        return self._numbers

    def request(self, kind: Callable[..., Request], *fields: Any) -> tuple[Row, ...]:
        """Send a request and wait for its answer."""
        return self.answer(self.send(kind, *fields))

    def ask(self, *claims: Claim, skew: float = 0.0) -> tuple[Row, ...]:
        return self.request(Ask, skew, claims)

    def confirm(self, *reports: Report) -> tuple[Row, ...]:
        return self.request(Confirm, reports)

    def tell(self, *reports: Report) -> tuple[Row, ...]:
        return self.request(Tell, reports)

    def close_fires(self, *reports: Report) -> tuple[Row, ...]:
        return self.request(Close, reports)

    def open(self) -> tuple[Row, ...]:
        return self.request(Open)

    def beat(self, digest: str = "") -> Nodes:
        number = self.send(Beat, digest)
        answer = self.wait_for(lambda message: isinstance(message, Nodes) and message.number == number)
        assert isinstance(answer, Nodes)
        return answer

    # Messages of the agent

    def registered(self) -> Registered:
        """Wait for a registration that no call has returned."""
        message = self.wait_for(lambda message: isinstance(message, Registered))
        assert isinstance(message, Registered)
        self.received.remove(message)
        return message

    def status(self, state: str) -> Status:
        """Wait for a state that no call has returned."""
        message = self.wait_for(lambda message: isinstance(message, Status) and message.state == state)
        assert isinstance(message, Status)
        self.received.remove(message)
        return message

    def answer(self, number: int) -> tuple[Row, ...]:
        """Wait for the answer to a request."""
        rows: list[Row] = []
        while True:
            message = self.wait_for(lambda message: isinstance(message, Answer) and message.number == number)
            assert isinstance(message, Answer)
            self.received.remove(message)
            rows += message.rows
            if not message.more:
                return tuple(rows)

    def has_answer(self, number: int) -> bool:
        """Return whether a request has been answered."""
        self._receive(0.0)
        return any(isinstance(message, Answer) and message.number == number for message in self.received)

    def states(self) -> list[str]:
        """Return the states that the agent has sent so far."""
        self._receive(0.0)
        return [message.state for message in self.received if isinstance(message, Status)]

    def wait_for(self, is_it: Callable[[Message], bool]) -> Message:
        deadline = time.monotonic() + WAIT
        while True:
            for message in self.received:
                if is_it(message):
                    return message
            assert time.monotonic() < deadline, self.received
            self._receive(deadline - time.monotonic())

    def _receive(self, timeout: float) -> None:
        self._socket.settimeout(timeout)
        try:
            packet = self._socket.recv(MAX_MESSAGE)
            assert packet, "the agent has ended"
            self.received.append(decode(packet))
        except (TimeoutError, BlockingIOError):
            pass


class AgentProcess(Agent):
    """The agent's program, as the daemon starts it."""

    def begin(self, theirs: socket.socket, conninfo: str, options: dict[str, Any]) -> None:
        reader, writer = os.pipe()
        os.write(writer, conninfo.encode())
        os.close(writer)
        arguments = {"node": self.name, "ledger": self.ledger, **options}
        with theirs:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-m", "pycrond.cluster.agent"),
                    *(f"--socket={theirs.fileno()}", f"--conninfo-fd={reader}"),
                    *(f"--{option}={value}" for option, value in arguments.items()),
                ],
                pass_fds=(theirs.fileno(), reader),
            )
        os.close(reader)

    def end(self) -> None:
        self._socket.close()
        self.process.kill()
        self.process.wait()

    @property
    def memory(self) -> int:
        """Return the resident set in KiB."""
        return int(self.field("VmRSS"))

    def field(self, name: str) -> str:
        """Return a field of the process's status."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return status.partition(f"{name}:")[2].split()[0]

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def hang_up(self) -> None:
        """Close the daemon's end."""
        self._socket.close()


class Agents:
    """Starts agents that end after the test."""

    def __init__(self, conninfo: str) -> None:
        self.conninfo = conninfo
        self._agents: list[Agent] = []

    def start(self, name: str, ledger: str = "", conninfo: str = "", **options: Any) -> Agent:
        agent = Agent(conninfo or self.conninfo, name, ledger, **options)
        self._agents.append(agent)
        return agent

    def ready(self, name: str, ledger: str = "", conninfo: str = "", **options: Any) -> Agent:
        """Start an agent, and wait until it has its name."""
        agent = self.start(name, ledger, conninfo, **options)
        agent.registered()
        return agent

    def program(self, name: str, ledger: str = "", conninfo: str = "", **options: str) -> AgentProcess:
        """Start the program."""
        agent = AgentProcess(conninfo or self.conninfo, name, ledger, **options)
        self._agents.append(agent)
        return agent

    def end(self) -> None:
        for agent in self._agents:
            agent.end()


@pytest.fixture
def agents(database: str) -> Iterator[Agents]:
    started = Agents(database)
    yield started
    started.end()


def claim(
    job: str = "root/backup",
    wall: int | None = None,
    *,
    fire: float | None = None,
    within: float = 60.0,
    **more: Any,
) -> Claim:
    """Return a claim of a fire that comes now, by a new run."""
    fire = time.time() if fire is None else fire
    fields: dict[str, Any] = {"run": str(uuid4()), **more}
    run = fields.pop("run")
    return Claim(job, int(fire) // 60 if wall is None else wall, 0, run, fire, within, **fields)


def report(fire: Claim, state: str, reason: str = "", **more: Any) -> Report:
    """Return a report about a claim's run."""
    return Report(fire.job, fire.wall, fire.fold, fire.run, fire.fire, state, reason, **more)
