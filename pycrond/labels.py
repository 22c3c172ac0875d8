"""The names of nodes and their labels."""

import re

RESERVED = {"every", "one"}
"""Words of the option `on`, which no label may be."""
LABEL_FORM = "a label of small letters, digits and . _ -, at most 64, and not every or one"


def is_label(text: str) -> bool:
    """Return whether a text may be the label of a node."""
    return bool(re.fullmatch(r"[a-z0-9][a-z0-9_.-]{0,63}", text)) and text not in RESERVED


def is_node_name(text: str) -> bool:
    """Return whether a text may be the name of a node."""
    return bool(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", text))
