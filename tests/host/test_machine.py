"""Facts about the machine: its time zone from TZ and /etc/localtime, the ids of the boot and the machine."""

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
def test_time_zone_from_tz(value: str, name: str) -> None:
    assert machine.local_zone_name({"TZ": value}) == name


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
def test_time_zone_from_the_link_localtime(
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
    assert machine.local_zone_name({"LANG": "C"}) == (name or str(localtime))


def zone_file(name: str = "Europe/Berlin") -> str:
    for tree in TZPATH:
        if os.path.exists(os.path.join(tree, name)):
            return os.path.join(tree, name)
    pytest.skip("this machine has no zone files, only Python's")


def test_time_zone_from_a_copied_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "localtime"
    copy.write_bytes(Path(zone_file()).read_bytes())
    monkeypatch.setattr(machine, "LOCALTIME", str(copy))
    zone = machine.load_zone(machine.local_zone_name({}))
    berlin = machine.load_zone("Europe/Berlin")
    assert [period.offset for period in zone.offset_periods(0, 600_000)] == [
        period.offset for period in berlin.offset_periods(0, 600_000)
    ]


def test_a_zone_by_name_is_one_object() -> None:
    assert machine.load_zone("Europe/Berlin") is machine.load_zone("Europe/Berlin")


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
def test_unknown_zones(name: str) -> None:
    with pytest.raises(PycrondError, match="time zone"):
        machine.load_zone(name)


def test_the_boot_id_stays() -> None:
    assert re.fullmatch(r"[0-9a-f-]{36}/[0-9]+", machine.boot_id())
    assert machine.boot_id() == machine.boot_id()


def test_the_machine_id_stays() -> None:
    assert machine.machine_id()
    assert machine.machine_id() == machine.machine_id()


def test_the_host_name_replaces_a_missing_machine_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "read_text", lambda _path: "")
    assert machine.machine_id() == os.uname().nodename
