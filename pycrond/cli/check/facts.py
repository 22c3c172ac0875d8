"""The facts about the machine that the rules of `check` need."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pycrond.jobs.job import SEARCH_PATHS
from pycrond.schedule.timezone import Zone


@dataclass(frozen=True, slots=True)
class CheckFacts:
    """Facts about the machine, the same for all entries and assignments."""

    year: int
    zone: Zone
    """The daemon's time zone."""
    program_exists: Callable[[str, str], bool] = lambda _name, _path: True
    """Look up a program by its name and PATH."""
    user_exists: Callable[[str], bool] = lambda _name: True
    directory_exists: Callable[[str], bool] = lambda _path: True
    shell_name: Callable[[str], str] = lambda _path: ""
    """Return the name of the program that a shell's path leads to; empty if it is not known."""
    dialect: str = "cronie"
    default_path: str = SEARCH_PATHS["cronie"]
    """The PATH of a job without a PATH in its crontab."""
    other_cron: str = ""
    """The cron to compare with: `debian`, `cronie` or empty."""
    has_mailer: bool = False
    has_cluster: bool = False
    run_seconds: Mapping[int, float] = field(default_factory=dict)
    """The median duration of a job's latest runs, by line of the file."""
