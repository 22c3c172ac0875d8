"""The disk image of the machine: Debian with its kernel and its cron, users, the agent, and the packages to install."""

import os
import platform
import shutil
import subprocess
import textwrap
from pathlib import Path

from tests.vm import agent

PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "udev", "init", "python3", "rsyslog", "cron", "util-linux"),
    *("libpam-modules", "libpam-systemd", "linux-image-cloud-amd64", "initramfs-tools", "kmod", "procps"),
    *(
        "iproute2",
        "tzdata",
        "passwd",
        "login",
        "apt",
        "man-db",
        "sudo",
        "psmisc",
        "systemd-timesyncd",
        "attr",
    ),
)
DISK_SIZE = "3G"
DOWNLOAD = 'chroot "$1" sh -c "mkdir /opt/deb && cd /opt/deb && apt-get download cron"'
USERS = ("ann", "bob", "carl")
AGENT_UNIT = """\
[Unit]
Description=Run the commands of the trials
[Service]
ExecStart=/usr/bin/python3 /opt/agent.py
Restart=always
RestartSec=1
[Install]
WantedBy=multi-user.target
"""
LIMITS = "ann hard nofile 4321\nann soft nofile 4321\nann soft core unlimited\n"


def run(*command: object, **options: object) -> None:
    """Run a command at low priority; the output is shown only if it fails."""
    words = ["nice", "-n", "19", *map(str, command)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}: {done.returncode}\n{done.stdout[-4000:]}{done.stderr[-4000:]}")


class Image:
    """The files of the machine in a directory. Debian's packages are fetched once, and kept there."""

    def __init__(self, directory: Path, suite: str) -> None:
        """`suite` is the name of Debian's release."""
        self.directory = directory
        self.suite = suite
        self.base = directory / f"base-{suite}.tar"
        self.tree = directory / "tree"
        self.disk = directory / "disk.img"
        self.kernel, self.initrd = directory / "vmlinuz", directory / "initrd"
        directory.mkdir(parents=True, exist_ok=True)

    def build(self, packages: list[Path]) -> None:
        """Make the disk with these packages in /opt/deb, beside Debian's cron for the way back."""
        self._bootstrap()
        shutil.rmtree(self.tree, ignore_errors=True)
        self.tree.mkdir()
        run("tar", "--extract", "--file", self.base, "--directory", self.tree)
        for name, path in (("vmlinuz", self.kernel), ("initrd.img", self.initrd)):
            (source,) = (self.tree / "boot").glob(f"{name}-*")
            shutil.copy(source, path)
        self._configure()
        for package in packages:
            shutil.copy(package, self.tree / "opt/deb")
        self.disk.unlink(missing_ok=True)
        run("mkfs.ext4", "-q", "-F", "-d", self.tree, self.disk, DISK_SIZE)
        shutil.rmtree(self.tree)

    def _bootstrap(self) -> None:
        """Fetch Debian's packages from the sources of this machine, once."""
        if self.base.exists():
            return
        release = platform.freedesktop_os_release()["VERSION_CODENAME"]
        given = [*Path("/etc/apt/sources.list.d").glob("debian.sources"), Path("/etc/apt/sources.list")]
        source = next(path for path in given if path.exists())
        sources = self.directory / source.name
        sources.write_text(source.read_text().replace(release, self.suite))
        new = self.base.with_suffix(".new.tar")
        options = ("--variant=minbase", "--mode=root", f"--include={','.join(PACKAGES)}")
        hook = f"--customize-hook={DOWNLOAD}"
        run("mmdebstrap", *options, hook, self.suite, new, sources)
        new.rename(self.base)

    def _configure(self) -> None:
        for user in USERS:
            run("chroot", self.tree, "useradd", "--create-home", "--shell", "/bin/bash", user)
        self._write("etc/hostname", "machine\n")
        self._write("etc/security/limits.conf", LIMITS)
        self._write("etc/default/locale", "LANG=C.UTF-8\n")
        self._write("etc/environment", "FROM_ENVIRONMENT=yes\n")
        self._write("etc/systemd/system/agent.service", AGENT_UNIT)
        shutil.copy(agent.__file__, self.tree / "opt/agent.py")
        wants = self.tree / "etc/systemd/system/multi-user.target.wants"
        os.symlink("/etc/systemd/system/agent.service", wants / "agent.service")
        (self.tree / "etc/fstab").write_text("/dev/vda / ext4 defaults 0 1\n")

    def _write(self, name: str, text: str) -> None:
        (self.tree / name).write_text(textwrap.dedent(text))
