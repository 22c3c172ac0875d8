"""The script of `make sizes` counts the lines of the loaded modules, and fails above a limit."""

import subprocess
import sys

import pytest

from tools import sizes
from tools.imports import DAEMON, loaded_by


def test_the_modules_that_the_daemon_loads() -> None:
    script = "import sys, pycrond.daemon.__main__; print(*(name for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    names = done.stdout.split()
    assert {name.removeprefix("pycrond.") for name in names if name.startswith("pycrond.")} == loaded_by(
        DAEMON
    )


@pytest.mark.parametrize("limit", sizes.LIMITS)
def test_a_size_beyond_its_limit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], limit: str
) -> None:
    for name in sizes.LIMITS:
        monkeypatch.setitem(sizes.LIMITS, name, 1_000_000)
    assert sizes.main() == 0
    assert "beyond" not in capsys.readouterr().out
    monkeypatch.setitem(sizes.LIMITS, limit, 1)
    assert sizes.main() == 1
    assert f" {limit}: " in capsys.readouterr().out.partition("beyond the limit:\n")[2]
