"""The contents of a mail about a job, made from a fire and an outcome. Pure."""

from datetime import datetime

from pycrond import text
from pycrond.alarms.mail import JobMail, Pairs
from pycrond.jobs.run import Fire, Outcome, State


def job_mail(
    fire: Fire, run: int, about: tuple[str, str], *, facts: Pairs, host: str, variables: Pairs
) -> JobMail:
    """Return the contents of a mail; `about` is its event and the ending of the run."""
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
    """Return a few words about an outcome; none after a success."""
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
