"""The image: buildah builds the Dockerfile on a base of Debian's packages, with the machine's own sources alone.

No registry of images and no network of containers are needed: the base comes from mmdebstrap, and what pip needs is
downloaded before, by this machine's pip.
"""

import json
import platform
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from tests.support import packages

ROOT = Path(__file__).parents[2]
PROGRAMS = ("buildah", "crun", "mmdebstrap")
BASE_PACKAGES = "python3,python3-venv,python3-pip,tzdata,procps"
BASE, NAME = "localhost/pycrond-base", "localhost/pycrond-test"


def run(*command: object) -> str:
    """Run a command and return its output, which is shown with the errors if it fails."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    if done.returncode:
        words = " ".join(map(str, command))
        raise SystemExit(f"{words}: {done.returncode}\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    return done.stdout.strip()


class Image:
    """The image and its root file system, in a directory of their own. Base and wheels are fetched once."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.base = directory / "base.tar"
        self.wheels = directory / "wheels"
        self.root_file_system = Path()
        directory.mkdir(parents=True, exist_ok=True)
        for program in PROGRAMS:
            packages.install(program, lambda name=program: shutil.which(name))  # type: ignore[misc]

    def build(self, *, is_built: bool = False) -> None:
        """Build the image, unless `is_built`, and mount its file system."""
        if not is_built:
            self._build()
        self._buildah("rm", "--all")
        container = self._buildah("from", "--pull=never", NAME)
        self.root_file_system = Path(self._buildah("mount", container))

    def _build(self) -> None:
        if not self.base.exists():
            new, suite = self.directory / "new.tar", platform.freedesktop_os_release()["VERSION_CODENAME"]
            given = [*Path("/etc/apt/sources.list.d").glob("debian.sources"), Path("/etc/apt/sources.list")]
            sources = next(path for path in given if path.exists())
            options = ("--variant=minbase", "--mode=root", f"--include={BASE_PACKAGES}")
            run("mmdebstrap", *options, suite, new, sources)
            new.rename(self.base)
        self._download_wheels()
        self._buildah("rm", "--all")
        if not self._buildah("images", "--quiet", "--filter", f"reference={BASE}"):
            container = self._buildah("from", "scratch")
            self._buildah("add", container, self.base, "/")
            self._buildah("commit", "--rm", container, BASE)
        arguments = {"BASE": BASE, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/wheels"}
        self._buildah(
            *("build", "--isolation=chroot", "--pull=never", "--format=docker"),
            *(f"--build-arg={name}={value}" for name, value in arguments.items()),
            *(f"--volume={self.wheels}:/wheels:ro", f"--tag={NAME}", ROOT),
        )

    def _download_wheels(self) -> None:
        """Download what the build and the program need. Editable and other wheels are for this Python's minor version
        or for all.
        """
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())
        needed = [*project["build-system"]["requires"], *project["project"]["dependencies"]]
        needed += project["project"]["optional-dependencies"]["cluster"]
        run(sys.executable, "-m", "pip", "download", "--quiet", f"--dest={self.wheels}", *needed)

    def config(self) -> dict[str, Any]:
        """Return the image's own settings: Env, Entrypoint, User, Healthcheck and so on."""
        document = json.loads(self._buildah("inspect", "--type=image", NAME))
        config: dict[str, Any] = document["Docker"]["config"]
        return config

    def close(self) -> None:
        """Unmount the file system; base, wheels and images stay."""
        self._buildah("rm", "--all")

    def _buildah(self, *arguments: object) -> str:
        storage = ("--root", self.directory / "storage", "--runroot", self.directory / "run")
        return run("buildah", *storage, "--storage-driver=overlay", *arguments)
