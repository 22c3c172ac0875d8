"""The commands list, history and logs: on a terminal, in a pipe, without a daemon, with another user's daemon."""

import contextlib
import os
import pty
import select
import signal
import sqlite3
import subprocess
from collections.abc import Iterator, Mapping, Sequence

import pytest

from tests.cli.commands.test_run import ALICE, System, needs_root, system
from tests.conftest import SCRIPT, Crond, wait_until

pytestmark = pytest.mark.daemon
__all__ = ["system"]
NEVER = "0 0 1 1 *"
JOBS = """
#: name=good
0 0 1 1 * echo fine
#: name=bad
0 0 1 1 * echo one; printf '\\033[31mno space left\\n\\n'; exit 3
#: name=slow
0 0 1 1 * echo begun; while [ ! -e go ]; do sleep 0.02; done; echo over
"""


def begin(crond: Crond) -> None:
    """Start a daemon; the jobs `good` and `bad` have run, and `slow` is running."""
    crond.write("jobs", f"HOME={crond.directory}\n{JOBS}")
    crond.run("start")
    for name in ("good", "bad"):
        crond.run("run", name, "--wait", status=None)
    crond.run("run", "slow")
    wait_until(lambda: "begun" in crond.run("logs").stdout)


def names(crond: Crond, *arguments: str) -> list[str]:
    return [job["name"] for job in crond.json("list", *arguments)["jobs"]]


def test_list_shows_failed_jobs_with_the_reason(crond: Crond) -> None:
    begin(crond)
    lines = crond.run("list").stdout.splitlines()
    assert lines[0].endswith(", 3 jobs: 1 failed, 1 running")
    assert [line.split()[:2] for line in lines[1:]] == [
        ["NAME", "SCHEDULE"],
        ["good", "0"],
        ["!", "bad"],
        ["^[[31mno", "space"],
        [">", "slow"],
    ]
    assert "exit 3" in lines[3]
    assert lines[4] == "    ^[[31mno space left"
    bad = crond.json("list", "bad")["jobs"][0]
    assert bad["last_line"] == "^[[31mno space left"
    assert bad["median_s"] is None
    assert crond.json("list", "good")["jobs"][0]["median_s"] >= 0
    crond.run("stop", "--kill-jobs")
    assert "! bad" in crond.run("list").stdout


def test_selection_of_jobs(crond: Crond) -> None:
    begin(crond)
    assert names(crond) == ["good", "bad", "slow"]
    assert names(crond, "--failed") == ["bad"]
    assert names(crond, "--running") == ["slow"]
    assert names(crond, "--failed", "--running") == ["bad", "slow"]
    assert names(crond, "*o*") == ["good", "slow"]
    assert names(crond, "s", "good") == ["good", "slow"]
    assert names(crond, "--sort", "name") == ["bad", "good", "slow"]
    assert names(crond, "--sort", "last") == ["slow", "bad", "good"]
    assert names(crond, "--user", "nobody") == []
    assert crond.run("list", "good", "--failed").stdout.splitlines()[1:] == ["no job matches"]
    assert "no job is called 'x*'" in crond.run("list", "x*", status=1).stderr


def test_history_filters(crond: Crond) -> None:
    begin(crond)

    def ids(*arguments: str) -> list[int]:
        return [run["id"] for run in crond.json("history", *arguments)["runs"]]

    assert ids() == [3, 2, 1]
    assert ids("--state", "failed") == [2]
    assert ids("--state", "running,ok") == [3, 1]
    assert ids("--since", "1h") == [3, 2, 1]
    assert ids("--until", "1h") == []
    assert ids("--since", "1h", "--limit", "1") == [3]
    assert ids("*d") == [2, 1]
    assert ids("*d", "--state", "ok") == [1]
    assert crond.run("history", "--until", "1h").stdout == "no runs\n"
    _, row = crond.run("history", "--state", "failed").stdout.splitlines()
    assert row.endswith(" ^[[31mno space left")
    assert "'bad' is no state" in crond.run("history", "--state", "bad", status=2).stderr
    assert "bad time 'soon'" in crond.run("history", "--since", "soon", status=1).stderr


def test_logs_of_a_period(crond: Crond) -> None:
    begin(crond)
    texts = ["fine", "one", "^[[31mno space left", "", "begun"]
    for arguments in ((), ("--since", "1h"), ("--since", "1h", "--until", "+1h")):
        lines = crond.run("logs", *arguments).stdout.splitlines()
        assert [line.partition(" | ")[2] for line in lines] == texts
    assert crond.run("logs", "--until", "1h").stdout == ""
    assert crond.run("logs", "1", "--until", "1h").stdout == ""
    assert crond.run("logs", "1", "--since", "1h").stdout == crond.run("logs", "1").stdout != ""
    lines = crond.run("logs", "*d", "--since", "1h", "--lines", "3").stdout.splitlines()
    assert [line.partition(" | ")[2] for line in lines] == texts[1:4]
    done = crond.run("logs", "-f", "--until", "1h", status=1)
    assert done.stderr == "pycrond: --follow has no end: use it without --until\n"


def test_watch_in_a_pipe_prints_once(crond: Crond) -> None:
    begin(crond)
    lines, again = (crond.run("list", *arguments).stdout.splitlines() for arguments in ((), ("--watch",)))
    assert [line.split()[:2] for line in lines] == [line.split()[:2] for line in again]
    assert len(crond.json("list", "--watch", "1")["jobs"]) == 3


def test_characters_that_the_encoding_lacks(crond: Crond) -> None:
    crond.write("jobs", f"#: name=long\n{NEVER} printf '\\345\\202\\231\\345\\202\\231\\n'; exit 1\n")
    crond.run("start")
    crond.run("run", "long", "--wait", status=None)
    environment = {**crond.environment, "PYTHONIOENCODING": "latin-1"}
    for command in ("list", "history", "logs"):
        assert "??" in crond.run(command, env=environment).stdout


STOPPED = """
#: name=ends success=4
0 0 1 1 * echo begun; while [ ! -e go ]; do sleep 0.02; done; exit 3
#: name=succeeds success=4
0 0 1 1 * echo begun; while [ ! -e go ]; do sleep 0.02; done; exit 4
#: name=lives
0 0 1 1 * echo begun; while true; do sleep 0.1; done
"""


def begin_and_stop(crond: Crond) -> None:
    """Start a daemon and three jobs, and stop the daemon."""
    crond.write("jobs", f"HOME={crond.directory}\n{STOPPED}")
    crond.run("start")
    for name in ("ends", "succeeds", "lives"):
        crond.run("run", name)
    wait_until(lambda: crond.run("logs").stdout.count("begun") == 3)
    assert "3 jobs still running" in crond.run("stop").stdout


def states(crond: Crond) -> dict[str, tuple[str, int | None]]:
    return {run["name"]: (run["state"], run["exit_status"]) for run in crond.history()}


def test_what_ends_while_no_daemon_runs_is_not_shown_as_running(crond: Crond) -> None:
    begin_and_stop(crond)
    assert {state for state, _ in states(crond).values()} == {"running"}
    heading = crond.run("list").stdout.splitlines()[0]
    assert heading.startswith("pycrond does NOT run since ")
    assert "so 3 jobs will not start; 3 still run" in heading
    (crond.directory / "go").touch()
    ended = {"ends": ("failed", 3), "succeeds": ("succeeded", 4), "lives": ("running", None)}
    wait_until(lambda: states(crond) == ended)  # what the keeper has seen
    document = crond.json("list")
    assert (document["daemon"]["running"], document["daemon"]["jobs_left"]) == (False, 1)
    jobs = {job["name"]: job for job in document["jobs"]}
    assert [name for name, job in jobs.items() if job["running"]] == ["lives"]
    assert (jobs["ends"]["last"]["state"], jobs["ends"]["last"]["exit_status"]) == ("failed", 3)
    assert (jobs["ends"]["failing"]["times"], jobs["succeeds"]["failing"]) == (1, None)
    assert names(crond, "--failed") == ["ends"]
    assert [run["name"] for run in crond.json("history", "--state", "failed")["runs"]] == ["ends"]
    assert [run["name"] for run in crond.json("history", "--state", "running")["runs"]] == ["lives"]
    text = crond.run("status", status=3)
    assert "ends: failing since " in text.stdout
    assert text.stderr == "pycrond: pycrond is stopped, 1 job still running\n"
    pid = next(run["pid"] for run in crond.history() if run["name"] == "lives")
    assert f"kill -- -{pid}" in crond.run("kill", "lives", status=3).stderr
    bars = {lane["name"]: lane["bars"][0]["state"] for lane in crond.json("timeline")["lanes"]}
    assert bars == {"ends": "failed", "succeeds": "succeeded", "lives": "running"}
    crond.run("start")
    assert states(crond) == ended


def test_processes_that_end_without_daemon_and_keeper(crond: Crond) -> None:
    begin_and_stop(crond)
    os.kill(crond.programs("keeper")[0], signal.SIGKILL)
    wait_until(lambda: not crond.programs("keeper"))
    assert {state for state, _ in states(crond).values()} == {"running"}
    (crond.directory / "go").touch()
    ended = dict.fromkeys(("ends", "succeeds"), ("unknown", None))
    wait_until(lambda: states(crond) == {**ended, "lives": ("running", None)})
    assert crond.json("list")["daemon"]["jobs_left"] == 1
    assert "it ended while no daemon ran" in crond.run("history", "ends").stdout


def test_all_runs_have_ended_after_a_restart_of_the_machine(crond: Crond) -> None:
    begin_and_stop(crond)
    with contextlib.closing(sqlite3.connect(crond.state / "ledger")) as db, db:
        db.execute("UPDATE daemons SET boot = 'another'")
    assert set(states(crond).values()) == {("unknown", None)}
    assert "the machine was restarted" in crond.run("list", "ends").stdout


# On a terminal


class Screen:
    """A command on a terminal of 80 columns, with the text that it has written there."""

    def __init__(
        self, crond: Crond, arguments: Sequence[str], rows: int, environment: Mapping[str, str]
    ) -> None:
        self._fd, terminal = pty.openpty()
        subprocess.run(["stty", "cols", "80", "rows", str(rows)], stdin=terminal, check=True)
        removed = {"NO_COLOR", "COLUMNS", "LINES"}
        plain = {name: value for name, value in crond.environment.items() if name not in removed}
        self.command = subprocess.Popen(
            [SCRIPT, *arguments],
            env={**plain, "TERM": "xterm-256color", **environment},
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
        )
        os.close(terminal)
        self.text = ""

    def read(self, until: str = "") -> str:
        """Read until a text appears that was not read before, or to the end; return all text so far."""
        begun = len(self.text)
        while not until or until not in self.text[begun:]:
            assert select.select([self._fd], [], [], 20)[0], f"it writes no more than {self.text!r}"
            try:
                data = os.read(self._fd, 1 << 16)
            except OSError:  # the terminal's other side is closed
                break
            self.text += data.decode()
        return self.text

    def close(self) -> None:
        self.command.kill()
        self.command.wait()
        os.close(self._fd)


@contextlib.contextmanager
def on_screen(
    crond: Crond, *arguments: str, rows: int = 24, variable: tuple[str, str] = ("TERM", "xterm-256color")
) -> Iterator[Screen]:
    screen = Screen(crond, arguments, rows, dict([variable]))
    try:
        yield screen
    finally:
        screen.close()


def test_colours_on_a_terminal_that_supports_them(crond: Crond) -> None:
    begin(crond)
    with on_screen(crond, "list") as screen:
        assert "\x1b[31m! \x1b[0m" in screen.read()
    for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        with on_screen(crond, "list", variable=(name, value)) as screen:
            assert "\x1b" not in screen.read()
            assert "! bad" in screen.text


def test_watch_redraws_and_restores_the_terminal(crond: Crond) -> None:
    begin(crond)
    with on_screen(crond, "list", "--watch", "0.2") as screen:
        screen.read("running")
        (crond.directory / "go").touch()
        screen.read("\x1b[32mok")
        wait_until(lambda: "1 running" not in screen.read("3 jobs").rpartition("pycrond 0")[2])
        for stop, status in ((signal.SIGINT, 130),):
            screen.command.send_signal(stop)
            assert screen.command.wait(10) == status
        screen.read()
    assert screen.text.startswith(("\x1b[?1049h", "\x1b[?25l"))
    assert screen.text.count("\x1b[?1049h") == screen.text.count("\x1b[?1049l") == 1
    assert "\x1b[?25h" in screen.text[screen.text.rindex("3 jobs") :]
    assert "Traceback" not in screen.text


def test_watch_on_a_small_terminal_shows_failed_and_running_jobs_first(crond: Crond) -> None:
    crond.write("first", f"{NEVER} true one\n{NEVER} true two\n")
    begin(crond)
    with on_screen(crond, "list", "--watch", rows=6) as screen:
        text = screen.read("more jobs")
    order = [text.index(word) for word in ("! ", "bad", "no space left", "slow", "… 3 more jobs")]
    assert order == sorted(order)
    assert "good" not in text


def test_watch_ended_by_term(crond: Crond) -> None:
    begin(crond)
    with on_screen(crond, "list", "--watch") as screen:
        screen.read("slow")
        screen.command.terminate()
        assert screen.command.wait(10) == 143
        assert screen.read().count("\x1b[?1049l") == 1


# Users of a system daemon


@needs_root
def test_a_user_sees_the_reason_why_its_own_jobs_failed(system: System) -> None:
    system.write("nobody", f"#: name=bad\n{NEVER} echo why; exit 3\n#: name=good\n{NEVER} true\n")
    system.write("daemon", f"#: name=secret\n{NEVER} echo hidden; exit 4\n")
    system.crond.run("start")
    for name in ("bad", "good", "secret"):
        system.crond.run("run", name, "--wait", status=None)
    text = system.as_user(ALICE, "list")
    assert "    why\n" in text
    assert "hidden" not in text
    assert [job["name"] for job in system.json(ALICE, "list", "--failed")["jobs"]] == ["bad"]
    assert [job["median_s"] is None for job in system.json(ALICE, "list")["jobs"]] == [True, False]
    assert [
        run["id"] for run in system.json(ALICE, "history", "--state", "failed", "--since", "1h")["runs"]
    ] == [1]
    assert [run["id"] for run in system.json(ALICE, "history", "*d")["runs"]] == [2, 1]
    assert system.as_user(ALICE, "logs", "--since", "1h").endswith(" bad | why\n")
