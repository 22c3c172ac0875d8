"""An ordinary user's program that attacks a daemon through its control socket; it is ended after the test."""

import os
import pwd
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.system import System

PRELUDE = """
import contextlib, json, os, socket, sys, time

def connect(timeout=10):
    near = socket.socket(socket.AF_UNIX)
    near.settimeout(timeout)
    near.connect("/proc/self/fd/{directory}/control.sock")
    return near

def send(**request):
    near = connect()
    near.sendall(json.dumps(request).encode() + b"\\n")
    return near

def ask(**request):
    with send(**request) as near, near.makefile("rb") as lines:
        return json.loads(lines.readline() or b"null")

def show(value):
    print(json.dumps(value), flush=True)

"""


class Attacker:
    """Starts programs of ordinary users, which have the directory of the control socket open."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._programs: list[subprocess.Popen[str]] = []

    def start(self, code: str, user: str = "nobody") -> subprocess.Popen[str]:
        """Start a program that can call `connect`, `send` and `ask`, and `show` its results to the test."""
        account = pwd.getpwnam(user)
        directory = os.open(self._system.crond.runtime, os.O_PATH)
        become = ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--init-groups"]
        program = subprocess.Popen(
            [
                *become,
                "/usr/bin/env",
                "-i",
                "python3",
                "-I",
                "-c",
                PRELUDE.format(directory=directory) + code,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            cwd="/",
            pass_fds=[directory],
        )
        os.close(directory)
        self._programs.append(program)
        return program

    def run(self, code: str, user: str = "nobody") -> str:
        """Run a program to its end, and return the results that it has shown."""
        output, _ = self.start(code, user).communicate(timeout=60)
        return output

    def end(self) -> None:
        for program in self._programs:
            program.kill()
            program.wait()
            assert program.stdout
            program.stdout.close()


@pytest.fixture
def attacker(system: System) -> Iterator[Attacker]:
    """An attacker of `system` that has started no program yet."""
    attacker = Attacker(system)
    yield attacker
    attacker.end()
