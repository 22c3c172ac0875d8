"""The files that come beside the program: manual pages, completions, unit files, examples."""

import os

PACKAGE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SOURCES = {
    "man/man8/pycrond.8": "man/pycrond.8",
    "man/man5/pycrond.crontab.5": "man/pycrond.crontab.5",
    "systemd/system/pycrond.service": "contrib/pycrond.service",
    "systemd/user/pycrond.service": "contrib/user/pycrond.service",
    "examples/crontab": "crontabs/examples",
    "examples/standard-input": "crontabs/stdin-example",
    "examples/hardened.conf": "contrib/hardened.conf",
}
"""Names in `share`, where a wheel has them, and where they stand in a source tree."""
COMPLETIONS = {f"completions/{shell}": shell for shell in ("bash", "zsh", "fish")}
"""Made when a wheel is built; a source tree has none."""


def files(package: str = PACKAGE) -> dict[str, bytes]:
    """Those that there are, by their names in `share`."""
    share, tree = os.path.join(package, "share"), os.path.dirname(package)
    built = os.path.isdir(share)
    places = {name: os.path.join(share, name) for name in (*SOURCES, *COMPLETIONS)}
    if not built:
        places = {name: os.path.join(tree, source) for name, source in SOURCES.items()}
    return {name: _read(path) for name, path in places.items() if os.path.isfile(path)}


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
