"""Commands that change the directory and then execute another command."""

import os
import subprocess
from pathlib import Path

import pytest

from pycrond.host import privileges
from pycrond.host.privileges import DirectoryPrefix, env_prefix, shell_prefix

pytestmark = pytest.mark.process


def program(directory: Path, text: str) -> str:
    path = directory / "program"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("prefix", [env_prefix, shell_prefix])
def test_a_directory_is_entered_and_the_variables_are_kept(tmp_path: Path, prefix: DirectoryPrefix) -> None:
    variables = {"A": "1"} if prefix is shell_prefix else {"A": "1", "B C": "2", "BASH_FUNC_x%%": "() { :; }"}
    command = [*prefix(str(tmp_path)), "/usr/bin/env"]
    shown = subprocess.run(command, env=variables, capture_output=True, text=True, check=True).stdout
    assert {*shown.splitlines()} - {f"PWD={tmp_path}"} == {
        f"{name}={text}" for name, text in variables.items()
    }
    assert privileges._output([*prefix(str(tmp_path)), "/bin/pwd"]).strip() == os.path.realpath(tmp_path)


@pytest.mark.parametrize("prefix", [env_prefix, shell_prefix])
def test_a_directory_that_cannot_be_entered(tmp_path: Path, prefix: DirectoryPrefix) -> None:
    command = [*prefix(str(tmp_path / "none")), "/bin/true"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == privileges.CANNOT_ENTER
    assert "none" in done.stderr


def test_env_is_tested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert privileges.choose_directory_prefix() is env_prefix
    monkeypatch.setattr(privileges, "ENV", program(tmp_path, "echo 'unrecognized option: C' >&2; exit 1"))
    assert privileges.choose_directory_prefix() is shell_prefix
    monkeypatch.setattr(privileges, "ENV", "/no/env")
    assert privileges.choose_directory_prefix() is shell_prefix
