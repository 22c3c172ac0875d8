"""The real protocol of two and three nodes with real ledgers, in all interleavings of possible faults.

`CLUSTER_EXAMPLES` sets the number of examples.
"""

import contextlib
import os
import tempfile
from pathlib import Path
from typing import ClassVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.cluster.model.node import MINUTE, ModelNode
from tests.cluster.model.runs import write_without_waiting
from tests.cluster.model.world import SHARED, World

FEW = 12
EXAMPLES = int(os.environ.get("CLUSTER_EXAMPLES", FEW))
STEPS = int(os.environ.get("CLUSTER_STEPS", "15"))
NODES = st.integers(0, 2)


class ClusterMachine(RuleBasedStateMachine):
    """Two or three nodes, and all events that they must survive."""

    directory: ClassVar[Path]
    world: World
    heals = True

    @initialize(
        seed=st.integers(0, 1 << 16),
        count=st.sampled_from([2, 3]),
        jobs=st.sets(st.sampled_from([*SHARED]), min_size=2, max_size=4),
    )
    def begin(self, seed: int, count: int, jobs: set[str]) -> None:
        self.world = World(self.directory, count, sorted(jobs), seed)

    def node(self, number: int) -> ModelNode:
        return self.world.nodes[number % len(self.world.nodes)]

    # Time

    @rule(seconds=st.integers(1, 6))
    def a_moment_passes(self, seconds: int) -> None:
        self.world.run_on(seconds)

    @rule(before=st.integers(0, 3), after=st.integers(0, 12))
    def a_minute_comes(self, before: int, after: int) -> None:
        """Go to the seconds around a minute, in which all fires are decided."""
        left = int(-self.world.now % 60)
        self.world.run_on(max(0, left - before))
        self.world.run_on(after)

    @rule(seconds=st.sampled_from([20, 35, 70, 130, 200]))
    def time_passes(self, seconds: int) -> None:
        self.world.run_on(seconds)

    # Faults

    @rule(number=NODES, with_machine=st.booleans())
    def a_daemon_dies(self, number: int, with_machine: bool) -> None:
        node = self.node(number)
        if node.lives:
            self.world.crash(node, with_machine=with_machine)

    @rule(number=NODES, where=st.sampled_from(["before", "written", "started"]))
    def a_daemon_will_die(self, number: int, where: str) -> None:
        self.node(number).crashes_at = where

    @rule(number=NODES)
    def a_daemon_starts(self, number: int) -> None:
        node = self.node(number)
        if not node.lives:
            node.boot(self.world.now)

    @rule(number=NODES, agent=st.booleans())
    def a_node_freezes(self, number: int, agent: bool) -> None:
        node = self.node(number)
        node.is_frozen, node.agent_is_frozen = node.lives, node.lives and agent

    @rule(number=NODES)
    def a_node_thaws(self, number: int) -> None:
        node = self.node(number)
        node.is_frozen = node.agent_is_frozen = False

    @rule(number=NODES, mode=st.sampled_from(["quick", "stuck", "lossy", "late"]))
    def a_link_changes(self, number: int, mode: str) -> None:
        self.node(number).link.mode = mode

    @rule(number=NODES)
    def a_connection_is_lost(self, number: int) -> None:
        self.node(number).link.lose_connection()

    @rule()
    def the_database_goes(self) -> None:
        self.world.lose_database()

    @rule()
    def the_database_comes(self) -> None:
        self.world.has_database = True

    @rule()
    def the_database_fails_over(self) -> None:
        self.world.fail_over()

    @rule()
    def late_bytes_arrive(self) -> None:
        self.world.release_held_bytes()

    @rule(number=NODES, is_draining=st.booleans())
    def a_node_drains(self, number: int, is_draining: bool) -> None:
        self.world.database.drain(self.node(number).name, is_draining=is_draining)

    @rule(number=NODES, is_blocked=st.booleans())
    def jobs_are_paused(self, number: int, is_blocked: bool) -> None:
        self.node(number).is_blocked = is_blocked

    @rule(number=NODES, seconds=st.sampled_from([2.0, 12.0, 90.0]))
    def runs_take(self, number: int, seconds: float) -> None:
        self.node(number).run_time = seconds

    @precondition(lambda self: len(self.world.nodes) == 3 and self.world.agrees())
    @rule(seconds=st.sampled_from([1.0, 5.0, 100.0, 3600.0]), lasts=st.integers(1, 90))
    def a_clock_is_wrong(self, seconds: float, lasts: int) -> None:
        """Turn a clock forward for a while, while the two other nodes are alive. It shows a minute twice."""
        node = self.node(2)
        node.turn_clock(seconds)
        self.world.run_on(lasts)
        node.turn_clock(-seconds)
        if node.lives:
            node.repeat(int(self.world.now) // MINUTE, 1, self.world.now)

    @rule(dead=st.sets(NODES, max_size=1))
    def all_heals(self, dead: set[int]) -> None:
        """Repair all faults, judge the result, and end."""
        self.judge(dead)

    def judge(self, dead: set[int]) -> None:
        if self.heals:
            self.heals = False
            self.world.heal([node for number, node in enumerate(self.world.nodes) if number in dead])

    def teardown(self) -> None:
        if hasattr(self, "world"):
            with contextlib.closing(self.world):
                self.judge(set())


def test_each_fire_is_decided_once_whatever_happens() -> None:
    with tempfile.TemporaryDirectory() as directory, write_without_waiting():
        ClusterMachine.directory = Path(directory)
        run_state_machine_as_test(
            ClusterMachine,
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=STEPS,
                deadline=None,
                phases=[Phase.generate],  # a shorter example takes minutes to find
                suppress_health_check=[*HealthCheck],
                derandomize=EXAMPLES == FEW,
                print_blob=False,
            ),
        )
