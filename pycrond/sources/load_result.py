"""The result of reading all crontabs."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pycrond.errors import Problem
from pycrond.jobs.job import Account, Job
from pycrond.sources.source import Source, count_errors
from pycrond.text import counted


@dataclass(frozen=True, slots=True)
class LoadResult:
    """The jobs and problems of all crontabs."""

    by_key: Mapping[str, Job] = field(default_factory=dict)  # in the order of the files
    problems: tuple[Problem, ...] = ()
    files: int = 0  # the number of files read
    sources: tuple[Source, ...] = ()
    accounts: Mapping[str, Account] = field(default_factory=dict)  # of users with jobs, by name
    unknown: frozenset[str] = frozenset()  # names of users with jobs or crontabs, but without an account
    is_complete: bool = True  # no changed file is left to be read, and no account is being looked up

    def has_jobs_of(self, other: "LoadResult") -> bool:
        """Return whether the jobs are the same objects, in the same files."""
        return [source.file for source in self.sources] == [source.file for source in other.sources] and all(
            ours.jobs is theirs.jobs for ours, theirs in zip(self.sources, other.sources, strict=True)
        )

    @property
    def jobs(self) -> tuple[Job, ...]:
        return tuple(self.by_key.values())

    @property
    def errors(self) -> int:
        """The number of errors, as `check` counts them."""
        return count_errors(self.problems) + sum(source.further_errors for source in self.sources)

    @property
    def kept(self) -> tuple[str, ...]:
        """The files with errors whose last good version runs."""
        return tuple(source.file for source in self.sources if source.uses_last_good)

    def __str__(self) -> str:
        return f"{counted(len(self.by_key), 'job')} from {counted(self.files, 'file')}"
