"""Attacks on the control socket: no user gets another user's answers or uses up the daemon's memory or time."""

import inspect
import json
import os
import random
import resource
from pathlib import Path

import pytest

from pycrond.control.client import ask
from tests.conftest import wait_until
from tests.support.attacker import Attacker
from tests.support.system import System

pytestmark = [
    pytest.mark.daemon,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a daemon with --system"),
]

LONG = "x" * 10_000
"""Part of a command that makes an answer long."""


def begin(system: System, **environment: str) -> None:
    """Start a daemon with a long crontab of the user nobody and a short crontab of the user daemon."""
    jobs = "".join(f"#: name=job-{number}\n0 0 1 1 * true {LONG}\n" for number in range(12))
    system.write("var/spool/cron/crontabs/nobody", f"HOME=/\n{jobs}")
    system.write("var/spool/cron/crontabs/daemon", "HOME=/\n#: name=mine\n0 0 1 1 * true\n")
    system.crond.environment |= environment
    assert "13 jobs" in system.crond.run("start").stdout


def cpu(pid: int) -> float:
    """Return the seconds of processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> int:
    """Return the resident memory of a process in KiB."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0])


def is_answered(system: System) -> bool:
    """Return whether the daemon answers root. The benchmark `fairness` measures how fast."""
    answer = ask(str(system.crond.runtime / "control.sock"), {"command": "status"}, 60.0)
    return bool(answer["pid"] == system.crond.pid)


FLOOD = """
clients = []
for _ in range(190):
    with contextlib.suppress(OSError):
        clients.append(send(command="read", method="jobs", offset=0))
show(len(clients))
time.sleep(60)
"""


def test_clients_that_do_not_read_take_little_memory_and_disturb_nobody(
    system: System, attacker: Attacker
) -> None:
    begin(system)
    others = attacker.start(
        "near = connect(60); show(1); near.sendall(b'{}\\n'); show(near.recv(9) != b'')", "bin"
    )
    assert others.stdout
    assert others.stdout.readline() == "1\n"
    before = resident(system.crond.pid)
    program = attacker.start(FLOOD)
    assert program.stdout
    program.stdout.readline()
    assert is_answered(system)
    assert resident(system.crond.pid) - before < 20_000
    assert others.stdout.readline() == "true\n", "the connection of another user was not dropped for nobody's"


def test_a_user_has_sixteen_connections_and_loses_its_own_oldest(system: System, attacker: Attacker) -> None:
    begin(system)
    shown = attacker.run(
        "clients = [connect() for _ in range(20)]\n"
        "ask(command='status')\n"
        "left = 0\n"
        "for client in clients:\n"
        "    client.settimeout(0.05)\n"
        "    try:\n"
        "        left += client.recv(1) != b''\n"
        "    except TimeoutError:\n"
        "        left += 1\n"
        "show(left)\n"
    )
    assert json.loads(shown) == 15, "the sixteenth connection was that of the request"


def test_a_flood_of_requests_leaves_others_their_answers(system: System, attacker: Attacker) -> None:
    begin(system)
    programs = [
        attacker.start("show(1)\nwhile True:\n    ask(command='read', method='jobs', offset=0)\n")
        for _ in range(3)
    ]
    for program in programs:
        assert program.stdout
        program.stdout.readline()
    shown = attacker.run("for _ in range(20): show(ask(command='status')['pid'])\n", "daemon")
    assert [json.loads(line) for line in shown.splitlines()] == [system.crond.pid] * 20


def test_orders_beyond_the_limit_are_refused_and_say_when_to_try_again(
    system: System, attacker: Attacker
) -> None:
    begin(system, PYCROND_MAX_ORDERS="5")
    orders = "for _ in range(8): show(ask(command='pause', jobs=['{}'], seconds=60))"
    answers = [json.loads(line) for line in attacker.run(orders.format("job-1")).splitlines()]
    refused = [answer["error"] for answer in answers if "error" in answer]
    assert len(refused) == 3
    assert refused[0].startswith(
        "too many orders: at most 5 orders a minute (setting max-orders); try again in "
    )
    mine = [json.loads(line) for line in attacker.run(orders.format("mine"), "daemon").splitlines()]
    assert "keys" in mine[0], "another user has a share of its own"
    status = system.crond.json("status")
    assert status["shares"]["limits"]["max_orders"] == 5
    assert status["shares"]["refused_orders"] >= 6
    assert "max-orders 5" in system.crond.run("status").stdout
    for _ in range(8):
        system.crond.run("pause", "job-1")


def test_without_a_descriptor_the_loop_sleeps_and_status_is_answered(
    system: System, attacker: Attacker
) -> None:
    begin(system)
    pid = system.crond.pid
    used = max(int(name) for name in os.listdir(f"/proc/{pid}/fd")) + 1
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used, hard))
    program = attacker.start("clients = [connect(60) for _ in range(40)]; show(1); time.sleep(60)")
    assert program.stdout
    program.stdout.readline()
    began, before = os.times().elapsed, cpu(pid)
    assert is_answered(system), "the spare descriptor served it"
    wait_until(lambda: os.times().elapsed - began > 1)
    assert cpu(pid) - before < 0.3, "the loop did not spin"
    system.crond.run("reload", status=None)
    assert system.crond.pid == pid, "the daemon has gone on"
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
    assert is_answered(system)
    listed = system.crond.json("list")
    assert listed["jobs"], listed["problems"]


SLOW = """
near = connect(60)
show(1)
sent = 0
try:
    while True:
        near.sendall(b"{")
        sent += 1
        time.sleep(0.01)
except OSError:
    show(sent)
"""


def test_a_request_that_comes_byte_by_byte_has_ten_seconds(system: System, attacker: Attacker) -> None:
    begin(system)
    program = attacker.start(SLOW)
    silent = attacker.start("near = connect(60); show(1); show(near.recv(1) == b'')")
    assert program.stdout
    assert silent.stdout
    began = os.times().elapsed
    program.stdout.readline()
    assert is_answered(system)
    assert silent.stdout.readline() == "1\n"
    assert int(program.stdout.readline()) < 1_100
    assert silent.stdout.readline() == "true\n"
    assert 8 < os.times().elapsed - began < 20


def random_requests() -> list[bytes]:
    """Return invalid requests of every kind, the same requests in each run."""
    source = random.Random(1)
    words = [
        b'"command"',
        b'"read"',
        b"{",
        b"}",
        b"[",
        b":",
        b",",
        b"1e999",
        b"null",
        b'"\\ud800"',
        b"\0",
        b"\xff",
    ]
    commands = ("status", "run", "kill", "pause", "resume", "read", "reload", "restart", "stop", "x")
    values: list[object] = [None, "", "job-1", -1, 1 << 70, 1e300, [], {}, [[]], "x" * 5000, {"a": 1}, True]
    requests = [b" ".join(source.choices(words, k=source.randrange(20))) for _ in range(100)]
    names = ("job", "jobs", "what", "signal", "seconds", "method", "keys", "run", "offset", "limit")
    for _ in range(200):
        request: dict[str, object] = {name: source.choice(values) for name in source.sample(names, 4)}
        requests.append(json.dumps({"command": source.choice(commands), **request}).encode())
    return [*requests, b"[" * 60_000, b'{"a":' * 10_000, b"x" * 100_000]


def test_the_daemon_survives_random_requests(system: System, attacker: Attacker) -> None:
    begin(system, PYCROND_MAX_ORDERS="0")
    pid = system.crond.pid
    code = (
        "for data in {}:\n"
        "    with contextlib.suppress(OSError), connect() as near:\n"
        "        near.sendall(data + b'\\n')\n"
        "        near.recv(100)\n"
        "show(ask(command='status')['pid'])\n"
    )
    source = f"import random\n{inspect.getsource(random_requests)}"
    assert int(attacker.run(source + code.format("random_requests()"))) == pid
    assert {run.key for run in system.crond.runs()} <= {"nobody/job-1"}
