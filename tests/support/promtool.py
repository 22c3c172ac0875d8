"""Promtool, which checks rules of Prometheus: the installed program, or Debian's, kept in the environment."""

import functools
import glob
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support import packages


@functools.cache
def program() -> str:
    """Return the path of the program; the package (19 MB) is downloaded once for an environment."""
    kept = Path(sys.prefix, "promtool")
    if installed := shutil.which("promtool") or (kept.exists() and str(kept)):
        return installed
    if not shutil.which("apt-get"):
        packages.give_up("there is neither promtool nor apt-get to get it with")
    with tempfile.TemporaryDirectory(prefix="promtool.", dir=sys.prefix) as directory:
        if error := _download(directory) and (packages.apt_get("update") or _download(directory)):
            packages.give_up(error)
        (package,) = glob.glob(f"{directory}/*.deb")
        tar = subprocess.run(["dpkg", "--fsys-tarfile", package], check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x", "-C", directory, "./usr/bin/promtool"], input=tar, check=True)
        os.replace(f"{directory}/usr/bin/promtool", kept)  # never incomplete, even if two processes write it
    return str(kept)


def _download(directory: str) -> str:
    """Download the package that has the program in this release of Debian; return what went wrong."""
    get = functools.partial(packages.apt_get, "download", directory=directory)
    return get("promtool") and get("prometheus")
