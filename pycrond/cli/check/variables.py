"""What is surely not meant in a crontab's variables, or means something else to another cron. Pure."""

from collections.abc import Iterator

from pycrond.alarms.mail_variables import address_refusal, is_content_type
from pycrond.cli.check.positions import Assignment, assignments
from pycrond.crontab.parser import Crontab
from pycrond.errors import Problem

Found = Iterator[tuple[str, str]]
"""Code and message."""


def of_variables(crontab: Crontab, lines: list[str], other: str, *, mailer: bool) -> Iterator[Problem]:
    """`other` is the cron whose reading is asked for as well, or empty; `mailer`: there is one."""
    errors = [one for one in crontab.problems if one.severity == "error"]
    taken = {one.line for one in crontab.entries} | {one.line for one in errors}
    for one in assignments(lines, taken):
        found = [
            *_mail(one, mailer=mailer),
            *_content(one),
            *(("other-cron", said) for said in _elsewhere(one, other)),
        ]
        for code, message in found:
            yield Problem(crontab.file, one.line, one.start + 1, "warning", code, message)


def _mail(one: Assignment, *, mailer: bool) -> Found:
    if one.name not in {"MAILTO", "MAILFROM"} or not one.value:
        return
    refusal = address_refusal(one.value)
    if refusal:
        yield "bad-address", f"{one.name} is not used: {refusal}"
    elif not mailer:
        yield "without-effect", f"{one.name}: no mail is sent, there is no mailer (see the setting mailer)"


def _content(one: Assignment) -> Found:
    if one.name == "CONTENT_TYPE" and one.value and not is_content_type(one.value):
        yield "bad-content-type", "CONTENT_TYPE is not used: it is not like text/html; charset=utf-8"


def _elsewhere(one: Assignment, other: str) -> Iterator[str]:
    if other != "debian":
        return
    if one.name in {"CRON_TZ", "RANDOM_DELAY"}:
        yield f"to Debian cron {one.name} is a variable like any other: it moves no job"
    if one.value != one.value.rstrip(" \t"):
        yield "Debian cron drops the blanks at the end of a quoted value"
    if len(one.value) > 1 and one.value[0] == one.value[-1] and one.value[0] in "'\"":
        yield "Debian cron takes away the inner quotes as well"
    if not one.value and not one.text.rstrip().endswith(("''", '""')):
        yield "Debian cron takes no empty value without quotes, and ignores the whole file"
