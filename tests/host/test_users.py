"""Users, their groups, and expired accounts."""

import os
import pwd
from pathlib import Path

import pytest

from pycrond.host import users


def test_by_uid(monkeypatch: pytest.MonkeyPatch) -> None:
    root = users.by_uid(0)
    assert (root.name, root.uid, root.gid, root.home) == ("root", 0, 0, pwd.getpwuid(0).pw_dir)
    monkeypatch.setenv("HOME", "/somewhere")
    bare = users.by_uid(4_000_000)
    assert (bare.name, bare.uid, bare.home) == ("4000000", 4_000_000, "/somewhere")


def test_by_name() -> None:
    assert users.by_name("root") == users.by_uid(0)
    for name in ("no-such-user", "", "0", "root:root", "a\0b", "\udcff"):
        assert users.by_name(name) is None, name


def test_group_ids() -> None:
    assert 0 in users.group_ids(users.by_uid(0))


@pytest.mark.parametrize(
    ("line", "expired", "why"),
    [
        ("eve:!:1:0:99999:7:::", False, "no date"),
        ("eve:!:1:0:99999:7::20000:", True, "today"),
        ("eve:!:1:0:99999:7::19999:", True, "yesterday"),
        ("eve:!:1:0:99999:7::20001:", False, "tomorrow"),
        ("evelyn:!:1:0:99999:7::1:", False, "another user"),
        ("eve:!", False, "a line cut short"),
        ("eve:!:1:0:99999:7::soon:", False, "no number"),
        ("", False, "an empty file"),
    ],
)
def test_expired(tmp_path: Path, line: str, expired: bool, why: str) -> None:
    (tmp_path / "shadow").write_text(f"root:*:1:0:99999:7:::\n{line}\n")
    assert users.is_expired("eve", 20_000, os.fspath(tmp_path / "shadow")) is expired, why


def test_without_a_shadow_file_no_account_is_expired(tmp_path: Path) -> None:
    assert not users.is_expired("eve", 20_000, os.fspath(tmp_path / "shadow"))
