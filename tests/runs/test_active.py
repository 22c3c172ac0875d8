"""Starts and ends of runs in one daemon: on the minute, claimed before it, never twice, and recorded."""

import itertools
import os
import select
import signal
import socket
from datetime import timedelta

import pytest

from pycrond import clock
from pycrond.control import protocol
from pycrond.control.client import connect
from pycrond.host import parked_fds, procfs, spawn
from pycrond.host.spawn import Launch
from pycrond.runs import launcher
from tests.conftest import ME, alive, wait_until
from tests.support.loop import Loop

pytestmark = pytest.mark.process


def test_a_job_runs_at_its_minute_and_is_recorded(loop: Loop) -> None:
    loop.begin("#: name=hello\n1 12 * * * echo hi; exit 3\n")
    loop.turn()
    assert loop.runs() == []
    loop.to("2025-06-10T12:01:00.002Z")
    loop.settle()
    (run,) = loop.runs()
    assert (run.name, run.state, run.exit_status, run.signal) == ("hello", "failed", 3, None)
    assert (run.bytes, run.lateness_ms, run.trigger, run.attempt) == (3, 2.0, "schedule", 1)
    assert run.fire == 1749556860.0
    assert run.duration_s is not None
    assert 0 < run.duration_s < 5, "measured by the monotonic clock"
    assert run.pid is not None
    lines = loop.log.of_pid(run.pid)
    assert [event for event, _ in lines] == ["CMD", "CMDOUT", "CMDEND", "EXIT"]
    assert lines[3][1].startswith("hello status=3 duration=")


@pytest.mark.parametrize(
    ("command", "state", "end"),
    [
        ("true", "succeeded", (0, None)),
        ("exit 255", "failed", (255, None)),
        ("nonsense 2> /dev/null", "failed", (127, None)),
        ("kill -KILL $$", "failed", (None, 9)),
        ("kill -TERM $$", "failed", (None, 15)),
        ("exec 1>&- 2>&-; exit 4", "failed", (4, None)),
    ],
)
def test_the_exit_status_or_signal_of_a_run_is_recorded(
    loop: Loop, command: str, state: str, end: tuple[int | None, int | None]
) -> None:
    loop.begin(f"#: name=x\n* * * * * {command}\n")
    loop.minutes()
    loop.settle()
    (run,) = loop.runs()
    assert (run.state, (run.exit_status, run.signal)) == (state, end)
    word = f"status={end[0]}" if end[1] is None else f"signal={end[1]}"
    assert [text.split()[:2] for text in loop.log.details("EXIT")] == [["x", word]]


def test_the_processor_time_of_a_run_is_recorded(loop: Loop) -> None:
    loop.begin("* * * * * i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done\n")
    loop.minutes()
    loop.settle()
    (run,) = loop.runs()
    assert run.cpu_s is not None
    assert run.cpu_s > 0.01


def test_a_fire_starts_no_second_run_when_the_clock_moves_within_its_minute(loop: Loop) -> None:
    loop.begin("* * * * * echo x\n")
    for second in ("12:01:00", "12:01:00.5", "12:01:59.999"):
        loop.to(f"2025-06-10T{second}Z")
    loop.settle()
    assert loop.query("SELECT count(*) FROM runs WHERE state != 'claimed'") == [(1,)]


def test_no_job_runs_in_the_minute_in_which_the_daemon_starts(loop: Loop) -> None:
    loop.begin("* * * * * echo x\n")
    loop.to("2025-06-10T12:00:59.999Z")
    assert loop.query("SELECT count(*) FROM runs WHERE state != 'claimed'") == [(0,)]


def test_due_jobs_are_claimed_in_the_second_before_their_minute(loop: Loop) -> None:
    loop.begin("1 12 * * * echo x\n")
    loop.to("2025-06-10T12:00:58.9Z")
    assert loop.runs() == []
    loop.to("2025-06-10T12:00:59.1Z")
    (claimed,) = loop.runs()
    assert (claimed.state, claimed.pid) == ("claimed", None)
    assert os.listdir(loop.directory / "run" / "fifo") == [str(claimed.id)]
    loop.to("2025-06-10T12:01:00Z")
    loop.settle()
    (run,) = loop.runs()
    assert (run.id, run.state) == (claimed.id, "succeeded")
    assert os.listdir(loop.directory / "run" / "fifo") == []


def test_a_daemon_that_is_held_up_runs_every_minute_that_it_has_passed(loop: Loop) -> None:
    loop.begin("* * * * * echo $PYCROND_FIRE_TIME\n")
    loop.to("2025-06-10T12:04:10Z")
    loop.settle()
    assert sorted(loop.log.details("CMDOUT")) == [f"2025-06-10T12:0{n}:00Z" for n in range(1, 5)]
    assert [run.lateness_ms for run in loop.runs()] == [190_000, 130_000, 70_000, 10_000]


@pytest.mark.parametrize(
    ("moment", "runs", "moved", "minutes", "skipped"),
    [
        ("2025-06-10T13:01:00Z", (1, 60), "+1 h", 60, {"wild": 59}),
        ("2025-06-10T17:01:00Z", (1, 1), "+5 h", 300, {"wild": 299, "fixed": 299}),
        ("2025-06-10T11:31:00Z", (1, 0), "-30 m", -30, {}),
        ("2025-06-10T06:01:00Z", (1, 1), "-6 h", -360, {}),
    ],
)
def test_a_turned_clock_is_logged_and_jobs_run_by_its_new_time(
    loop: Loop, moment: str, runs: tuple[int, int], moved: str, minutes: int, skipped: dict[str, int]
) -> None:
    loop.begin("#: name=wild\n* * * * * true\n#: name=fixed\n0-59 0-23 * * * true\n")
    loop.to("2025-06-10T12:01:00Z")
    loop.to(moment)
    loop.settle()
    names = [run.name for run in loop.runs() if run.state == "succeeded"]
    assert (names.count("wild"), names.count("fixed")) == (1 + runs[0], 1 + runs[1]), "wild, fixed"
    skipped_runs = [run for run in loop.runs() if run.state == "skipped"]
    assert {run.name: run.folded for run in skipped_runs} == skipped
    assert {run.reason for run in skipped_runs} <= {f"clock-step: {moved}"}
    assert {run.fire for run in skipped_runs} <= {1749556920.0}, "the first skipped fire is that of 12:02"
    direction = "forward" if minutes > 0 else "back"
    assert f"the clock was set {direction} by {moved[1:]}" in loop.log.details("INFO")
    assert round(loop.query("SELECT moved FROM clock_events ORDER BY id DESC")[0][0] / 60) == minutes


def test_a_claim_is_cancelled_when_the_clock_is_turned_in_the_second_before_its_minute(loop: Loop) -> None:
    loop.begin("1 12 * * * echo x\n")
    loop.to("2025-06-10T12:00:59.5Z")
    assert len(loop.runs()) == 1
    loop.to("2025-06-10T20:00:00Z")
    loop.settle()
    (run,) = loop.runs()
    assert (run.state, run.reason, run.pid) == ("skipped", "clock-step: +7 h 59 m", None)
    assert os.listdir(loop.directory / "run" / "fifo") == []


def test_fires_that_came_while_no_daemon_ran_are_recorded_as_missed(loop: Loop) -> None:
    loop.begin(
        "#: name=often\n*/5 * * * * true\n#: name=once\n30 12 * * * true\n#: name=never\n0 0 1 1 * true\n"
    )
    loop.to("2025-06-10T12:01:00Z")
    loop.stop()
    loop.frozen.move_to("2025-06-10T12:40:20Z")
    loop.begin("#: name=new\n* * * * * true\n")  # the jobs of the earlier daemon have missed fires
    missed = {run.name: run for run in loop.runs()}
    assert sorted(str(name) for name in missed) == ["often", "once"]
    often = missed["often"]
    assert (often.state, often.fire, often.until, often.folded) == ("missed", 1749557100.0, 1749559200.0, 8)
    assert often.reason == missed["once"].reason
    assert often.reason.startswith("daemon-down: 2025-06-10 ")
    loop.settle()
    assert loop.log.details("MISSED") == [f"9 fires of 2 jobs, {often.reason}"]
    loop.stop()
    loop.begin()
    assert len(loop.runs()) == 2, "they are recorded only once"


def test_a_fire_that_came_a_minute_ago_starts_late(loop: Loop) -> None:
    loop.begin("* * * * * true\n")
    loop.to("2025-06-10T12:01:00Z")
    loop.settle()
    loop.stop()
    loop.frozen.move_to("2025-06-10T12:02:50Z")
    loop.begin()
    loop.turn()
    loop.settle()
    assert [run.state for run in loop.runs()] == ["succeeded"] * 2


def test_the_first_daemon_of_a_state_directory_has_missed_nothing(loop: Loop) -> None:
    loop.begin("* * * * * true\n")
    assert loop.runs() == []


def test_reboot_jobs_run_once_after_each_boot(loop: Loop) -> None:
    loop.begin("@reboot echo booted\n")
    loop.settle()
    assert loop.log.details("CMDOUT") == ["booted"]
    loop.stop()
    loop.begin()
    loop.minutes()
    loop.settle()
    assert [run.trigger for run in loop.runs()] == ["reboot"]


def test_a_run_that_cannot_be_started_fails_and_the_other_jobs_run(loop: Loop) -> None:
    loop.begin("SHELL=/no/shell\n#: name=a\n* * * * * x\nSHELL=/bin/sh\n#: name=b\n* * * * * echo fine\n")
    loop.minutes()
    loop.settle()
    first, second = loop.runs()
    reason = "start-failed: cannot run /no/shell: No such file or directory"
    assert (first.state, first.reason, first.exit_status, first.pid) == ("failed", reason, None, None)
    assert second.state == "succeeded"
    assert f"a state=failed reason='{reason}'" in loop.log.details("EXIT")
    assert os.listdir(loop.directory / "run" / "fifo") == []


def test_two_hundred_jobs_run_in_one_minute(loop: Loop) -> None:
    loop.begin("".join(f"#: name=job{n}\n* * * * * echo {n}; exit $(({n} \\% 7))\n" for n in range(200)))
    loop.minutes()
    assert loop.query("SELECT count(*) FROM runs") == [(200,)]
    loop.settle()
    runs = loop.runs()
    assert [run.exit_status for run in runs] == [n % 7 for n in range(200)]
    assert sorted(map(int, loop.log.details("CMDOUT"))) == list(range(200))
    for lines in loop.log.by_run().values():
        assert [event for event, _ in lines] == ["CMD", "CMDOUT", "CMDEND", "EXIT"]
    assert loop.processes() == []
    assert os.listdir(loop.directory / "run" / "fifo") == []


def test_ended_runs_leave_no_open_descriptor(loop: Loop) -> None:
    loop.begin("* * * * * echo x\n*/2 * * * * true\n")
    loop.minutes()
    loop.settle()
    before = len(os.listdir("/proc/self/fd"))
    loop.minutes(10)
    loop.settle()
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_signal_of_a_run_that_another_program_kills_is_recorded(loop: Loop) -> None:
    loop.begin("* * * * * exec sleep 100\n")
    loop.minutes()
    loop.until(lambda: loop.runs()[0].pid)
    pid = loop.runs()[0].pid
    assert pid
    os.killpg(pid, signal.SIGINT)
    loop.settle()
    assert loop.runs()[0].signal == signal.SIGINT


# Reloads


def test_an_unchanged_job_keeps_its_key_and_its_run_at_a_reload(loop: Loop) -> None:
    loop.begin("* * * * * read go < go; echo done\n")
    os.mkfifo(loop.directory / "go")
    loop.minutes()
    loop.until(lambda: loop.daemon.subsystems.runs.active.count)
    (key,) = loop.query("SELECT key FROM jobs")[0]
    for _ in range(20):
        os.kill(os.getpid(), signal.SIGHUP)
    loop.until(lambda: loop.log.details("RELOAD"))
    loop.write("# moved down\n\n* * * * *    read go < go; echo done\n")
    loop.daemon.subsystems.reloader.reload(clock.now())
    assert loop.query("SELECT key FROM jobs WHERE loaded") == [(key,)]
    assert loop.daemon.subsystems.runs.active.count == 1
    (loop.directory / "go").write_text("go\n")
    loop.settle()
    assert loop.log.details("CMDOUT") == ["done"]
    assert loop.runs()[0].state == "succeeded"


def test_a_changed_job_is_due_in_the_minute_after_the_reload(loop: Loop) -> None:
    loop.begin("5 12 * * * echo old\n")
    loop.turn()
    loop.write("1 12 * * * echo new\n")
    os.kill(os.getpid(), signal.SIGHUP)
    loop.until(lambda: loop.log.details("RELOAD"))
    loop.to("2025-06-10T12:01:00Z")
    loop.to("2025-06-10T12:05:00Z")
    loop.settle()
    assert loop.log.details("CMDOUT") == ["new"]


def test_a_reload_in_the_second_before_the_minute_claims_its_fires_again(loop: Loop) -> None:
    """A job that stays has one run, and a removed job has none."""
    loop.begin("#: name=stays\n* * * * * true\n#: name=goes\n* * * * * true\n")
    loop.to("2025-06-10T12:00:59.5Z")
    assert len(loop.runs()) == 2
    loop.write("#: name=stays\n* * * * * true\n#: name=comes\n* * * * * true\n")
    loop.daemon.subsystems.reloader.reload(clock.now())
    loop.turn()
    loop.to("2025-06-10T12:01:00Z")
    loop.settle()
    assert [run.name for run in loop.runs()] == ["stays", "comes"]
    assert os.listdir(loop.directory / "run" / "fifo") == []


def test_a_crontab_with_errors_is_reported_and_its_last_good_version_runs(loop: Loop) -> None:
    loop.begin("#: name=good\n* * * * * echo good\n")
    loop.write("61 * * * * echo bad\n* * * * * echo new\n")
    loop.reload()
    answer = loop.daemon._server._answerer({"command": "status"}, os.geteuid())
    assert (answer["kept"], answer["jobs"], answer["errors"]) == ([str(loop.crontabs / "jobs")], 1, 1)
    loop.minutes()
    loop.settle()
    assert loop.log.details("CMDOUT") == ["good"]
    assert any("jobs:2:1: error: bad minute" in text for text in loop.log.details("ERROR"))
    loop.stop()
    loop.begin()
    loop.minutes()
    loop.settle()
    assert loop.log.details("CMDOUT") == ["good", "good"]


def test_a_crontab_is_not_read_while_an_editor_writes_it(loop: Loop) -> None:
    loop.begin("#: name=good\n* * * * * echo good\n")
    reloader = loop.daemon.subsystems.reloader
    before = reloader.count
    text = "61 * * * * broken\n"
    for end in (0, 3, len(text)):
        loop.write(text[:end])
        reloader.request()
        loop.turn()
        assert reloader.count == before, "half of the crontab was read"
    loop.until(lambda: reloader.count > before)
    assert list(reloader.jobs) == [f"{ME}/good"], "the empty text became the last good version"


def test_a_daemon_that_stops_when_its_jobs_have_ended_still_reads_crontabs(loop: Loop) -> None:
    loop.begin("@reboot sleep 1000\n")
    loop.daemon.subsystems.scheduler.is_draining = True
    loop.write("* * * * * true\n")
    loop.reload()
    assert [job.entry.command for job in loop.daemon.subsystems.reloader.loaded.jobs] == ["true"]
    loop.until(lambda: loop.daemon._max_wait() is None)  # nothing more has to be done


def test_a_crontab_that_is_written_all_the_time_does_not_delay_the_other_crontabs(loop: Loop) -> None:
    loop.begin("#: name=before\n* * * * * true\n")
    reloader = loop.daemon.subsystems.reloader
    before, numbers = reloader.count, itertools.count()
    loop.write("#: name=other\n* * * * * true\n", "other")

    def is_read() -> bool:
        loop.write(f"#: name=after\n* * * * * echo {next(numbers)}\n")
        return reloader.count > before

    reloader.request()
    loop.until(is_read)
    assert list(reloader.jobs) == [f"{ME}/before", f"{ME}/other"]
    assert [problem.code for problem in reloader.loaded.problems] == ["written"]
    assert loop.daemon.subsystems.reloader._loader.has_changes()
    loop.reload()
    assert list(reloader.jobs) == [f"{ME}/after", f"{ME}/other"]


@pytest.mark.parametrize("name", [b"caf\xe9", b"caf\xe9~", b"a\nb", b"a\x1b[31m"])
def test_the_daemon_survives_every_file_name(loop: Loop, name: bytes) -> None:
    loop.begin("* * * * * echo good\n")
    with open(os.path.join(os.fsencode(loop.crontabs), name), "wb") as file:
        file.write(b"61 * * * * bad\n* * * * * echo fine\n")
    os.chmod(file.name, 0o644)
    loop.daemon.subsystems.reloader.reload(clock.now())
    loop.minutes()
    loop.settle()
    assert "good" in loop.log.details("CMDOUT")


# Requests on the control socket


@pytest.mark.parametrize(
    "data",
    [b"{}\n", b"rubbish\n", b'{"command": ["status"]}\n', b'{"command": "\xc3"}\n', b"[" * 60_000 + b"\n"],
    ids=lambda data: repr(data[:12]),
)
def test_the_daemon_survives_every_request(loop: Loop, data: bytes) -> None:
    loop.begin("* * * * * true\n")
    with connect(str(loop.directory / "run" / "control.sock"), 0.05) as client:
        client.sendall(data)
        for _ in range(5):
            loop.turn()
        client.setblocking(False)
        assert b'"error"' in client.recv(1 << 16)
    loop.minutes()
    loop.settle()
    assert len(loop.runs()) == 1


def test_silent_clients_do_not_delay_jobs_or_other_clients(loop: Loop) -> None:
    loop.begin("* * * * * true\n")
    path = str(loop.directory / "run" / "control.sock")
    clients = []
    for _ in range(protocol.MAX_CLIENTS + 50):
        clients.append(connect(path, 5))
        loop.turn()
    loop.minutes()
    loop.settle()
    assert len(loop.daemon._server._clients) == protocol.MAX_CLIENTS
    for client in clients[:50]:
        assert client.recv(1) == b"", "the clients that have been silent longest are disconnected"
    with connect(path, 5) as client:
        client.sendall(b'{"command": "status"}\n')
        poll = select.poll()
        poll.register(client, select.POLLIN)
        loop.until(lambda: poll.poll(0))
        assert b'"pid"' in client.recv(1 << 16)
    for client in clients:
        client.close()
    assert len(loop.runs()) == 1


def test_a_client_that_sends_something_stays_connected(loop: Loop) -> None:
    loop.begin("* * * * * true\n")
    path = str(loop.directory / "run" / "control.sock")
    clients = [connect(path, 5)]
    loop.turn()
    for number in range(protocol.MAX_CLIENTS + 10):
        clients.append(connect(path, 5))
        loop.turn()
        if number % 50 == 0:
            clients[0].sendall(b" ")
            loop.turn()
    clients[0].sendall(b"{}\n")
    loop.turn()
    loop.turn()
    assert b'"error"' in clients[0].recv(1 << 16)
    for client in clients:
        client.close()


@pytest.mark.parametrize(("uid", "allowed"), [(0, True), (65534, False)])
def test_only_root_and_the_user_of_the_daemon_may_reload(loop: Loop, uid: int, allowed: bool) -> None:
    from pycrond.errors import PycrondError

    loop.begin("* * * * * true\n")
    assert loop.daemon._server._answerer({"command": "status"}, uid)["jobs"] == 1
    if allowed:
        assert loop.daemon._server._answerer({"command": "reload"}, uid)["kept"] == []
    else:
        with pytest.raises(PycrondError, match="only root"):
            loop.daemon._server._answerer({"command": "reload"}, uid)


# Stops


def test_a_stop_leaves_jobs_running(loop: Loop) -> None:
    loop.begin("* * * * * exec sleep 100\n")
    loop.minutes()
    loop.until(lambda: loop.runs()[0].pid)
    loop.stop()
    pid = loop.runs()[0].pid
    assert pid
    assert alive(pid)
    loop.log.read()
    assert loop.log.details("SHUTDOWN") == ["1 job left running"]
    assert not (loop.directory / "run" / "control.sock").exists()


def test_a_stop_in_the_second_before_the_minute_cancels_its_claims(loop: Loop) -> None:
    loop.begin("1 12 * * * echo x\n")
    loop.to("2025-06-10T12:00:59.5Z")
    loop.stop()
    assert loop.runs() == []
    loop.begin()
    loop.to("2025-06-10T12:01:30Z")
    loop.settle()
    assert [run.lateness_ms for run in loop.runs()] == [30_000], "the next daemon starts it late"


def test_sigterm_ends_the_loop(loop: Loop) -> None:
    loop.begin("* * * * * true\n")
    os.kill(os.getpid(), signal.SIGTERM)
    loop.daemon.run()
    loop.log.read()
    assert loop.log.details("SHUTDOWN")


# Starts for which there is no room


def test_a_start_is_retried_while_no_descriptor_is_free(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    loop.begin("* * * * * echo late\n")
    with monkeypatch.context() as narrow:
        narrow.setattr(spawn, "RESERVED_FDS", 1 << 30)  # no descriptor is left for jobs
        loop.minutes()
        assert loop.daemon.subsystems.runs.launcher.retry_in(clock.elapsed()) is not None
        assert [run.state for run in loop.runs()] == ["claimed"]
    loop.until(lambda: [run.state for run in loop.runs()] == ["succeeded"])
    loop.settle()
    assert loop.log.details("CMDOUT") == ["late"]


def test_a_start_fails_when_no_descriptor_is_free_for_the_retry_time(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spawn, "RESERVED_FDS", 1 << 30)
    monkeypatch.setattr(launcher, "RETRY_TIME", 0.5)
    loop.begin("* * * * * true\n")
    loop.minutes()
    loop.until(lambda: [run.state for run in loop.runs()] == ["failed"])
    assert loop.runs()[0].reason == "start-failed: Too many open files"
    loop.settle()
    assert os.listdir(loop.directory / "run" / "fifo") == []


@pytest.mark.parametrize(
    ("command", "state", "end"),
    [("true", "succeeded", (0, None)), ("exit 3", "failed", (3, None)), ("kill -9 $$", "failed", (None, 9))],
)
def test_an_end_that_only_the_journal_has_is_in_the_ledger_of_the_next_daemon(
    loop: Loop, command: str, state: str, end: tuple[int | None, int | None]
) -> None:
    loop.begin(f"* * * * * while ! test -e go; do sleep 0.02; done; {command}\n")
    loop.minutes()
    loop.until(lambda: [run.state for run in loop.runs()] == ["running"])
    (loop.directory / "go").touch()
    wait_until(lambda: spawn.peek_ended_child() is not None)
    loop.daemon.subsystems.runs.reaper.reap(clock.now())
    loop.release()  # killed
    loop.begin()
    loop.settle()
    (run,) = loop.runs()
    assert (run.state, run.reason, (run.exit_status, run.signal)) == (state, "", end)
    assert run.ended_at == clock.now().timestamp()


def test_the_status_of_a_run_that_ends_while_the_next_daemon_starts_comes_from_the_keeper(loop: Loop) -> None:
    loop.begin("* * * * * exit 3\n")
    loop.frozen.move_to("2025-06-10T12:01:00Z")
    loop.daemon.subsystems.scheduler.turn(clock.now())
    (pid,) = loop.daemon.subsystems.runs.active.by_pid
    start = procfs.start_ticks(pid)
    loop.release()  # killed before the ledger had the pid
    os.waitpid(pid, 0)
    keeper, daemon_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    keeper.settimeout(60.0)
    with keeper:
        keeper.send(b"E")  # the end of its reports so far
        loop.begin(keeper=daemon_end.detach())
        assert [run.state for run in loop.runs()] == ["running"]
        keeper.send(b"E%d:%d 768 0.01 1234 %.6f" % (pid, start or 0, clock.now().timestamp()))
        loop.settle()
        assert [(run.state, run.exit_status) for run in loop.runs()] == [("failed", 3)]
        received = b""
        while b"%d:%d" % (pid, start or 0) not in received:  # the keeper may forget this end
            received += keeper.recv(65536)


# Many runs in one minute


def test_each_of_many_runs_has_its_own_output(loop: Loop) -> None:
    """The read ends of their FIFOs are parked while they are started."""
    numbers = [str(number) for number in range(2 * parked_fds.MIN_PARKED)]
    loop.begin("".join(f"* * * * * echo {number}\n" for number in numbers))
    loop.minutes(1)
    loop.settle()
    runs = loop.log.by_run().values()
    assert [lines[1][1] for lines in runs] == [lines[0][1].removeprefix("echo ") for lines in runs]
    assert sorted(loop.log.details("CMDOUT")) == sorted(numbers)


# A daemon that dies during its starts


@pytest.mark.parametrize(
    ("option", "minutes", "state"),
    [("", 0, "succeeded"), ("", 30, "missed"), ("#: missed=once\n", 30, "succeeded")],
)
def test_claimed_runs_that_were_not_begun_start_late(
    loop: Loop, monkeypatch: pytest.MonkeyPatch, option: str, minutes: int, state: str
) -> None:
    """The run whose start was under way is unknown; the runs after it have certainly not been started."""
    loop.begin("".join(f"{option}1 12 * * * echo {n} >>ran\n" for n in range(5)))
    start, calls = spawn.Starter.start, 0

    def start_or_die(starter: spawn.Starter, launch: Launch) -> int:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise SystemExit
        return start(starter, launch)

    with monkeypatch.context() as dying:
        dying.setattr(spawn.Starter, "start", start_or_die)
        with pytest.raises(SystemExit):
            loop.minutes(1)
    loop.release()
    loop.frozen.tick(timedelta(minutes=minutes))
    loop.begin()
    for _ in range(8):
        loop.frozen.tick(timedelta(seconds=1))
        loop.turn()
    loop.settle()
    ends = [run.state for run in loop.runs() if run.fire == loop.runs()[0].fire]
    assert ends[2] == "unknown"
    assert ends[3:5] == [state] * 2
    assert loop.runs()[2].reason == "the daemon died in the instant of its start"
    ran = sorted((loop.directory / "ran").read_text().split())
    assert ran == (["0", "1"] if state == "missed" else ["0", "1", "3", "4"])


@pytest.mark.parametrize("assignment", [b"SHELL=/bin/\xff", b"HOME=/\xff"])
def test_a_start_that_fails_at_a_path_that_is_not_utf8_is_recorded(loop: Loop, assignment: bytes) -> None:
    loop.begin(assignment + b"\n* * * * * true\n")
    loop.minutes()
    loop.settle()
    (run,) = loop.runs()
    assert (run.state, run.reason[:14]) == ("failed", "start-failed: ")
    assert "\\xff" in run.reason
