"""The order of the packages: a module imports only from its own package and from earlier ones."""

import sys
from graphlib import TopologicalSorter

import pytest

from tools.imports import DAEMON, KEEPER, ROOT, imports, internal_imports, loaded_by, modules

PACKAGES = (
    *("schedule", "jobs", "crontab", "host", "sources", "ledger", "output", "keeper"),
    *("runs", "alarms", "cluster", "scheduler", "control", "daemon", "cli"),
)
"""Modules outside the packages come before all of them, `__main__` after them."""
PURE = {"schedule", "jobs", "crontab"}
EFFECTS = {"os", "subprocess", "socket", "sqlite3", "time", "select", "signal", "pycrond.clock"}
COURIER = "alarms.courier"
"""A program of its own, like DAEMON and KEEPER."""


def position(name: str) -> int:
    package = name.partition(".")[0]
    if package == "__main__":
        return len(PACKAGES)
    return PACKAGES.index(package) if package in PACKAGES else -1


def test_there_are_no_other_packages() -> None:
    assert {path.name for path in ROOT.iterdir() if (path / "__init__.py").exists()} == {*PACKAGES}
    single = {path.stem for path in ROOT.glob("*.py")}
    assert single == {
        "__init__",
        "__main__",
        "errors",
        "clock",
        "conninfo",
        "hashing",
        "settings",
        "setting_values",
        "text",
    }


@pytest.mark.parametrize("name", sorted(modules()))
def test_no_import_leads_to_a_later_package(name: str) -> None:
    later = {imported for imported in internal_imports(name) if position(imported) > position(name)}
    assert not later


def test_no_modules_import_each_other_in_a_cycle() -> None:
    TopologicalSorter({name: internal_imports(name) for name in modules()}).prepare()


@pytest.mark.parametrize(
    "program", [KEEPER, "keeper.session_leaders", "keeper.system_calls", "keeper.foreground"]
)
def test_the_keepers_programs_import_only_the_standard_library(program: str) -> None:
    ours = {"pycrond.keeper.session_leaders", "pycrond.keeper.system_calls"}
    # Loaded late, for jobs with `log=split` while there is no daemon.
    ours |= {"pycrond.output", "pycrond.output.split_streams", "pycrond.output.spool"}
    assert {module.partition(".")[0] for module in imports(program) - ours} <= sys.stdlib_module_names


@pytest.mark.parametrize("name", sorted(name for name in modules() if name.partition(".")[0] in PURE))
def test_pure_packages_have_no_effects(name: str) -> None:
    assert not imports(name) & EFFECTS


def test_only_two_modules_of_the_daemon_ask_the_name_service() -> None:
    """The lookup program asks it in its own process, and `users` asks it while the daemon starts."""
    asking = {name for name in loaded_by(DAEMON) if imports(name) & {"pwd", "grp", "spwd"}}
    assert asking == {"host.lookup_program", "host.users"}
    using = {name for name in loaded_by(DAEMON) if "host.users" in internal_imports(name)}
    assert using == {"daemon.__main__", "daemon.subsystems"}


def test_the_daemon_loads_nothing_that_only_the_command_line_or_the_courier_needs() -> None:
    loaded = loaded_by(DAEMON)
    assert not {name for name in loaded if name.partition(".")[0] == "cli"}
    transports = {"alarms.sendmail", "alarms.smtp", "alarms.ping"}
    assert not loaded & {COURIER, *internal_imports(COURIER) & transports}
    imported = set().union(*(imports(name) for name in loaded))
    assert not {module.partition(".")[0] for module in imported} & {
        "rich",
        "prometheus_client",
        "argparse",
        "subprocess",
        "logging",
        "email",
    }


def test_crontab_loads_only_what_it_needs_to_show_a_crontab() -> None:
    """`crontab -l` must answer within 120 ms: parsers, calendars and rows of the ledger are loaded late."""
    loaded = loaded_by("cli.main", "cli.parser", "cli.commands.crontab")
    assert not {name for name in loaded if name.partition(".")[0] in {"crontab", "ledger", "schedule"}}
    assert not loaded & {"jobs.options", "jobs.run", "cli.drafts", "cli.reload_preview"}
