"""Debian packages that some tests need, installed when such a test runs."""

import os
import shutil
import subprocess
from collections.abc import Callable
from typing import NoReturn

import pytest


def give_up(reason: str) -> NoReturn:
    """Skip the test; fail it in CI."""
    (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)


def install(package: str, is_installed: Callable[[], object]) -> None:
    """Install a package unless it is installed; give up if that is impossible."""
    if is_installed():
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        give_up(f"no {package}, and not root with apt-get to install it")
    error = apt_get("update") or apt_get("install", "--yes", "--no-install-recommends", package)
    if error or not is_installed():
        give_up(error or f"{package} is installed and does not have what the test needs")


def apt_get(*arguments: str, directory: str | None = None) -> str:
    """Run apt-get; return its error message, empty if it succeeded."""
    done = subprocess.run(
        ["apt-get", "--quiet=2", "-o", "DPkg::Lock::Timeout=300", *arguments],
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return f"apt-get {arguments[0]}: {done.stderr.strip()}" if done.returncode else ""
