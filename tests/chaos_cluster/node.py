"""A node: a daemon with its agent, its gates to the servers, and what can happen to them."""

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.chaos_cluster.kinds import crontab
from tests.chaos_cluster.network import REPLIES, REQUESTS, Gate, Network
from tests.chaos_cluster.servers import DATABASE, Servers
from tests.conftest import Crond, alive, children, wait_until
from tests.support import faketime
from tests.support.postgres import SUPERUSER

TURNS = (-90.0, -20.0, -5.0, -1.5, -0.8, 0.8, 1.5, 5.0, 20.0, 90.0)  # seconds by which a clock is set ahead


class Disturbance(NamedTuple):
    """A fault and its time, in Unix seconds."""

    fault: str
    begin: float
    end: float


class Node:
    """A daemon with directories of its own. Without servers it belongs to no cluster."""

    def __init__(self, directory: Path, named: dict[str, str], spread: int = 0) -> None:
        """`named` are the kinds of its jobs, by their names; most start within `spread` seconds."""
        directory.mkdir()
        self.name = directory.name
        self.directory = directory
        self.tally = directory / "tally"
        self.tally.touch()
        self.crond = Crond(directory)
        self.crond.environment |= {"TZ": "UTC", "PYCROND_SYSLOG": "none"}
        self.gates: list[Gate] = []
        self.disturbances: list[Disturbance] = []
        self._named = named
        self._spread = spread
        self._ahead = 0.0  # seconds of its clock
        self._network: Network | None = None
        self.write(named)

    def join(self, network: Network, servers: Servers) -> None:
        """Have it belong to the cluster."""
        self._network = network
        for index, server in enumerate(servers.both):
            directory = self.directory / f"gate{index}"
            directory.mkdir()
            self.gates.append(network.gate(directory, server.directory))
        hosts = ",".join(str(gate.directory) for gate in self.gates)
        conninfo = f"host={hosts} dbname={DATABASE} user={SUPERUSER} target_session_attrs=read-write"
        self.crond.environment |= {"PYCROND_CLUSTER": conninfo, "PYCROND_NODE": self.name}

    def have_clock(self, ahead: float) -> None:
        """Give it a wall clock of its own, which is ahead by these seconds; its jobs have the real one."""
        self._ahead = ahead
        self._turn(0.0)
        self.crond.environment |= {
            "LD_PRELOAD": faketime.library(),
            "FAKETIME_TIMESTAMP_FILE": str(self.directory / "clock"),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }

    def _turn(self, seconds: float) -> None:
        new = self.directory / "clock.new"
        new.write_text(f"{self._ahead + seconds:+.6f}\n")
        new.replace(self.directory / "clock")
        self.crond.status()  # the kernel does not tell of this change, and its timers do not follow it

    def write(self, named: dict[str, str]) -> None:
        self.crond.write("jobs", crontab(named, str(self.tally), self._spread))

    def start(self) -> None:
        """Start the daemon, and wait until it answers."""
        done = self.crond.run("start", status=None)
        if done.returncode and "already running" not in done.stderr:
            self.crond.run("start")
        wait_until(self.crond.status)

    def is_in_cluster(self) -> bool:
        """Return whether the daemon answers, and its agent is connected."""
        status = self.crond.status()
        return bool(status and status.get("cluster") and status["cluster"]["state"] in {"idle", "asking"})

    def daemon(self) -> int:
        """Wait for a daemon that lives, and return its pid."""
        wait_until(self.crond.status)
        return self.crond.pid

    def agents(self) -> list[int]:
        """Return the pids of the daemon's agents."""
        return [pid for pid in children(self.daemon()) if b"pycrond.cluster.agent" in _command_line(pid)]

    # Faults. Each ends with the node in order.

    def kill_daemon(self, _seconds: float) -> None:
        """The keeper starts another one."""
        _signal(signal.SIGKILL, self.daemon())

    def kill_agent(self, _seconds: float) -> None:
        _signal(signal.SIGKILL, *self.agents())

    def kill_both(self, _seconds: float) -> None:
        _signal(signal.SIGKILL, *self.agents(), self.daemon())

    def power_off(self, seconds: float) -> None:
        """Everything dies at once: keeper, daemon, agent, jobs."""
        self.crond.end()
        time.sleep(seconds)
        self.start()

    def power_off_without_jobs(self, seconds: float) -> None:
        """Keeper, daemon and agent die, jobs go on."""
        pids = [self.crond.keeper, *self.agents(), self.daemon()]
        _signal(signal.SIGKILL, *pids)
        time.sleep(seconds)
        self.start()

    def restart(self, _seconds: float) -> None:
        self.crond.run("restart", status=None)

    def stop(self, seconds: float) -> None:
        self.crond.run("stop", "--wait=1", status=None)
        time.sleep(seconds)
        self.start()

    def freeze(self, seconds: float) -> None:
        """Daemon and agent are silent, jobs go on."""
        self._freeze([self.daemon(), *self.agents()], seconds)

    def freeze_all(self, seconds: float) -> None:
        """The whole machine is silent, like one that is suspended."""
        self._freeze(self.crond.processes(), seconds)

    def freeze_agent(self, seconds: float) -> None:
        """The daemon replaces it, if that takes long."""
        self._freeze(self.agents(), seconds)

    def freeze_daemon(self, seconds: float) -> None:
        self._freeze([self.daemon()], seconds)

    @staticmethod
    def _freeze(pids: list[int], seconds: float) -> None:
        _signal(signal.SIGSTOP, *pids)
        time.sleep(seconds)
        _signal(signal.SIGCONT, *pids)

    def refuse(self, seconds: float) -> None:
        """The servers refuse connections."""
        self._do(Gate.refuse)
        time.sleep(seconds)
        self._do(Gate.listen)

    def swallow(self, seconds: float) -> None:
        """Nothing goes through; afterwards what was held back is lost."""
        self._hold(seconds, REQUESTS, REPLIES, cut=True)

    def swallow_and_deliver(self, seconds: float) -> None:
        """Nothing goes through; afterwards what was held back arrives."""
        self._hold(seconds, REQUESTS, REPLIES, cut=False)

    def half(self, seconds: float) -> None:
        """Requests go through, answers are lost."""
        self._hold(seconds, REPLIES, cut=True)

    def half_and_deliver(self, seconds: float) -> None:
        """Requests go through, answers come late."""
        self._hold(seconds, REPLIES, cut=False)

    def late_requests(self, seconds: float) -> None:
        """Requests are held back while the agent is killed; they arrive when another one has asked."""
        self._do(Gate.hold, REQUESTS)
        time.sleep(seconds / 2)
        with contextlib.suppress(AssertionError, OSError):
            _signal(signal.SIGKILL, *self.agents())
        time.sleep(seconds / 2)
        self._do(Gate.release, cut=False)

    def _hold(self, seconds: float, *directions: str, cut: bool) -> None:
        self._do(Gate.hold, *directions)
        time.sleep(seconds)
        self._do(Gate.release, cut=cut)

    def _do(self, act: Callable[..., object], *arguments: str, **options: bool) -> None:
        assert self._network is not None
        for gate in self.gates:
            self._network.do(act, gate, *arguments, **options)

    def turn_clock(self, seconds: float) -> None:
        """Its clock is wrong for some time. Afterwards it comes to minutes that it had already."""
        turned = random.Random(f"{self.name} {seconds}").choice(TURNS)
        self._turn(turned)
        time.sleep(seconds)
        self._turn(0.0)
        time.sleep(max(0.0, turned))

    def drain(self, seconds: float) -> None:
        """It claims nothing more for some time."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.crond.run("cluster", "drain", self.name, status=None)
        time.sleep(seconds)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.crond.run("cluster", "undrain", self.name, status=None)

    def edit(self, seconds: float) -> None:
        """Some shared jobs are missing here, and one is only here."""
        drawn = random.Random(f"{self.name} {seconds}")
        shared = [name for name, kind in self._named.items() if kind != "every"]
        missing = set(drawn.sample(shared, max(1, len(shared) // 20)))
        named = {name: kind for name, kind in self._named.items() if name not in missing}
        self._reload(named | {f"plain9{self.name[-1]}0000": "plain"})
        time.sleep(seconds)
        self._reload(self._named)

    def reload(self, _seconds: float) -> None:
        """The same crontab is read again."""
        self._reload(self._named)

    def _reload(self, named: dict[str, str]) -> None:
        self.write(named)
        self.crond.run("reload", status=None)

    @property
    def faults(self) -> dict[str, Callable[[float], None]]:
        """The faults by their names."""
        acts = (
            *(self.kill_daemon, self.kill_agent, self.kill_both, self.power_off, self.power_off_without_jobs),
            *(self.restart, self.stop, self.freeze, self.freeze_all, self.freeze_agent, self.freeze_daemon),
            *(self.refuse, self.swallow, self.swallow_and_deliver, self.half, self.half_and_deliver),
            *(self.late_requests, self.drain, self.edit, self.reload),
            self.turn_clock,
        )
        return {act.__name__: act for act in acts}


def _signal(number: signal.Signals, *pids: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            if alive(pid):
                os.kill(pid, number)


def _command_line(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""
