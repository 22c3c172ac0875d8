"""Standard streams that are full, closed or broken: an error for the user, and never one of pycrond."""

import subprocess
from pathlib import Path

import pytest

from tests.conftest import SCRIPT

FULL = "pycrond: cannot write to standard output: No space left on device\n"
GONE = "exec 3> >(true); wait $!;"  # a pipe without a reader
LONG = "config --json-schema"  # more than a buffer of Python's


def shell(directory: Path, command: str) -> tuple[int, str, str]:
    """Run a shell command in which `pycrond` is the command line; return exit status, output and errors."""
    environment = {"PATH": "/usr/bin:/bin", "TZ": "UTC", "PYCROND_STATE_DIR": str(directory / "state")}
    done = subprocess.run(
        ["bash", "-c", f"pycrond() {{ '{SCRIPT}' \"$@\"; }}; {command}"],
        env=environment | {"HOME": str(directory)},
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("pycrond --version >/dev/full", (1, "", FULL)),
        ("pycrond --help >/dev/full", (1, "", FULL)),
        ("pycrond list --help >/dev/full", (1, "", FULL)),
        ("pycrond explain '*/5 * * * *' >/dev/full", (1, "", FULL)),
        ("pycrond config --json >/dev/full", (1, "", FULL)),
        (f"pycrond {LONG} >/dev/full", (1, "", FULL)),
        ("pycrond metrics 2>/dev/null >/dev/full", (1, "", "")),
        ("pycrond --version >&-", (0, "", "")),
        ("pycrond explain '*/5 * * * *' >&-", (0, "", "")),
        ("pycrond config >&- 2>&- <&-", (0, "", "")),
        ("pycrond kill 1 2>/dev/full", (3, "", "")),
        ("pycrond kill 1 2>&-", (3, "", "")),
        ("pycrond check - <&-", (1, "", "pycrond: cannot read standard input: Bad file descriptor\n")),
        ("pycrond crontab -T - <&-", (1, "", "cannot read standard input: Bad file descriptor\n")),
        (f"{GONE} pycrond --version >&3", (141, "", "")),
        (f"{GONE} pycrond {LONG} >&3", (141, "", "")),
        (f"{GONE} pycrond metrics >&3 2>/dev/null", (141, "", "")),
        (f"{GONE} pycrond metrics --output /dev/stdout >&3 2>/dev/null", (141, "", "")),
        (f"{GONE} pycrond metrics --output /dev/fd/3 2>/dev/null", (141, "", "")),
    ],
)
def test_standard_streams(tmp_path: Path, command: str, expected: tuple[int, str, str]) -> None:
    assert shell(tmp_path, command) == expected


def test_no_file_gets_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    """A daemon or an editor would write its messages into it."""
    editor = tmp_path / "editor"
    editor.write_text(f"#!/bin/sh\nls -l /proc/self/fd >{tmp_path}/streams\n")
    editor.chmod(0o755)
    (tmp_path / "tab").write_text("* * * * * true\n")
    shell(tmp_path, f"EDITOR={editor} pycrond edit tab <&- >&- 2>&-")
    lines = (tmp_path / "streams").read_text().splitlines()
    targets = {line.split()[-3]: line.split()[-1] for line in lines if " -> " in line}
    assert (targets["0"], targets["2"]) == ("/dev/null", "/dev/null")
