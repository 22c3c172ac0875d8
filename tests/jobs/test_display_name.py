"""Readable names of jobs without a name: they contain the main program, are unique, and are safe to print."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycrond.crontab.parser import parse
from pycrond.jobs.display_name import display_name, display_names, is_named, program
from pycrond.jobs.job import make_jobs
from pycrond.text import storable

HASH = "3f2a00112233"


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("/usr/bin/python3 /opt/backup.py --all", "backup.py"),
        ("cd /srv/app && ./bin/report daily", "report"),
        ("/usr/sbin/logrotate /etc/logrotate.conf", "logrotate"),
        ("[ -x /usr/sbin/anacron ] || run-parts /etc/cron.daily", "run-parts-cron.daily"),
        (
            "test -x /usr/sbin/anacron || ( cd / && run-parts --report /etc/cron.daily )",
            "run-parts-cron.daily",
        ),
        ("test -x /opt/x && /opt/x", "x"),
        ("command -v sa1 > /dev/null && sa1 1 1", "sa1"),
        ("if [ -x /opt/check ] && [ $(date +%d) -le 7 ]; then /opt/check -a; fi", "check"),
        ("test -e /run/s || MODE=1 /usr/lib/scrub_all", "scrub_all"),
        ("perl -e 'sleep int(rand(43200))' && certbot -q renew", "certbot"),
        ("python3 -c 'print(1)'", "python3"),
        ("python3 -u -m app.tasks", "app.tasks"),
        ("bash -lc 'cd /srv && ./deploy now'", "deploy"),
        ("flock -n /run/lock/a -c '/opt/sync b'", "sync"),
        ("flock -w 5 /run/lock/a timeout -k 5 30 nice -n 10 ionice -c3 /opt/deep", "deep"),
        ("sudo -u www-data php -d memory_limit=1G /srv/cron.php run", "cron.php"),
        ("java -Xmx1g -jar /opt/app.jar", "app.jar"),
        ('FOO=1 BAR="a b" env -i X=1 /opt/z 2>&1 | logger -t z', "z"),
        ("date >> /tmp/log; /opt/late.sh", "late.sh"),
        ('d=$(sed -n \'s/(a)$//p\' x | tail -1); if [ -d "$d" ]; then find "$d" -delete; fi', "find"),
        ("echo hello", "echo"),
        ("cd /tmp && sleep 1 && true", "sleep"),
        ("cd /tmp; :", "cd"),
        ("make -C /srv all", "make"),
        ("'/opt/my backup.sh' --all", "my-backup.sh"),
        ("while :; do /opt/poll; sleep 5; done", "poll"),
        ("/opt/x.sh &>/dev/null", "x.sh"),
        ("", "job"),
        ("'\"`$((", "job"),
        ("x" * 1000, "x" * 20),
        ("\x1b[31m", "31m"),
    ],
)
def test_the_program_that_matters(command: str, name: str) -> None:
    assert program(command) == name


@given(st.text() | st.from_regex(r"([\w./ '\"\\$`;&|()<>{}=-]|sh -c|sudo|flock){0,80}"))
def test_any_command_has_a_short_safe_name_which_the_ledger_s_text_has_too(command: str) -> None:
    name = program(command)
    assert re.fullmatch(r"[\w+@][\w.+@-]{0,19}", name)
    assert name.isprintable()
    assert program(storable(command)) == name


def test_a_display_name_is_the_job_s_own_or_has_the_first_digits_of_the_key() -> None:
    assert display_name("root/nightly", "nightly", "/opt/x") == "nightly"
    assert display_name(f"root/{HASH}", None, "/opt/x") == "x~3f2a"
    assert display_name(f"root/{HASH}-2", None, "/opt/x") == "x~3f2a-2"
    assert (
        display_name(f"root/{HASH}", "nightly", "/opt/x") == "nightly~3f2a"
    )  # another job has this name as its key
    assert display_name("root/gone", None, "") == "gone"


def test_names_that_would_be_equal_have_all_digits() -> None:
    jobs = [(f"root/{digits}", None, "/opt/x") for digits in (HASH, "3f2a99999999", "0123456789ab")]
    assert [*display_names(jobs).values()] == ["x~3f2a00112233", "x~3f2a99999999", "x~0123"]
    named = [("alice/backup", "backup", ""), ("bob/backup", "backup", "")]  # the user tells them apart
    assert [*display_names(named).values()] == ["backup", "backup"]


def test_every_job_of_a_crontab_has_its_own_name() -> None:
    jobs = make_jobs(parse(b"* * * * * /opt/x\n" * 3 + b"0 * * * * /opt/x\n", "f").entries, "me")
    names = display_names((job.key, None, job.entry.command) for job in jobs)
    assert len({*names.values()}) == 4
    assert [job.display_name for job in jobs] == [*names.values()]
    assert jobs[1].label == f"me/{jobs[0].display_name}-2"


@pytest.mark.parametrize(
    ("word", "is_it"),
    [
        ("x~3f2a", True),
        (f"x~{HASH}", True),
        ("x~3f2a0", True),
        ("x~3f2b", False),
        ("x~3f2", False),
        ("y~3f2a", False),
        ("x", False),
        ("~3f2a", False),
    ],
)
def test_a_word_that_is_a_display_name(word: str, is_it: bool) -> None:
    assert is_named(word, f"root/{HASH}", None, "/opt/x") is is_it
    assert is_named(f"{word}-2", f"root/{HASH}-2", None, "/opt/x") is is_it
