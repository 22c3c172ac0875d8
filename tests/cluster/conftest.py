"""Nodes of a cluster: real daemons with one database."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Crond, wait_until

MakeNode = Callable[..., Crond]


@pytest.fixture
def make_node(tmp_path: Path, database: str) -> Iterator[MakeNode]:
    """Return a function that makes a node with a name and further settings; the node is not started."""
    nodes: list[Crond] = []

    def make(name: str, crontab: str, **settings: str) -> Crond:
        directory = tmp_path / name
        directory.mkdir()
        node = Crond(directory)
        node.environment |= {
            "PYCROND_CLUSTER": database,
            "PYCROND_NODE": name,
            "PYCROND_SYSLOG": "none",
            **{f"PYCROND_{key.upper()}": value for key, value in settings.items()},
        }
        node.write("jobs", crontab)
        nodes.append(node)
        return node

    yield make
    for node in nodes:
        node.end()


def start(*nodes: Crond, at: str) -> None:
    """Start nodes at the same time by their clocks, and wait until each sees all."""
    for node in nodes:
        node.at(at, wake=False)
    for node in nodes:
        node.run("start")
    wait_until(lambda: all(alive(node) == len(nodes) for node in nodes))


def alive(node: Crond) -> int:
    """Return the number of nodes that a node sees alive. The question wakes it: the kernel's timer does not
    follow its clock.
    """
    status = node.status()
    return int(status["cluster"]["alive"]) if status else 0


def wait_for(fact: Callable[[], object], *nodes: Crond) -> None:
    """Wait until a fact is true, while the nodes read their clocks."""

    def is_so() -> object:
        for node in nodes:
            node.status()
        return fact()

    wait_until(is_so)
