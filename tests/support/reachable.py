"""Directories above the checkout that other users may not enter, such as root's home: opened for the tests."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path


def open_directories(*paths: Path) -> None:
    """Let all users enter the directories above these paths, in the mounts of this process and its children.

    Each directory is replaced by a directory with the same entries and another mode. The process must have
    mounts of its own.
    """
    for path in paths:
        for directory in reversed([*path.parents]):
            if not directory.stat().st_mode & 0o001:
                _open(directory)
    os.chdir(Path.cwd())  # through the new mounts


def _open(directory: Path) -> None:
    aside = Path(tempfile.mkdtemp(prefix="aside.", dir="/tmp"))
    _mount("--rbind", directory, aside)
    _mount("-t", "tmpfs", "-o", "mode=0755", "none", directory)
    for entry in aside.iterdir():
        here = directory / entry.name
        if entry.is_symlink():
            here.symlink_to(entry.readlink())
        elif entry.is_dir():
            here.mkdir()
            _mount("--rbind", entry, here)
        elif entry.is_file():
            here.touch()
            _mount("--bind", entry, here)
    subprocess.run(["umount", "--lazy", aside], check=True)
    aside.rmdir()


def _mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *arguments], check=True)


INTERPRETER = Path(sys.base_prefix, "bin")
