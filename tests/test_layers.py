"""The order of the packages: an import leads to the same package or to one that stands before it."""

import sys
from graphlib import TopologicalSorter

import pytest

from tools.imports import DAEMON, KEEPER, ROOT, imports, internal_imports, loaded_by, modules

PACKAGES = (
    *("schedule", "jobs", "crontab", "host", "sources", "ledger", "output", "keeper"),
    *("runs", "alarms", "scheduler", "control", "daemon", "cli"),
)
"""Modules of no package (`errors`, `clock`, ...) stand before all of them, `__main__` behind."""
PURE = {"schedule", "jobs", "crontab"}
EFFECTS = {"os", "subprocess", "socket", "sqlite3", "time", "select", "signal", "pycrond.clock"}
COURIER = "alarms.courier"
"""A program of its own, as DAEMON and KEEPER are."""


def place(name: str) -> int:
    package = name.partition(".")[0]
    if package == "__main__":
        return len(PACKAGES)
    return PACKAGES.index(package) if package in PACKAGES else -1


def test_there_are_no_packages_but_these() -> None:
    assert {path.name for path in ROOT.iterdir() if (path / "__init__.py").exists()} == {*PACKAGES}
    single = {path.stem for path in ROOT.glob("*.py")}
    assert single == {"__init__", "__main__", "errors", "clock", "hashing", "settings", "text"}


@pytest.mark.parametrize("name", sorted(modules()))
def test_no_import_leads_to_a_later_package(name: str) -> None:
    later = {other for other in internal_imports(name) if place(other) > place(name)}
    assert not later


def test_no_modules_import_each_other_in_a_circle() -> None:
    TopologicalSorter({name: internal_imports(name) for name in modules()}).prepare()


def test_the_keepers_program_imports_nothing_of_internal_imports() -> None:
    assert {one.partition(".")[0] for one in imports(KEEPER)} <= sys.stdlib_module_names


@pytest.mark.parametrize("name", sorted(name for name in modules() if name.partition(".")[0] in PURE))
def test_what_is_pure_has_no_effects(name: str) -> None:
    assert not imports(name) & EFFECTS


def test_the_daemon_loads_nothing_that_only_people_or_couriers_need() -> None:
    loaded = loaded_by(DAEMON)
    assert not {name for name in loaded if name.partition(".")[0] == "cli"}
    assert not loaded & {
        COURIER,
        *internal_imports(COURIER) & {"alarms.sendmail", "alarms.smtp", "alarms.ping"},
    }
    others = set().union(*(imports(name) for name in loaded))
    assert not {one.partition(".")[0] for one in others} & {
        "rich",
        "argparse",
        "subprocess",
        "logging",
        "email",
    }
