"""Promtool, which judges rules of Prometheus: installed, or from Debian's package, kept in the environment."""

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
        download = functools.partial(packages.apt_get, "download", "prometheus", directory=directory)
        if error := download() and (packages.apt_get("update") or download()):
            packages.give_up(error)
        (package,) = glob.glob(f"{directory}/*.deb")
        tar = subprocess.run(["dpkg", "--fsys-tarfile", package], check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x", "-C", directory, "./usr/bin/promtool"], input=tar, check=True)
        os.replace(f"{directory}/usr/bin/promtool", kept)  # whole, also where two processes do it
    return str(kept)
