"""The Debian package, without the modules that pip installs."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tools import deb

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="there is no dpkg-deb"),
]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deb, "install_modules", lambda modules: modules.mkdir(parents=True))
        return deb.build(tmp_path_factory.mktemp("dist"), "1.2-3")


def output(*command: str | Path) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_it_takes_the_place_of_cron(package: Path) -> None:
    fields = dict(
        line.split(": ", 1) for line in output("dpkg-deb", "--field", package).splitlines() if line[0] != " "
    )
    assert (fields["Package"], fields["Version"], fields["Provides"]) == ("pycrond", "1.2-3", "cron-daemon")
    assert fields["Conflicts"] == fields["Replaces"]
    assert {"cron", "cronie"} <= set(fields["Conflicts"].split(", "))


def test_its_files(package: Path, tmp_path: Path) -> None:
    modes = {
        line.split()[5]: line.split()[0] for line in output("dpkg-deb", "--contents", package).splitlines()
    }
    assert {
        "./usr/bin/pycrond",
        "./lib/systemd/system/pycrond.service",
        "./usr/share/man/man1/crontab.1.gz",
    } <= set(modes)
    assert modes["./usr/bin/crontab"] == "-rwxr-xr-x", "without set-user-id and set-group-id"
    assert not [name for name, mode in modes.items() if mode[0] != "l" and ("w" in mode[5:] or "s" in mode)]
    output("dpkg-deb", "--raw-extract", package, tmp_path / "tree")
    unit = (tmp_path / "tree/lib/systemd/system/pycrond.service").read_text()
    assert set(re.findall(r"/[\w/]*bin/\w+", unit)) == {"/usr/bin/pycrond"}
    conffiles = (tmp_path / "tree/DEBIAN/conffiles").read_text().split()
    assert all((tmp_path / "tree" / name.lstrip("/")).is_file() for name in conffiles)
    assert '# state-dir = "/var/lib/pycrond"' in (tmp_path / "tree/etc/pycrond/pycrond.toml").read_text()
    paths = (tmp_path / "tree/usr/lib/pycrond/lib/python3.11/site-packages/debian.pth").read_text()
    assert paths == "/usr/lib/python3/dist-packages\n", "psycopg is Debian's"
    for script in ("postinst", "prerm", "postrm"):
        output("sh", "-n", tmp_path / "tree/DEBIAN" / script)
