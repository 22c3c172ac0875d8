"""`make deb`: build a Debian package from this tree, with dpkg-deb. Only the build needs the network.

The program is in /usr/lib/pycrond, an environment of its own, because Debian's modules are too old. It is
pure Python, and its directory of modules has a name for each version of Python, so that an upgrade of Python
does not break it.
"""

import argparse
import gzip
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from pycrond import __version__
from pycrond.cli import shell_completion
from pycrond.cli.commands.init import toml_text
from pycrond.cli.setup.data_files import SOURCES

ROOT = Path(__file__).parent.parent
PACKAGING = ROOT / "packaging/debian"
LIBRARY = "usr/lib/pycrond"
MODULES = "lib/python3/site-packages"
PYTHON_VERSIONS = range(11, 20)  # minor versions whose modules are found
SYSTEM_MODULES = "usr/lib/python3/dist-packages"
"""Debian's own modules come last, so that they replace none of the program's: `cluster` needs psycopg."""
PROGRAM = """#!/usr/lib/pycrond/bin/python3 -I
from pycrond.cli.main import entry

entry()
"""
CRONTAB = """#!/bin/sh
exec /usr/bin/pycrond crontab "$@"
"""
ENVIRONMENT = "home = /usr/bin\ninclude-system-site-packages = false\n"
CONFFILES = ("etc/pycrond/pycrond.toml", "etc/pam.d/pycrond")
COMPLETION_PATHS = {
    "bash": "usr/share/bash-completion/completions/pycrond",
    "zsh": "usr/share/zsh/vendor-completions/_pycrond",
    "fish": "usr/share/fish/vendor_completions.d/pycrond.fish",
}
DOCUMENTS = (
    "README.md",
    "docs/running.md",
    "docs/moving.md",
    "docs/monitoring.md",
    "docs/cluster.md",
    "docs/semantics.md",
    "docs/security.md",
)


def build(directory: Path, version: str) -> Path:
    """Build the package in `directory` and return its path."""
    with tempfile.TemporaryDirectory() as temporary:
        tree = Path(temporary, "pycrond")
        tree.mkdir(mode=0o755)
        _place_program(tree)
        _place_data(tree)
        _place_control(tree, version)
        directory.mkdir(parents=True, exist_ok=True)
        package = directory / f"pycrond_{version}_all.deb"
        command = ["dpkg-deb", "--root-owner-group", "--build", "-Zxz", str(tree), str(package)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return package


def install_modules(modules: Path) -> None:
    """Install this tree and what it needs, by pip; the programs of the wheels are not needed."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    options = ["--no-compile", "--root-user-action=ignore", "--target", str(modules), str(ROOT)]
    subprocess.run([*command, *options], check=True)
    shutil.rmtree(modules / "bin", ignore_errors=True)
    if natives := [*modules.rglob("*.so")]:
        raise SystemExit(f"not for all architectures: {natives}")


def _place_program(tree: Path) -> None:
    install_modules(tree / LIBRARY / MODULES)
    _write(tree / LIBRARY / MODULES / "debian.pth", f"/{SYSTEM_MODULES}\n")
    for minor in PYTHON_VERSIONS:
        (tree / LIBRARY / f"lib/python3.{minor}").symlink_to("python3")
    _write(tree / LIBRARY / "pyvenv.cfg", ENVIRONMENT)
    _write(tree / LIBRARY / "bin/pycrond", PROGRAM, 0o755)
    (tree / LIBRARY / "bin/python3").symlink_to("/usr/bin/python3")
    (tree / "usr/bin").mkdir()
    (tree / "usr/bin/pycrond").symlink_to("../lib/pycrond/bin/pycrond")
    _write(tree / "usr/bin/crontab", CRONTAB, 0o755)


def _place_data(tree: Path) -> None:
    unit = (ROOT / "contrib/pycrond.service").read_text().replace("/usr/local/bin/", "/usr/bin/")
    _write(tree / "lib/systemd/system/pycrond.service", unit)
    user_unit = (ROOT / "contrib/user/pycrond.service").read_text().replace("/usr/local/bin/", "/usr/bin/")
    _write(tree / "usr/lib/systemd/user/pycrond.service", user_unit)
    for page in (ROOT / "man").glob("*.[158]"):
        _write_compressed(tree / f"usr/share/man/man{page.suffix[1:]}/{page.name}.gz", page)
    for shell, path in COMPLETION_PATHS.items():
        _write(tree / path, shell_completion.script(shell))
    documents = tree / "usr/share/doc/pycrond"
    for name in DOCUMENTS:
        _write(documents / os.path.basename(name), (ROOT / name).read_text())
    for name, source in SOURCES.items():
        if name.startswith("examples/"):
            _write(documents / name, (ROOT / source).read_text())
    _write(documents / "copyright", (ROOT / "LICENSE").read_text())
    _write_compressed(documents / "changelog.gz", ROOT / "CHANGELOG.md")
    _write(tree / "etc/pycrond/pycrond.toml", toml_text(of_root=True))
    _write(tree / "etc/pam.d/pycrond", (PACKAGING / "pam").read_text())


def _place_control(tree: Path, version: str) -> None:
    size = sum(path.lstat().st_size for path in tree.rglob("*") if path.is_file()) // 1024
    maintainer = os.environ.get("DEBFULLNAME", "pycrond"), os.environ.get("DEBEMAIL", "root@localhost")
    control = (PACKAGING / "control").read_text()
    control = control.replace("@VERSION@", version).replace("@SIZE@", str(size))
    _write(tree / "DEBIAN/control", control.replace("@MAINTAINER@", "{} <{}>".format(*maintainer)))
    _write(tree / "DEBIAN/conffiles", "".join(f"/{path}\n" for path in CONFFILES))
    for script in ("postinst", "prerm", "postrm"):
        _write(tree / "DEBIAN" / script, (PACKAGING / script).read_text(), 0o755)
    for path in tree.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def _write_compressed(path: Path, source: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(source.read_bytes(), mtime=0))
    path.chmod(0o644)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, default=ROOT / "dist", help="the directory of the package")
    parser.add_argument("--version", default=f"{__version__}-1", help="the version of the package")
    options = parser.parse_args()
    print(build(options.directory, options.version))
    return 0


if __name__ == "__main__":
    sys.exit(main())
