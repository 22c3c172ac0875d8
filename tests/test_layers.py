"""Who may import whom: design.md's table, held against the imports. Forward only; no effect imports another."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "pycrond"
LAYERS: tuple[set[str], ...] = (
    {"__init__", "errors", "clock", "digest", "undelivered"},
    {
        "schedule",
        "days",
        "zones",
        "stored",
        "options",
        "job",
        "run",
        "rows",
        "account",
        "settings",
        "schema",
        "inherited",
        "symptoms",
    },
    {
        "terms",
        "fields",
        "lines",
        "inforce",
        "crontab",
        "logtext",
        "layout",
        "firstword",
        "mailtext",
        "anacrontab",
        "cells",
        "mdoc",
    },
    {
        *("agenda", "gaps", "views", "lint", "nights", "wording", "comparison", "audit", "delays"),
        *("tables", "listing", "past"),
        *("policy", "launch", "letters", "lintvars", "placing", "diagnosis", "takeover"),
        *("lanes", "dayscale", "stampedes", "daytext", "daysvg", "icaltext"),
    },
    {
        *("sources", "machine", "lastgood", "lastturn", "process", "aside", "becoming", "spool"),
        *("syslogger", "sysloglink", "ledger", "reader"),
        *("control", "signals", "pidfile", "detach", "poller", "timer", "readiness"),
        *(
            "keeping",
            "starts",
            "database",
            "procfs",
            "limits",
            "alarmbook",
            "foldbook",
            "jobbook",
            "pausebook",
        ),
        *("systemtabs", "users", "watch"),
        *("sendmail", "smtp", "pinging"),
        *("shared", "installing", "surroundings"),
    },
    {
        *(
            "telling",
            "delivery",
            "outputs",
            "running",
            "owed",
            "loading",
            "tabs",
            "turns",
            "survivors",
            "recovery",
            "jumps",
            "answering",
        ),
        *("daemon", "parts", "program", "admission", "aftermath", "endings", "pauses", "courier"),
        *("alarms", "outbox", "retention", "asking", "byhand", "figures", "showing"),
        *("reloading", "restarting", "stopping", "orders", "upkeep", "waiting", "launching"),
    },
    {"cli", "__main__"},
)
EFFECTS = 4
ALLOWED = {
    ("detach", "signals"),
    ("machine", "zones"),
    ("syslogger", "sysloglink"),
    ("ledger", "database"),
    ("ledger", "jobbook"),
    ("jobbook", "database"),
    ("alarmbook", "database"),
    ("foldbook", "database"),
    ("pausebook", "database"),
}
"""Between effects: whoever becomes a daemon must block its signals first."""
PURE = {
    *("schedule", "days", "gaps", "job", "agenda", "views", "crontab", "fields", "logtext", "stored"),
    *(
        "mailtext",
        "options",
        "lint",
        "nights",
        "layout",
        "firstword",
        "wording",
        "comparison",
        "policy",
        "launch",
        "letters",
        "placing",
        "inherited",
        "diagnosis",
        "symptoms",
        "takeover",
        "anacrontab",
    ),
    *("lanes", "dayscale", "stampedes", "daytext", "daysvg", "icaltext"),
    *("cells", "tables", "listing", "past", "mdoc"),
}
COURIERS = {"courier", "sendmail", "smtp", "pinging"}
"""A program of its own, so that the daemon loads neither `subprocess` nor what speaks to servers."""
FORBIDDEN = {"os", "subprocess", "socket", "sqlite3", "time", "select", "signal", "pycrond.clock"}


def module(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """The dotted names that a module imports, of ours as `pycrond.x`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "pycrond":
            found |= {f"pycrond.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def layer(name: str) -> int:
    return next(number for number, names in enumerate(LAYERS) if name in names)


FILES = sorted(ROOT.rglob("*.py"))


def test_every_module_has_a_layer() -> None:
    assert {module(path) for path in FILES} == set().union(*LAYERS) | {"keeper"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_lead_down(path: Path) -> None:
    here = module(path)
    ours = {name.split(".")[1] for name in imports(path) if name.startswith("pycrond.")}
    if here == "keeper":
        assert not ours  # a program of its own
        return
    for name in ours - {"__version__", here}:
        assert layer(name) <= layer(here), f"{here} imports {name}, which is above it"
        assert not (layer(name) == layer(here) == EFFECTS) or (here, name) in ALLOWED, (
            f"{here} imports {name}"
        )


@pytest.mark.parametrize("name", sorted(PURE))
def test_what_is_pure_touches_nothing(name: str) -> None:
    assert not imports(ROOT / f"{name}.py") & FORBIDDEN


def test_the_daemon_loads_nothing_that_only_people_need() -> None:
    daemon = [path for path in FILES if layer_or_none(path) in range(6) and module(path) not in COURIERS]
    loaded = set().union(*(imports(path) for path in daemon))
    people = {"rich", "argparse", "subprocess", "logging"}
    ours = {
        "pycrond.lint",
        "pycrond.lintvars",
        "pycrond.nights",
        "pycrond.layout",
        "pycrond.firstword",
        "pycrond.wording",
        "pycrond.comparison",
        *(f"pycrond.{name}" for name in ("lanes", "dayscale", "stampedes", "daytext", "daysvg", "icaltext")),
        *("pycrond.placing", "pycrond.installing", "pycrond.shared"),
        *("pycrond.diagnosis", "pycrond.symptoms", "pycrond.surroundings"),
        *("pycrond.takeover", "pycrond.anacrontab"),
        *("pycrond.cells", "pycrond.tables", "pycrond.listing", "pycrond.past", "pycrond.mdoc"),
    }
    assert not {name for name in loaded if name.split(".")[0] in people}
    assert not loaded & {f"pycrond.{name}" for name in COURIERS}
    daemons = {path for path in FILES if layer_or_none(path) == 5}
    assert not set().union(*(imports(path) for path in daemons)) & ours


def layer_or_none(path: Path) -> int | None:
    return None if module(path) == "keeper" else layer(module(path))
