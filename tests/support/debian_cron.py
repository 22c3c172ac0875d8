"""Debian's own cron daemon, beside ours: in a mount namespace, so that it sees no crontab but the test's."""

import atexit
import functools
import glob
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.support.rsyslog import _apt_get

PAM = "auth required pam_permit.so\naccount required pam_permit.so\nsession required pam_permit.so\n"


@functools.cache
def program() -> str:
    """The daemon, unpacked and not installed. Where CI runs, a test that cannot have it fails; else it is skipped."""
    folder = tempfile.mkdtemp(prefix="debian-cron.")
    atexit.register(shutil.rmtree, folder)
    why = "Debian's cron runs as root, on Debian"
    if os.geteuid() == 0 and shutil.which("apt-get"):
        why = _download(folder) and (_apt_get("update") or _download(folder))
    if why:
        give_up = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        give_up(why)
    (package,) = glob.glob(f"{folder}/*.deb")
    subprocess.run(["dpkg", "-x", package, folder], check=True)
    return f"{folder}/usr/sbin/cron"


def _download(folder: str) -> str:
    """Why it cannot be had; empty if it is there."""
    done = subprocess.run(
        ["apt-get", "download", "cron"], cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )
    return done.stderr.strip() if done.returncode else ""


class DebianCron:
    """One that runs root's crontab."""

    def __init__(self, folder: Path, crontab: str, environment: dict[str, str]) -> None:
        self._folder = folder
        for name in ("spool", "cron.d", "run"):
            (folder / name).mkdir(parents=True)
        (folder / "crontab").touch()
        (folder / "pam").write_text(PAM)
        (folder / "spool/root").write_text(crontab)
        (folder / "spool/root").chmod(0o600)
        mounts = [
            ("spool", "/var/spool/cron/crontabs"),
            ("cron.d", "/etc/cron.d"),
            ("crontab", "/etc/crontab"),
            ("pam", "/etc/pam.d/cron"),
            ("run", "/run"),
        ]
        for _, place in mounts:  # what is not there has nothing to be hidden, but needs a place to mount on
            self._make(place)
        script = "".join(f"mount --bind {folder}/{name} {place} && " for name, place in mounts)
        command = f"mount --make-rprivate / && {script} exec env $FAKE {program()} -f"
        fake = " ".join(f"{name}={value}" for name, value in environment.items())
        self._process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", command], env={"PATH": os.environ["PATH"], "FAKE": fake}
        )

    @staticmethod
    def _make(place: str) -> None:
        if os.path.exists(place):
            return
        if place.endswith(("/crontabs", ".d")):
            os.makedirs(place)
        else:
            os.makedirs(os.path.dirname(place), exist_ok=True)
            Path(place).touch()

    def poke(self) -> None:
        """Have it look at the clock: it sleeps in sleep(3), which a signal ends."""
        assert self._process.poll() is None, "Debian's cron has ended"
        os.kill(self._process.pid, signal.SIGHUP)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
