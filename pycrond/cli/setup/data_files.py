"""The files that belong to the program: manual pages, completions, unit files, examples."""

import os
from pathlib import Path

PACKAGE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SOURCES = {
    "man/man1/crontab.1": "man/crontab.1",
    "man/man8/pycrond.8": "man/pycrond.8",
    "man/man5/pycrond.crontab.5": "man/pycrond.crontab.5",
    "systemd/system/pycrond.service": "contrib/pycrond.service",
    "systemd/user/pycrond.service": "contrib/user/pycrond.service",
    "examples/crontab": "crontabs/examples",
    "examples/standard-input": "crontabs/stdin-example",
    "examples/hardened.conf": "contrib/hardened.conf",
    "examples/prometheus-rules.yaml": "contrib/prometheus-rules.yaml",
}
"""Paths in the wheel's `share` directory, with the paths in a source tree."""
COMPLETIONS = {f"completions/{shell}": shell for shell in ("bash", "zsh", "fish")}
"""Generated when a wheel is built; a source tree does not contain them."""


def files() -> dict[str, bytes]:
    """Return the content of the existing files, by their paths in `share`."""
    share, tree = os.path.join(PACKAGE, "share"), os.path.dirname(PACKAGE)
    paths = {name: os.path.join(share, name) for name in (*SOURCES, *COMPLETIONS)}
    if not os.path.isdir(share):
        paths = {name: os.path.join(tree, source) for name, source in SOURCES.items()}
    return {name: Path(path).read_bytes() for name, path in paths.items() if os.path.isfile(path)}
