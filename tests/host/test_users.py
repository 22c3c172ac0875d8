"""Users and their groups."""

import pwd

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
