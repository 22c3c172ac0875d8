"""A mail about a job, as the daemon stores it in an alarm's document and the courier reads it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

Pairs = Sequence[Sequence[str]]
"""Names and their values. JSON turns tuples into lists."""


@dataclass(frozen=True, slots=True)
class JobMail:
    """The contents of a mail. The names of the fields are keys of the document in the ledger."""

    to: str  # MAILTO
    sender: str | None  # MAILFROM
    user: str
    host: str
    command: str
    name: str
    event: str  # output, failure, overdue
    ending: str  # `exit status 3`; empty after a success
    run: int  # 0 if the mail is about no run
    fire: float  # fire time in Unix seconds
    facts: Pairs = ()  # shown below the output
    environment: Pairs = ()  # shown in X-Cron-Env headers
    content_type: str = ""  # CONTENT_TYPE, such as `text/html; charset=utf-8`; empty: plain text
    transfer_encoding: str = ""  # CONTENT_TRANSFER_ENCODING: that in which the job writes its output
    title: str = ""  # the job's name, for the subject; empty for a job without one
