"""The name service as the daemon sees it: asked by other processes, some of which get no answer."""

import contextlib
import os
import pwd
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pycrond import clock
from pycrond.errors import UnknownUserError, UnusableAccountError
from pycrond.host import lookup_program, lookups, names
from pycrond.host.names import Names, User
from pycrond.host.poller import Poller
from pycrond.jobs.job import Account
from tests.conftest import alive, children, wait_until

EVE = Account("eve", 7001, 7001, "/home/eve")
NOW = datetime(2031, 3, 1, tzinfo=UTC)
TODAY = NOW.timestamp() // 86400
SLOW_PROGRAM = f"""
import sys, time
sys.path.insert(0, {os.path.dirname(lookup_program.__file__)!r})
import lookup_program
answer = lookup_program.answer
lookup_program.answer = lambda query: time.sleep(1000) if query.startswith("user slow") else answer(query)
lookup_program.main()
"""


class Service:
    """A name service in other processes, and the loop that uses it."""

    def __init__(self) -> None:
        self.poller = Poller()
        self.names = Names()
        self.names.open(self.poller)
        self.names.stop_waiting()

    def until(self, fact: Callable[[], object]) -> None:
        def has_become_true() -> bool:
            self.names.step()
            for callback in self.poller.wait(min(0.02, self.names.retry_in(clock.elapsed()) or 0.02)):
                callback()
            return bool(fact())

        wait_until(has_become_true)

    @property
    def programs(self) -> list[lookups._Program]:
        assert self.names._lookups
        return self.names._lookups._programs


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """A service that never answers about users whose names begin with `slow`."""
    (tmp_path / "program.py").write_text(SLOW_PROGRAM)
    monkeypatch.setattr(lookups, "PROGRAM", str(tmp_path / "program.py"))
    service = Service()
    yield service
    service.names.close()
    service.poller.close()

    def are_reaped() -> bool:
        """Reap the programs, which are children of this process beside those of other tests."""
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        return not any(str(tmp_path) in command_line(child) for child in children(os.getpid()))

    wait_until(are_reaped)


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def test_answers() -> None:
    root = pwd.getpwuid(0)
    name, uid, gid, home, expires, groups = lookup_program.answer("user root")
    assert (name, uid, gid, home, expires) == ("root", "0", str(root.pw_gid), root.pw_dir, "")
    assert "0" in groups.split()
    assert lookup_program.answer("uid 0") == ["root", "0", str(root.pw_gid), root.pw_dir]
    assert lookup_program.answer("group 0")[0] == "root"
    for query in (
        "user no-such-user",
        "user ",
        "user a\0b",
        "user \udcff",
        "uid 4000000",
        f"group {1 << 40}",
    ):
        assert lookup_program.answer(query) == [], query


@pytest.mark.parametrize(
    ("uid", "user", "error"),
    [
        (7001, User(EVE), ""),
        (7001, None, "there is no user 'eve'"),
        (7002, User(EVE), "the user 'eve' had uid 7002, and has 7001 now: reload"),
        (None, User(EVE), "the uid that the user 'eve' had before is not known"),
        (7001, User(EVE, int(TODAY)), "the account of eve has expired"),
        (7001, User(EVE, int(TODAY) + 1), ""),
    ],
)
def test_usable_user(monkeypatch: pytest.MonkeyPatch, uid: int | None, user: User | None, error: str) -> None:
    monkeypatch.setattr(Names, "user", lambda self, name: user)
    try:
        assert Names().usable_user("eve", uid, NOW) is user
        message = ""
    except UnusableAccountError as refusal:
        assert isinstance(refusal, UnknownUserError) is (user is None)
        message = str(refusal)
    assert message == error


@pytest.mark.process
def test_a_user_without_an_answer_delays_no_other(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "MAX_WAIT", 1.0)
    assert [service.names.is_settled(name) for name in ("slow", "root", "no-such-user")] == [False] * 3
    service.until(lambda: not service.names.is_waited_for("root"))
    assert service.names.user("root") is not None
    assert service.names.is_waited_for("slow"), "a program of its own waits for it"
    service.until(lambda: service.names.is_settled("slow"))
    message = "the name service has not answered about user slow for 1 s: unknown until it does"
    service.until(lambda: message in service.names.messages)
    with pytest.raises(UnknownUserError, match="the name service has not answered about the user 'slow'"):
        service.names.usable_user("slow", 1, NOW)
    assert service.names.is_settled("slow"), "it is not waited for again before there is an answer"
    assert service.names.take_changed() >= {"root", "no-such-user"}


@pytest.mark.process
def test_the_number_of_programs_is_limited(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups, "MAX_PROGRAMS", 3)
    monkeypatch.setattr(lookups, "MAX_WAIT", 0.5)
    for name in [f"slow{number}" for number in range(5)]:
        service.names.is_settled(name)
    service.names.is_settled("root")
    counts = set()

    def is_answered() -> bool:
        counts.add(len(service.programs))
        return not service.names.is_waited_for("root")

    service.until(is_answered)
    assert max(counts) == 3


@pytest.mark.process
def test_a_program_that_was_killed_has_a_successor(service: Service) -> None:
    service.names.is_settled("slow")
    service.names.is_settled("root")
    service.names.step()
    (program,) = service.programs
    signal.pidfd_send_signal(program.process, signal.SIGKILL)
    service.until(lambda: service.names.user("root"))
    assert program not in service.programs


@pytest.mark.process
def test_a_new_answer_is_asked_for_only_where_it_may_differ(
    service: Service, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "passwd").touch()
    monkeypatch.setattr(names, "LOCAL_FILES", (str(tmp_path / "passwd"),))
    service.until(lambda: service.names.is_settled("root"))
    assert service.names.is_settled("root")
    (tmp_path / "passwd").write_text("x")
    wait_until(lambda: not service.names.is_settled("root"))
    service.until(lambda: service.names.is_settled("root"))
    monkeypatch.setattr(names, "MAX_AGE", -1.0)
    assert not service.names.is_settled("root")


@pytest.mark.process
def test_the_programs_end_with_their_daemon(service: Service) -> None:
    service.names.is_settled("slow")
    service.names.step()
    (program,) = service.programs
    pid = int(
        next(
            line.split()[1]
            for line in Path(f"/proc/self/fdinfo/{program.process}").read_text().splitlines()
            if line.startswith("Pid:")
        )
    )
    assert alive(pid)
    service.names.close()
    wait_until(lambda: not alive(pid))
