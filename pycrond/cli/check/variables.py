"""Warnings about assignments: values that have no effect, and differences between crons. Pure."""

from collections.abc import Iterator

from pycrond.alarms.mail_variables import address_refusal, is_content_type
from pycrond.cli.check.positions import AssignmentLine


def assignment_warnings(
    assignment: AssignmentLine, other_cron: str, *, has_mailer: bool
) -> Iterator[tuple[str, str]]:
    """Yield the code and message of each warning. `other_cron` is the cron to compare with, or empty."""
    name, value = assignment.name, assignment.value
    if name in {"MAILTO", "MAILFROM"} and value:
        refusal = address_refusal(value)
        if refusal:
            yield "bad-address", f"{name} is not used: {refusal}"
        elif not has_mailer:
            yield "without-effect", f"{name}: no mail is sent, there is no mailer (see the setting mailer)"
    if name == "CONTENT_TYPE" and value and not is_content_type(value):
        message = "CONTENT_TYPE is not used: it does not have the form text/html; charset=utf-8"
        yield "bad-content-type", message
    if other_cron == "debian":
        for message in _differences_in_debian_cron(assignment):
            yield "other-cron", message


def _differences_in_debian_cron(assignment: AssignmentLine) -> Iterator[str]:
    name, value = assignment.name, assignment.value
    if name in {"CRON_TZ", "RANDOM_DELAY"}:
        yield f"Debian cron treats {name} as an ordinary variable: it does not change the times of jobs"
    if value != value.rstrip(" \t"):
        yield "Debian cron drops the blanks at the end of a quoted value"
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        yield "Debian cron removes the inner quotes as well"
    if not value and not assignment.text.rstrip().endswith(("''", '""')):
        yield "Debian cron ignores the whole file because of an empty value without quotes"
