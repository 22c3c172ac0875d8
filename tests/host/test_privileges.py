"""Programs of another user run with none of root's rights."""

import os
import subprocess
from pathlib import Path

import pytest

from pycrond.host import privileges
from pycrond.host.privileges import (
    DirectoryPrefix,
    UserPrefix,
    chroot_prefix,
    env_prefix,
    setpriv_prefix,
    shell_prefix,
)
from pycrond.jobs.job import Account

pytestmark = [pytest.mark.process, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
IS_GNU = (
    b"coreutils" in subprocess.run([privileges.CHROOT, "--version"], capture_output=True, check=False).stdout
)
gnu = pytest.mark.skipif(not IS_GNU, reason="not the chroot of GNU")


def program(directory: Path, text: str) -> str:
    path = directory / "chroot"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@gnu
def test_chroot_of_gnu_passes_the_test() -> None:
    assert privileges.choose_user_prefix() is chroot_prefix


AS_TEST_ACCOUNT = 'exec setpriv --reuid=65534 --regid=65533 --groups=65532,65533 --inh-caps=-all "$@"'


@pytest.mark.parametrize(
    ("does", "expected", "why"),
    [
        (f"shift 3; {AS_TEST_ACCOUNT}", chroot_prefix, "as expected"),
        (f"shift 3; {AS_TEST_ACCOUNT}".replace("65532,", ""), setpriv_prefix, "a group is missing"),
        (
            f"shift 3; {AS_TEST_ACCOUNT}".replace("--groups=65532", "--groups=0,65532"),
            setpriv_prefix,
            "a group of root's",
        ),
        (f"shift 3; {AS_TEST_ACCOUNT}".replace("--reuid", "--euid"), setpriv_prefix, "a way back"),
        (f"shift 3; {AS_TEST_ACCOUNT}".replace("-all", "+chown"), setpriv_prefix, "a capability"),
        ('shift 3; exec "$@"', setpriv_prefix, "still root"),
        ("echo 'unrecognized option: userspec' >&2; exit 1", setpriv_prefix, "as busybox"),
    ],
)
def test_a_chroot_is_tested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str, expected: UserPrefix, why: str
) -> None:
    monkeypatch.setattr(privileges, "CHROOT", program(tmp_path, does))
    assert privileges.choose_user_prefix() is expected, why


def test_without_chroot_setpriv_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privileges, "CHROOT", "/no/chroot")
    assert privileges.choose_user_prefix() is setpriv_prefix


@pytest.mark.parametrize("prefix", [pytest.param(chroot_prefix, marks=gnu), setpriv_prefix])
def test_both_prefixes_have_the_same_effect(prefix: UserPrefix) -> None:
    """The groups are those of the password file: `setpriv` looks them up itself."""
    account = Account("nobody", 65534, 65534, "/")
    shown = ["/bin/grep", "-E", "^(Uid|Gid|Groups|Cap(Inh|Prm|Eff|Amb)):", "/proc/self/status"]
    words = privileges._output([*prefix(account, (65534,)), *shown]).split()
    assert [word for word in words if not word.endswith(":")] == ["65534"] * 9 + ["0" * 16] * 4


@pytest.mark.parametrize("prefix", [env_prefix, shell_prefix])
def test_a_directory_and_variables_are_taken_on(tmp_path: Path, prefix: DirectoryPrefix) -> None:
    def output(*variables: str) -> str:
        return privileges._output([*prefix(str(tmp_path), variables or None), "/usr/bin/env"])

    shown = output("A=1", "B C=2", "BASH_FUNC_x%%=() { :; }").splitlines()
    assert {*shown} == {"A=1", "B C=2", "BASH_FUNC_x%%=() { :; }"}
    assert {*output().splitlines()} <= {f"PWD={tmp_path}"}, "nothing but what a shell sets"
    assert privileges._output([*prefix(str(tmp_path), None), "/bin/pwd"]).strip() == str(tmp_path)


@pytest.mark.parametrize("prefix", [env_prefix, shell_prefix])
def test_a_directory_that_cannot_be_entered(tmp_path: Path, prefix: DirectoryPrefix) -> None:
    command = [*prefix(str(tmp_path / "none"), None), "/bin/true"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == privileges.CANNOT_ENTER
    assert "none" in done.stderr


def test_env_is_tested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert privileges.choose_directory_prefix() is env_prefix
    monkeypatch.setattr(privileges, "ENV", program(tmp_path, "echo 'unrecognized option: C' >&2; exit 1"))
    assert privileges.choose_directory_prefix() is shell_prefix
    monkeypatch.setattr(privileges, "ENV", "/no/env")
    assert privileges.choose_directory_prefix() is shell_prefix
