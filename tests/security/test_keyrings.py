"""Jobs of different users share no session keyring, nor with the session in which the daemon was started."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.conftest import wait_until
from tests.support.system import System

pytestmark = [
    pytest.mark.daemon,
    pytest.mark.skipif(
        os.geteuid() != 0 or os.uname().machine != "x86_64", reason="needs root, and numbers of system calls"
    ),
    pytest.mark.skipif(
        not os.path.exists("/proc/keys"), reason="the kernel has no keys, or does not list them"
    ),
]
ADD_KEY, KEYCTL, SESSION = 248, 250, -3
JOIN = f"import ctypes; exit(ctypes.CDLL(None).syscall({KEYCTL}, 1, None) < 0)"
START = f"""
import ctypes, os, sys
call = ctypes.CDLL(None).syscall
assert call({KEYCTL}, 1, b"of the daemon") > 0
assert call({ADD_KEY}, b"user", b"secret-of-daemon", b"payload", 7, ctypes.c_long({SESSION})) > 0
os.execv(sys.argv[1], sys.argv[1:])
"""
ADDS = f'{ADD_KEY}, $t="user", $d="secret-of-{{user}}", $p="x", 1, {SESSION}'
USERS = ("nobody", "daemon", "games", "bin")


def perl(call: str) -> str:
    """Return a command that prints the result of a system call, -1 for an error."""
    return f"perl -e 'print syscall({call}), \"\\n\"'"


def search(of: str) -> str:
    """Return a command that prints 1 if the session keyring has the key of a user, else -1."""
    return f'{perl(f"""{KEYCTL}, 10, {SESSION}, $t="user", $d="secret-of-{of}", 0""")} | sed "s/^[1-9].*/1/"'


@pytest.fixture(autouse=True)
def keyrings() -> None:
    """Skip the tests in a container that must not use keys."""
    if subprocess.run([sys.executable, "-c", JOIN], check=False).returncode:
        pytest.skip("this process may not make a session keyring")


def start(system: System) -> None:
    """Start the daemon in a session keyring that has a key."""
    script = system.crond.directory / "start.py"
    script.write_text(START)
    system.crond.prefix = [sys.executable, str(script)]
    system.crond.run("start")
    system.crond.prefix = []


def printed(system: System) -> dict[str, str]:
    """Return what each job printed, by its name, when all have ended."""
    system.output()
    lines = [line.split(" ", 1)[1] for line in system.crond.run("logs").stdout.splitlines()]
    texts: dict[str, str] = {}
    for line in lines:
        name, _, text = line.partition(" | ")
        texts[name.strip()] = texts.get(name.strip(), "") + text + "\n"
    return texts


def test_the_keys_of_the_session_that_started_the_daemon_are_no_jobs(system: System) -> None:
    system.write("etc/crontab", f"HOME=/\n#: name=job\n@reboot nobody {search('daemon')}\n")
    start(system)
    assert printed(system) == {"job": "-1\n"}


def test_jobs_do_not_share_the_keys_that_they_add(system: System) -> None:
    """Each job adds a key, waits until all have done so, and looks for all."""
    with tempfile.TemporaryDirectory(prefix="pycrond-") as directory:
        os.chmod(directory, 0o777)
        wait = f"touch {directory}/$USER; until [ $(ls {directory} | wc -l) = {len(USERS)} ]; do sleep 0.05; done"
        looks = "; ".join(map(search, USERS))
        lines = [
            f"#: name={user}\n@reboot {user} {perl(ADDS.format(user=user))} >/dev/null; {wait}; {looks}\n"
            for user in USERS
        ]
        system.write("etc/crontab", "HOME=/\n" + "".join(lines))
        start(system)
        expected = {user: "".join("1\n" if user == other else "-1\n" for other in USERS) for user in USERS}
        assert printed(system) == expected


def test_a_user_cannot_keep_a_keyring_beyond_its_job(system: System) -> None:
    """A keyring counts as root's: a user who kept a keyring of each run would exhaust root's quota."""
    link, rights = perl(f"{KEYCTL}, 8, {SESSION}, -4"), perl(f"{KEYCTL}, 5, {SESSION}, 0x3f3f0000")
    system.write("etc/crontab", f"HOME=/\n#: name=job\n@reboot nobody {link}; {rights}; {link}\n")
    start(system)
    assert printed(system) == {"job": "-1\n-1\n-1\n"}


def test_the_mailer_has_no_keys_of_the_session_that_started_the_daemon(system: System, shared: Path) -> None:
    mailer = shared / "sendmail"
    mailer.write_text(f"#!/bin/sh\n{search('daemon')} >{shared}/new\nmv {shared}/new {shared}/seen\n")
    mailer.chmod(0o755)
    system.crond.environment["PYCROND_MAILER"] = str(mailer)
    system.write("etc/crontab", "HOME=/\n@reboot nobody echo x\n")
    start(system)
    wait_until((shared / "seen").exists)
    assert (shared / "seen").read_text() == "-1\n"
