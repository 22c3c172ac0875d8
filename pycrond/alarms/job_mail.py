"""The contents of a mail about a job, as the daemon stores them in an alarm's document and the courier reads
them. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pycrond import text
from pycrond.jobs.run import Fire, Outcome, State

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
    transfer_encoding: str = ""  # CONTENT_TRANSFER_ENCODING: the encoding of the job's output
    title: str = ""  # the job's name, for the subject; empty for a job without a name


def new_mail(
    fire: Fire, run: int, about: tuple[str, str], *, facts: Pairs, host: str, variables: Pairs
) -> JobMail:
    """Return the contents of a mail about a fire; `about` is its event and the ending of the run."""
    job, options, assigned = fire.job, fire.job.entry.options, dict(fire.job.entry.environment)
    return JobMail(
        to=options.mailto or job.user,
        sender=options.mailfrom or None,
        user=job.user,
        host=host,
        command=job.entry.command,
        name=job.display_name,
        event=about[0],
        ending=about[1],
        run=run,
        fire=fire.at.timestamp(),
        facts=facts,
        environment=variables,
        content_type=assigned.get("CONTENT_TYPE", ""),
        transfer_encoding=assigned.get("CONTENT_TRANSFER_ENCODING", ""),
        title=options.name or "",
    )


def ending(outcome: Outcome) -> str:
    """Return a few words about an outcome; empty after a success."""
    if outcome.state == State.SUCCEEDED:
        return ""
    if outcome.state != State.FAILED or outcome.cause.text:
        return f"{outcome.state}{f', {outcome.cause.text}' if outcome.cause.text else ''}"
    return f"exit status {outcome.exit_status}" if outcome.signal is None else f"signal {outcome.signal}"


def facts(fire: Fire, outcome: Outcome, ended_at: datetime, duration: float | None) -> Pairs:
    """Return the facts about a run, with times in the local zone."""
    cpu_s, memory_kb = outcome.cpu_s, outcome.max_rss_kb
    ended = ending(outcome) or f"exit status {outcome.exit_status}"
    lines = {
        "Run": f"attempt {fire.attempt}, {fire.trigger}",
        "Fire time": f"{fire.at.astimezone():%F %H:%M %Z}",
        "Ended": f"{ended_at.astimezone():%F %H:%M:%S %Z}, {ended}",
        "Took": text.duration(duration),
        "Processor": text.duration(cpu_s),
        "Memory": "" if memory_kb is None else f"{memory_kb} kB at most",
    }
    return tuple((name, text) for name, text in lines.items() if text)
