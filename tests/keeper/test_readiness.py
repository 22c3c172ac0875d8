"""start --foreground: the keeper stays in the terminal, logs there, and ends at a signal or Ctrl-C."""

import os
import pty
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.conftest import SCRIPT, Crond, alive, wait_until
from tests.support import proc
from tests.support.rsyslog import Rsyslogd

pytestmark = pytest.mark.daemon


class Foreground:
    """A pycrond in the foreground, with its standard error in a file."""

    def __init__(self, crond: Crond) -> None:
        self.crond = crond
        with (crond.directory / "stderr").open("wb") as stderr:
            self.process = subprocess.Popen(
                [SCRIPT, "start", "--foreground"], env=crond.environment, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=stderr,
            )  # fmt: skip
        wait_until(lambda: crond.status() or self.process.poll() is not None)

    def stderr(self) -> str:
        return (self.crond.directory / "stderr").read_text()


@pytest.fixture
def foreground(crond: Crond) -> Iterator[Foreground]:
    crond.write("jobs", "#: name=hello\n@reboot echo hi there\n")
    pycrond = Foreground(crond)
    yield pycrond
    crond.end()
    pycrond.process.communicate(timeout=60)


def test_the_command_becomes_the_parent_of_its_daemons_keeper(foreground: Foreground) -> None:
    crond = foreground.crond
    assert foreground.process.poll() is None
    assert proc.stat(crond.keeper).parent == foreground.process.pid
    assert crond.programs("daemon") == [crond.pid]
    assert os.getsid(crond.pid) == os.getsid(0), "the daemon has not left the session"


MESSAGES = ("STARTUP", "CMD (echo hi there)", "output: hi there", "EXIT (hello status=0")


def test_messages_go_to_standard_error_and_to_syslog(crond: Crond, rsyslogd: Rsyslogd) -> None:
    crond.environment["PYCROND_SYSLOG"] = rsyslogd.path
    crond.write("jobs", "#: name=hello\n@reboot echo hi there\n")
    foreground = Foreground(crond)
    wait_until(lambda: all(words in foreground.stderr() for words in MESSAGES))
    crond.run("stop")
    assert foreground.process.communicate(timeout=60)[0] == b""
    assert "SHUTDOWN" in foreground.stderr()


def test_messages_go_to_standard_error_without_a_syslog(foreground: Foreground) -> None:
    wait_until(lambda: all(words in foreground.stderr() for words in MESSAGES))


def test_no_messages_go_to_standard_error_if_the_setting_is_no(crond: Crond) -> None:
    """Under systemd the journal receives the messages through syslog, and would show them twice."""
    crond.environment["PYCROND_LOG_STDERR"] = "no"
    crond.write("jobs", "@reboot true\n")
    foreground = Foreground(crond)
    wait_until(lambda: [run.state for run in crond.runs()] == ["succeeded"])
    foreground.process.terminate()
    foreground.process.communicate(timeout=20)
    assert (foreground.process.returncode, foreground.stderr()) == (0, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_term_and_int_end_it_with_0(foreground: Foreground, number: int) -> None:
    daemon = foreground.crond.pid
    foreground.process.send_signal(number)
    assert foreground.process.wait(60) == 0
    assert not alive(daemon)
    assert not foreground.crond.pidfile.exists()
    assert "SHUTDOWN" in foreground.stderr()


def test_stop_ends_it_with_0(foreground: Foreground) -> None:
    foreground.crond.run("stop")
    assert foreground.process.wait(60) == 0


def test_hup_is_passed_on(foreground: Foreground) -> None:
    crond = foreground.crond
    crond.write("more", "0 0 1 1 * true\n")
    foreground.process.send_signal(signal.SIGHUP)
    wait_until(lambda: (crond.status() or {})["jobs"] == 2)
    wait_until(lambda: "RELOAD" in foreground.stderr())


def test_a_daemon_that_is_killed_comes_back(foreground: Foreground) -> None:
    foreground.crond.crash()
    assert foreground.process.poll() is None
    foreground.process.terminate()
    assert foreground.process.wait(60) == 0


def test_jobs_do_not_inherit_ignored_or_blocked_signals(crond: Crond) -> None:
    # After `nohup … &` in a script HUP, INT and QUIT are ignored; a supervisor may have blocked others.
    crond.write("jobs", f"HOME={crond.directory}\n@reboot grep ^Sig /proc/self/status >new; mv new job\n")
    script = "trap '' HUP INT QUIT USR1; umask 077; exec $0 start --foreground"
    with subprocess.Popen(
        ["sh", "-c", script, SCRIPT], env=crond.environment, stderr=subprocess.DEVNULL
    ) as process:
        wait_until((crond.directory / "job").exists)
        fields = dict(line.split(":\t") for line in (crond.directory / "job").read_text().splitlines())
        assert proc.signals(fields["SigIgn"]) == proc.signals(fields["SigBlk"]) == set()
        assert proc.status(crond.pid, "Umask") == "0022"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


def test_a_second_start_names_the_running_daemon(foreground: Foreground) -> None:
    crond = foreground.crond
    for arguments in (["start"], ["start", "--foreground"]):
        stderr = crond.run(*arguments, status=1).stderr
        assert stderr.startswith(f"pycrond: already running, pid {crond.pid}, since ")


def test_a_start_that_fails_prints_the_reason(crond: Crond) -> None:
    crond.pidfile.mkdir()
    done = crond.run("start", "--foreground", status=1)
    assert f"cannot write pidfile {crond.pidfile}: Is a directory" in done.stderr
    crond.run("status", status=3)


def test_ctrl_c_ends_it(crond: Crond) -> None:
    crond.write("jobs", "0 5 * * * true\n")
    pid, master = pty.fork()
    if pid == 0:
        os.execve(SCRIPT, [SCRIPT, "start", "--foreground"], crond.environment)
    wait_until(crond.status)
    daemon = crond.pid
    os.write(master, b"\x03")  # the terminal sends INT to its foreground process group: keeper and daemon
    output = b""
    try:
        while chunk := os.read(master, 65536):
            output += chunk
    except OSError:
        pass  # all processes have closed the terminal
    os.close(master)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert not alive(daemon)
    assert b"STARTUP" in output
    assert b"Traceback" not in output
