"""Facts about the machine: its time zone from TZ and /etc/localtime, which boot, which machine."""

import os
import re
from pathlib import Path
from zoneinfo import TZPATH

import pytest

from pycrond.errors import PycrondError
from pycrond.host import machine


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("Europe/Berlin", "Europe/Berlin"),
        (":Europe/Berlin", "Europe/Berlin"),
        ("UTC", "UTC"),
        ("", "UTC"),
        (":", "UTC"),
        ("/some/where", "/some/where"),
    ],
)
def test_tz_says_it(value: str, name: str) -> None:
    assert machine.zone_name({"TZ": value}) == name


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("tree/Europe/Berlin", "Europe/Berlin"),
        ("tree/posix/Europe/Berlin", "Europe/Berlin"),
        ("tree/right/UTC", "UTC"),
        ("tree/UTC", "UTC"),
        ("elsewhere/zone", None),
        (None, "UTC"),
    ],
)
def test_localtime_is_a_link_into_the_zones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str | None, name: str | None
) -> None:
    localtime = tmp_path / "localtime"
    monkeypatch.setattr(machine, "LOCALTIME", str(localtime))
    monkeypatch.setattr(machine, "ZONE_TREES", ("/nowhere/", f"{tmp_path}/tree/"))
    if target:
        file = tmp_path / target
        file.parent.mkdir(parents=True)
        file.touch()
        localtime.symlink_to(target)
    assert machine.zone_name({"LANG": "C"}) == (name or str(localtime))


def zone_file(name: str = "Europe/Berlin") -> str:
    for tree in TZPATH:
        if os.path.exists(os.path.join(tree, name)):
            return os.path.join(tree, name)
    pytest.skip("no zone files on this machine, only Python's own")


def test_localtime_may_be_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "localtime"
    copy.write_bytes(Path(zone_file()).read_bytes())
    monkeypatch.setattr(machine, "LOCALTIME", str(copy))
    zone = machine.zone(machine.zone_name({}))
    berlin = machine.zone("Europe/Berlin")
    assert [piece.shift for piece in zone.pieces(0, 600_000)] == [
        piece.shift for piece in berlin.pieces(0, 600_000)
    ]


def test_a_zone_by_name_is_one_object() -> None:
    assert machine.zone("Europe/Berlin") is machine.zone("Europe/Berlin")


@pytest.mark.parametrize(
    "name",
    [
        "Mars/Olympus",
        "CET-1CEST",
        "../../etc/passwd",
        "Europe",
        "/etc/passwd",
        "/nowhere",
        "/etc",
        "x" * 300,
        "a\udcffb",
        "nul\0",
    ],
)
def test_what_is_no_zone(name: str) -> None:
    with pytest.raises(PycrondError, match="time zone"):
        machine.zone(name)


def test_a_boot_has_a_name_and_keeps_it() -> None:
    assert re.fullmatch(r"[0-9a-f-]{36}/[0-9]+", machine.boot())
    assert machine.boot() == machine.boot()


def test_a_machine_has_a_name_and_keeps_it() -> None:
    assert machine.identity()
    assert machine.identity() == machine.identity()


def test_without_a_machine_id_the_host_name_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_text", lambda _path: "")
    assert machine.identity() == os.uname().nodename
