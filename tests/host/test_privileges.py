"""As whom another user's programs run: the user alone, with nothing of root's left."""

import os
import subprocess
from pathlib import Path

import pytest

from pycrond.host import privileges
from pycrond.host.privileges import UserPrefix, chroot_prefix, setpriv_prefix
from pycrond.jobs.job import Account

pytestmark = [pytest.mark.process, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
IS_GNU = (
    b"coreutils" in subprocess.run([privileges.CHROOT, "--version"], capture_output=True, check=False).stdout
)
gnu = pytest.mark.skipif(not IS_GNU, reason="another chroot")


def program(folder: Path, text: str) -> str:
    path = folder / "chroot"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@gnu
def test_chroot_of_gnu_does_it() -> None:
    assert privileges.choose_user_prefix() is chroot_prefix
    assert os.getcwd() == "/"


OF_STRANGER = 'exec setpriv --reuid=65534 --regid=65533 --groups=65532,65533 --inh-caps=-all "$@"'


@pytest.mark.parametrize(
    ("does", "wanted", "why"),
    [
        (f"shift 4; {OF_STRANGER}", chroot_prefix, "all that is wanted"),
        (f"cd /; shift 4; {OF_STRANGER}", setpriv_prefix, "it is in another folder"),
        (f"shift 4; {OF_STRANGER}".replace("65532,", ""), setpriv_prefix, "a group is missing"),
        (
            f"shift 4; {OF_STRANGER}".replace("--groups=65532", "--groups=0,65532"),
            setpriv_prefix,
            "one of root's",
        ),
        (f"shift 4; {OF_STRANGER}".replace("--reuid", "--euid"), setpriv_prefix, "a way back"),
        (f"shift 4; {OF_STRANGER}".replace("-all", "+chown"), setpriv_prefix, "a capability"),
        ('shift 4; exec "$@"', setpriv_prefix, "still root"),
        ("echo 'unrecognized option: userspec' >&2; exit 1", setpriv_prefix, "as busybox"),
    ],
)
def test_a_chroot_is_tried_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str, wanted: UserPrefix, why: str
) -> None:
    monkeypatch.setattr(privileges, "CHROOT", program(tmp_path, does))
    assert privileges.choose_user_prefix() is wanted, why


def test_there_need_be_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privileges, "CHROOT", "/no/chroot")
    assert privileges.choose_user_prefix() is setpriv_prefix
    assert os.getcwd() == "/"


@pytest.mark.parametrize("become", [pytest.param(chroot_prefix, marks=gnu), setpriv_prefix])
def test_both_leave_the_same(become: UserPrefix) -> None:
    """The groups are those of the password file: `setpriv` looks them up itself."""
    account = Account("nobody", 65534, 65534, "/")
    shown = ["/bin/grep", "-E", "^(Uid|Gid|Groups|Cap(Inh|Prm|Eff|Amb)):", "/proc/self/status"]
    said = privileges._output([*become(account, (65534,)), *shown]).split()
    assert [word for word in said if not word.endswith(":")] == ["65534"] * 9 + ["0" * 16] * 4
