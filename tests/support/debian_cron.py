"""Debian's own cron daemon, beside pycrond: in a mount namespace, so that it sees no crontab but the test's."""

import functools
import glob
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from tests.conftest import children, wait_until
from tests.support import packages

PAM = "auth required pam_permit.so\naccount required pam_permit.so\nsession required pam_permit.so\n"
SHARED = {"passwd", "group", "shadow"}


@functools.cache
def _files() -> tuple[bytes, str]:
    """Return the daemon's executable file and its PAM service, from the package, which is not installed."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        packages.give_up("Debian's cron runs as root, on Debian")
    with tempfile.TemporaryDirectory(prefix="debian-cron.") as directory:
        download = functools.partial(packages.apt_get, "download", "cron", directory=directory)
        if error := download() and (packages.apt_get("update") or download()):
            packages.give_up(error)
        (package,) = glob.glob(f"{directory}/*.deb")
        subprocess.run(["dpkg", "-x", package, directory], check=True)
        service = Path(directory, "etc/pam.d/cron").read_text()
        return Path(directory, "usr/sbin/cron").read_bytes(), service


def program() -> bytes:
    return _files()[0]


def pam_service() -> str:
    """Return Debian's own PAM service for cron."""
    return _files()[1]


class DebianCron:
    """A cron daemon that runs root's crontab."""

    def __init__(
        self,
        directory: Path,
        crontab: str,
        environment: dict[str, str],
        etc: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Start it in `directory`, which is made. `environment` is the daemon's, not that of its jobs. `etc`
        has files for its /etc, and text to append to the `SHARED` files.
        """
        directory.mkdir()
        executable = directory / "cron"
        executable.write_bytes(program())
        executable.chmod(0o755)
        _make_etc(directory / "etc")
        for name, text in etc.items():
            (directory / "etc" / name).parent.mkdir(exist_ok=True)
            with open(directory / "etc" / name, "a" if name in SHARED else "w", encoding="utf-8") as file:
                file.write(text)
        (directory / "run").mkdir()
        spool = directory / "spool/cron/crontabs"
        spool.mkdir(parents=True)
        (spool / "root").write_text(crontab)
        (spool / "root").chmod(0o600)
        mounts = [("etc", "/etc"), ("spool", "/var/spool"), ("run", "/run")]
        script = "".join(f"mount --bind {directory}/{name} {point} && " for name, point in mounts)
        command = f'mount --make-rprivate / && {script} exec "$0" "$@"'
        self.prefix = ["unshare", "--mount", "sh", "-c", command]
        """A command that runs its arguments with the same files."""
        fake = [f"{name}={value}" for name, value in environment.items()]
        self._process = subprocess.Popen(
            [*self.prefix, "env", *fake, executable, "-f"], env={"PATH": os.environ["PATH"]}
        )
        wait_until((directory / "run/crond.reboot").exists)  # cron makes it after it has read the clock

    @property
    def is_idle(self) -> bool:
        """Return whether no job runs."""
        return not children(self._process.pid)

    def poke(self) -> None:
        """Make it read the clock: a signal ends its sleep(3)."""
        assert self._process.poll() is None, "Debian's cron has ended"
        os.kill(self._process.pid, signal.SIGHUP)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


def _make_etc(directory: Path) -> None:
    """Copy the machine's /etc without its crontabs, and allow cron to run jobs."""
    subprocess.run(["cp", "-a", "/etc", directory], check=True)
    shutil.rmtree(directory / "cron.d", ignore_errors=True)
    (directory / "cron.d").mkdir()
    (directory / "crontab").write_text("")
    (directory / "pam.d").mkdir(exist_ok=True)
    (directory / "pam.d/cron").write_text(PAM)
