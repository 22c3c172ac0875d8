"""The files by which crons tell each other that the @reboot jobs of a boot have run."""

from pathlib import Path

import pytest

from pycrond.host import reboot_marks

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
    reboot_marks.write(str(tmp_path), "this")
    (tmp_path / "run").mkdir()
    reboot_marks.write(str(tmp_path), "this")
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["cron.reboot", "crond.reboot"]
    assert reboot_marks.have_run(str(tmp_path), "this")
