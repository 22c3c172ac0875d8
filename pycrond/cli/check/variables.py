"""Warnings about assignments: values with no effect or an unexpected one, differences between crons. Pure."""

import os
import re
from collections.abc import Iterator, Mapping

from pycrond.alarms.mail_variables import address_refusal, is_content_type
from pycrond.cli.check.facts import CheckFacts
from pycrond.crontab.characters import LOOK_ALIKE, named
from pycrond.crontab.expression import parse_cached
from pycrond.crontab.scope import PREFIX, Assignment
from pycrond.crontab.syntax import VARIABLE, expand
from pycrond.jobs.jitter import is_random_delay
from pycrond.text import quoted

Warnings = Iterator[tuple[str, str]]
"""Code, message."""
_COMMAND = re.compile(r"\$\([^)]|`[^`]+`")
_HOME = re.compile(r"(?:^|:)~(?=/|:|$)")


def assignment_warnings(
    assignment: Assignment, line: str, variables: Mapping[str, str], facts: CheckFacts
) -> Warnings:
    """Yield the code and message of each warning about an assignment and its line. `variables` are the
    variables that a ``$NAME`` in the value can mean.
    """
    name, value = assignment.name, assignment.value
    is_address = name in {"MAILTO", "MAILFROM"}
    if is_address and facts.dialect == "cronie":
        value = expand(value, {**variables, "USER": "user", "LOGNAME": "user"})
    yield from _mistakes(name, value, variables, facts)
    if is_address and assignment.value:
        yield from _address_warnings(name, value, facts)
    if name == "CONTENT_TYPE" and value and not is_content_type(value):
        message = "CONTENT_TYPE is not used: it does not have the form text/html; charset=utf-8"
        yield "bad-content-type", message
    if facts.other_cron == "debian":
        if is_address and facts.dialect == "cronie" and VARIABLE.search(assignment.value):
            yield "other-cron", f"Debian cron does not expand variables in {name}"
        for message in _differences_in_debian_cron(assignment, line):
            yield "other-cron", message


def _mistakes(name: str, value: str, variables: Mapping[str, str], facts: CheckFacts) -> Warnings:
    """Warn of values that are probably mistakes."""
    literal = None if name.startswith(PREFIX) else _literal(value, variables)
    if literal:
        yield "not-expanded", f"{name}: cron does not expand {literal}, the value is used as it stands"
    elif name == "HOME" and value and not facts.directory_exists(os.path.join("/", value)):
        effect = "jobs run in /var/spool/cron" if facts.dialect == "debian" else "no job is run"
        yield "missing-home", f"there is no directory {quoted(value)}: with this HOME {effect}"
    elif name == "SHELL" and value and not (value.startswith("/") and facts.program_exists(value, "")):
        reason = "there is no program" if value.startswith("/") else "SHELL must begin with /, unlike"
        yield "missing-program", f"{reason} {quoted(value)}: with this SHELL no job starts"
    elif name == "RANDOM_DELAY" and value and not is_random_delay(value):
        yield "bad-random-delay", f"RANDOM_DELAY is not used: {quoted(value)} is not a number of minutes"
    if schedule := _schedule(value):
        message = f"the value contains a schedule, {quoted(schedule)}: an entry begins on a line of its own"
        yield "schedule-in-value", message
    if match := LOOK_ALIKE.search(f"{name}{value[:1]}{value[-1:]}"):
        yield "look-alike", f"there is {named(match[0])} in the name, or at an end of the value"


def _literal(value: str, variables: Mapping[str, str]) -> str | None:
    """Return the part of a value that a shell would replace. A ``$`` without braces counts only before the
    name of a known variable: it may have another meaning.
    """
    for match in VARIABLE.finditer(value):
        if match[1] or match[2] in variables:
            return match[0]
    if _COMMAND.search(value):
        return "commands"
    return "~" if _HOME.search(value) else None


def _schedule(value: str) -> str | None:
    """Return the schedule in a value such as `Asia/Tokyo 0 3 * * * cmd`."""
    words = value.split()
    for first in (0, 1):
        macro = words[first : first + 1]
        fields = words[first : first + 5]
        for text, rest in ((macro, words[first + 1 :]), (fields, words[first + 5 :])):
            is_likely = text and (text[0].startswith("@") or (len(text) == 5 and "*" in "".join(text)))
            if is_likely and rest and parse_cached(" ".join(text)).valid:
                return " ".join(text)
    return None


def _address_warnings(name: str, value: str, facts: CheckFacts) -> Warnings:
    refusal = address_refusal(value)
    if refusal:
        yield "bad-address", f"{name} is not used: {refusal}"
    elif not facts.has_mailer:
        yield "without-effect", f"{name}: no mail is sent, there is no mailer (see the setting mailer)"


def _differences_in_debian_cron(assignment: Assignment, line: str) -> Iterator[str]:
    name, value = assignment.name, assignment.value
    if name in {"CRON_TZ", "RANDOM_DELAY"}:
        yield f"Debian cron treats {name} as an ordinary variable: it does not change the times of jobs"
    if value != value.rstrip(" \t"):
        yield "Debian cron drops the blanks at the end of a quoted value"
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        yield "Debian cron removes the inner quotes as well"
    if not value and not line.rstrip().endswith(("''", '""')):
        yield "Debian cron ignores the whole file because of an empty value without quotes"
