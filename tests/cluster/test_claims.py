"""The daemon's requests about fires, carried out by real agents in a real PostgreSQL."""

import time
from uuid import uuid4

import psycopg
import pytest

from pycrond.cluster.protocol import Abandoned, Ask, Bury, Claim, LastFires, LastSuccess, Row, TakeOver
from tests.conftest import wait_until
from tests.support.agent import Agent, Agents, claim, report
from tests.support.postgres import Postgres, execute
from tests.support.swallowing_proxy import proxy

pytestmark = pytest.mark.process


@pytest.fixture
def one(agents: Agents) -> Agent:
    return agents.ready("one")


@pytest.fixture
def two(agents: Agents) -> Agent:
    return agents.ready("two")


def rival(fire: Claim, **more: object) -> Claim:
    """Return the claim of another node for a fire."""
    return fire._replace(run=str(uuid4()), **more)  # type: ignore[arg-type]


def asked(database: str) -> list[int]:
    return [row[0] for row in execute(database, "SELECT asked FROM pycrond.claims ORDER BY wall, job")]


def locks(database: str) -> dict[str, str]:
    return {name: str(run) for name, run in execute(database, "SELECT name, run FROM pycrond.locks")}


def test_two_race_for_300_fires(one: Agent, two: Agent) -> None:
    mine = [claim(f"root/job{number}") for number in range(300)]
    theirs = [rival(fire) for fire in reversed(mine)]  # the agents sort them
    numbers: list[tuple[Agent, int]] = []
    for first in range(0, 300, 50):
        numbers += [(one, one.send(Ask, 0.0, mine[first : first + 50]))]
        numbers += [(two, two.send(Ask, 0.0, theirs[250 - first : 300 - first]))]
    answers: dict[str, list[Row]] = {"one": [], "two": []}
    for agent, number in numbers:
        answers[agent.name] += agent.answer(number)
    assert sorted(answers["one"]) == sorted(answers["two"])
    assert len({row.job for row in answers["one"]}) == len(answers["one"]) == 300
    assert {row.run for row in answers["one"]} <= {fire.run for fire in (*mine, *theirs)}


def test_asking_again_is_a_write(one: Agent, two: Agent, database: str) -> None:
    fire = claim()
    assert one.ask(fire) == one.ask(fire)
    assert asked(database) == [1]
    assert two.ask(rival(fire, wall=fire.wall)) == one.ask(fire)
    assert asked(database) == [2]


@pytest.mark.parametrize(
    ("age", "within", "skew", "is_given"),
    [
        (50, 60, 0, True),
        (70, 60, 0, False),  # late: perhaps a delayed request
        (-2, 60, 0, True),  # asked for before its time
        (-10, 60, 0, False),  # a clock that was turned forward
        (-3590, 60, 3600, True),  # the database's clock is an hour behind
        (10, 60, 3600, False),
        (3610, 60, -3600, True),
        (10, 60, -3600, False),
    ],
)
def test_fires_too_old_or_too_new_are_refused(
    one: Agent, age: float, within: float, skew: float, is_given: bool
) -> None:
    tried = claim("root/tried", 1, fire=time.time() - age, within=within)
    fine = claim("root/fine", 2, fire=time.time() + skew)
    assert [row.job for row in one.ask(tried, fine, skew=skew)] == [*["root/tried"] * is_given, "root/fine"]


def test_a_fire_that_is_ours_is_never_too_old(one: Agent) -> None:
    fire = claim()
    one.ask(fire)
    assert [row.run for row in one.ask(fire._replace(within=-10))] == [fire.run]


def test_a_lock_is_held_until_the_run_has_ended(one: Agent, two: Agent, database: str) -> None:
    held = claim("root/a", locks=("lock:disk", "overlap:root/a"))
    refused = claim("root/b", locks=("lock:disk",))
    again = claim("root/a", held.wall + 1, locks=("lock:disk", "overlap:root/a"))
    free = claim("root/c", locks=("lock:net",))
    assert [row.state for row in one.ask(held)] == ["claimed"]
    assert [(row.state, row.reason, row.is_over) for row in two.ask(refused, free, again)] == [
        ("skipped", "lock", True),
        ("claimed", "", False),
        ("skipped", "overlap", True),
    ]
    assert [row.state for row in one.ask(held)] == ["claimed"]
    assert locks(database) == {"lock:disk": held.run, "overlap:root/a": held.run, "lock:net": free.run}
    one.confirm(report(held, "running"))
    one.tell(report(held, "running"))
    assert "lock:disk" in locks(database)
    one.tell(report(held, "failed", status=1))
    assert locks(database) == {"lock:net": free.run}


def test_a_queued_run_waits_for_all_its_locks(one: Agent, two: Agent, database: str) -> None:
    held = claim("root/a", locks=("lock:b",))
    queued = claim("root/q", locks=("lock:a", "lock:b"), waits=True, within=0.5, fire=time.time())
    assert [row.state for row in one.ask(held)] == ["claimed"]
    assert [(row.state, row.reason, row.is_over) for row in two.ask(queued)] == [("waiting", "lock", False)]
    assert locks(database) == {"lock:b": held.run}, "none is held while others are missing"
    assert two.confirm(report(queued, "running")) == ()
    assert [row.state for row in two.ask(queued._replace(within=-10))] == ["waiting"]
    one.tell(report(held, "succeeded"))
    assert [(row.state, row.reason) for row in two.ask(queued._replace(within=-10))] == [("claimed", "")]
    assert locks(database) == {"lock:a": queued.run, "lock:b": queued.run}
    assert [row.state for row in two.confirm(report(queued, "running"))] == ["running"]


def test_one_fire_of_a_job_waits_at_most(one: Agent, two: Agent) -> None:
    held, first, second = (claim("root/a", wall, locks=("overlap:a",), waits=True) for wall in (1, 2, 3))
    assert [row.state for row in one.ask(held)] == ["claimed"]
    assert [row.state for row in two.ask(first)] == ["waiting"]
    (row,) = one.ask(second)
    assert (row.state, row.reason, row.is_over) == ("skipped", "queue-full", True)
    one.tell(report(held, "succeeded"))
    assert [row.state for row in two.ask(first)] == ["claimed"]


def test_a_row_that_no_node_could_read_is_refused(one: Agent, database: str) -> None:
    one.ask(claim("root/a", 1))
    for change in ("reason = repeat('x', 501)", "fire = '-infinity'", "ended = 'infinity'"):
        with pytest.raises(psycopg.errors.CheckViolation):
            execute(database, f"UPDATE pycrond.claims SET {change}")
    with pytest.raises(psycopg.errors.CheckViolation):
        execute(database, "UPDATE pycrond.nodes SET version = repeat('x', 170000)")


def test_two_in_a_batch_want_the_same_lock(one: Agent) -> None:
    fires = [claim(f"root/{name}", 1000, locks=("lock:x",)) for name in "ab"]
    assert [row.state for row in one.ask(*fires)] == ["claimed", "skipped"]


def test_locks_are_given_to_one_of_two(one: Agent, two: Agent) -> None:
    numbers = []
    for wall in range(30):
        for agent in (one, two):
            numbers += [
                (agent, agent.send(Ask, 0.0, [claim(f"root/{agent.name}", wall, locks=(f"lock:{wall}",))]))
            ]
    rows = [agent.answer(number)[0] for agent, number in numbers]
    assert {row.wall for row in rows if row.state == "claimed"} == set(range(30))
    assert [row.state for row in rows].count("skipped") == 30


def test_only_the_owner_confirms(one: Agent, two: Agent) -> None:
    fire = claim()
    other = rival(fire)
    one.ask(fire)
    two.ask(other)
    assert two.confirm(report(other, "running")) == ()
    for _ in range(2):
        assert [row.state for row in one.confirm(report(fire, "running", started=1.0))] == ["running"]
    one.tell(report(fire, "succeeded"))
    assert one.confirm(report(fire, "running")) == ()


def token_of(agent: Agent, name: str) -> str:
    return next(node.token for node in agent.beat().nodes if node.name == name)


def take_over(agent: Agent, dead: Agent, token: str, fires: list[tuple[Claim, str]]) -> list[str]:
    return [row.run for row in agent.request(TakeOver, dead.ledger, token, fires)]


def test_a_dead_nodes_fire_is_taken_over_with_the_token_that_was_seen(
    agents: Agents, one: Agent, two: Agent, database: str
) -> None:
    three = agents.ready("three")
    fire = claim(rerun=True, locks=("lock:x",))
    one.ask(fire)
    one.confirm(report(fire, "running"))
    stale = token_of(two, "one")
    one.beat()
    seen = token_of(two, "one")
    new, other = rival(fire), rival(fire)
    assert two.request(Abandoned, one.ledger, False) == (), "it may still run, and has a lock"
    assert [row.run for row in two.request(Abandoned, one.ledger, True)] == [fire.run]
    assert take_over(two, one, stale, [(new, fire.run)]) == [], "it lives"
    assert take_over(two, one, seen, [(new, str(uuid4()))]) == [], "the run is another"
    for _ in range(2):
        assert take_over(two, one, seen, [(new, fire.run)]) == [new.run]
    assert take_over(three, one, seen, [(other, fire.run)]) == [], "it has been taken over"
    assert locks(database) == {"lock:x": new.run}
    assert one.confirm(report(fire, "running")) == ()
    assert [row.node for row in one.tell(report(fire, "succeeded"))] == ["two"]
    assert [row.state for row in two.confirm(report(new, "running"))] == ["running"]
    assert [row.node for row in two.open()] == ["two"]
    assert one.open() == ()


def test_a_node_takes_over_from_itself(one: Agent, two: Agent, database: str) -> None:
    fire, other = claim(rerun=True, locks=("lock:x",)), claim("root/other")
    one.ask(fire, other)
    again = rival(fire)
    assert take_over(one, one, "", [(again, fire.run), (rival(other), other.run)]) == [again.run]
    assert locks(database) == {"lock:x": again.run}
    assert [row.run for row in one.tell(report(fire, "unknown"))] == [again.run]
    assert take_over(two, one, "", [(rival(fire), again.run)]) == []


def test_a_claim_without_rerun_is_never_taken_over(one: Agent, two: Agent) -> None:
    fire = claim()
    one.ask(fire)
    assert take_over(two, one, token_of(two, "one"), [(rival(fire), fire.run)]) == []


def test_a_dead_node_is_buried(one: Agent, two: Agent, database: str) -> None:
    lost, kept = claim("root/a", locks=("lock:a",)), claim("root/b", rerun=True, locks=("lock:b",))
    one.ask(lost, kept)
    stale = token_of(two, "one")
    one.beat()
    two.request(Bury, one.ledger, stale)
    assert [row.state for row in one.open()] == ["claimed", "claimed"]
    two.request(Bury, one.ledger, token_of(two, "one"))
    assert [row.job for row in one.open()] == ["root/b"]
    assert locks(database) == {"lock:b": kept.run}
    assert one.confirm(report(lost, "running")) == ()
    assert [row.state for row in one.tell(report(lost, "running"))] == ["running"], "it was not lost"
    assert [row.state for row in one.tell(report(lost, "succeeded"))] == ["succeeded"]
    assert [row.state for row in one.tell(report(lost, "running"))] == ["succeeded"], "a late message"
    two.request(Bury, one.ledger, token_of(two, "one"), True)
    assert one.open() == ()
    assert locks(database) == {}


def test_closing_a_fire(one: Agent, two: Agent) -> None:
    nobody, ours, theirs = claim("root/nobody"), claim("root/ours", locks=("lock:x",)), claim("root/theirs")
    one.ask(ours)
    two.ask(theirs)
    reports = [
        report(nobody, "skipped", "no-node"),
        report(ours, "skipped", "no-database"),
        report(rival(theirs), "skipped", "no-node"),
    ]
    for _ in range(2):
        assert [(row.job, row.state, row.reason) for row in one.close_fires(*reports)] == [
            ("root/nobody", "skipped", "no-node"),
            ("root/ours", "skipped", "no-database"),
            ("root/theirs", "claimed", ""),
        ]
    assert [row.run for row in two.ask(rival(nobody))] == [nobody.run]
    assert [row.state for row in two.ask(claim("root/other", locks=("lock:x",)))] == ["claimed"]


def test_telling_of_a_run(one: Agent, two: Agent, database: str) -> None:
    missing, double = claim("root/missing"), claim("root/double")
    two.ask(double)
    ended = report(missing, "failed", "", started=5.5, ended=7.0, status=2, number=9)
    rows = one.tell(ended, report(rival(double), "running"))
    assert [(row.job, row.node, row.state, round(row.fire, 4)) for row in rows] == [
        ("root/double", "two", "claimed", round(double.fire, 4)),
        ("root/missing", "one", "failed", round(missing.fire, 4)),
    ]
    columns = "status, number, extract(epoch FROM ended - started)::float8"
    assert execute(database, f"SELECT {columns} FROM pycrond.claims WHERE job = 'root/missing'") == [
        (2, 9, 1.5)
    ]


def test_open_rows_come_in_several_answers(one: Agent) -> None:
    fires = [claim(f"root/job{number:03}") for number in range(250)]
    for first in range(0, 250, 100):
        one.ask(*fires[first : first + 100])
    assert [row.job for row in one.open()] == [fire.job for fire in fires]


def test_the_newest_rows_of_jobs(one: Agent) -> None:
    now = time.time()
    one.ask(
        *(
            claim(job, wall, fire=now - 10 + wall)
            for job, wall in (("root/a", 7), ("root/a", 5), ("root/b", 6))
        )
    )
    jobs = ["root/b", "root/none", "root/a"]
    for before, newest in ((now, 7), (now - 3.5, 5)):
        rows = one.request(LastFires, jobs, 0.0, before)
        assert [(row.job, row.wall) for row in rows] == [("root/b", 6), ("root/a", newest)]
        assert [row.rows_since for row in one.request(LastFires, jobs, before, before)] == [0, 0]
        assert all(row.rows_since > 0 for row in rows)


def test_the_newest_success_of_a_job_on_any_node(one: Agent, two: Agent) -> None:
    now = time.time()
    fires = [claim("root/a", fire=now - age) for age in (180, 120, 60)]
    for agent, fire, state in zip((one, two, two), fires, ("succeeded", "succeeded", "failed"), strict=True):
        agent.tell(report(fire, state, started=fire.fire, ended=fire.fire + 1))
    two.tell(report(claim("root/b", fire=now - 60), "running", started=now - 60))
    jobs = [("root/a", now - 600), ("root/b", now - 600), ("root/none", 0.0)]
    (row,) = one.request(LastSuccess, jobs)
    assert (row.job, row.node, round((row.ended or 0.0) - now)) == ("root/a", "two", -119)
    assert one.request(LastSuccess, [("root/a", now - 118)]) == ()


def test_a_lost_answer_is_asked_for_again(agents: Agents, postgres: Postgres, database: str) -> None:
    with proxy(postgres.directory) as between:
        one = agents.ready("one", conninfo=between.conninfo(database))
        between.swallows_replies = True
        fire, locked = claim(), claim("root/locked", locks=("lock:x",))
        numbers = [one.send(Ask, 0.0, [fire]), one.send(Ask, 0.0, [locked])]
        wait_until(lambda: asked(database) == [0])
        assert not one.has_answer(numbers[0])
        between.swallows_replies = False
        between.cut()
        assert one.registered().connection == 2
        assert [one.answer(number)[0].run for number in numbers] == [fire.run, locked.run]
        assert asked(database) == [1, 0]


def test_a_late_request_starts_nothing(agents: Agents, postgres: Postgres, database: str) -> None:
    """A request reaches the server after its window, and after a later connection has reported the run's end."""
    with proxy(postgres.directory) as between:
        one = agents.ready("one", conninfo=between.conninfo(database))
        between.holds_requests = True
        fire = claim(within=0.0)
        number = one.send(Ask, 0.0, [fire])
        wait_until(lambda: between.held)
        between.holds_requests = False
        ((late, held),) = between.drop_clients()
        assert one.answer(number) == (), "it has become too old"
        late.sendall(held)
        reply = b""
        while b"COMMIT" not in reply:
            reply += late.recv(65536)
        late.close()
        assert asked(database) == []
