"""The commands run, kill, pause, resume, logs -f and status; users of a system daemon; slow clients."""

import contextlib
import json
import os
import pwd
import re
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pycrond.control.client import connect
from tests.conftest import ME, SCRIPT, Crond, alive, wait_until
from tests.support import documents

pytestmark = pytest.mark.daemon
NEVER = "0 0 1 1 *"


def write(crond: Crond, **jobs: str) -> None:
    """Write a crontab with jobs, by name, that are never due."""
    lines = "".join(f"#: name={name}\n{NEVER} {command}\n" for name, command in jobs.items())
    crond.write("jobs", f"HOME={crond.directory}\n{lines}")


@contextlib.contextmanager
def running(crond: Crond, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a command that does not end at once; its standard output is read line by line."""
    command = subprocess.Popen(
        [*crond.prefix, SCRIPT, *arguments],
        env=crond.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield command
    finally:
        command.kill()
        command.communicate()


def line(command: subprocess.Popen[str]) -> str:
    """Wait for the next line that a command prints."""
    assert command.stdout
    read = b""
    while not read.endswith(b"\n"):
        assert select.select([command.stdout], [], [], 10)[0], f"it prints no more than {read!r}"
        byte = os.read(command.stdout.fileno(), 1)  # the file object would take more than a line
        assert byte, f"it has ended after {read!r}"
        read += byte
    return read.decode().rstrip("\n")


# run


@pytest.mark.parametrize(
    ("command", "status", "end"),
    [
        ("true", 0, "succeeded in"),
        ("exit 3", 3, "failed, exit status 3, in"),
        ("kill -9 $$", 137, "failed, signal 9, in"),
        ("exit 70", 70, "failed, exit status 70, in"),
    ],
)
def test_run_wait_exits_as_the_job_does(crond: Crond, command: str, status: int, end: str) -> None:
    write(crond, job=command)
    crond.run("start")
    done = crond.run("run", "job", "--wait", status=status)
    began, ended = done.stderr.splitlines()
    assert began == f"run 1 of {ME}/job started"
    assert ended.startswith(f"run 1 of {ME}/job {end}")
    assert done.stdout == ""


def test_run_without_waiting(crond: Crond) -> None:
    write(crond, job="while [ ! -e go ]; do sleep 0.02; done")
    crond.run("start")
    assert crond.run("run", "job").stdout == f"run 1 of {ME}/job started\n"
    assert crond.json("list")["jobs"][0]["running"] == [1]
    (crond.directory / "go").touch()
    wait_until(lambda: crond.runs()[0].state == "succeeded")
    assert crond.history()[0]["trigger"] == "manual"


def test_a_run_that_does_not_start_is_reported_in_a_line(crond: Crond) -> None:
    wait = "while [ ! -e go ]; do sleep 0.02; done"
    crond.write(
        "jobs",
        f"HOME={crond.directory}\n#: name=skips overlap=skip\n{NEVER} {wait}\n#: name=queues overlap=queue\n{NEVER} {wait}\n"
        f"#: name=bad\nHOME=/no/such\n{NEVER} true\n",
    )
    crond.run("start")
    crond.run("run", "skips")
    done = crond.run("run", "skips", "--wait", status=1)
    assert done.stderr == f"pycrond: run 2 of {ME}/skips is skipped: overlap: run 1 still runs\n"
    crond.run("run", "queues")
    assert crond.run("run", "queues").stdout == f"run 4 of {ME}/queues waits: overlap: run 3 still runs\n"
    with running(crond, "run", "queues", "--wait") as command:
        assert command.stderr
        assert command.stderr.readline() == f"run 5 of {ME}/queues waits: overlap: run 3 still runs\n"
        crond.run("kill", "5")
        assert command.wait(10) == 1
        assert command.stderr.readline() == f"run 5 of {ME}/queues killed: kill: by {ME}\n"
    done = crond.run("run", "bad", "--wait", status=1)
    assert done.stderr.splitlines()[1].startswith(
        f"run 6 of {ME}/bad failed: start-failed: cannot enter directory"
    )
    crond.run("run", "nonsense", status=1)
    (crond.directory / "go").touch()


def test_follow_prints_output_as_it_comes(crond: Crond) -> None:
    write(
        crond,
        job=r"echo one; while [ ! -e go ]; do sleep 0.02; done; printf 'two\r\n\033[31mred\n\377\nlast'; exit 4",
    )
    crond.run("start")
    with running(crond, "run", "job", "--follow") as command:
        assert line(command) == "one"
        assert command.poll() is None
        (crond.directory / "go").touch()
        assert [line(command) for _ in range(4)] == ["two", "^[[31mred", "\\377", "last"]
        assert command.wait(10) == 4


def test_follow_of_much_output(crond: Crond) -> None:
    write(crond, job="seq 300000; head -c 200000 /dev/zero | tr '\\000' x; echo; echo end")
    crond.run("start")
    out = crond.run("run", "job", "--follow").stdout.splitlines()
    assert [text for text in out if text.isdigit()] == [str(number) for number in range(1, 300001)]
    assert out[-1] == "end"
    assert "".join(out[300000:-1]) == "x" * 200000


def test_run_wait_continues_over_a_restart(crond: Crond) -> None:
    write(crond, job="echo one; while [ ! -e go ]; do sleep 0.02; done; echo two; exit 5")
    crond.run("start")
    with running(crond, "run", "job", "--follow") as command:
        assert line(command) == "one"
        crond.run("restart")
        os.kill(crond.pid, signal.SIGKILL)
        wait_until(lambda: crond.status() is not None)
        (crond.directory / "go").touch()
        assert line(command) == "two"
        assert command.wait(10) == 5


def test_run_wait_ends_at_a_stop(crond: Crond) -> None:
    write(crond, job="exec sleep 100")
    crond.run("start")
    with running(crond, "run", "job", "--wait") as command:
        assert command.stderr
        command.stderr.readline()
        crond.run("stop", "--kill-jobs")
        assert command.wait(10) in {3, 143}, "whichever it sees first"


# kill


def test_kill_of_a_job_that_ignores_term(crond: Crond) -> None:
    crond.write(
        "jobs",
        f"HOME={crond.directory}\n#: name=job grace=1s\n{NEVER} trap '' TERM; echo $$ >pid; while :; do sleep 0.05; done\n",
    )
    crond.run("start")
    crond.run("run", "job")
    wait_until(lambda: (crond.directory / "pid").exists() and (crond.directory / "pid").read_text())
    pid = int((crond.directory / "pid").read_text())
    assert crond.run("kill", "job").stdout == f"run 1 of {ME}/job is being ended\n"
    assert alive(pid)
    wait_until(lambda: not alive(pid))
    wait_until(lambda: crond.runs()[0].state == "killed")
    run = crond.history()[0]
    assert (run["reason"], run["signal"]) == (f"kill: by {ME}", 9)
    printed = crond.run("kill", "job", status=1).stderr
    assert printed == f"pycrond: no run of {ME}/job is running or waiting\n"


def test_kill_by_a_signal(crond: Crond) -> None:
    write(crond, job="trap 'echo got it' HUP; touch up; while [ ! -e go ]; do sleep 0.02; done")
    crond.run("start")
    with running(crond, "run", "job", "--follow") as command:
        wait_until((crond.directory / "up").exists)
        assert crond.run("kill", "1", "--signal", "HUP").stdout == f"run 1 of {ME}/job gets the signal\n"
        assert line(command) in {"got it", "Hangup"}
        (crond.directory / "go").touch()
        assert command.wait(10) == 0
    assert "no signal is called 'X'" in crond.run("kill", "1", "--signal", "X", status=1).stderr


# pause


def test_a_pause_over_a_restart_and_a_verdict_for_each_fire(crond: Crond) -> None:
    crond.at("2031-03-01 11:59:30")
    crond.write(
        "jobs", f"HOME={crond.directory}\n#: name=job\n* * * * * true\n#: name=other\n* * * * * true\n"
    )
    crond.run("start")
    done = crond.run("pause", "job", "--for", "150s", "--reason", "a disk is full")
    assert done.stdout == f"{ME}/job is paused until 12:02\n"
    listed = {job["name"]: job for job in crond.json("list")["jobs"]}
    assert listed["job"]["paused"]["reason"] == "a disk is full"
    assert listed["job"]["paused"]["until"].startswith("2031-03-01T12:02:")
    assert listed["other"]["paused"] is None
    crond.at("2031-03-01 12:00:02")
    wait_until(lambda: len(crond.runs()) == 2)
    crond.run("stop")
    crond.run("start")
    assert "paused until 12:02: a disk is full" in crond.run("list").stdout
    crond.at("2031-03-01 12:01:02")
    wait_until(lambda: len(crond.runs()) == 4)
    crond.at("2031-03-01 12:03:02")
    wait_until(lambda: len(crond.runs()) == 8 and all(run.ended_at for run in crond.runs()))
    mine = [run for run in crond.history() if run["name"] == "job"][::-1]
    fires = [f"2031-03-01T12:0{minute}:00Z" for minute in range(4)]
    assert [run["fire"] for run in mine] == fires
    assert [run["state"] for run in mine][:2] == ["skipped"] * 2
    assert mine[3]["state"] == "succeeded"
    assert mine[0]["reason"] == "paused: a disk is full"
    crond.run("audit")


def test_pause_for_ever_and_resume(crond: Crond) -> None:
    write(crond, one="true", two="true")
    crond.run("start")
    done = crond.run("pause", "one", "two", "--forever")
    assert done.stdout == f"{ME}/one is paused until it is resumed\n{ME}/two is paused until it is resumed\n"
    crond.run("restart")
    assert [job["paused"] for job in crond.json("list")["jobs"]] == [{"until": None, "reason": ""}] * 2
    assert crond.run("resume", "one").stdout == f"{ME}/one is resumed\n"
    done = crond.run("resume", "one", "two")
    assert (done.stdout, done.stderr) == (f"{ME}/two is resumed\n", f"{ME}/one was not paused\n")
    assert crond.run("resume", "one", status=1).stderr == f"pycrond: not paused: {ME}/one\n"


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("--for", "31d"), 1, "30 days at most"),
        (("--for", "0s"), 2, "'0s': a duration of more than 0s is expected"),
        (("--for", "soon"), 2, "'soon': a duration such as"),
        (("--for", "1h", "--forever"), 2, "not allowed with"),
    ],
)
def test_no_such_pause(crond: Crond, arguments: tuple[str, ...], status: int, message: str) -> None:
    write(crond, job="true")
    crond.run("start")
    assert message in crond.run("pause", "job", *arguments, status=status).stderr


# logs -f


def test_logs_follow(crond: Crond) -> None:
    write(crond, a="echo one; while [ ! -e go ]; do sleep 0.02; done; echo two", b="echo b")
    crond.run("start")
    crond.run("run", "a")
    wait_until(lambda: "one" in crond.run("logs").stdout)
    with running(crond, "logs", "-f") as all_, running(crond, "logs", "--follow", "1") as of_run:
        for command in (all_, of_run):
            assert line(command).endswith(" a | one")
        crond.run("run", "b")
        assert line(all_).endswith(" b | b")
        (crond.directory / "go").touch()
        for command in (all_, of_run):
            assert line(command).endswith(" a | two")
        assert of_run.wait(10) == 0
        assert of_run.stdout
        assert of_run.stdout.read() == ""
        crond.run("stop")
        assert all_.wait(10) == 3


def test_logs_follow_of_a_job(crond: Crond) -> None:
    write(crond, a="echo a", b="echo b")
    crond.run("start")
    with running(crond, "logs", "-f", "b") as command:
        for name in "ab":
            for _ in range(2):
                crond.run("run", name, "--wait")
        assert [line(command).rpartition(" ")[2] for _ in range(2)] == ["b", "b"]


def test_logs_of_several_jobs_by_time(crond: Crond) -> None:
    """The lines of two jobs and a run alternate in the order of their times."""
    step = "while [ ! -e {0} ]; do sleep 0.02; done; echo {0}"
    write(crond, a=f"echo 1; {step.format(3)}", b=f"{step.format(2)}; {step.format(4)}", c="echo c")
    crond.run("start")
    crond.run("run", "c", "--wait")
    for name in "ab":
        crond.run("run", name)
    with running(crond, "logs", "-f", "a", "b", "1") as command:
        for number in range(1, 5):
            (crond.directory / str(number)).touch()
            while not line(command).endswith(f" {number}"):
                pass
            time.sleep(0.02)  # more than the interval between two times
    wait_until(lambda: all(run.ended_at for run in crond.runs()))
    lines = crond.run("logs", "b", "a", "1").stdout.splitlines()
    assert [text.rpartition(" ")[2] for text in lines] == ["c", "1", "2", "3", "4"]
    assert all(re.match(r"\d\d:\d\d:\d\d [abc] \| ", text) for text in lines)
    assert crond.run("logs", "a", "b", "1", "--since", "1h").stdout.splitlines() == lines
    assert crond.run("logs", "a", "b", "--lines", "2").stdout.splitlines() == lines[3:]
    assert "no job is called 'd'" in crond.run("logs", "a", "d", status=1).stderr


# status


def test_status_figures(crond: Crond) -> None:
    crond.at("2031-03-01 11:59:57")
    crond.write("jobs", "* * * * * true\n" * 20)
    crond.run("start")
    wait_until(lambda: len(crond.runs()) == 20 and all(run.ended_at for run in crond.runs()))
    answer = crond.json("status")
    assert answer["loaded_files"] == {str(crond.crontabs / "jobs"): 20}
    assert answer["waiting"] == {"for_a_time": 0, "for_others": 0, "for_room": 0}
    late = answer["lateness_ms"]
    assert late["starts"] == 20
    assert 0 <= late["median"] <= late["p99"] <= late["worst"] < 5000
    text = crond.run("status").stdout
    assert "crontabs: 20 jobs from 1 file, 0 errors\n" in text
    assert f"    {crond.crontabs / 'jobs'}: 20 jobs\n" in text
    assert "running: 0 jobs\nwaiting: 0\npaused: 0 jobs\nlateness of the last 20 starts: median " in text
    assert "\nlimits: memory by " in text


# Slow clients


def test_silent_and_slow_clients_delay_no_minute(crond: Crond) -> None:
    crond.at("2031-03-01 11:59:56")
    crond.write("jobs", "* * * * * true\n")
    crond.run("start")
    path = str(crond.runtime / "control.sock")
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(connect(path, 5)).sendall(b'{"command":')
        deaf = stack.enter_context(connect(path, 5))  # sends requests, and does not read the answers
        deaf.sendall(b'{"command": "read", "method": "history", "limit": 500}\n')
        dribbler = stack.enter_context(connect(path, 5))
        while not crond.runs():
            dribbler.sendall(b" ")
            time.sleep(0.002)
        wait_until(lambda: crond.runs()[0].ended_at)
        assert (crond.status() or {})["jobs"] == 1
    late = crond.runs()[0].lateness_ms
    assert late is not None
    assert late < 500


def test_a_hundred_clients_at_once_are_all_answered(crond: Crond) -> None:
    write(crond, job="true")
    crond.run("start")
    path = str(crond.runtime / "control.sock")
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(path, 20)) for _ in range(100)]
        for client in clients:
            client.sendall(b'{"command": "read", "method": "jobs", "offset": 0}\n')
        for client in clients:
            with client.makefile("rb") as answers:
                assert len(json.loads(answers.readline())["rows"]) == 1


# Users of a system daemon

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a daemon for other users")
ALICE, BOB = pwd.getpwnam("nobody"), pwd.getpwnam("daemon")


class System:
    """The cron of a system below a directory that everybody can enter."""

    def __init__(self, directory: Path) -> None:
        directory.chmod(0o755)
        self.crond = Crond(directory)
        self.root = directory / "root"
        del self.crond.environment["PYCROND_CRONTABS"]
        self.crond.environment |= {"PYCROND_SYSTEM": "yes", "PYCROND_ROOT": str(self.root)}
        (self.root / "etc").mkdir(parents=True)
        (self.root / "var/spool/cron/crontabs").mkdir(parents=True)
        (self.root / "etc/os-release").write_text("ID=debian\n")

    def write(self, user: str, text: str) -> None:
        file = self.root / "var/spool/cron/crontabs" / user
        file.write_text(f"HOME=/\n{text}")
        file.chmod(0o600)
        os.chown(file, *pwd.getpwnam(user)[2:4])

    def prefix(self, user: pwd.struct_passwd) -> list[str]:
        return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]

    def as_user(self, user: pwd.struct_passwd, *arguments: str, status: int = 0) -> str:
        """Run a command and return what it prints on both streams."""
        self.crond.prefix = self.prefix(user)
        try:
            done = self.crond.run(*arguments, status=status, env={**self.crond.environment, "HOME": "/"})
        finally:
            self.crond.prefix = []
        return str(done.stdout + done.stderr)

    def json(self, user: pwd.struct_passwd, *arguments: str) -> Any:
        document = json.loads(self.as_user(user, *arguments, "--json"))
        documents.check(arguments[0], document)
        return document


@pytest.fixture
def system() -> Iterator[System]:
    with tempfile.TemporaryDirectory(prefix="system.", dir="/tmp") as name:
        system_ = System(Path(name))
        if subprocess.run(
            [*system_.prefix(ALICE), SCRIPT, "--version"], check=False, capture_output=True
        ).returncode:
            pytest.skip("another user cannot run the installed script here")
        try:
            yield system_
        finally:
            system_.crond.end()


@needs_root
def test_users_see_and_act_on_their_own_jobs_alone(system: System) -> None:
    long = "echo mine; while :; do sleep 0.05; done"
    system.write("nobody", f"#: name=work\n{NEVER} {long}\n61 * * * * broken\n")
    system.write("daemon", f"#: name=secret\n{NEVER} echo hidden\n#: name=other\n{NEVER} {long}\n")
    system.crond.run("start")
    system.crond.run("run", "secret", "--wait")
    system.crond.run("run", "other")

    listed = system.json(ALICE, "list")
    assert [job["key"] for job in listed["jobs"]] == ["nobody/work"]
    assert listed["daemon"]["running"] is True
    assert [problem["line"] for problem in listed["problems"]] == [4]
    assert system.json(BOB, "list")["problems"] == []
    assert len(system.crond.json("list")["jobs"]) == 3

    no = "pycrond: no job is called '{}' (see 'pycrond list')\n"
    for command in (["run"], ["kill"], ["pause"], ["resume"], ["history"], ["logs"]):
        for word in ("secret", "daemon/secret", "daemon"):
            assert system.as_user(ALICE, *command, word, status=1) == no.format(word)
    assert system.as_user(ALICE, "kill", "2", status=1) == "pycrond: run 2 is neither running nor waiting\n"
    for command in (["next"], ["why", "work", "02:30"], ["timeline"], ["calendar"], ["audit"], ["diff"]):
        answer = system.as_user(ALICE, *command, status=1)
        assert (
            "/ledger: permission denied (only root and the daemon's own user may; for your own jobs, list,"
            in answer
        )
    assert system.json(ALICE, "history")["runs"] == []
    assert system.as_user(ALICE, "logs") == ""
    assert "no job is called '1'" in system.as_user(ALICE, "logs", "1", status=1)
    assert "hidden" in system.as_user(BOB, "logs", "1")

    assert system.as_user(ALICE, "run", "work") == "run 3 of nobody/work started\n"
    wait_until(lambda: "work | mine" in system.as_user(ALICE, "logs"))
    assert [run["id"] for run in system.json(ALICE, "history")["runs"]] == [3]
    assert system.json(ALICE, "list")["jobs"][0]["running"] == [3]
    assert [run["id"] for run in system.json(BOB, "history")["runs"]] == [2, 1]
    assert system.as_user(ALICE, "kill", "work") == "run 3 of nobody/work is being ended\n"
    wait_until(lambda: system.json(ALICE, "history", "work")["runs"][0]["state"] == "killed")
    assert system.json(ALICE, "history")["runs"][0]["reason"] == "kill: by nobody"
    assert "2 jobs" not in system.as_user(ALICE, "list")

    assert "nobody/work is paused" in system.as_user(ALICE, "pause", "work", "--reason", "mine")
    assert system.json(ALICE, "list")["jobs"][0]["paused"]["reason"] == "mine"
    metrics = system.as_user(ALICE, "metrics")
    assert 'pycrond_runs_total{job="work",outcome="killed",user="nobody"} 1.0' in metrics
    assert "\npycrond_up 1.0\n" in metrics
    assert "daemon" not in re.sub(r"pycrond_daemon|# HELP.*", "", metrics)
    assert system.as_user(ALICE, "resume", "work") == "nobody/work is resumed\n"
    for order in ("reload", "restart", "stop"):
        printed = system.as_user(ALICE, order, status=1)
        assert "only root" in printed or "Permission denied" in printed or "cannot" in printed
    status = system.json(ALICE, "status")
    assert [*status["loaded_files"]] == [str(system.root / "var/spool/cron/crontabs/nobody")]
    assert (system.crond.status() or {})["jobs"] == 3


@needs_root
def test_a_user_waits_for_a_run_and_follows_it(system: System) -> None:
    system.write(
        "nobody",
        f"#: name=work\n{NEVER} seq 100000; exit 7\n#: name=quick\n{NEVER} echo 1; sleep 0.3; echo 2\n",
    )
    system.crond.run("start")
    out = system.as_user(ALICE, "run", "work", "--follow", status=7).splitlines()
    assert [text for text in out if text.isdigit()] == [str(number) for number in range(1, 100001)]
    assert out[-1].startswith("run 1 of nobody/work failed, exit status 7, in ")
    system.crond.prefix = system.prefix(ALICE)
    with running(system.crond, "logs", "-f", "quick") as command:
        time.sleep(0.3)
        system.crond.prefix = []
        system.crond.run("run", "quick", "--wait")
        assert [line(command).rpartition(" ")[2] for _ in range(2)] == ["1", "2"]


@needs_root
def test_a_users_daemon_refuses_other_users(system: System) -> None:
    del system.crond.environment["PYCROND_SYSTEM"]
    (system.crond.directory / "crontabs").chmod(0o755)
    system.crond.environment["PYCROND_CRONTABS"] = str(system.crond.crontabs)
    system.crond.write("jobs", f"#: name=work\n{NEVER} true\n")
    system.crond.run("start")
    for order in (
        ["run", "work"],
        ["kill", "work"],
        ["pause", "work"],
        ["resume", "work"],
        ["list"],
        ["logs"],
        ["history", "--cluster"],
        ["cluster", "status"],
    ):
        printed = system.as_user(ALICE, *order, status=1)
        assert printed == "pycrond: only root and the daemon's own user may do that\n"
    assert system.json(ALICE, "status")["loaded_files"] == {}


@pytest.mark.parametrize(
    ("command", "status", "errors"),
    [
        ("run job >/dev/full", 1, ["cannot write to standard output", "run 1 of {}/job started"]),
        ("run job --wait >&-", 3, ["run 1 of {}/job started", "run 1 of {}/job failed, exit status 3"]),
        ("run job --wait >/dev/full", 3, ["run 1 of {}/job started", "failed, exit status 3"]),
        ("run job --follow >&-", 3, ["run 1 of {}/job started", "failed, exit status 3"]),
        ("run job --follow >/dev/full", 3, ["cannot write to standard output", "failed, exit status 3"]),
        ("run job --wait 2>&-", 3, []),
    ],
)
def test_a_run_whose_report_cannot_be_written(
    crond: Crond, command: str, status: int, errors: list[str]
) -> None:
    """The caller must know that it was started, and gets its exit status."""
    write(crond, job="echo hello; exit 3")
    crond.run("start")
    done = subprocess.run(
        f"'{SCRIPT}' {command}",
        shell=True,
        env=crond.environment,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    for error in errors:
        assert error.format(ME) in done.stderr
