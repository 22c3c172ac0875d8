"""The delivery of a job's output to syslog: every line, in order and complete, whatever it contains."""

import contextlib
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from pycrond import clock
from pycrond.cli.render.disk import disk_lines
from pycrond.output import line_times, spool
from pycrond.output.run_log import ALL_SENT
from pycrond.output.spool import SEGMENT_SIZE, Spool
from tests.support import packages
from tests.support.loop import Loop

pytestmark = pytest.mark.process
ORDER = ["CMD", "CMDOUT", "CMDEND", "EXIT"]


def printed(loop: Loop, text: bytes) -> list[str]:
    """Return the CMDOUT lines of a job that prints this text."""
    (loop.directory / "text").write_bytes(text)
    loop.begin("* * * * * cat text\n")
    loop.minutes()
    loop.settle()
    (run,) = loop.runs()
    assert run.bytes == len(text)
    assert loop.query("SELECT bytes, delivered, told FROM runs") == [(len(text), len(text), 3)]
    return loop.log.details("CMDOUT")


@pytest.mark.parametrize(
    ("text", "lines", "why"),
    [
        (b"", [], "nothing"),
        (b"a\nb\n", ["a", "b"], "two lines"),
        (b"a\nb", ["a", "b"], "no newline at the end"),
        (b"\n", [""], "an empty line is a line"),
        (b"\n\nx\n\n", ["", "", "x", ""], "empty lines"),
        (b"a\r\nb\r\n", ["a", "b"], "the other newline"),
        (b"a\rb\n", ["a^Mb"], "a carriage return elsewhere would overwrite the line"),
        (b"a\0b\0\n", ["a^@b^@"], "NUL"),
        (b"\ttab\n", ["\ttab"], "TAB stays"),
        (b"gr\xc3\xbcn \xe2\x82\xac\n", ["gr\u00fcn \u20ac"], "UTF-8 stays"),
        (b"caf\xe9 \xff\xfe\n", ["caf\\351 \\377\\376"], "bytes that are not UTF-8 are octal"),
        (b"\x1b[2J\x07\x7f\n", ["^[[2J^G^?"], "control characters of a terminal"),
        (b"\xc2\x85\xe2\x80\xa8x\n", ["\\302\\205\\342\\200\\250x"], "line separators other than LF"),
        (b"\xe2\x80\xaeexe.txt\n", ["\\342\\200\\256exe.txt"], "text that runs backwards"),
        (b"a) CMDEND (b\n", ["a) CMDEND (b"], "brackets"),
        (b"%s%n\n", ["%s%n"], "no format string"),
    ],
)
def test_each_line_is_a_message_with_special_characters_escaped(
    loop: Loop, text: bytes, lines: list[str], why: str
) -> None:
    assert printed(loop, text) == lines, why


def test_output_is_written_to_the_disk_while_a_run_goes_on_and_after_its_end(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut destroys the output of a few seconds; without a write-back the kernel keeps 30 s in memory."""
    written: list[str] = []
    monkeypatch.setattr(
        spool, "begin_write_back", lambda file: written.append(os.readlink(f"/proc/self/fd/{file}"))
    )
    loop.begin("* * * * * echo one; until [ -e go ]; do sleep 0.02; done; echo two\n")
    loop.minutes()
    loop.until(lambda: bool(written))
    (loop.directory / "go").touch()
    loop.until(lambda: len(written) > 1)
    loop.settle()
    (run,) = loop.runs()
    assert {Path(file).name for file in written} == {f"{run.id}.0"}


@pytest.mark.parametrize(
    "forged",
    [
        b"\nOct  1 00:00:00 host PYCROND[1]: (root) CMD (rm -rf /)\n",
        b"x\n<78>Oct  1 00:00:00 pycrond[1]: (CRON) SHUTDOWN (all is well)\n",
        b"x\r\n<0>Oct  1 00:00:00 kernel: panic\0<0>again\n",
    ],
)
def test_output_cannot_forge_another_message(loop: Loop, forged: bytes) -> None:
    printed(loop, forged)
    (run,) = loop.runs()
    assert {line.event for line in loop.log.lines if line.pid == run.pid} == set(ORDER)
    assert not loop.log.details("SHUTDOWN")
    assert {line.priority for line in loop.log.lines if line.tag == "PYCROND"} == {78}, "cron, info"


@pytest.mark.parametrize("char", ["x", "\u00e9", "\u20ac", "\U0001f600"], ids=["1", "2", "3", "4 bytes"])
def test_a_line_of_a_megabyte_is_split_between_characters(loop: Loop, char: str) -> None:
    text = char * ((1 << 20) // len(char.encode()) + 5_000)
    pieces = printed(loop, f"before\n{text}\nafter\n".encode())
    assert (pieces[0], pieces[-1]) == ("before", "after")
    assert "".join(pieces[1:-1]) == text


@pytest.mark.parametrize(
    "size", [20_000, 60_000, 65_536, 70_000, 100_000, SEGMENT_SIZE - 1, SEGMENT_SIZE + 1]
)
def test_long_lines_are_split_within_a_line_only(loop: Loop, size: int) -> None:
    lines = [chr(ord("a") + number % 26) * (size - 1) for number in range(2 * SEGMENT_SIZE // size + 2)]
    pieces = printed(loop, "".join(f"{line}\n" for line in lines).encode())
    assert "".join(pieces) == "".join(lines)
    assert {len(set(piece)) for piece in pieces} == {1}, "no message has parts of two lines"


@pytest.mark.parametrize("tail", [0, 1, 100, 8_192, 8_193])
def test_a_line_that_ends_at_the_end_of_a_segment_is_whole(loop: Loop, tail: int) -> None:
    text = b"y" * 99 + b"\n"
    filler = text * ((SEGMENT_SIZE - 20_000) // 100)
    last = b"z" * (SEGMENT_SIZE - len(filler) - 1 + tail) + b"\nend\n"
    pieces = printed(loop, filler + last)
    assert pieces[-1] == "end"
    assert sum(map(len, pieces)) == len(filler) // 100 * 99 + len(last) - 2
    assert len("".join(pieces).replace("y", "").replace("end", "")) == last.count(b"z")


def test_many_lines_arrive_in_order(loop: Loop) -> None:
    loop.begin("* * * * * seq 1 4000; seq 4001 8000 >&2\n")
    loop.minutes()
    loop.settle()
    assert loop.log.details("CMDOUT") == [str(number) for number in range(1, 8001)]


def test_the_lines_of_each_of_many_runs_arrive_in_order(loop: Loop) -> None:
    loop.begin("".join(f"* * * * * seq {n} {n + 200}\n" for n in range(0, 20_000, 1000)))
    loop.minutes()
    loop.settle()
    lines_of_runs = loop.log.by_run()
    assert len(lines_of_runs) == 20
    for lines in lines_of_runs.values():
        numbers = [int(detail) for event, detail in lines if event == "CMDOUT"]
        assert numbers == list(range(numbers[0], numbers[0] + 201))
        assert [event for event, _ in lines] == ["CMD", *["CMDOUT"] * 201, "CMDEND", "EXIT"]


def test_each_line_is_sent_when_it_is_complete(loop: Loop) -> None:
    for name in ("go1", "go2"):
        os.mkfifo(loop.directory / name)
    loop.begin("* * * * * printf half; read go < go1; echo ' line'; read go < go2; echo end\n")
    loop.minutes()
    loop.until(lambda: loop.query("SELECT bytes FROM runs") == [(4,)])
    assert loop.log.details("CMDOUT") == []
    (loop.directory / "go1").write_text("go\n")
    loop.until(lambda: loop.log.details("CMDOUT"))
    assert loop.log.details("CMDOUT") == ["half line"]
    (loop.directory / "go2").write_text("go\n")
    loop.settle()
    assert loop.log.details("CMDOUT") == ["half line", "end"]


# Syslogd is absent, slow or killed


def test_without_a_syslogd_jobs_run_and_their_output_is_sent_later(silent_loop: Loop) -> None:
    loop = silent_loop
    loop.begin("* * * * * echo $PYCROND_RUN; seq 1 50\n")
    loop.minutes(3)
    loop.until(lambda: [run.state for run in loop.runs()] == ["succeeded"] * 3)
    assert loop.daemon.subsystems.output.delivery.backlog == 3
    loop.log.open()
    loop.settle()
    assert loop.log.details("STARTUP")
    lines_of_runs = list(loop.log.by_run().values())
    assert [lines[1] for lines in lines_of_runs] == [("CMDOUT", str(run)) for run in (1, 2, 3)]
    for lines in lines_of_runs:
        assert [event for event, _ in lines] == ["CMD", *["CMDOUT"] * 51, "CMDEND", "EXIT"]


def test_a_syslogd_that_does_not_read_delays_no_job(loop: Loop) -> None:
    loop.reading = False
    loop.begin("* * * * * seq 1 200\n")
    loop.minutes(3)
    loop.until(lambda: len([run for run in loop.runs() if run.state == "succeeded"]) == 3)
    loop.reading = True
    loop.settle()
    lines_of_runs = list(loop.log.by_run().values())
    assert len(lines_of_runs) == 3
    for lines in lines_of_runs:
        assert [detail for event, detail in lines if event == "CMDOUT"] == [str(n) for n in range(1, 201)]
        assert lines[-1][0] == "EXIT"


def test_a_syslogd_that_is_killed_repeatedly_gets_every_line(loop: Loop) -> None:
    loop.begin("* * * * * seq 1 1500\n")
    loop.minutes()
    for number in range(8):
        loop.until(lambda seen=100 * number: len(loop.log.lines) > seen)  # type: ignore[misc]
        loop.reading = False
        for _ in range(3):
            loop.turn()
        loop.log.close()  # the messages that it had not read are lost
        loop.turn()
        loop.log.open()
        loop.reading = True
    loop.settle()
    first_arrivals = list(dict.fromkeys(loop.log.details("CMDOUT")))
    assert first_arrivals == [str(number) for number in range(1, 1501)]
    assert len(loop.log.details("EXIT")) >= 1


def test_delivered_segments_are_deleted(loop: Loop) -> None:
    printed(loop, b"x" * 1000 + b"\n" + b"y" * (3 * SEGMENT_SIZE))
    assert os.listdir(loop.state / "spool" / "0") == ["1.3"]


def test_output_continues_when_segments_were_deleted_and_the_ledger_does_not_know(loop: Loop) -> None:
    (loop.directory / "text").write_bytes((b"x" * 900 + b"\n") * 1500)
    loop.begin("* * * * * cat text; while ! test -e go; do sleep 0.02; done; echo last\n")
    loop.minutes(1)
    loop.until(lambda: spool.segments(str(loop.state / "spool"), 1) == [1])
    loop.release()
    db = sqlite3.connect(loop.state / "ledger", isolation_level=None)
    db.execute("UPDATE runs SET delivered = 0")
    db.close()
    loop.begin()
    (loop.directory / "go").touch()
    loop.settle()
    assert loop.log.details("CMDOUT")[-1] == "last"
    assert [run.bytes for run in loop.runs()] == [1500 * 901 + 5]


def test_the_ledger_has_the_progress_of_delivery_while_a_job_runs(loop: Loop) -> None:
    os.mkfifo(loop.directory / "go")
    loop.begin("* * * * * seq 1 100; read go < go; echo end\n")
    loop.minutes()
    loop.until(lambda: loop.query("SELECT bytes, delivered, told FROM runs") == [(292, 292, 1)])
    (loop.directory / "go").write_text("go\n")
    loop.settle()
    assert loop.query("SELECT bytes, delivered, told FROM runs") == [(296, 296, 3)]


def test_messages_have_the_facility_of_the_setting_and_their_priority(silent_loop: Loop) -> None:
    loop = silent_loop
    loop.log.open()
    loop.settings = replace(loop.settings, syslog_facility="local3")
    loop.begin("61 * * * * x\n* * * * * echo x\n")
    loop.minutes()
    loop.settle()
    by_event = {line.event: line.priority - 19 * 8 for line in loop.log.lines}
    assert by_event == {"STARTUP": 6, "ERROR": 3, "INFO": 5, **dict.fromkeys(ORDER, 6)}


@pytest.mark.parametrize("output", ["", "echo said; "])
def test_the_option_log_no_hides_the_start_and_end_of_a_run(loop: Loop, output: str) -> None:
    loop.begin(f"#: log=no\n* * * * * {output}exit 3\n#: name=other\n* * * * * true\n")
    loop.minutes()
    loop.settle()
    assert loop.log.details("CMDOUT") == (["said"] if output else [])
    assert [loop.log.details(event) for event in ("CMD", "CMDEND")] == [["true"], ["true"]]
    assert sorted(run.state for run in loop.runs()) == ["failed", "succeeded"], "the ledger has both runs"
    assert loop.query("SELECT told FROM runs") == [(3,), (3,)]


def test_a_failed_start_is_logged_whatever_the_option_says(loop: Loop) -> None:
    loop.begin("SHELL=/no/such/shell\n* * * * * -q true\n")
    loop.minutes()
    loop.settle()
    assert "start-failed" in loop.log.details("EXIT")[0]


# Output of processes that a job leaves behind


def test_output_of_a_process_that_a_job_leaves_behind_is_sent_after_the_end(loop: Loop) -> None:
    os.mkfifo(loop.directory / "go")
    loop.begin("* * * * * echo main; (read go < go; echo late; printf half) &\n")
    loop.minutes()
    loop.until(lambda: loop.log.details("EXIT"))
    assert loop.runs()[0].state == "succeeded"
    assert loop.daemon.subsystems.runs.active.count == 0
    (loop.directory / "go").write_text("go\n")
    loop.settle()
    (lines,) = loop.log.by_run().values()
    assert [event for event, _ in lines] == ["CMD", "CMDOUT", "CMDEND", "EXIT", "CMDOUT", "CMDOUT"]
    assert [detail for event, detail in lines if event == "CMDOUT"] == ["main", "late", "half"]
    assert os.listdir(loop.directory / "run" / "fifo") == []


def test_lines_of_a_process_that_a_job_leaves_behind_stay_whole(loop: Loop) -> None:
    for number in range(3):
        os.mkfifo(loop.directory / f"go{number}")
    loop.begin("* * * * * (for n in 0 1 2; do printf a; read go < go$n; done; echo b) &\n")
    loop.minutes()
    loop.until(lambda: loop.log.details("EXIT"))
    for number, size in enumerate((2, 3, 3)):
        (loop.directory / f"go{number}").write_text("go\n")
        loop.until(lambda size=size: loop.query("SELECT bytes FROM runs")[0][0] >= size)  # type: ignore[misc]
    loop.settle()
    assert "".join(loop.log.details("CMDOUT")) == "aaab"
    assert len(loop.log.details("CMDOUT")) <= 2, "the part before the end, and the rest"


def test_a_process_that_floods_its_output_delays_no_other_job(loop: Loop) -> None:
    loop.begin("* * * * * yes & sleep 0.05\n#: name=other\n* * * * * echo other\n")
    loop.minutes()
    loop.until(lambda: "other" in loop.log.details("CMDOUT") and loop.log.details("EXIT"))
    loop.until(lambda: [run.state for run in loop.runs()] == ["succeeded"] * 2)


def test_a_job_that_closes_its_output_goes_on(loop: Loop) -> None:
    os.mkfifo(loop.directory / "go")
    loop.begin("* * * * * echo said; exec > /dev/null 2>&1; echo unheard; read go < go; exit 3\n")
    loop.minutes()
    loop.until(lambda: loop.log.details("CMDOUT"))
    for _ in range(5):
        loop.turn()
    assert loop.daemon.subsystems.runs.active.count == 1
    (loop.directory / "go").write_text("go\n")
    loop.settle()
    assert loop.log.details("CMDOUT") == ["said"]
    assert loop.runs()[0].exit_status == 3


def test_closed_output_does_not_wake_the_loop(loop: Loop) -> None:
    loop.begin("* * * * * exec > /dev/null 2>&1; exec sleep 100\n")
    loop.minutes()
    loop.until(lambda: loop.log.details("CMD"))
    (active,) = loop.daemon.subsystems.runs.active.by_pid.values()
    loop.until(
        lambda: active.output.reader not in loop.daemon.subsystems.output.capture._poller._callbacks
    )  # the job has closed its output
    loop.turn()
    loop.daemon._timer.arm(loop.frozen().replace(year=2090))
    assert list(loop.daemon.subsystems.poller.wait(0.2)) == []


def test_a_job_can_open_its_output_again_by_name(loop: Loop) -> None:
    os.mkfifo(loop.directory / "go")
    name = f"{loop.directory}/run/fifo/$PYCROND_RUN"
    loop.begin(f"* * * * * exec > /dev/null 2>&1; read go < go; echo again > {name}; exit 2\n")
    loop.minutes()
    loop.until(lambda: loop.log.details("CMD"))
    for _ in range(10):
        loop.turn()
    (loop.directory / "go").write_text("go\n")
    loop.settle()
    assert loop.log.details("CMDOUT") == ["again"]


# Full disks and limits


@pytest.fixture
def small_spool(loop: Loop) -> Iterator[Path]:
    """Return the spool directory, on a file system of half a megabyte."""
    directory = loop.state / "spool"
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k,mode=700", "none", str(directory)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        packages.give_up(f"cannot mount a tmpfs: {done.stderr.strip()}")
    yield directory
    loop.release()
    subprocess.run(["umount", "--lazy", str(directory)], check=True)


def test_output_waits_while_the_disk_is_full(loop: Loop, small_spool: Path) -> None:
    (small_spool / "filler").write_bytes(b"x" * (480 << 10))
    loop.begin("* * * * * seq 1 20000\n#: name=silent\n* * * * * true\n")
    loop.minutes()
    loop.until(lambda: loop.log.details("ERROR"))
    assert "cannot write output of run 1: No space left on device" in loop.log.details("ERROR")
    loop.until(lambda: len([run for run in loop.runs() if run.state == "succeeded"]) == 1)
    (small_spool / "filler").unlink()
    loop.settle()
    assert loop.log.details("CMDOUT") == [str(number) for number in range(1, 20_001)]
    assert [run.state for run in loop.runs()] == ["succeeded", "succeeded"]


@pytest.mark.parametrize("log", ["yes", "split"])
def test_the_output_of_a_job_that_ends_while_the_disk_is_full_is_kept(
    loop: Loop, small_spool: Path, log: str
) -> None:
    (small_spool / "filler").write_bytes(b"x" * (1 << 19))
    loop.begin(f"#: log={log}\n* * * * * seq 1 2000; printf prompt >&2; sleep 0.2 &\n")
    loop.minutes()
    loop.until(lambda: [run.state for run in loop.runs()] == ["succeeded"])
    for _ in range(10):
        loop.turn()
    (small_spool / "filler").unlink()
    loop.settle()
    assert loop.log.details("CMDOUT") == [str(number) for number in range(1, 2001)] + ["prompt"]
    (lines,) = loop.log.by_run().values()
    assert lines[-1][0] == "EXIT"


def test_the_oldest_output_is_dropped_when_too_much_waits_for_syslog(silent_loop: Loop) -> None:
    """It is dropped as it arrives. A message names the run and the number of dropped bytes."""
    loop = silent_loop
    loop.settings = replace(loop.settings, spool_limit=3)
    lines = "yes | tr -d '\\n' | head -c 4000000 | fold -w 500; echo; echo old"
    loop.begin(f"1 12 * * * {lines}\n2 12 * * * echo new\n")
    loop.minutes(2)
    loop.until(lambda: not loop.daemon.subsystems.runs.active.count)
    loop.log.open()
    loop.minutes(1)
    loop.settle()
    (message,) = loop.log.details("DROPPED")
    size, _, text = message.partition(" ")
    assert text == "bytes that run 1 printed: 3 MiB wait for syslog"
    assert 3_000_000 < int(size) < 4_000_000
    assert {"old", "new"} < {*loop.log.details("CMDOUT")}
    assert sum(len(line) + 1 for line in loop.log.details("CMDOUT")) + int(size) == 4008004 + 4
    assert len(loop.log.details("EXIT")) == 2
    assert [run.bytes for run in loop.runs()] == [4008004, 4]


@pytest.mark.parametrize(
    ("command", "options", "priority"),
    [("true", "", 78), ("false", "", 76), ("sleep 60", "timeout=1s", 76), ("/no/such", "", 76)],
)
def test_the_end_of_a_failed_run_is_a_warning(loop: Loop, command: str, options: str, priority: int) -> None:
    """78 is level info of the facility cron, 76 warning."""
    loop.begin(f"#: name=job {options}\n* * * * * {command}\n")
    loop.minutes(1)
    loop.settle()
    assert [line.priority for line in loop.log.lines if line.event == "EXIT"] == [priority]
    assert {line.priority for line in loop.log.lines if line.event in {"CMD", "CMDEND"}} == {78}


# Late messages


@pytest.mark.parametrize("restarts", [False, True])
def test_late_messages_have_the_time_of_what_they_tell(silent_loop: Loop, restarts: bool) -> None:
    """The time is in their header, and at their end for readers that use only the time of arrival."""
    loop = silent_loop
    loop.begin("1 12 * * * echo one; while ! test -e go; do sleep 0.02; done; echo two; exit 3\n")
    loop.minutes(1)
    at = datetime.fromtimestamp(clock.now().timestamp()).astimezone()
    loop.until(lambda: Spool(str(loop.state / "spool"), 1).size == 4)
    loop.to(at + timedelta(seconds=40))
    (loop.directory / "go").touch()
    loop.until(lambda: not loop.daemon.subsystems.runs.active.count)
    loop.to(at + timedelta(hours=1))
    if restarts:
        loop.release()
        loop.begin()
    loop.log.open()
    loop.settle()
    end = at + timedelta(seconds=40)
    expected = [("CMD", at), ("CMDOUT", at), ("CMDOUT", end), ("CMDEND", end), ("EXIT", end)]
    lines = [line for line in loop.log.lines if line.tag == "PYCROND"]
    assert [(line.event, line.late) for line in lines] == [
        (event, time.isoformat(timespec="seconds")) for event, time in expected
    ]
    assert [line.time for line in lines] == [f"{time:%b %d %H:%M:%S}" for _, time in expected]
    assert loop.log.details("CMDOUT") == ["one", "two"]


# The limit of all output

LINES = "yes | tr -d '\\n' | fold -w 900"


def on_disk(loop: Loop) -> int:
    files = (loop.state / "spool").rglob("*.*")
    return sum(file.stat().st_size for file in files if "times" not in file.parts)


def test_delivered_output_of_the_oldest_runs_goes_first(loop: Loop) -> None:
    """It counts against spool-limit, also output of an earlier daemon; no waiting output is dropped."""
    loop.settings = replace(loop.settings, spool_limit=2)
    loop.begin(f"* * * * * {LINES} | head -c 300000; echo\n")
    for _ in range(12):
        loop.minutes()
        loop.settle()
        assert on_disk(loop) <= 2 << 20
    kept = [run.id for run in loop.runs() if Spool(str(loop.state / "spool"), run.id).size]
    assert kept == list(range(13 - len(kept), 13))
    assert len(kept) == 6
    loop.release()
    loop.settings = replace(loop.settings, spool_limit=1)
    loop.begin()
    loop.until(lambda: on_disk(loop) <= 1 << 20)
    kept = [run.id for run in loop.runs() if Spool(str(loop.state / "spool"), run.id).size]
    assert kept == [10, 11, 12]
    assert not loop.log.details("DROPPED")
    assert not os.path.exists(line_times.path(str(loop.state / "spool"), 1, 0))


def sizes(loop: Loop) -> dict[int, int]:
    """Return the bytes of each run's output on disk."""
    outputs = {run.id: Spool(str(loop.state / "spool"), run.id) for run in loop.runs()}
    return {run: output.stored_size for run, output in outputs.items() if output.stored_size}


def test_the_output_of_a_job_stays_below_its_limit(loop: Loop) -> None:
    """The limit holds for all its runs, also of an earlier daemon, and not for other jobs' output. The
    setting limits the option.
    """
    loop.settings = replace(loop.settings, keep_output=1)
    limited = "* * * * * seq 20000 | tail -c 50001\n"
    loop.begin(f"#: keep-output=120k\n{limited}#: keep-output=9M\n* * * * * {LINES} | head -c 300000; echo\n")
    for _ in range(5):
        loop.minutes()
        loop.settle()
    whole = dict.fromkeys((7, 9), 50_001) | dict.fromkeys((6, 8, 10), 300_001)
    assert sizes(loop) == whole | {4: 148_449, 5: 21_329}, "the fronts of two are given back in whole blocks"
    loop.release()
    loop.begin()
    loop.minutes()
    loop.settle()
    kept = sizes(loop)
    assert sum(size for run, size in kept.items() if run % 2) <= 120 << 10
    assert sum(size for run, size in kept.items() if run % 2 == 0) <= 1 << 20
    assert kept.keys() >= {9, 10, 11, 12}, "the newest are kept"


def test_the_output_of_a_run_that_goes_on_stays_below_the_limit_of_its_job(loop: Loop) -> None:
    """Its delivered beginning is given back to the disk; the end is left, in order."""
    lines = "seq 100000 | tr '\\n' , | fold -w 900; echo"
    loop.begin(f"#: keep-output=64k\n* * * * * {lines}; while ! [ -e end ]; do sleep 0.01; done; echo end\n")
    loop.minutes()
    directory = str(loop.state / "spool")
    loop.until(lambda: loop.log.lines and loop.log.lines[-1].detail.endswith(",100000,"))
    loop.until(lambda: sizes(loop).get(1, 1 << 20) <= 64 << 10)
    kept = Spool(directory, 1)
    assert kept.stored_size > 60 << 10
    assert kept.read(kept.kept_start, 1 << 20).endswith(b",99999,100000,\n")
    assert (loop.state / "spool/0/1.0").stat().st_blocks * 512 < 140 << 10
    (loop.directory / "end").touch()
    loop.settle()
    assert 60 << 10 < sizes(loop)[1] <= 64 << 10
    assert spool.tail(directory, 1, 4) == b"end\n"
    assert not loop.log.details("DROPPED")


def test_the_delivered_output_of_runs_that_go_on_makes_room_on_a_full_disk(
    loop: Loop, small_spool: Path
) -> None:
    """Three jobs print 900 kB together, on a disk of 512 kB; none has ended, so there is no kept output."""
    script = f"for n in 1 2 3; do {LINES} | head -c 100000; echo; sleep 0.05; done"
    loop.begin(
        "".join(f"* * * * * {script}; while ! [ -e end ]; do sleep 0.01; done; echo {n}\n" for n in range(3))
    )
    loop.minutes()
    loop.until(lambda: len(loop.log.details("CMDOUT")) >= 3 * 3 * 111)
    loop.until(lambda: loop.daemon.subsystems.output.figures()["trouble"] is None)
    (loop.directory / "end").touch()
    loop.settle()
    assert not loop.log.details("DROPPED")


def test_output_in_bursts_stays_below_the_limit(silent_loop: Loop) -> None:
    """Three jobs print 90 MB without a reader; each keeps its current segment beyond the limit."""
    loop = silent_loop
    loop.settings = replace(loop.settings, spool_limit=5)
    loop.begin("MAILTO=someone\n" + "* * * * * yes | head -c 30000000\n" * 3)
    loop.minutes()
    most = 0
    while loop.daemon.subsystems.runs.active.count:
        loop.turn()
        most = max(most, on_disk(loop))
    assert 4 << 20 < most <= 9 << 20
    figures = loop.daemon.subsystems.output.figures()
    assert figures["dropped_bytes"] > 80_000_000
    assert figures["waiting_bytes"] <= 5 << 20
    loop.release()
    loop.begin()
    loop.turn()
    assert on_disk(loop) <= 9 << 20


def test_delivered_output_makes_room_on_a_full_disk(loop: Loop, small_spool: Path) -> None:
    """Ten runs print twice the size of the disk. None waits, and the newest output is there."""
    loop.begin("* * * * * yes $PYCROND_RUN | tr -d '\\n' | fold -w 900 | head -c 100000; echo\n")
    for _ in range(10):
        loop.minutes()
        loop.settle()
    assert [run.state for run in loop.runs()] == ["succeeded"] * 10
    assert Spool(str(small_spool), 10).size == 100_001
    assert not spool.segments(str(small_spool), 1)
    assert loop.log.details("WARNING") == ["the disk is full: the oldest delivered output is deleted"]


@pytest.mark.parametrize("left", [0, 3])
def test_a_run_whose_delivered_output_has_gone_is_delivered(loop: Loop, left: int) -> None:
    """It was deleted on a full disk before the ledger had its progress, or lost in a power cut."""
    loop.begin("* * * * * echo text; seq 2\n")
    loop.minutes()
    loop.settle()
    loop.release()
    with contextlib.closing(sqlite3.connect(loop.state / "ledger")) as database, database:
        database.execute("UPDATE runs SET told = 1")
    os.truncate(spool.path(str(loop.state / "spool"), 1, 0), left)
    if not left:
        spool.remove_segment(str(loop.state / "spool"), 1, 0)
    loop.begin()
    loop.until(lambda: not loop.daemon.subsystems.output.delivery.backlog)
    assert loop.query("SELECT bytes, delivered, told FROM runs WHERE id = 1") == [(9, 9, ALL_SENT)]
    assert len(loop.log.details("EXIT")) == 2, "at least once"


def test_the_daemon_says_what_a_full_disk_holds_up(loop: Loop, small_spool: Path) -> None:
    (small_spool / "filler").write_bytes(b"x" * (480 << 10))
    loop.begin(f"* * * * * {LINES} | head -c 200000\n" * 2)
    loop.minutes()
    loop.until(lambda: loop.daemon.subsystems.output.figures()["blocked_runs"] == 2)
    figures = loop.daemon.subsystems.output.figures()
    assert figures["trouble"] == "No space left on device"
    assert figures["since"] == clock.now().timestamp()
    loop.until(lambda: loop.daemon.subsystems.output.figures()["blocked_bytes"] == 2 << 16)
    figures = {**loop.daemon.subsystems.output.figures(), "ledger": None}
    (line,) = disk_lines(figures, clock.now())  # type: ignore[arg-type]
    assert line == (
        "output cannot be written since 12:01 (No space left on device):"
        " output of 2 runs waits in pipes, 128 kB"
    )
    (small_spool / "filler").unlink()
    loop.settle()
    assert loop.daemon.subsystems.output.figures()["trouble"] is None
    assert "output can be written again" in loop.log.details("INFO")
