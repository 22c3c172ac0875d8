"""Mail, pings and hooks of a user's job run as that user."""

import contextlib
import os
import pwd
import signal
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from pycrond.alarms import time_limits
from pycrond.alarms.identity import UNUSED_IDS
from pycrond.host.cgroup import ResourceLimits
from tests.conftest import alive, children, wait_until
from tests.support.loop import Loop
from tests.support.system import System
from tests.support.web import Web

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
NOBODY = pwd.getpwnam("nobody")
SPOOL = "var/spool/cron/crontabs/"
SECRET = "http://proxy:secret@127.0.0.1:1"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("https_proxy", SECRET)


@pytest.fixture
def silent_server() -> Iterator[socket.socket]:
    """A server on the loopback interface that accepts connections and sends nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def peer_uid(connection: socket.socket) -> int:
    """Return the user of the process at the other end of a connection (proc(5), /proc/net/tcp)."""
    port = connection.getpeername()[1]
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1] == f"0100007F:{port:04X}":
            return int(fields[7])
    raise AssertionError("the connection is not in the table")


def results(system: System) -> list[str]:
    """Return the results of all alarms."""
    with contextlib.closing(sqlite3.connect(system.crond.state / "ledger")) as ledger:
        rows = ledger.execute("SELECT kind, event, result FROM alarms ORDER BY id").fetchall()
    return [f"{kind} {event}: {result}" for kind, event, result in rows]


def couriers(system: System) -> list[int]:
    return [
        pid for pid in children(system.crond.pid) if b"courier" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


def assert_out_of_reach(system: System, pid: int, *, signals: bool) -> None:
    """Assert that nobody can neither read a process nor, without `signals`, send it a signal."""
    for name in ("environ", "mem", "fd/0", "maps"):
        done = system.as_user("nobody", "head", "-c1", f"/proc/{pid}/{name}", status=None)
        assert "Permission denied" in done.stderr, name
    done = system.as_user("nobody", "sh", "-c", f"kill -0 {pid}", status=None)
    assert (done.returncode == 0) is signals


# Mail


@needs_root
@pytest.mark.daemon
def test_the_mailer_runs_as_the_user(system: System, shared: Path) -> None:
    script = "id -u; id -G; grep Cap /proc/self/status | sort -u -k2; env; ls /proc/self/fd; echo args $*"
    (shared / "sendmail").write_text(f"#!/bin/sh\n({script}) >{shared}/new\nmv {shared}/new {shared}/seen\n")
    (shared / "sendmail").chmod(0o755)
    system.crond.environment["PYCROND_MAILER"] = f"{shared}/sendmail"
    system.write(SPOOL + "nobody", "HOME=/\nMAILFROM=root@example.org\n@reboot echo x\n")
    system.crond.run("start")
    wait_until((shared / "seen").exists)
    uid, groups, *lines = (shared / "seen").read_text().splitlines()
    assert (uid, groups) == (str(NOBODY.pw_uid), str(NOBODY.pw_gid))
    capabilities = {line.split()[1] for line in lines if line.startswith("Cap") and "CapBnd" not in line}
    assert capabilities == {"0" * 16}
    variables = dict(line.split("=", 1) for line in lines if "=" in line)
    assert variables["HOME"] == NOBODY.pw_dir
    assert variables["LOGNAME"] == "nobody"
    assert "secret" not in str(variables)
    assert [line for line in lines if line.isdigit()] == ["0", "1", "2", "3"], "3 is that of ls"
    assert "args -FCronDaemon -i -B8BITMIME -oem -f root@example.org nobody" in lines
    wait_until(lambda: results(system) == ["mail output: delivered"])


@needs_root
@pytest.mark.daemon
def test_a_mail_by_smtp_is_sent_as_the_user(system: System, silent_server: socket.socket) -> None:
    system.crond.environment["PYCROND_MAILER"] = f"smtp://127.0.0.1:{silent_server.getsockname()[1]}"
    system.write(SPOOL + "nobody", "HOME=/\n@reboot echo x\n")
    system.crond.run("start")
    with silent_server.accept()[0] as connection:
        assert peer_uid(connection) == NOBODY.pw_uid
        assert_out_of_reach(system, *couriers(system), signals=True)


@needs_root
@pytest.mark.daemon
def test_the_password_of_the_mailer_is_in_no_process_of_the_user(
    system: System, silent_server: socket.socket, tmp_path: Path
) -> None:
    (tmp_path / "password").write_text("secret\n")
    (tmp_path / "password").chmod(0o600)
    system.crond.environment |= {
        "PYCROND_MAILER": f"smtp://relay@127.0.0.1:{silent_server.getsockname()[1]}",
        "PYCROND_MAILER_PASSWORD_FILE": str(tmp_path / "password"),
    }
    system.write(SPOOL + "nobody", "HOME=/\n@reboot echo x\n")
    system.crond.run("start")
    with silent_server.accept()[0] as connection:
        assert peer_uid(connection) in UNUSED_IDS
        assert_out_of_reach(system, *couriers(system), signals=False)


# Pings


@needs_root
@pytest.mark.daemon
def test_a_ping_is_sent_as_the_user(system: System, silent_server: socket.socket) -> None:
    url = f"http://127.0.0.1:{silent_server.getsockname()[1]}/id"
    system.write(SPOOL + "nobody", f"HOME=/\n#: ping={url}\n@reboot true\n")
    system.crond.run("start")
    with silent_server.accept()[0] as connection:
        assert peer_uid(connection) == NOBODY.pw_uid
        (pid,) = couriers(system)
        assert b"secret" not in Path(f"/proc/{pid}/environ").read_bytes()
        assert_out_of_reach(system, pid, signals=True)


@needs_root
@pytest.mark.daemon
def test_pings_follow_redirects_only_for_roots_crontab(system: System, web: Web) -> None:
    entry = f"#: ping={web.url}/302/USER ping-redirects=yes\n@reboot"
    system.write(SPOOL + "nobody", f"HOME=/\n{entry.replace('USER', 'user')} true\n")
    system.write("etc/crontab", f"HOME=/\n{entry.replace('USER', 'root')} nobody true\n")
    assert "ping-redirects=yes is for crontabs that belong to root" in system.crond.run("start").stderr
    refused = "127.0.0.1: HTTP 302 Found, which is not followed (ping-redirects)"
    expected = [
        *(f"ping {event}: {result}" for event in ("start", "success") for result in (refused, "delivered"))
    ]
    wait_until(lambda: sorted(results(system)) == sorted(expected))
    assert [path for path, _ in web.requests].count("/moved") == 2


# Accounts


GAMES = pwd.getpwnam("games")  # not nobody, whom nss-systemd knows in any case
CHANGES = {
    "expired": ("shadow", 7, "1", "the account of games has expired"),
    "gone": ("passwd", 0, "somebody", "there is no user 'games'"),
    "uid": ("passwd", 2, "12345", f"the user 'games' had uid {GAMES.pw_uid}, and has 12345 now: reload"),
}
"""The changed file, the number of the field, its new value, and the reason that follows."""


@needs_root
@pytest.mark.daemon
@pytest.mark.parametrize("change", CHANGES)
def test_nothing_runs_for_an_account_that_cannot_be_used(
    system: System, shared: Path, web: Web, change: str
) -> None:
    """The account is changed while the job runs, so the mail, ping and hook of the run are refused."""
    name, field, value, reason = CHANGES[change]
    file = system.with_copies(shared, "passwd", "shadow")[name]
    text = file.read_text()
    before = next(line for line in text.splitlines() if line.startswith("games:"))
    words = before.split(":")
    words[field] = value
    system.crond.environment["PYCROND_MAILER"] = "/bin/true"
    options = f"on-failure='touch {shared}/hook' ping={web.url}/id"
    wait = f"while [ ! -e {shared}/go ]; do sleep 0.05; done; echo x; exit 1"
    system.write(SPOOL + "games", f"HOME=/\n#: name=job {options}\n@reboot {wait}\n")
    system.crond.run("start")
    wait_until(lambda: results(system) == ["ping start: delivered"])
    file.write_text(text.replace(before, ":".join(words)))
    (shared / "go").touch()
    kinds = ("hook failure", "mail failure", "ping failure")
    expected = [f"{kind}: {reason}" for kind in kinds]
    wait_until(lambda: sorted(results(system)[1:]) == expected)
    assert not (shared / "hook").exists()
    assert [path for path, _ in web.requests] == ["/id/start"]
    system.crond.run("run", "job", status=None)
    wait_until(lambda: system.crond.runs()[0].state == "failed" and reason in system.crond.runs()[0].reason)


# Hooks


@pytest.mark.process
@pytest.mark.parametrize("has_cgroup", [True, False])
def test_what_a_hook_leaves_is_killed_at_its_time_limit(
    loop: Loop, monkeypatch: pytest.MonkeyPatch, has_cgroup: bool
) -> None:
    """The process has left its session, its process group and its parent."""
    monkeypatch.setitem(time_limits.LIMITS, "hook", 1.0)
    monkeypatch.setattr(time_limits, "SWEEP_INTERVAL", 1)
    if not has_cgroup:
        monkeypatch.setattr(ResourceLimits, "_make_group", lambda self, run: None)
    left = 'setsid -f sh -c "echo \\$\\$ >>pids; exec sleep 1000"'
    loop.begin(
        f"#: name=a on-failure='{left}'\n1 12 * * * false\n#: name=b on-failure='{left}; sleep 1000'\n1 12 * * * false\n"
    )
    loop.minutes(1)
    file = loop.directory / "pids"
    loop.until(lambda: file.exists() and len(file.read_text().split()) == 2)
    pids = [int(word) for word in file.read_text().split()]
    loop.until(lambda: not any(map(alive, pids)))
    loop.until(lambda: not loop.daemon.subsystems.alarms.outbox.backlog)
    assert loop.query("SELECT result FROM alarms ORDER BY result") == [
        ("delivered",),
        ("it took more than 1 m",),
    ]


@needs_root
@pytest.mark.daemon
def test_what_a_users_hook_leaves_is_killed_at_its_time_limit(system: System, shared: Path) -> None:
    system.crond.at("2031-03-01 12:00:30")
    left = f'setsid -f sh -c "echo \\$\\$ >{shared}/pid; exec env -i sleep 1000"'
    system.write(SPOOL + "nobody", f"HOME=/\n#: on-failure='{left}'\n@reboot false\n")
    system.crond.run("start")
    wait_until(lambda: (shared / "pid").exists() and (shared / "pid").read_text())
    pid = int((shared / "pid").read_text())
    assert alive(pid)
    system.crond.at("2031-03-01 12:02:30")
    if not any(" - cgroup2 " in line for line in Path("/proc/self/mountinfo").read_text().splitlines()):
        pytest.skip("without a cgroup a process that empties its environment is not found")
    wait_until(lambda: not alive(pid))


@pytest.mark.process
def test_a_courier_that_its_user_has_stopped_is_killed(
    loop: Loop, monkeypatch: pytest.MonkeyPatch, silent_server: socket.socket
) -> None:
    monkeypatch.setitem(time_limits.LIMITS, "ping", 1.0)
    url = f"http://127.0.0.1:{silent_server.getsockname()[1]}/id"
    loop.begin(f"#: ping={url}\n1 12 * * * sleep 1000\n")
    loop.minutes(1)
    outbox = loop.daemon.subsystems.alarms.outbox
    loop.until(lambda: outbox._deliveries)
    (pid,) = outbox._deliveries
    os.kill(pid, signal.SIGSTOP)
    loop.until(lambda: loop.query("SELECT tries FROM alarms") == [(1,)])
    assert not outbox._deliveries


@needs_root
@pytest.mark.daemon
def test_hooks_that_sleep_delay_no_other_users(system: System, shared: Path) -> None:
    hook = f"echo >>{shared}/sleeping; exec sleep 50"
    jobs = "".join(f"#: name=job{number} on-failure='{hook}'\n@reboot false\n" for number in range(12))
    system.write(SPOOL + "nobody", "HOME=/\n" + jobs)
    wait = f"while [ $(wc -l <{shared}/sleeping || echo 0) -lt 4 ]; do sleep 0.05; done"
    system.write(SPOOL + "games", f"HOME=/\n#: on-failure='touch {shared}/hook'\n@reboot {wait}; exit 1\n")
    system.crond.run("start")
    wait_until((shared / "hook").exists, 15.0)  # the others' hooks sleep for 50 s
    assert len((shared / "sleeping").read_text()) == 4
    assert system.crond.json("status")["shares"]["limits"]["max_waiting_alarms"] == 10_000


@needs_root
@pytest.mark.daemon
def test_a_user_may_have_so_many_waiting_alarms(system: System, shared: Path) -> None:
    """Further alarms are dropped, also those left by a daemon with a higher limit, but not those of other users."""
    system.crond.environment["PYCROND_MAX_WAITING_ALARMS"] = "5"
    jobs = "".join(f"#: name=job{n} on-failure='exec sleep 50'\n@reboot false\n" for n in range(12))
    system.write(SPOOL + "nobody", "HOME=/\n" + jobs)
    system.write(SPOOL + "games", f"HOME=/\n#: on-failure='touch {shared}/hook'\n@reboot sleep 1; exit 1\n")
    system.crond.run("start")
    wait_until((shared / "hook").exists)
    status = system.crond.json("status")
    assert (status["alarms"], status["dropped_alarms"], status["shares"]["limits"]["max_waiting_alarms"]) == (
        5,
        7,
        5,
    )
    assert "alarms: 5 not yet delivered, 7 dropped" in system.crond.run("status").stdout
    system.crond.environment["PYCROND_MAX_WAITING_ALARMS"] = "3"
    system.crond.run("stop")
    system.crond.run("start")
    status = system.crond.json("status")
    assert (status["alarms"], status["dropped_alarms"]) == (3, 2)
    assert results(system).count("hook failure: dropped: too many wait") == 2
