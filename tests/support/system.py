"""pycrond as the cron of a system whose files lie below a directory, and its ordinary users."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Crond, wait_until


class System:
    """A pycrond that is the cron of a system below a directory."""

    def __init__(self, crond: Crond) -> None:
        self.crond = crond
        self.root = crond.directory / "root"
        crond.directory.chmod(0o755)
        del crond.environment["PYCROND_CRONTABS"]
        crond.environment |= {"PYCROND_SYSTEM": "yes", "PYCROND_ROOT": str(self.root)}
        for name in ("etc/cron.d", "var/spool/cron/crontabs"):
            (self.root / name).mkdir(parents=True)
        self.write("etc/os-release", "ID=debian\n")

    def write(self, name: str, text: str) -> Path:
        """Write a file with the right owner and mode; a file in the spool belongs to the user that its name gives."""
        file = self.root / name
        file.write_text(text)
        file.chmod(0o600 if "spool" in name else 0o644)
        if "spool" in name:
            os.chown(file, *pwd.getpwnam(file.name)[2:4])
        return file

    def with_copies(self, directory: Path, *names: str) -> dict[str, Path]:
        """Have pycrond run with copies of files in /etc, which the test can change."""
        copies = {}
        mounts = ""
        for name in names:
            copies[name] = directory / name
            copies[name].write_text(Path("/etc", name).read_text())
            copies[name].chmod(0o644)
            mounts += f"mount --bind {copies[name]} /etc/{name} && "
        self.crond.prefix = ["unshare", "--mount", "sh", "-c", f'{mounts}exec "$0" "$@"']
        return copies

    def output(self) -> list[str]:
        """Wait until all jobs have ended, and return the lines that they printed."""
        wait_until(lambda: self.crond.runs() and all(run.ended_at for run in self.crond.runs()))
        lines = self.crond.run("logs").stdout.splitlines()
        return [line.partition(" | ")[2] for line in lines]

    def as_user(
        self, user: str, *command: str, status: int | None = 0, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as an ordinary user, without privileges; `status` None accepts any exit status."""
        account = pwd.getpwnam(user)
        become = ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--init-groups"]
        done = subprocess.run(
            [*become, "--inh-caps=-all", *command],
            env=self.crond.environment,
            cwd="/",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            **options,
        )
        assert status in {None, done.returncode}, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory in which every user may write; pytest's own directories are closed to other users."""
    directory = Path(tempfile.mkdtemp())
    directory.chmod(0o777)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def system(crond: Crond) -> Iterator[System]:
    """A system with no crontab yet, and no daemon; all processes are ended after the test."""
    yield System(crond)
