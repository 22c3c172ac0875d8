"""Attacks of an ordinary user on a daemon; `ATTACKS` has the functions that start them."""

import pwd
import subprocess
import threading
from collections.abc import Callable
from typing import Protocol

from past import fill

USER = "nobody"
"""The attacker."""
PRELUDE = """
import contextlib, json, os, socket, sys, time

def connect():
    near = socket.socket(socket.AF_UNIX)
    near.settimeout(20)
    near.connect(sys.argv[1])
    return near

def send(**request):
    near = connect()
    near.sendall(json.dumps(request).encode() + b"\\n")
    return near

def ask(**request):
    with send(**request) as near, near.makefile("rb") as lines:
        return json.loads(lines.readline() or b"null")

def for_ever(act):
    while True:
        try:
            act()
        except (OSError, ValueError):
            time.sleep(0.01)

"""
PAST_RUNS = 500_000


class Target(Protocol):
    """The daemon that is attacked, and what the attacker can do."""

    socket: str
    """The path of the control socket."""
    ledger: str

    def write(self, user: str, text: str) -> None:
        """Write a user's crontab, as crontab(1) does."""

    def run_thread(self, function: Callable[[threading.Event], None]) -> None:
        """Run a function in a thread; the event is set when the attack is over."""

    def restart(self) -> None:
        """Start the daemon again."""

    def end_later(self, program: subprocess.Popen[bytes]) -> None:
        """End a program when the attack is over."""


def run_as(target: Target, user: str, code: str) -> subprocess.Popen[bytes]:
    """Start a Python program as an ordinary user."""
    account = pwd.getpwnam(user)
    become = ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--init-groups"]
    program = subprocess.Popen(
        [*become, "/usr/bin/env", "-i", "python3", "-I", "-c", PRELUDE + code, target.socket],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/",
    )
    target.end_later(program)
    return program


# Crontabs are as large as their default limits allow: 1,000 entries and 128 KiB.


def jobs(number: int, schedule: str = "0 0 1 1 *", command: str = "true") -> str:
    """Return a crontab with `number` jobs."""
    return "HOME=/\n" + "".join(f"{schedule} {command} {line}\n" for line in range(number))


def nothing(_target: Target) -> None:
    """Do nothing, for a comparison."""


def unread(target: Target) -> None:
    """Keep 190 connections that ask for many rows and do not read the answers."""
    target.write(USER, jobs(1000, command="true " + "x" * 90))
    code = """
clients = []
def act():
    clients.append(send(command="read", method="jobs", offset=0))
    del clients[:-190]
for_ever(act)
"""
    run_as(target, USER, code)


def flood(target: Target) -> None:
    """Send requests as fast as four programs can."""
    target.write(USER, jobs(1000))
    for _ in range(4):
        run_as(target, USER, "for_ever(lambda: ask(command='read', method='jobs', offset=0))")


def queries(target: Target) -> None:
    """Send queries that take long to search half a million runs."""
    target.write(USER, jobs(1000))
    fill(target.ledger, PAST_RUNS)
    target.restart()  # filling the ledger must not affect the measurement
    query = "command='read', method='history', keys=None, limit=500, states=['lost']"
    for _ in range(4):
        run_as(target, USER, f"for_ever(lambda: ask({query}))")


def orders(target: Target) -> None:
    """Request runs and pauses as fast as possible."""
    target.write(USER, jobs(500) + "#: name=job\n0 0 1 1 * true\n")
    run_as(target, USER, "for_ever(lambda: ask(command='run', job='job'))")
    run_as(target, USER, "for_ever(lambda: ask(command='pause', jobs=['job'], seconds=1))")


def half_open(target: Target) -> None:
    """Open connections without end, and send a byte on each now and then."""
    code = """
clients = []
def act():
    clients.append(connect())
    for client in clients[-50:]:
        with contextlib.suppress(OSError):
            client.send(b"{")
    del clients[:-500]
for_ever(act)
"""
    run_as(target, USER, code)


def crontab(target: Target) -> None:
    """Write a new large crontab again and again; each tenth one has 300,000 lines."""

    def rewrite(is_over: threading.Event) -> None:
        number = 0
        while not is_over.wait(0.2):
            number += 1
            lines = 300_000 if number % 10 == 0 else 1000
            target.write(USER, jobs(lines, command=f"true {number}"))

    target.run_thread(rewrite)


def costly_crontab(target: Target) -> None:
    """Write a crontab whose lines take long to read, again and again."""

    def rewrite(is_over: threading.Event) -> None:
        number = 0
        while not is_over.wait(0.5):
            number += 1
            minutes = ",".join(str((number + minute) % 60) for minute in range(27))
            days = [f"{1 + line % 28},{1 + number % 28} 1 {line % 7}" for line in range(1000)]
            text = "".join(f"{minutes} 0 {day} true {line}\n" for line, day in enumerate(days))
            target.write(USER, "HOME=/\n" + text)

    target.run_thread(rewrite)


def burst(target: Target) -> None:
    """Have 1,000 jobs due at each minute."""
    target.write(USER, jobs(1000, "* * * * *"))


def lock(target: Target) -> None:
    """Have 990 jobs wait for one lock, each for a moment."""
    target.write(USER, "PYCROND_LOCK=mine\nPYCROND_OVERLAP=queue\n" + jobs(990, "* * * * *", "sleep 0.05;"))


def output(target: Target) -> None:
    """Print output as fast as twenty jobs can."""
    target.write(USER, "PYCROND_TIMEOUT=50s\n" + jobs(20, "* * * * *", "yes"))


def background(target: Target) -> None:
    """Leave processes behind that hold the output of their jobs open."""
    target.write(USER, jobs(500, "* * * * *", "sleep 100 &"))


def hooks(target: Target) -> None:
    """Run jobs that fail, with commands of on-failure that sleep."""
    target.write(USER, "PYCROND_ON_FAILURE='sleep 100'\n" + jobs(300, "* * * * *", "false"))


ATTACKS: dict[str, Callable[[Target], None]] = {
    "nothing": nothing,
    "unread": unread,
    "flood": flood,
    "queries": queries,
    "orders": orders,
    "half-open": half_open,
    "crontab": crontab,
    "costly-crontab": costly_crontab,
    "burst": burst,
    "lock": lock,
    "output": output,
    "background": background,
    "hooks": hooks,
}
"""Each attack lasts until the benchmark ends its programs and threads."""
