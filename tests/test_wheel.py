"""The wheel, built and installed as users do it: it contains all files that setup places, and its daemon
runs.
"""

import fcntl
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import Crond

pytestmark = pytest.mark.daemon
ROOT = Path(__file__).parents[1]


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(word) for word in command],
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        give_up = (
            pytest.fail
            if os.environ.get("CI") == "true" or ("build" not in command and "pip" not in command)
            else pytest.skip
        )
        give_up(f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the sdist, which must contain all files. The workers of a test run build it once."""
    base = tmp_path_factory.getbasetemp()
    directory = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "dist"
    directory.mkdir(exist_ok=True)
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not list(directory.glob("*.whl")):
            run(sys.executable, "-m", "build", "--outdir", directory, ROOT)
            assert list(directory.glob("*.tar.gz"))
    (built,) = directory.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, installed in an environment of its own."""
    directory = tmp_path_factory.mktemp("venv")
    run(sys.executable, "-m", "venv", "--without-pip", directory)
    run(sys.executable, "-m", "pip", "--python", directory / "bin/python", "install", "--quiet", wheel)
    return directory / "bin/pycrond"


def test_it_holds_what_setup_places_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    share = {name.removeprefix("pycrond/share/") for name in names if name.startswith("pycrond/share/")}
    assert {"man/man8/pycrond.8", "completions/bash", "completions/zsh", "completions/fish"} < share
    assert {"systemd/system/pycrond.service", "systemd/user/pycrond.service"} < share
    assert not [name for name in names if name.startswith(("tests/", "hatch_build"))]


def test_setup_places_completions_and_its_own_path(installed: Path, tmp_path: Path) -> None:
    setup = run(installed, "setup", "--user", "--root", tmp_path / "root", HOME="/home/me", XDG_DATA_HOME="")
    home = tmp_path / "root/home/me"
    assert "no completions" not in setup.stdout
    for name in ("bash-completion/completions/pycrond", "zsh/site-functions/_pycrond"):
        assert "setup" in (home / ".local/share" / name).read_text()
    assert (home / ".local/share/fish/vendor_completions.d/pycrond.fish").is_file()
    unit = (home / ".config/systemd/user/pycrond.service").read_text()
    assert f"\nExecStart={installed} start --foreground --no-log-stderr\n" in unit
    run(
        installed, "setup", "--user", "--undo", "--root", tmp_path / "root", HOME="/home/me", XDG_DATA_HOME=""
    )
    assert list((tmp_path / "root").iterdir()) == []


def test_its_daemon_starts_and_stops(installed: Path, crond: Crond) -> None:
    from pycrond import __version__

    assert run(installed, "--version").stdout == f"pycrond {__version__}\n"
    crond.write("jobs", "@reboot echo hi\n")
    assert "1 job from 1 file" in run(installed, "start", **crond.environment).stdout
    run(installed, "status", **crond.environment)
    run(installed, "stop", **crond.environment)
    assert not crond.programs("keeper")
