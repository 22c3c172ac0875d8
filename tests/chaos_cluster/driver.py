"""The attack: five real daemons, two real servers, and the faults of a plan, in real time."""

import contextlib
import itertools
import math
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos_cluster.kinds import CONTROL
from tests.chaos_cluster.network import Network
from tests.chaos_cluster.node import Disturbance, Node
from tests.chaos_cluster.plan import SERVERS, Fault
from tests.chaos_cluster.servers import Servers
from tests.conftest import wait_until
from tests.support import postgres

HEALING_TIME = 270.0  # seconds: several runs of a minute, or many of 14 s, wait for each other
CLOCKS = (0.3, -0.2, 0.0, 0.1, -0.4)  # seconds by which the clocks of the nodes are ahead
DESTROYED_AFTER = 3.0  # seconds of the minute
BEFORE_MINUTE = 5.0  # seconds that are left before the first minute that counts


@dataclass
class Attack:
    """A cluster under attack."""

    directory: Path
    servers: Servers
    network: Network
    nodes: list[Node]
    control: Node
    """A daemon without a cluster, whose jobs show how late the machine itself is."""
    jobs: dict[str, str]
    """Kinds by the names of the jobs that all nodes have."""
    spread: int
    """Seconds within which most jobs start."""
    first: int = 0
    """The first minute that counts, in Unix minutes."""
    last: int = 0
    disturbances: list[Disturbance] = field(default_factory=list)
    """Of the servers."""
    failures: list[str] = field(default_factory=list)
    """The faults that could not be carried out."""
    destroyed: Node | None = None
    """The node that never comes back."""

    @property
    def living(self) -> list[Node]:
        return [node for node in self.nodes if node is not self.destroyed]

    def start(self) -> None:
        """Start all; return when all nodes are in the cluster, a little before a minute."""
        for node in [*self.nodes, self.control]:
            node.start()
        wait_until(lambda: all(node.is_in_cluster() for node in self.nodes))
        if 60 - time.time() % 60 < BEFORE_MINUTE:
            _sleep_until((time.time() // 60 + 1) * 60)
        self.first = int(time.time()) // 60 + 1

    def run(self, plan: dict[str, list[Fault]], seconds: float, say: Callable[[str], None]) -> None:
        """Carry out a plan, counted from the first minute."""
        begin = self.first * 60.0
        places = {node.name: (node.faults, node.disturbances) for node in self.nodes}
        places[SERVERS] = (self.servers.faults, self.disturbances)
        threads = [
            threading.Thread(
                target=self._carry_out, args=(place, plan[place], *places[place], begin, say), daemon=True
            )
            for place in plan
            if place != SERVERS
        ]
        for thread in threads:
            thread.start()
        # In this thread: a server that another one starts is killed when that thread ends (PR_SET_PDEATHSIG).
        self._carry_out(SERVERS, plan.get(SERVERS, []), *places[SERVERS], begin, say)
        for thread in threads:
            thread.join()
        _sleep_until(begin + seconds)

    def _carry_out(
        self,
        place: str,
        faults: list[Fault],
        acts: dict[str, Callable[[float], None]],
        disturbances: list[Disturbance],
        begin: float,
        say: Callable[[str], None],
    ) -> None:
        for fault in faults:
            _sleep_until(begin + fault.at)
            since = time.time()
            say(f"{since - begin:6.1f} {place} {fault.name} {fault.seconds:.1f}")
            try:
                acts[fault.name](fault.seconds)
            except Exception:  # noqa: BLE001 -- the judgement tells whether the cluster is in order
                self.failures.append(f"{place} {fault.name}: {traceback.format_exc()}")
                say(f"could not {self.failures[-1]}")
            disturbances.append(Disturbance(fault.name, since, time.time()))

    def destroy(self) -> None:
        """Have a node die for ever, with the runs of a minute."""
        _sleep_until((time.time() // 60 + 1) * 60 + DESTROYED_AFTER)
        self.destroyed = self.nodes[-1]
        self.destroyed.crond.end()
        self.destroyed.disturbances.append(Disturbance("power_off", time.time(), math.inf))

    def heal(self) -> None:
        """Wait until each fire up to now has its verdict everywhere."""
        self.last = int(time.time()) // 60
        self.servers.execute("UPDATE pycrond.nodes SET draining = false")
        with contextlib.suppress(AssertionError):  # the judgement says what is missing
            wait_until(self._is_healed, HEALING_TIME)

    def _is_healed(self) -> bool:
        time.sleep(0.5)
        shared = sum(kind != "every" for kind in self.jobs.values())
        expected = shared * (self.last - self.first + 1)
        counted = "SELECT count(*) FILTER (WHERE ended IS NOT NULL), count(*) FILTER (WHERE ended IS NULL)"
        counted += " FROM pycrond.claims WHERE wall BETWEEN %s AND %s AND job NOT LIKE '%%/plain9_0000'"
        ((over, is_open),) = self.servers.execute(counted, self.first, self.last)
        return bool(over >= expected and not is_open and time.time() > self.last * 60 + 15)

    def counts(self) -> Counter[str]:
        """Return how often each fault has happened."""
        of_nodes = Counter(fault.fault for node in self.nodes for fault in node.disturbances)
        return of_nodes + Counter(f"{SERVERS} {fault.fault}" for fault in self.disturbances)


@contextlib.contextmanager
def attack(
    directory: Path,
    *,
    nodes: int,
    named: dict[str, str],
    spread: int = 0,
    fsync: bool = False,
    clocks: bool = False,
) -> Iterator[Attack]:
    """Yield a cluster that is not started yet; end all that it has started. `named` are the kinds of jobs, most
    of which start within `spread` seconds. With `clocks` each node has a clock of its own.
    """
    with contextlib.ExitStack() as stack:
        directories = stack.enter_context(postgres.directory()), stack.enter_context(postgres.directory())
        servers = Servers(directories, fsync=fsync)
        stack.callback(servers.end)
        servers.start()
        network = Network()
        stack.callback(network.close)
        members = [Node(directory / f"n{number}", named, spread) for number in range(1, nodes + 1)]
        own = {name: kind for name, kind in named.items() if kind in CONTROL}
        control = Node(directory / "alone", own)
        for node in [*members, control]:
            stack.callback(node.crond.end)
        for node in members:
            node.join(network, servers)
        if clocks:
            for node, ahead in zip(members, itertools.cycle(CLOCKS)):
                node.have_clock(ahead)
        yield Attack(directory, servers, network, members, control, named, spread)


def _sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.time()))
