"""What a mail tells of a run: from fire and outcome to a letter. Pure."""

from datetime import datetime

from pycrond.alarms.mail_text import Letter
from pycrond.jobs.run import Fire, Outcome

Pairs = tuple[tuple[str, str], ...]


def letter(
    fire: Fire, run: int, about: tuple[str, str], *, facts: Pairs, host: str, variables: Pairs
) -> Letter:
    """`about` is the event and how it ended; `run` is 0 where there was none; `variables` are to be shown."""
    job, options = fire.job, fire.job.entry.options
    return Letter(
        options.mailto or job.user,
        options.mailfrom or None,
        job.user,
        host,
        job.entry.command,
        job.key.partition("/")[2],
        about[0],
        about[1],
        run,
        fire.at,
        facts,
        variables,
        dict(job.entry.environment).get("CONTENT_TYPE", ""),
    )


def ending(end: Outcome) -> str:
    """How a run ended, in a few words; nothing where all is well."""
    if end.state == "succeeded":
        return ""
    if end.state != "failed" or end.cause.text:
        return f"{end.state}{f', {end.cause.text}' if end.cause.text else ''}"
    return f"exit status {end.exit_status}" if end.signal is None else f"signal {end.signal}"


def facts(fire: Fire, end: Outcome, at: datetime, duration: float | None) -> Pairs:
    """What stands below the output; times in the local zone."""
    found = {
        "Run": f"attempt {fire.attempt}, {fire.trigger}",
        "Fire time": f"{fire.at.astimezone():%F %H:%M %Z}",
        "Ended": f"{at.astimezone():%F %H:%M:%S %Z}, {ending(end) or f'exit status {end.exit_status}'}",
        "Took": "" if duration is None else f"{duration:.1f} s",
        "Processor": "" if end.cpu_s is None else f"{end.cpu_s:.2f} s",
        "Memory": "" if end.max_rss_kb is None else f"{end.max_rss_kb} kB at most",
    }
    return tuple((name, text) for name, text in found.items() if text)
