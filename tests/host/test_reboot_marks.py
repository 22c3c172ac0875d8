"""The files with which crons tell each other that the @reboot jobs of a boot have run."""

from dataclasses import replace
from pathlib import Path

import pytest

from pycrond.host import reboot_marks
from pycrond.setting_values import settle

pytestmark = pytest.mark.process


@pytest.mark.parametrize(
    ("name", "content", "expected", "why"),
    [
        ("crond.reboot", "", True, "Debian's cron has run them"),
        ("cron.reboot", "", True, "cronie has"),
        ("crond.reboot", "this\n", True, "pycrond has, whose state was removed"),
        ("crond.reboot", "another\n", False, "pycrond has, before the container was restarted"),
        ("other", "", False, "no cron has"),
    ],
)
def test_the_jobs_at_boot_run_once_whichever_cron_it_is(
    tmp_path: Path, name: str, content: str, expected: bool, why: str
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).write_text(content)
    assert reboot_marks.have_run(str(tmp_path), "this") == expected, why


def test_another_cron_sees_that_they_have_run(tmp_path: Path) -> None:
    settings = settle(
        [{"state_dir": "/s", "runtime_dir": "/r", "pidfile": "/p", "system": True, "root": str(tmp_path)}]
    )
    reboot_marks.write(settings, "this")
    (tmp_path / "run").mkdir()
    reboot_marks.write(replace(settings, system=False), "this")
    assert not [*(tmp_path / "run").iterdir()]
    reboot_marks.write(settings, "this")
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["cron.reboot", "crond.reboot"]
    assert reboot_marks.have_run(str(tmp_path), "this")
