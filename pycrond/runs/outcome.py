"""How a run ended, from what the kernel or the keeper says of its process."""

import os

from pycrond.jobs.run import Outcome


def outcome(status: int, cpu_s: float | None = None, max_rss_kb: int | None = None) -> Outcome:
    """What wait(2) says of a process, and what it and its children used."""
    code = os.waitstatus_to_exitcode(status)
    return Outcome(
        state="succeeded" if code == 0 else "failed",
        exit_status=code if code >= 0 else None,
        signal=-code if code < 0 else None,
        cpu_s=cpu_s,
        max_rss_kb=max_rss_kb,
    )
