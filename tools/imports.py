"""The imports between the modules of pycrond, read from the source without executing it."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent / "pycrond"
KEEPER = "keeper.__main__"
DAEMON = "daemon.__main__"


@cache
def modules() -> dict[str, Path]:
    """Return the file of every module by its dotted name below `pycrond`; a package has its own name."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in sorted(ROOT.rglob("*.py"))
    }


@cache
def tree(name: str) -> ast.Module:
    """Return the parsed source of a module."""
    return ast.parse(modules()[name].read_text())


@cache
def imports(name: str, *, late: bool = True) -> frozenset[str]:
    """Return the dotted names of the modules that a module imports, ours and others.

    Without `late` only the imports at the top level of the module count, not those in functions or under
    `if TYPE_CHECKING`.
    """
    names: set[str] = set()
    for node in ast.walk(tree(name)) if late else tree(name).body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {_module(node.module, alias.name) for alias in node.names}
    return frozenset(names)


def _module(package: str, name: str) -> str:
    """Return `package.name` where that is a module of pycrond, else `package`."""
    inner = f"{package}.{name}".removeprefix("pycrond.")
    return f"{package}.{name}" if package.startswith("pycrond") and inner in modules() else package


def internal_imports(name: str, *, late: bool = True) -> set[str]:
    """Return the modules of pycrond that a module imports, without `pycrond.`."""
    names = {
        full.removeprefix("pycrond.") for full in imports(name, late=late) if full.startswith("pycrond.")
    }
    return names & modules().keys()


def loaded_by(*names: str) -> set[str]:
    """Return the modules of pycrond that are loaded when these are imported, themselves included."""
    loaded: set[str] = set()
    pending = list(names)
    while pending:
        name = pending.pop()
        if name not in loaded:
            loaded.add(name)
            pending += internal_imports(name, late=False)
            pending += [name.rpartition(".")[0]] if "." in name else []
    return loaded
