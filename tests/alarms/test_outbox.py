"""Mail, commands, pings and `expect` after real runs, through real servers on the loopback interface."""

import json
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pycrond import clock
from pycrond.alarms import delivery_command
from pycrond.ledger import alarms
from pycrond.ledger.rows import run_json
from pycrond.output import spool
from tests.conftest import ME
from tests.support.loop import Loop
from tests.support.smtpd import Smtpd
from tests.support.web import Web

HOOK = 'cat >>documents; echo "$PYCROND_EVENT $PYCROND_STATE $PYCROND_EXIT_STATUS" >>events'


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def set_mailer(loop: Loop, server: Smtpd) -> None:
    loop.settings = replace(loop.settings, mailer=server.url)


def documents(loop: Loop) -> list[dict[str, Any]]:
    """Return the documents that the hooks read from standard input."""
    file = loop.directory / "documents"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def events(loop: Loop) -> list[str]:
    file = loop.directory / "events"
    return file.read_text().splitlines() if file.exists() else []


def is_quiet(loop: Loop) -> bool:
    """Return whether nothing runs and every alarm is delivered."""
    return not loop.daemon.subsystems.runs.active.count and not loop.daemon.subsystems.alarms.outbox.backlog


def settle(loop: Loop) -> None:
    """Wait until the alarms that follow from other alarms are delivered too."""
    for _ in range(3):
        loop.until(lambda: is_quiet(loop))
        loop.turn()


# Mail


def test_the_output_of_a_job_is_mailed(loop: Loop, smtpd: Smtpd) -> None:
    set_mailer(loop, smtpd)
    loop.begin(
        "MAILTO=ops@example.org\n#: name=job\n* * * * * printf 'caf\\303\\251\\n'; exit 3\n* * * * * true\n"
    )
    loop.minutes(1)
    loop.until(lambda: len(smtpd.mails()) == 1 and is_quiet(loop))
    (mail,) = smtpd.mails()
    text = mail.content.decode()
    assert mail.to == ["ops@example.org"]
    assert f"Subject: Cron <{ME}@" in text
    assert "> job: printf" in text
    assert "(exit status 3)" in text
    assert "\ncafé\n" in text
    assert [row[0] for row in loop.query("SELECT result FROM alarms")] == ["delivered"]


def test_output_is_mailed_with_the_content_type_of_the_crontab(loop: Loop, smtpd: Smtpd) -> None:
    set_mailer(loop, smtpd)
    loop.begin("MAILTO=ops@example.org\nCONTENT_TYPE=text/html; charset=utf-8\n* * * * * echo '<p>Done'\n")
    loop.minutes(1)
    loop.until(lambda: len(smtpd.mails()) == 1 and is_quiet(loop))
    text = smtpd.mails()[0].content.decode()
    assert "\nContent-Type: text/html; charset=utf-8\n" in text.replace("\r", "")
    assert text.endswith(("\n<p>Done\n", "\r\n<p>Done\r\n"))


def test_mail_that_a_server_rejects_for_now_is_sent_later_also_after_a_restart(
    loop: Loop, smtpd: Smtpd
) -> None:
    set_mailer(loop, smtpd)
    smtpd.answer("RCPT", "450 later")
    loop.begin("MAILTO=ops@example.org\n1-3 12 * * * echo $PYCROND_FIRE_TIME\n")
    loop.minutes(3)
    loop.until(lambda: loop.query("SELECT min(tries), count(*) FROM alarms") == [(1, 3)])
    assert any("450" in text for text in loop.log.details("ALARM"))
    loop.release()
    (smtpd.directory / "RCPT").unlink()
    loop.begin()
    loop.minutes(1)
    loop.until(lambda: len(smtpd.mails()) == 3)
    settle(loop)


def test_mail_that_a_server_rejects_for_good_is_logged(loop: Loop, smtpd: Smtpd) -> None:
    set_mailer(loop, smtpd)
    smtpd.answer("RCPT", "550 nobody of that name")
    loop.begin("MAILTO=ops@example.org\n#: name=job\n1 12 * * * echo x\n")
    loop.minutes(1)
    loop.until(lambda: any(f"mail of {ME}/job failed" in text for text in loop.log.details("ALARM")))
    assert is_quiet(loop)


@pytest.mark.parametrize(
    ("lines", "mails"),
    [
        ("MAILTO=\n* * * * * echo x\n", 0),
        ("* * * * * echo x\n", 1),
        ("#: mail=never\n* * * * * echo x\n", 0),
        ("#: mail=failure\n* * * * * echo x\n", 0),
        ("#: mail=failure\n* * * * * exit 1\n", 1),
        ("* * * * * -n echo x\n", 0),
        ("#: mail=failure retries=1 retry-delay=5m\n* * * * * exit 1\n", 0),
        ("* * * * * /no/such/program\n", 1),
        ("SHELL=/no/such/shell\n* * * * * x\n", 1),
    ],
)
def test_the_options_of_a_job_decide_whether_it_is_mailed(
    loop: Loop, smtpd: Smtpd, lines: str, mails: int
) -> None:
    set_mailer(loop, smtpd)
    loop.begin(lines)
    loop.minutes(1)
    loop.until(lambda: loop.runs() and loop.runs()[0].ended_at and is_quiet(loop))
    assert len(smtpd.mails()) == mails


def test_a_mail_has_the_beginning_and_the_end_of_a_long_output(loop: Loop, smtpd: Smtpd) -> None:
    set_mailer(loop, smtpd)
    loop.begin("* * * * * echo first; yes $(printf \\%01000d 7) | head -c 12000000; echo; echo last\n")
    loop.minutes(1)
    loop.until(lambda: is_quiet(loop) and len(smtpd.mails()) == 1, 60.0)
    text = smtpd.mails()[0].content
    assert b"\nfirst\n" in text
    assert b"\nlast\n" in text
    assert b"left out" in text
    (delivered,) = loop.query("SELECT delivered FROM runs")[0]
    kept_segments = {f"1.{number}" for number in range(delivered // spool.SEGMENT_SIZE, 12)}
    assert kept_segments <= {file.name for file in (loop.state / "spool").rglob("*.*")}, (
        "syslog gets all of the output"
    )


def test_without_a_mailer_there_is_no_mail(loop: Loop) -> None:
    loop.settings = replace(loop.settings, mailer="/no/such/sendmail")
    loop.begin("MAILTO=ops@example.org\n* * * * * echo x\n")
    loop.minutes(1)
    loop.settle()
    assert loop.query("SELECT count(*) FROM alarms") == [(0,)]


# Commands


def test_a_hook_runs_at_the_first_failure_and_at_the_recovery(loop: Loop) -> None:
    loop.begin(
        f"#: name=job on-failure='{HOOK}' on-recovery='{HOOK}'\n"
        "* * * * * case $PYCROND_FIRE_TIME in *:0[2345]:*) exit 7;; esac\n"
    )
    for _ in range(7):
        loop.minutes(1)
        settle(loop)
    assert events(loop) == ["failure failed 7", "recovery succeeded 0"]
    first = documents(loop)[0]
    assert (first["event"], first["exit_status"], first["fire"]) == ("failure", 7, "2025-06-10T12:02:00Z")
    assert (first["name"], first["line"], first["key"]) == ("job", 3, f"{ME}/job")
    assert first["file"].endswith("/jobs")
    assert first["command"].startswith("case ")


ALL = HOOK + "; env | grep ^PYCROND_ >>variables"


def variables(loop: Loop) -> list[dict[str, str]]:
    """Return the variables that the hooks got."""
    text = (loop.directory / "variables").read_text()
    lines = [line.partition("=") for line in text.splitlines()]
    found: list[dict[str, str]] = []
    for name, _, value in lines:
        if not found or name in found[-1]:
            found.append({})
        found[-1][name] = value
    return found


def test_a_hook_gets_the_facts_that_the_ledger_has(loop: Loop) -> None:
    loop.begin(
        f"#: name=job on-failure='{ALL}' retries=1 retry-delay=20s\n"
        "1 12 * * * seq 5000; printf 'Gr\\366\\303\\237e\\0\\r\\n'; sleep 0.1; exit 7\n"
    )
    loop.minutes(1)
    loop.until(lambda: len(loop.runs()) == 2)
    loop.frozen.tick(60)
    settle(loop)
    (document,), (environment,) = documents(loop), variables(loop)
    row = loop.runs()[-1]
    printed = "".join(f"{number}\n" for number in range(1, 5001)).encode() + b"Gr\xf6\xc3\x9fe\0\r\n"
    assert row.attempt == 2
    assert document == {
        **run_json(row),
        "bytes": len(printed),
        "output": printed[-10240:].decode("utf-8", "backslashreplace"),
        "file": str(loop.crontabs / "jobs"),
        "line": 3,
        "command": document["command"],
        "event": "failure",
    }
    assert environment == {
        "PYCROND_EVENT": "failure",
        "PYCROND_JOB": row.key,
        "PYCROND_RUN": str(row.id),
        "PYCROND_FIRE_TIME": "2025-06-10T12:01:00Z",
        "PYCROND_NAME": "job",
        "PYCROND_STATE": "failed",
        "PYCROND_REASON": "",
        "PYCROND_ALARM": "1",
        "PYCROND_EXIT_STATUS": "7",
        "PYCROND_SIGNAL": "",
        "PYCROND_DURATION_S": str(row.duration_s),
        "PYCROND_ATTEMPT": "2",
        "PYCROND_BYTES": str(len(printed)),
        "PYCROND_STATE_DIR": str(loop.state),
    }


def test_a_hook_about_no_run_has_the_job_and_the_reason(loop: Loop) -> None:
    loop.begin(f"#: name=job expect=5m on-failure='{ALL}'\n0 0 1 1 * true\n")
    loop.minutes(7)
    loop.until(lambda: is_quiet(loop) and documents(loop) != [])
    (document,), (environment,) = documents(loop), variables(loop)
    assert (document["id"], document["state"], document["bytes"]) == (None, None, None)
    assert (document["name"], document["event"]) == ("job", "overdue")
    assert document["reason"].startswith("no success for 5 m")
    assert (environment["PYCROND_NAME"], environment["PYCROND_REASON"]) == ("job", document["reason"])
    assert environment["PYCROND_FIRE_TIME"] == "2025-06-10T12:07:00Z"


def test_a_hook_after_missed_fires_is_about_the_first_of_them(loop: Loop) -> None:
    loop.begin(f"#: name=job on-missed='{ALL}'\n*/5 * * * * true\n")
    loop.release()
    loop.frozen.tick(timedelta(minutes=21))
    loop.begin()
    loop.until(lambda: is_quiet(loop) and documents(loop) != [])
    (document,), (environment,) = documents(loop), variables(loop)
    (row,) = (row for row in loop.runs() if row.state == "missed")
    assert {name: document[name] for name in run_json(row)} == run_json(row) | {"bytes": 0}
    assert environment["PYCROND_FIRE_TIME"] == "2025-06-10T12:05:00Z"


def test_a_command_that_is_not_utf_8_is_valid_json(loop: Loop) -> None:
    loop.begin(f"#: on-failure='{HOOK}'\n* * * * * exit 3 # ".encode() + b"\xff\n")
    loop.minutes(1)
    settle(loop)
    assert documents(loop)[0]["command"] == r"exit 3 # \xff"


def test_alarm_repeat_repeats_the_alarm_of_a_job_that_keeps_failing(loop: Loop) -> None:
    loop.begin(
        f"#: on-failure='{HOOK}' on-success='{HOOK}' alarm-repeat=2m\n* * * * * [ $PYCROND_FIRE_TIME = 2025-06-10T12:01:00Z ]\n"
    )
    for _ in range(6):
        loop.minutes(1)
        settle(loop)
    assert [event.split()[0] for event in events(loop)] == ["success", "failure", "failure", "failure"]


def test_a_failure_that_is_retried_raises_no_alarm_before_the_last_attempt(loop: Loop) -> None:
    loop.begin(f"#: on-failure='{HOOK}' retries=1 retry-delay=60s\n1 12 * * * exit 5\n")
    loop.minutes(1)
    loop.until(lambda: len(loop.runs()) == 2)
    assert events(loop) == []
    loop.minutes(2)
    loop.until(lambda: is_quiet(loop) and events(loop) == ["failure failed 5"])
    assert documents(loop)[0]["attempt"] == 2


@pytest.mark.parametrize("options", ["", " mail=failure"])
def test_a_failure_whose_retry_is_skipped_raises_the_alarm(loop: Loop, options: str) -> None:
    loop.begin(f"#: name=job on-failure='{HOOK}' retries=1 retry-delay=60s{options}\n1 12 * * * exit 5\n")
    loop.minutes(1)
    loop.until(lambda: len(loop.runs()) == 2)
    loop.daemon.subsystems.scheduler.pauses.pause([f"{ME}/job"], None, "", clock.now())
    loop.minutes(2)
    loop.until(lambda: is_quiet(loop) and events(loop) == ["failure failed "])
    assert loop.query("SELECT failing_since NOT NULL FROM health") == [(1,)]


def test_on_missed_reports_the_number_of_missed_fires(loop: Loop) -> None:
    loop.begin(f"#: name=job on-missed='{HOOK}'\n*/5 * * * * true\n")
    loop.release()
    loop.frozen.tick(timedelta(minutes=21))
    loop.begin()
    loop.until(lambda: is_quiet(loop) and events(loop) == ["missed missed "])
    (document,) = documents(loop)
    assert document["count"] == 4
    assert document["reason"].startswith("daemon-down")


def test_a_hook_that_fails_or_prints_too_much_is_logged(loop: Loop) -> None:
    loop.begin(
        "#: name=job on-failure='echo no route; exit 9'\n#: name=job\n1 12 * * * false\n#: name=loud on-failure='seq 1000000'\n1 12 * * * false\n"
    )
    loop.minutes(1)
    loop.until(lambda: is_quiet(loop) and len(loop.log.details("ALARM")) == 2)
    assert f"on-failure of {ME}/job failed: exit status 9: no route" in loop.log.details("ALARM")


def test_a_hook_that_ignores_term_took_too_long(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = ("/usr/bin/timeout", "--kill-after=0.1", "0.1")
    monkeypatch.setattr(delivery_command, "TIMEOUT", limits)
    loop.begin("#: name=job on-failure=\"trap '' TERM; while :; do sleep .05; done\"\n1 12 * * * false\n")
    loop.minutes(1)
    loop.until(lambda: is_quiet(loop) and len(loop.log.details("ALARM")) == 1)
    assert f"on-failure of {ME}/job failed: it took more than 1 m" in loop.log.details("ALARM")[0]


def test_the_hook_of_a_killed_run_is_not_killed(loop: Loop) -> None:
    """The hook has the run's number in its environment, but was not started by the run."""
    loop.begin(
        "#: name=job timeout=0.3s grace=1s on-failure='sleep 2; touch done'\n1 12 * * * (trap '' TERM; sleep 100) & wait\n"
    )
    loop.minutes(1)
    loop.until((loop.directory / "done").exists)


def test_the_ledger_has_the_results_of_the_latest_alarms(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alarms, "KEPT_RESULTS", 2)
    loop.begin("#: on-success=true\n* * * * * true\n")
    for _ in range(5):
        loop.minutes(1)
        settle(loop)
    assert loop.query("SELECT id, document FROM alarms ORDER BY id") == [(4, "{}"), (5, "{}")]


def test_a_user_with_too_many_alarms_is_named_in_the_log(loop: Loop) -> None:
    loop.settings = replace(loop.settings, max_waiting_alarms=2)
    job = "#: name=job{} on-failure='while [ ! -e go ]; do sleep 0.05; done'\n1 12 * * * false\n"
    loop.begin("".join(job.format(number) for number in range(5)))
    loop.minutes(1)
    loop.until(lambda: loop.daemon.subsystems.alarms.outbox.dropped == 3)
    loop.minutes(2)
    text = f" alarms of {ME} were dropped: too many wait (max-waiting-alarms 2, 16 MiB)"
    lines = [line.removesuffix(text) for line in loop.log.details("ALARM")]
    assert sum(map(int, lines)) == 3
    (loop.directory / "go").touch()
    loop.until(lambda: is_quiet(loop))
    assert loop.query("SELECT result FROM alarms") == [("delivered",)] * 2


def test_a_step_with_nothing_due_takes_no_longer_with_10000_undelivered_alarms(loop: Loop) -> None:
    loop.settings = replace(loop.settings, max_waiting_alarms=0)
    loop.begin("0 0 1 1 * true\n")
    sink, now, elapsed = loop.daemon.subsystems.alarms, clock.now(), clock.elapsed()

    def cost() -> int:
        """Return the duration of the shortest of many steps, in nanoseconds by a clock that the test does not
        stop.
        """
        costs = []
        for _ in range(50):
            before = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
            sink.step(now, elapsed)
            assert sink.next_at is not None
            assert sink.retry_in(elapsed) is not None
            costs.append(time.clock_gettime_ns(time.CLOCK_MONOTONIC) - before)
        return min(costs)

    def add(count: int) -> None:
        """Add `count` alarms, and hooks that have left processes, as if they were read from the ledger."""
        at = now.timestamp() + 3600
        for number in range(count):
            key = f"user{number % 100}/job{number}"
            sink.outbox.add([alarms.Alarm(number, None, key, "ping", "failure", at, at, 1, "{}")])
            sink.outbox._time_limits._hooks[number] = elapsed + 3600

    add(1)
    before = cost()
    add(10_000)
    assert cost() < 3 * before


# Pings


def test_a_ping_is_sent_at_the_start_and_at_the_end_of_a_run(loop: Loop, web: Web) -> None:
    loop.begin(f"#: name=job ping={web.url}/id\n1-2 12 * * * [ $PYCROND_FIRE_TIME = 2025-06-10T12:02:00Z ]\n")
    for _ in range(2):
        loop.minutes(1)
        loop.until(lambda: loop.runs() and is_quiet(loop))
    assert [path for path, _ in web.requests] == ["/id/start", "/id/fail", "/id/start", "/id"]


def test_the_ping_of_a_failure_has_the_exit_status_and_the_output(loop: Loop, web: Web) -> None:
    path = "/3c1169a0-7b50-11f0-8de9-0242ac120002"
    loop.begin(
        f"#: ping={web.url}{path}\n1 12 * * * echo full; exit 3\n"
        f"#: ping={web.url}/id ping-output=always:10k success=3\n2 12 * * * echo done; exit 3\n"
        f"#: ping={web.url}/old ping-output=0\n3 12 * * * echo full; exit 3\n"
    )
    for _ in range(3):
        loop.minutes(1)
        settle(loop)
    assert web.posts == [(f"{path}/3", b"full\n"), ("/id", b"done\n")]
    others = [requested for requested, _ in web.requests if requested not in {f"{path}/3", "/id"}]
    assert others == [f"{path}/start", "/id/start", "/old/start", "/old/fail"]


def test_pings_are_retried_in_order(loop: Loop, web: Web) -> None:
    port = web.url.rpartition(":")[2]
    loop.begin("#: name=job ping=http://127.0.0.1:1/id\n1 12 * * * true\n")
    loop.minutes(1)
    loop.until(lambda: loop.query("SELECT max(tries) FROM alarms") == [(1,)])
    assert loop.query("SELECT tries FROM alarms ORDER BY id") == [(1,), (0,)], (
        "the second waits for the first"
    )
    file = loop.daemon.subsystems.ledger.file
    file.write(("UPDATE alarms SET document = replace(document, '127.0.0.1:1', ?)", [(f"127.0.0.1:{port}",)]))
    loop.release()
    loop.begin()
    loop.minutes(1)
    loop.until(lambda: is_quiet(loop) and len(web.requests) == 2)
    assert [path for path, _ in web.requests] == ["/id/start", "/id"]


# expect


def test_a_job_that_has_not_succeeded_for_too_long_is_overdue(loop: Loop) -> None:
    loop.begin(
        f"#: name=job expect=10m on-failure='{HOOK}'\n*/5 * * * * [ $PYCROND_FIRE_TIME \\< 2025-06-10T12:06 ]\n"
    )
    for _ in range(14):
        loop.minutes(1)
        settle(loop)
    assert not loop.log.details("OVERDUE")
    loop.minutes(2)
    loop.until(lambda: is_quiet(loop) and loop.log.details("OVERDUE"))
    loop.minutes(5)
    settle(loop)
    assert len(loop.log.details("OVERDUE")) == 1
    assert events(loop)[-1].split() == ["overdue"]


def test_a_removed_job_becomes_overdue_if_its_success_is_expected(loop: Loop) -> None:
    loop.begin("#: name=job expect=10m\n*/5 * * * * true\n")
    loop.minutes(5)
    loop.settle()
    loop.write("0 0 1 1 * true\n")
    loop.daemon.subsystems.reloader.reload(clock.now())
    loop.release()
    loop.frozen.tick(timedelta(hours=1))
    loop.begin()
    loop.until(lambda: loop.log.details("OVERDUE"))
    (message,) = loop.log.details("OVERDUE")
    assert message.startswith(f"{ME}/job: no success for 10 m, last 2025-06-10 12:05")
    assert message.endswith("and the job is gone")


ENDS = [0.9, 0.1, 0.02, 0.5, 0.4, 0.003, 0.8]
"""The ends of a job's runs, in seconds after the minute."""


@pytest.mark.parametrize(("repeat", "alarms"), [("1m", 14), ("2m", 7), ("90s", 7), ("5m", 3)])
def test_alarms_are_repeated_by_fire_times(loop: Loop, repeat: str, alarms: int) -> None:
    """The ends of runs vary by milliseconds."""
    loop.begin(f"#: on-failure=true alarm-repeat={repeat}\n* * * * * sleep 0.1; false\n")
    for minute in range(1, 15):
        loop.to(f"2025-06-10T12:{minute:02}:00Z")
        loop.frozen.tick(ENDS[minute % len(ENDS)])
        settle(loop)
    assert loop.query("SELECT count(*) FROM alarms WHERE event = 'failure'") == [(alarms,)]


def test_a_job_that_succeeds_at_each_fire_time_is_never_overdue(loop: Loop) -> None:
    loop.begin(
        "#: name=each expect=1m\n* * * * * sleep 0.1\n#: name=late expect=1m jitter=40s\n* * * * * sleep 0.1\n"
    )
    for minute in range(1, 15):
        loop.to(f"2025-06-10T12:{minute:02}:00Z")
        for seconds in (ENDS[minute % len(ENDS)], 20, 20):
            loop.frozen.tick(seconds)
            loop.until(lambda: is_quiet(loop))
            loop.turn()
    settle(loop)
    assert loop.log.details("OVERDUE") == []
    loop.write("#: name=each expect=1m\n* * * * * false\n")
    loop.reload()
    loop.minutes(3)
    loop.until(
        lambda: (
            {text.partition(":")[0] for text in loop.log.details("OVERDUE")} == {f"{ME}/each", f"{ME}/late"}
        )
    )


# A clock that is turned

LAST_WEEK, NEXT_WEEK = "2025-06-03T09:00:30Z", "2025-06-17T09:00:30Z"


@pytest.mark.parametrize(
    ("moment", "dies"),
    # After a daemon was down, its clock gives the true length of that time.
    [(LAST_WEEK, False), (NEXT_WEEK, False), (LAST_WEEK, True)],
)
def test_expect_counts_the_time_that_passes_not_that_of_a_turned_clock(
    loop: Loop, moment: str, dies: bool
) -> None:
    loop.begin("#: name=job expect=1h\n0 0 1 1 * true\n")
    loop.turn()
    loop.turn_clock(moment, dies=dies)
    loop.minutes(59)
    assert not loop.log.details("OVERDUE")
    loop.minutes(3)
    assert len(loop.log.details("OVERDUE")) == 1


@pytest.mark.parametrize("dies", [False, True])
def test_a_mail_is_tried_again_in_time_after_the_clock_was_set_back(loop: Loop, dies: bool) -> None:
    mailer = loop.directory / "mailer"
    mailer.write_text(f"#!/bin/sh\necho >>{loop.directory}/tries\nexit 75\n")
    mailer.chmod(0o755)
    loop.settings = replace(loop.settings, mailer=str(mailer))
    tries = loop.directory / "tries"
    loop.begin("1 12 * * * echo hello\n")
    loop.minutes(1)
    loop.until(lambda: tries.exists() and not loop.daemon.subsystems.alarms.outbox.is_busy)
    loop.turn_clock(LAST_WEEK, dies=dies)
    loop.to(clock.now() + timedelta(seconds=11))
    loop.until(lambda: len(tries.read_text()) == 2)
