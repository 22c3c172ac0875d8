"""setup's decisions, row by row: nothing is touched that we did not place, and nothing that was changed."""

import pytest

from pycrond.cli.setup.plan import Step, afterwards, meanwhile, to_place, to_remove


@pytest.mark.parametrize(
    ("found", "recorded", "action"),
    [
        ({}, {}, "write"),
        ({"/a": "new"}, {}, "keep"),  # the same from elsewhere: not ours to remove later
        ({"/a": "new"}, {"/a": ("new",)}, "keep"),
        ({"/a": "old"}, {"/a": ("old",)}, "write"),
        ({"/a": "other"}, {}, "leave"),
        ({"/a": "other"}, {"/a": ("old",)}, "leave"),
        ({"/a": "old"}, {"/a": ("old", "new")}, "write"),  # killed before it was written
        ({}, {"/a": ("old",)}, "write"),
    ],
)
def test_one_that_is_wanted(found: dict[str, str], recorded: dict[str, tuple[str, ...]], action: str) -> None:
    assert [step.action for step in to_place({"/a": "new"}, found, recorded)] == [action]


@pytest.mark.parametrize(
    ("found", "actions"), [({"/a": "x"}, ["remove"]), ({"/a": "changed"}, ["leave"]), ({}, [])]
)
def test_one_that_is_not_wanted_any_more(found: dict[str, str], actions: list[str]) -> None:
    recorded = {"/a": ("x",)}
    assert [step.action for step in to_place({}, found, recorded)] == actions
    assert [step.action for step in to_remove(found, recorded)] == actions


def test_the_record_knows_both_versions_while_one_replaces_the_other() -> None:
    steps = [Step("write", "/a"), Step("keep", "/b"), Step("remove", "/c"), Step("write", "/d")]
    wanted = {"/a": "a2", "/b": "b1", "/d": "d1"}
    during = meanwhile(steps, wanted, {"/a": ("a1",), "/b": ("b1",), "/c": ("c1",)})
    assert during == {"/a": ("a1", "a2"), "/b": ("b1",), "/c": ("c1",), "/d": ("d1",)}
    assert afterwards(steps, during) == {"/a": ("a2",), "/b": ("b1",), "/d": ("d1",)}
