"""The nodes as seen by one of them: those alive, their order, and their clocks."""

from collections import Counter

import pytest

from pycrond.cluster.membership import ABANDONED_AFTER, ALIVE_AFTER_BEAT, LOST_AFTER, Membership
from pycrond.cluster.protocol import NodeRow, Nodes


class Cluster:
    """Heartbeats of some nodes, as the first node receives them."""

    def __init__(self, *names: str, **labels: str) -> None:
        self.names = names
        self.labels = labels
        self.membership = Membership(names[0], f"ledger of {names[0]}")
        self.offsets: dict[str, int | None] = dict.fromkeys(names, 0)
        self.draining: set[str] = set()
        self.beats: Counter[str] = Counter()
        self.connection = 1
        self.elapsed = 0.0

    def beat(self, seconds: float = 5.0, *, without: str = "") -> None:
        """Let time pass; all nodes except `without` send a heartbeat, and this node receives them."""
        self.elapsed += seconds
        self.beats.update(name for name in self.names if name != without)
        rows = tuple(
            NodeRow(
                *(name, f"ledger of {name}", f"{self.beats[name]}", name in self.draining),
                *(tuple(self.labels.get(name, "").split()), "1", self.offsets[name], ""),
            )
            for name in self.names
        )
        own = self.offsets[self.names[0]] or 0
        self.membership.observe(Nodes(1, self.connection, own, rows), self.elapsed)

    @property
    def alive(self) -> str:
        return " ".join(node.name for node in self.membership.alive())

    def dead(self, silence: float) -> str:
        return " ".join(node.name for node in self.membership.dead(silence))

    def silence(self, name: str, seconds: float) -> None:
        """Let a node be silent for at least `seconds`."""
        end = self.elapsed + seconds
        while self.elapsed < end:
            self.beat(without=name)


def test_before_the_first_heartbeat_nothing_is_known() -> None:
    membership = Membership("a", "ledger")
    assert not membership.has_observed
    assert (membership.alive(), membership.dead(0.0), membership.rows) == ([], [], [])
    assert membership.rank(None, "job") is None
    assert membership.skew() == 0
    assert membership.disagreement_ms() is None
    assert membership.median_time(5.0) is None
    assert not membership.is_draining


def test_all_that_are_heard_live() -> None:
    cluster = Cluster("a", "b", "c")
    cluster.beat()
    assert cluster.alive == "a b c"
    cluster.silence("b", ALIVE_AFTER_BEAT + 5)
    assert cluster.alive == "a c"
    cluster.beat()
    assert cluster.alive == "a b c"


@pytest.mark.parametrize("silence", [ABANDONED_AFTER, LOST_AFTER])
def test_a_node_is_dead_when_it_was_silent_for_long(silence: float) -> None:
    cluster = Cluster("a", "b", "c")
    cluster.beat()
    cluster.silence("b", silence - 5)
    assert cluster.dead(silence) == ""
    cluster.beat(without="b")
    assert cluster.dead(silence) == "b"
    (dead,) = cluster.membership.dead(silence)
    assert (dead.ledger, dead.token, dead.silent_for) == ("ledger of b", "1", silence)
    cluster.beat()
    assert cluster.dead(silence) == ""


def test_a_node_is_never_dead_to_itself() -> None:
    cluster = Cluster("a", "b")
    cluster.beat()
    cluster.silence("a", 100)
    assert cluster.dead(30) == ""


@pytest.mark.parametrize("fault", ["gap", "connection", "registered"])
def test_after_a_time_in_which_this_node_could_not_hear_all_have_their_time_again(fault: str) -> None:
    """After an outage of the database, or a failover, all nodes seem to be dead."""
    cluster = Cluster("a", "b", "c")
    cluster.beat()
    cluster.silence("b", ABANDONED_AFTER - 5)
    if fault == "connection":
        cluster.connection += 1
    elif fault == "registered":  # the agent is another one, whose connection has the same number
        cluster.membership.begin_anew()
    cluster.beat(60 if fault == "gap" else 5, without="b")
    assert cluster.dead(ABANDONED_AFTER) == ""
    assert cluster.alive == "a b c"
    cluster.silence("b", ABANDONED_AFTER)
    assert cluster.dead(ABANDONED_AFTER) == "b"


def test_a_name_with_another_ledger_is_another_node() -> None:
    cluster = Cluster("a", "b")
    cluster.beat()
    cluster.silence("b", 25)
    row = cluster.membership.rows[1]._replace(ledger="another")
    answer = Nodes(1, 1, 0, (cluster.membership.rows[0], row))
    cluster.membership.observe(answer, cluster.elapsed + 5)
    assert cluster.membership.dead(ABANDONED_AFTER) == []


def test_a_node_that_was_removed_is_gone() -> None:
    cluster = Cluster("a", "b")
    cluster.beat()
    cluster.silence("b", 100)
    cluster.membership.observe(Nodes(1, 1, 0, (cluster.membership.rows[0],)), cluster.elapsed + 5)
    assert cluster.dead(30) == ""


# The order


def test_each_fire_has_its_own_order_which_all_nodes_agree_on() -> None:
    clusters = [Cluster(*names) for names in (("a", "b", "c"), ("b", "c", "a"), ("c", "a", "b"))]
    for cluster in clusters:
        cluster.beat()
    firsts: Counter[str] = Counter()
    for wall in range(300):
        ranks = [cluster.membership.rank(None, "job", wall, 0) for cluster in clusters]
        assert sorted(rank for rank in ranks if rank is not None) == [0, 1, 2]
        firsts[clusters[ranks.index(0)].names[0]] += 1
    assert min(firsts.values()) > 70


def test_a_node_that_goes_changes_the_first_place_of_no_other() -> None:
    before, after = Cluster("a", "b", "c"), Cluster("a", "b")
    before.beat()
    after.beat()
    first = [wall for wall in range(100) if before.membership.rank(None, wall) == 0]
    assert {after.membership.rank(None, wall) for wall in first} == {0}


@pytest.mark.parametrize(
    ("label", "draining", "names"),
    [
        (None, "", ["a", "b", "c"]),
        ("db", "", ["a", "c"]),
        ("web", "", ["c"]),
        ("gpu", "", []),
        (None, "b", ["a", "c"]),
        ("db", "c", ["a"]),
        ("db", "a", ["c"]),
    ],
)
def test_labels_and_draining_say_who_may_claim(label: str | None, draining: str, names: list[str]) -> None:
    cluster = Cluster("a", "b", "c", a="db", c="web db")
    cluster.draining = {draining}
    cluster.beat()
    assert cluster.membership.candidates(label) == names
    assert (cluster.membership.rank(label, 1) is not None) == ("a" in names)
    assert cluster.membership.is_draining == (draining == "a")


# Clocks


@pytest.mark.parametrize(
    ("offsets", "names", "skew", "disagreement"),
    [
        ([0], "a", 0, 0),
        ([90_000], "a", 90, 0),  # a single node is right, whatever the database's clock says
        ([90_000, 90_100, 89_900], "a b c", 90, 0),  # a wrong clock of the database stops nobody
        ([0, 3_600_000, 10], "a c", 0.01, -10),
        ([3_600_000, 0, 10], "b c", 0.01, 3_599_990),
        ([0, 5_000], "a", 0, 0),  # the database decides between two nodes
        ([5_000, 0], "b", 0, 5_000),
        ([90_000, 90_500], "a b", 90, 0),
        ([0, None, 0], "a b c", 0, 0),  # not known yet
        ([0, 0, 60_000, 60_000], "a b", 0, 0),
        ([2_000, 0, 0], "a b c", 0, 2_000),
        ([2_001, 0, 0], "b c", 0, 2_001),
    ],
)
def test_the_median_says_whose_clock_is_right(
    offsets: list[int | None], names: str, skew: float, disagreement: float
) -> None:
    cluster = Cluster(*"abcd"[: len(offsets)])
    cluster.offsets = dict(zip("abcd", offsets, strict=False))
    cluster.beat()
    assert " ".join(cluster.membership.candidates(None)) == names
    assert cluster.membership.skew() == skew
    assert cluster.membership.disagreement_ms() == disagreement
    assert cluster.membership.median_time(1_000.0) == 1_000 - disagreement / 1000


def test_a_clock_that_is_turned_is_wrong_at_once() -> None:
    """It is noticed before the next heartbeat; otherwise fires that are not due for the others would be
    closed.
    """
    cluster = Cluster("a", "b", "c")
    cluster.beat()
    cluster.membership.clock_was_turned(3_600.0)
    assert cluster.membership.candidates(None) == ["b", "c"]
    assert cluster.membership.median_time(10_000.0) == 6_400
    cluster.membership.clock_was_turned(-3_600.0)
    assert cluster.membership.candidates(None) == ["a", "b", "c"]


def test_the_clocks_of_dead_nodes_do_not_count() -> None:
    cluster = Cluster("a", "b", "c", "d")
    cluster.offsets = {"a": 0, "b": 60_000, "c": 60_000, "d": 0}
    cluster.beat()
    cluster.silence("b", 25)
    assert cluster.membership.skew() == 0
