"""The order in which the nodes ask for a fire, so that one of them runs it: rendezvous hashing. Pure.

Each fire has its own order: the nodes share the fires evenly, and a node that joins or leaves changes the
first place only of fires that are, or were, its own.
"""

from collections.abc import Collection

from pycrond.hashing import digest_words


def place_of(node: str, nodes: Collection[str], *fire: object) -> int | None:
    """Return the place of a node among the nodes that may claim a fire, from 0; None if it is not one."""
    if node not in nodes:
        return None
    own = _weight(node, fire)
    return sum(_weight(name, fire) < own for name in nodes)


def first_of(nodes: Collection[str], *subject: object) -> str:
    """Return the node that comes first for a subject, such as a job."""
    return min(nodes, key=lambda name: _weight(name, subject))


def _weight(name: str, subject: tuple[object, ...]) -> str:
    return digest_words(name, *map(str, subject), size=8)
