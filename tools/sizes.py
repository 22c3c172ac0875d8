"""`make sizes`: print how large the package, its modules and functions are; fail where a limit is exceeded.

Lines are counted with comments and blank lines. The packages `cluster` and `web` do not count.
"""

import ast
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tools.imports import DAEMON, KEEPER, loaded_by, modules, tree

LIMITS = {
    "lines of the package": 35_630,  # the goal is 17,500
    "lines that the daemon and the keeper load": 20_890,  # the goal is 10,500
    "lines of a module": 300,
    "lines of a function": 40,
    "arguments of a constructor": 6,
}
"""The first two limit a sum, the others each single one."""
TYPICAL = {
    "lines of a module, median": 130,
    "lines of a function, median": 7,
    "lines of a function, 90 of 100": 20,
}
LARGER = {"keeper.__main__": 440}
"""Modules with a limit of their own. The keeper's program loads little, because it must not fail."""
NOT_COUNTED = {"cluster", "web"}


@dataclass(frozen=True, slots=True, order=True)
class Size:
    """The size of one thing: which limit it falls under, and where it is defined."""

    value: int
    limit: str
    place: str


def sizes() -> Iterator[Size]:
    """Yield the size of every module, function and constructor, and the two sums."""
    lines = {
        name: len(path.read_text().splitlines())
        for name, path in modules().items()
        if name.partition(".")[0] not in NOT_COUNTED
    }
    daemon = loaded_by(DAEMON, KEEPER) & lines.keys()
    yield Size(sum(lines.values()), "lines of the package", f"{len(lines)} modules")
    yield Size(
        sum(lines[name] for name in daemon),
        "lines that the daemon and the keeper load",
        f"{len(daemon)} modules",
    )
    for name, count in lines.items():
        if count > LARGER.get(name, 0):
            yield Size(count, "lines of a module", _place(name))
        yield from _function_sizes(name)


def _function_sizes(module: str) -> Iterator[Size]:
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            place = f"{_place(module)}:{node.lineno} {node.name}"
            yield Size((node.end_lineno or node.lineno) - node.lineno + 1, "lines of a function", place)
            if node.name == "__init__":
                arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                yield Size(len(arguments) - 1, "arguments of a constructor", place)  # besides self


def _place(module: str) -> str:
    path = modules()[module]
    return str(path.relative_to(path.cwd())) if path.is_relative_to(path.cwd()) else str(path)


def report(measured: Sequence[Size]) -> Iterator[str]:
    """Yield the lines of the table."""
    for limit, most in LIMITS.items():
        matching = sorted(size for size in measured if size.limit == limit)
        largest = matching[-1]
        name = limit if len(matching) == 1 else f"{limit}, most"
        yield f"{largest.value:7,} of {most:6,}  {name}: {largest.place}"
        for name, typical in TYPICAL.items():
            if name.startswith(f"{limit}, "):
                values = [size.value for size in matching]
                value = statistics.median(values) if name.endswith("median") else _ninetieth(values)
                yield f"{value:7,.0f} of {typical:6,}  {name} ({len(matching)} counted)"


def _ninetieth(values: Sequence[int]) -> int:
    """Return the value that 90 of 100 do not exceed; the values are sorted."""
    return values[(len(values) - 1) * 9 // 10]


def main() -> int:
    measured = list(sizes())
    print("\n".join(report(measured)))
    beyond = [size for size in measured if size.value > LIMITS[size.limit]]
    if beyond:
        print("\nbeyond the limit:")
    for size in sorted(beyond, key=lambda size: ([*LIMITS].index(size.limit), -size.value)):
        print(f"{size.value:7,} {size.limit}: {size.place}")
    return 1 if beyond else 0


if __name__ == "__main__":
    sys.exit(main())
