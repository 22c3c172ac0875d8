"""The agents that may have a node's name."""

import pytest

from pycrond.cluster.node_identity import SILENCE, Have, Identity, NameRow, Take, Wait


def identity(name: str = "one", ledger: str = "L") -> Identity:
    return Identity(name, ledger, "here", (), "1")


def row(token: str, *, ledger: str = "L", name: str = "one", instance: str = "I") -> NameRow:
    return NameRow(name, ledger, instance, token, "there")


def test_a_free_name_is_taken() -> None:
    assert identity().judge([], 0.0) == Take(())


def test_the_same_ledger_takes_its_name_at_once() -> None:
    assert identity().judge([row("t")], 0.0) == Take(("t",))
    assert identity("new").judge([row("t", name="old")], 0.0) == Take(("t",))


@pytest.mark.parametrize("was_ousted", [False, True])
def test_others_wait_until_a_heartbeat_has_been_missing(was_ousted: bool) -> None:
    mine = identity()
    if was_ousted:
        mine.name_taken()
    other = "L" if was_ousted else "M"
    assert isinstance(mine.judge([row("t", ledger=other)], 0.0), Wait)
    assert isinstance(mine.judge([row("t", ledger=other)], SILENCE - 1), Wait)
    assert isinstance(mine.judge([row("u", ledger=other)], SILENCE), Wait), "it lives"
    mine.disconnected()
    assert isinstance(mine.judge([row("u", ledger=other)], SILENCE + 50), Wait), "the server was away"
    assert isinstance(mine.judge([row("u", ledger=other)], 2 * SILENCE + 49), Wait)
    assert mine.judge([row("u", ledger=other)], 2 * SILENCE + 50) == Take(("u",))


def test_the_reason_names_who_has_it() -> None:
    mine = identity()
    assert mine.judge([row("t", ledger="M")], 0.0) == Wait("another node one is alive, on there")
    mine.name_taken()
    assert mine.judge([row("t")], 0.0) == Wait("there has a copy of this node's history and is node one")


def test_the_chain_of_tokens() -> None:
    mine = identity()
    first, second = mine.new_token(), mine.new_token()
    mine.name_taken()
    assert mine.judge([row(second, instance=mine.instance)], 0.0) == Have()
    assert mine.judge([row(first, instance=mine.instance)], 0.0) == Have(), "the server has crashed"
    assert isinstance(mine.judge([row("twin's", instance=mine.instance)], 0.0), Wait)


def test_a_failover_may_bring_back_the_row_that_was_taken() -> None:
    mine = identity()
    assert mine.judge([row("t")], 0.0) == Take(("t",))
    mine.name_taken()
    assert mine.judge([row("t")], 0.0) == Take(("t",))
    assert isinstance(mine.judge([row("u")], 0.0), Wait)


def test_two_rows_must_both_be_free() -> None:
    mine = identity()
    rows = [row("t", name="old"), row("u", ledger="M")]
    assert mine.judge(rows, 0.0) == Wait("another node one is alive, on there")
    assert mine.judge(rows, SILENCE) == Take(("t", "u"))
