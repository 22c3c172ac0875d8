"""The promises of a cluster, one case after the other, with the real protocol on nodes without processes."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster.model.database import Fire
from tests.cluster.model.node import MINUTE, ModelNode
from tests.cluster.model.runs import write_without_waiting
from tests.cluster.model.world import BEGIN, World

Make = Callable[..., World]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    worlds: list[World] = []

    def make_world(*jobs: str, count: int = 3) -> World:
        worlds.append(World(tmp_path, count, jobs, seed=1))
        return worlds[-1]

    with write_without_waiting():
        yield make_world
    for world in worlds:
        world.close()


def run_to(world: World, after: float) -> int:
    """Let time pass until `after` seconds after the next minute; return the wall minute."""
    at = (int(world.now) // MINUTE + 1) * MINUTE
    world.run_on(int(at + after - world.now))
    return at // MINUTE


def row(world: World, job: str, wall: int) -> Fire:
    return world.database.fires[wall, 0, f"me/{job}"]


def owner(world: World, job: str, wall: int) -> ModelNode:
    (node,) = [node for node in world.nodes if node.name == row(world, job, wall).node]
    return node


def starts(world: World, job: str, wall: int) -> list[str]:
    """Return the nodes that have started a fire."""
    return [start.node for start in world.starts[f"me/{job}", wall]]


def test_when_all_is_well_each_fire_starts_at_once_on_one_node(make: Make) -> None:
    world = make("plain", "rerun", "skip", "label")
    wall = run_to(world, 1)
    for job in ("plain", "rerun", "skip", "label"):
        (start,) = world.starts[f"me/{job}", wall]
        assert start.at == wall * MINUTE
    assert starts(world, "label", wall) == ["node0"]
    world.heal()


def crash_and_boot(world: World, job: str, seconds: int, *, runs_for: int = 25) -> tuple[int, ModelNode]:
    """Crash the machine that runs the next fire of a job, and boot it after `seconds`."""
    wall = run_to(world, 2)
    node = owner(world, job, wall)
    world.crash(node, with_machine=True)
    world.run_on(seconds)
    node.boot(world.now)
    world.run_on(runs_for)
    return wall, node


@pytest.mark.parametrize(
    ("job", "state"), [("plain", "lost"), ("rerun", "succeeded"), ("again", "succeeded")]
)
def test_a_node_dies_with_its_fire(make: Make, job: str, state: str) -> None:
    world = make(job)
    wall = run_to(world, 2)
    node = owner(world, job, wall)
    world.crash(node, with_machine=True)
    world.run_on(100)
    fire = row(world, job, wall)
    assert fire.state == state
    assert len(starts(world, job, wall)) == 1 + (state != "lost")
    assert (fire.node != node.name) == (state != "lost")
    world.heal([node])


@pytest.mark.parametrize(
    ("job", "state"), [("rerun", "succeeded"), ("locked", "succeeded"), ("plain", "unknown")]
)
@pytest.mark.parametrize("seconds", [5, 20])
def test_a_node_that_is_soon_back_runs_its_fire_again_itself(
    make: Make, job: str, state: str, seconds: int
) -> None:
    world = make(job)
    wall, node = crash_and_boot(world, job, seconds)
    assert (row(world, job, wall).state, row(world, job, wall).node) == (state, node.name)
    assert starts(world, job, wall) == [node.name] * (1 + (state != "unknown"))
    world.heal()


def test_a_node_that_is_soon_back_does_so_though_it_is_the_second_of_its_fire(make: Make) -> None:
    world = make("rerun")
    run_to(world, -3)
    first = owner(world, "rerun", run_to(world, 2))
    wall = next(
        wall
        for wall in range(int(world.now) // MINUTE + 1, int(world.now) // MINUTE + 50)
        if first.cluster and first.cluster.membership.rank(None, "me/rerun", wall, 0) == 0
    )
    world.run_on(wall * MINUTE - 3 - int(world.now))
    first.is_blocked = True
    world.run_on(7)
    node = owner(world, "rerun", wall)
    assert node is not first
    first.is_blocked = False
    world.crash(node, with_machine=True)
    world.run_on(5)
    node.boot(world.now)
    world.run_on(25)
    assert (row(world, "rerun", wall).state, starts(world, "rerun", wall)) == ("succeeded", [node.name] * 2)
    world.heal()


def test_a_node_that_is_soon_back_and_cannot_start_at_once_runs_its_fire_again_later(make: Make) -> None:
    world = make("rerun")
    wall = run_to(world, 2)
    node = owner(world, "rerun", wall)
    world.crash(node, with_machine=True)
    world.run_on(5)
    node.is_blocked = True
    node.boot(world.now)
    world.run_on(20)
    assert row(world, "rerun", wall).state == "running"
    node.is_blocked = False
    world.run_on(20)
    assert (row(world, "rerun", wall).state, starts(world, "rerun", wall)) == ("succeeded", [node.name] * 2)
    world.heal()


def test_a_node_that_dies_again_before_its_second_start(make: Make) -> None:
    world = make("rerun")
    wall = run_to(world, 2)
    node = owner(world, "rerun", wall)
    world.crash(node, with_machine=True)
    world.run_on(3)
    node.is_blocked = True
    for _ in range(2):
        node.boot(world.now)
        world.run_on(4)
        world.crash(node, with_machine=True)
        world.run_on(3)
    node.is_blocked = False
    node.boot(world.now)
    world.run_on(25)
    assert (row(world, "rerun", wall).state, starts(world, "rerun", wall)) == ("succeeded", [node.name] * 2)
    world.heal()


def test_a_node_that_dies_in_its_second_run_does_not_run_a_third_time(make: Make) -> None:
    world = make("rerun")
    wall, node = crash_and_boot(world, "rerun", 5, runs_for=2)
    world.crash(node, with_machine=True)
    world.run_on(3)
    node.boot(world.now)
    world.run_on(25)
    assert (row(world, "rerun", wall).state, starts(world, "rerun", wall)) == ("unknown", [node.name] * 2)
    world.heal()


def test_a_node_that_is_back_later_finds_its_fire_taken_over(make: Make) -> None:
    world = make("rerun")
    wall, node = crash_and_boot(world, "rerun", 45)
    assert row(world, "rerun", wall).node != node.name
    assert len(starts(world, "rerun", wall)) == 2
    world.heal()


def test_a_node_that_may_run_nothing_tells_that_an_end_is_unknown(make: Make) -> None:
    world = make("rerun")
    wall = run_to(world, 2)
    node = owner(world, "rerun", wall)
    world.crash(node, with_machine=True)
    world.run_on(5)
    world.database.drain(node.name, is_draining=True)
    node.boot(world.now)
    world.run_on(100)
    assert (row(world, "rerun", wall).state, row(world, "rerun", wall).node) == ("unknown", node.name)
    assert starts(world, "rerun", wall) == [node.name]
    world.heal()


@pytest.mark.parametrize("job", ["skip", "lock", "each"])
def test_a_ledger_that_was_set_aside_forgets_no_run_that_goes_on(make: Make, job: str) -> None:
    world = make(job)
    for node in world.nodes:
        node.run_time = 30.0
    wall = run_to(world, 2)
    fire = next(
        fire for fire in world.database.fires.values() if fire.wall == wall and fire.state == "running"
    )
    (node,) = [node for node in world.nodes if node.name == fire.node]
    db = node.ledger.file.db  # as `Ledger.add_running` fills a new one
    db.execute("DELETE FROM cluster_fires")
    db.execute("UPDATE runs SET wall = NULL")
    assert node.cluster
    node.cluster.ledger_is_new()
    world.run_on(20)
    assert fire.state == "running"
    assert world.database.locks
    world.run_on(20)
    assert fire.state == "succeeded"


@pytest.mark.parametrize("job", ["queue", "lock"])
@pytest.mark.parametrize("seconds", [5, 75])
def test_a_fire_that_waits_for_a_lock_outlives_the_daemon(make: Make, job: str, seconds: int) -> None:
    world = make(job)
    for node in world.nodes:
        node.run_time = 170.0
    run_to(world, 2)
    wall = run_to(world, 5)
    assert row(world, job, wall).state == "waiting"
    node = owner(world, job, wall)
    world.run_on(seconds)
    world.crash(node, with_machine=False)
    world.run_on(3)
    node.boot(world.now)
    world.run_on(15)
    assert row(world, job, wall).state == "waiting"
    world.run_on(180)
    assert len(starts(world, job, wall)) == 1
    world.heal()


def test_another_node_asks_when_the_first_is_dead(make: Make) -> None:
    world = make("plain")
    run_to(world, -3 + MINUTE)
    world.crash(world.nodes[0], with_machine=True)
    world.crash(world.nodes[1], with_machine=True)
    wall = run_to(world, 8)
    assert starts(world, "plain", wall) == ["node2"]
    world.heal()


def test_what_no_node_can_take_over_is_lost_at_last(make: Make) -> None:
    world = make("rerun", count=2)
    wall = run_to(world, 2)
    node = owner(world, "rerun", wall)
    (other,) = [other for other in world.nodes if other is not node]
    world.crash(node, with_machine=True)
    other.is_blocked = True
    world.run_on(100)
    assert row(world, "rerun", wall).state == "running"
    world.run_on(80)
    assert row(world, "rerun", wall).state == "lost"
    world.heal()


def test_a_node_that_freezes_between_its_claim_and_its_start_does_not_start_what_another_has(
    make: Make,
) -> None:
    world = make("rerun")
    world.run_on(int(-world.now % MINUTE) - 1)
    world.run_on(0)
    wall = int(world.now) // MINUTE + 1
    node = owner(world, "rerun", wall)
    node.is_frozen = node.agent_is_frozen = True
    world.run_on(60)
    (taker,) = starts(world, "rerun", wall)
    assert taker != node.name
    node.is_frozen = node.agent_is_frozen = False
    world.run_on(30)
    assert starts(world, "rerun", wall) == [taker]
    world.heal()


@pytest.mark.parametrize(("job", "count"), [("plain", 0), ("rerun", 0), ("part", 1)])
def test_without_a_database_one_node_starts_what_may_run_in_a_partition(
    make: Make, job: str, count: int
) -> None:
    world = make(job)
    world.run_on(int(-world.now % MINUTE) - 10)
    world.lose_database()
    wall = run_to(world, 11)
    assert len(starts(world, job, wall)) == count
    world.run_on(120)
    world.has_database = True
    world.run_on(20)
    assert (row(world, job, wall).state, row(world, job, wall).reason) == (
        ("succeeded", "") if count else ("skipped", "no-database")
    )
    world.heal()


def test_a_node_whose_name_another_machine_has_starts_nothing(make: Make) -> None:
    world = make("part", "plain")
    world.nodes[0].link.fence()
    for _ in range(10):
        run_to(world, 30)
    assert not [start for start in world.nodes[0].starts if start.at > BEGIN + 80]
    world.heal()


def test_questions_are_not_collected_while_the_database_is_away(make: Make) -> None:
    world = make("plain", "rerun", "part")
    world.lose_database()
    world.run_on(1_200)
    assert max(len(node.link.pending) for node in world.nodes) < 5
    world.heal()


@pytest.mark.parametrize("job", ["plain", "once"])
def test_all_nodes_were_away(make: Make, job: str) -> None:
    """Each fire has a row; of a job with `missed=once` the newest one starts, once."""
    world = make(job)
    last = run_to(world, 20)
    for node in world.nodes:
        world.crash(node, with_machine=True)
    world.run_on(600)
    for node in world.nodes:
        node.boot(world.now)
    world.run_on(120)
    walls = range(last + 1, last + 11)
    states = [row(world, job, wall).state for wall in walls]
    caught_up = [wall for wall in walls if starts(world, job, wall)]
    assert states == ["missed"] * 9 + ["succeeded" if job == "once" else "missed"]
    assert caught_up == ([walls[-1]] if job == "once" else [])
    world.heal()


def test_a_delayed_fire_is_not_missed_when_a_node_comes_back_before_its_start(make: Make) -> None:
    world = make("slow", count=2)
    run_to(world, 20)
    world.crash(world.nodes[1], with_machine=True)
    world.run_on(400)
    world.nodes[1].boot(world.now)
    world.run_on(900)
    states = {
        fire.state for fire in world.database.fires.values() if BEGIN + 120 < fire.fire < world.now - 400
    }
    assert states == {"succeeded"}
    world.heal()


@pytest.mark.parametrize("seconds", [5.0, 3_600.0])
def test_a_clock_that_is_ahead_closes_nothing_for_the_others(make: Make, seconds: float) -> None:
    world = make("plain", "once", "rerun")
    world.run_on(7)
    world.nodes[0].turn_clock(seconds)
    walls = [run_to(world, 20) for _ in range(3)]
    assert all(len(starts(world, job, wall)) == 1 for job in ("plain", "rerun") for wall in walls)
    assert not world.nodes[0].starts or world.nodes[0].starts[-1].at < walls[0] * MINUTE
    world.crash(world.nodes[0], with_machine=True)
    world.nodes[0].boot(world.now)  # it starts with a wrong clock
    wall = run_to(world, 20)
    assert len(starts(world, "plain", wall)) == 1
    world.run_on(120)
    world.nodes[0].turn_clock(-seconds)
    world.heal()


@pytest.mark.parametrize("job", ["late", "slow", "plain"])
def test_a_minute_that_a_clock_shows_twice_is_not_closed_for_the_others(make: Make, job: str) -> None:
    world = make(job)
    node = world.nodes[0]
    world.run_on(int(-world.now % MINUTE) + MINUTE - 10)
    node.turn_clock(90.0)
    wall = run_to(world, 0)
    node.turn_clock(-90.0)
    node.repeat(wall, era=1, now=world.now)
    world.run_on(330)
    assert row(world, job, wall).state == "succeeded"
    assert len(starts(world, job, wall)) == 1
    world.heal()


def test_a_reload_before_the_minute_leaves_the_fire(make: Make) -> None:
    world = make("plain")
    world.run_on(int(-world.now % MINUTE) - 1)
    for node in world.nodes:
        node.reload()
    wall = run_to(world, 5)
    assert len(starts(world, "plain", wall)) == 1
    world.heal()


def test_a_job_that_is_removed_before_its_minute_leaves_no_open_row(make: Make) -> None:
    world = make("plain")
    world.run_on(int(-world.now % MINUTE) - 1)
    wall = int(world.now) // MINUTE + 1
    assert row(world, "plain", wall).state == "claimed"
    for node in world.nodes:
        node.jobs = {}
        node.reload()
    world.run_on(40)
    fire = row(world, "plain", wall)
    assert (fire.state, fire.reason) == ("skipped", "removed")
    assert not starts(world, "plain", wall)


def test_a_fire_that_all_nodes_left_is_caught_up(make: Make) -> None:
    """All nodes had written the fire, and none could ask for it."""
    world = make("once")
    world.run_on(int(-world.now % MINUTE) - 10)
    world.lose_database()
    world.run_on(9)
    wall = int(world.now) // MINUTE + 1
    for node in world.nodes:
        assert len(node.ledger.waiting()) == 1
        world.crash(node, with_machine=True)
    world.has_database = True
    world.run_on(31)
    for node in world.nodes:
        node.boot(world.now)
    world.run_on(150)
    assert row(world, "once", wall).state == "succeeded"
    assert len(starts(world, "once", wall)) == 1
    world.heal()


def test_a_clock_that_is_set_back_repeats_nothing(make: Make) -> None:
    world = make("plain", count=1)
    wall = run_to(world, 2)
    (node,) = world.nodes
    node.run_time = 90.0
    wall = run_to(world, 2)
    node.repeat(wall, era=1, now=world.now)
    world.run_on(20)
    assert len(starts(world, "plain", wall)) == 1
    world.run_on(100)
    assert row(world, "plain", wall).state == "succeeded"
