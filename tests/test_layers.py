"""The order of the packages: an import leads to the same package or to one that stands before it."""

import ast
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "pycrond"
PACKAGES = (
    *("schedule", "jobs", "crontab", "host", "sources", "ledger", "output", "keeper"),
    *("runs", "alarms", "scheduler", "control", "daemon", "cli"),
)
"""Modules of no package (`errors`, `clock`, ...) stand before all of them, `__main__` behind."""
PURE = {"schedule", "jobs", "crontab"}
EFFECTS = {"os", "subprocess", "socket", "sqlite3", "time", "select", "signal", "pycrond.clock"}
KEEPER = "keeper.__main__"
DAEMON = "daemon.__main__"
COURIER = "alarms.courier"
"""Programs of their own."""


@cache
def modules() -> dict[str, Path]:
    """Every module by its dotted name below `pycrond`; a package by its own name."""
    paths = sorted(ROOT.rglob("*.py"))
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in paths
    }


@cache
def imports(name: str, *, late: bool = True) -> frozenset[str]:
    """The dotted names that a module imports, ours without `pycrond.`; without `late` those of its top level."""
    tree = ast.parse(modules()[name].read_text())
    names: set[str] = set()
    for node in ast.walk(tree) if late else tree.body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {_module(node.module, alias.name) for alias in node.names}
    return frozenset(one.removeprefix("pycrond.") if one != "pycrond.clock" else one for one in names)


def _module(package: str, name: str) -> str:
    """`package.name` where that is a module of ours, else `package`."""
    inner = f"{package}.{name}".removeprefix("pycrond.")
    return f"pycrond.{inner}" if package.startswith("pycrond") and inner in modules() else package


def ours(name: str, *, late: bool = True) -> set[str]:
    return {one.removeprefix("pycrond.") for one in imports(name, late=late)} & modules().keys()


def place(name: str) -> int:
    package = name.partition(".")[0]
    if package == "__main__":
        return len(PACKAGES)
    return PACKAGES.index(package) if package in PACKAGES else -1


def loaded_by(name: str) -> set[str]:
    """The modules of ours that are loaded when a module is imported."""
    found, waiting = set(), [name]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += [*ours(one, late=False), *([one.rpartition(".")[0]] if "." in one else [])]
    return found


def test_there_are_no_packages_but_these() -> None:
    assert {path.name for path in ROOT.iterdir() if (path / "__init__.py").exists()} == {*PACKAGES}
    single = {path.stem for path in ROOT.glob("*.py")}
    assert single == {"__init__", "__main__", "errors", "clock", "hashing", "settings", "text"}


@pytest.mark.parametrize("name", sorted(modules()))
def test_no_import_leads_to_a_later_package(name: str) -> None:
    later = {other for other in ours(name) if place(other) > place(name)}
    assert not later


def test_no_modules_import_each_other_in_a_circle() -> None:
    TopologicalSorter({name: ours(name) for name in modules()}).prepare()


def test_the_keepers_program_imports_nothing_of_ours() -> None:
    assert {one.partition(".")[0] for one in imports(KEEPER)} <= sys.stdlib_module_names


@pytest.mark.parametrize("name", sorted(name for name in modules() if name.partition(".")[0] in PURE))
def test_what_is_pure_has_no_effects(name: str) -> None:
    assert not imports(name) & EFFECTS


def test_the_daemon_loads_nothing_that_only_people_or_couriers_need() -> None:
    loaded = loaded_by(DAEMON)
    assert not {name for name in loaded if name.partition(".")[0] == "cli"}
    assert not loaded & {COURIER, *ours(COURIER) & {"alarms.sendmail", "alarms.smtp", "alarms.ping"}}
    others = set().union(*(imports(name) for name in loaded))
    assert not {one.partition(".")[0] for one in others} & {
        "argparse",
        "subprocess",
        "logging",
        "email",
    }
