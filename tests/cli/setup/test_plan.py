"""Rows of setup's decisions: files that it did not place, or that have changed since, are not touched."""

import pytest

from pycrond.cli.setup.plan import SetupStep, plan_placement, record_after, record_during


@pytest.mark.parametrize(
    ("existing", "recorded", "action"),
    [
        ({}, {}, "write"),
        ({"/a": "new"}, {}, "keep"),  # the same content from elsewhere is not ours to remove later
        ({"/a": "new"}, {"/a": ("new",)}, "keep"),
        ({"/a": "old"}, {"/a": ("old",)}, "write"),
        ({"/a": "other"}, {}, "leave"),
        ({"/a": "other"}, {"/a": ("old",)}, "leave"),
        ({"/a": "old"}, {"/a": ("old", "new")}, "write"),  # setup was killed before it wrote the file
        ({}, {"/a": ("old",)}, "write"),
    ],
)
def test_a_file_of_this_version(
    existing: dict[str, str], recorded: dict[str, tuple[str, ...]], action: str
) -> None:
    assert [step.action for step in plan_placement({"/a": "new"}, existing, recorded)] == [action]


@pytest.mark.parametrize(
    ("existing", "actions"), [({"/a": "x"}, ["remove"]), ({"/a": "changed"}, ["leave"]), ({}, [])]
)
def test_a_file_of_an_older_version_only(existing: dict[str, str], actions: list[str]) -> None:
    recorded = {"/a": ("x",)}
    assert [step.action for step in plan_placement({}, existing, recorded)] == actions


def test_the_record_has_both_versions_while_a_file_is_replaced() -> None:
    steps = [
        SetupStep("write", "/a"),
        SetupStep("keep", "/b"),
        SetupStep("remove", "/c"),
        SetupStep("write", "/d"),
    ]
    files = {"/a": "a2", "/b": "b1", "/d": "d1"}
    during = record_during(steps, files, {"/a": ("a1",), "/b": ("b1",), "/c": ("c1",)})
    assert during == {"/a": ("a1", "a2"), "/b": ("b1",), "/c": ("c1",), "/d": ("d1",)}
    assert record_after(steps, during) == {"/a": ("a2",), "/b": ("b1",), "/d": ("d1",)}
