"""One crontab as it was read: its jobs and its problems, to be had again while the file stays the same."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from pycrond import __version__
from pycrond.crontab import parser
from pycrond.errors import Problem
from pycrond.hashing import digest_words
from pycrond.jobs.job import Entry, Job, make_jobs
from pycrond.sources.watch import FileStamp


@dataclass(frozen=True, slots=True)
class Source:
    """What is in force of a file."""

    file: str
    mark: FileStamp | None
    """How the file looked when it was read; None: it may have been written since and look the same."""
    jobs: tuple[Job, ...]
    """With the keys that they would have if there were no other file."""
    problems: tuple[Problem, ...]
    users: frozenset[str]
    """Whose jobs they are."""
    stamp: str
    """Two readings of a file with one stamp are the same jobs, in this daemon or another."""
    uses_last_good: bool = False
    """It has errors, and these are the jobs of its last good version."""

    @property
    def is_good(self) -> bool:
        return all(problem.severity == "warning" for problem in self.problems)


@dataclass(frozen=True, slots=True)
class SourceParser:
    """What a line means, besides what it says."""

    dialect: str
    """`debian` or `cronie`."""
    seed: str
    """Tells this machine from others: what `~` and `H` draw."""
    user: str
    """The daemon's own."""

    def parse(
        self, text: bytes, file: str, owner: str | None, mark: FileStamp | None, *, is_roots: bool
    ) -> Source:
        """A text of a user's file, or with None as `owner` of one that has a user column."""
        said = parser.parse(
            text,
            file,
            system=owner is None,
            dialect=self.dialect,
            user=owner or "",
            seed=self.seed,
            runs_as=None if owner == self.user else owner,
        )
        entries, problems = (said.entries, said.problems) if is_roots else _with_own_locks(said)
        facts = map(str, (self.dialect, self.seed, self.user, owner, is_roots))
        stamp = digest_words(__version__, *facts, text)
        made = tuple(make_jobs(entries, self.user))
        return Source(file, mark, made, problems, frozenset(job.user for job in made), stamp)


def _with_own_locks(said: parser.Crontab) -> tuple[Iterable[Entry], tuple[Problem, ...]]:
    """A lock of all users is for crontabs that belong to root."""
    entries, problems = [], list(said.problems)
    for entry in said.entries:
        lock = entry.options.lock or ""
        own = lock.removeprefix("global:")
        if own == lock:
            entries.append(entry)
            continue
        message = f"lock={lock} is for crontabs that belong to root: this is the user's own lock {own}"
        problems.append(Problem(entry.file, entry.line, 0, "warning", "bad-lock", message))
        entries.append(replace(entry, options=replace(entry.options, lock=own)))
    return entries, tuple(problems)


def without_users(tab: Source, users: Collection[str]) -> Source:
    """The jobs of all others, and a problem for each of theirs."""
    left = [job for job in tab.jobs if job.user not in users]
    problems = [_of_nobody(job) for job in tab.jobs if job.user in users]
    return replace(_with_jobs(tab, left, sorted(users)), problems=(*tab.problems, *problems))


def _with_jobs(tab: Source, jobs: Iterable[Job], because_of: Iterable[str]) -> Source:
    """The same file with other jobs than its text makes, for reasons that its stamp is to tell as well."""
    stamp = digest_words(tab.stamp, *because_of)
    return replace(tab, jobs=tuple(jobs), stamp=stamp)


def _of_nobody(job: Job) -> Problem:
    message = f"not run, there is no user '{job.user}'"
    return Problem(job.entry.file, job.entry.line, 0, "error", "unknown-user", message)


def merge(tabs: Collection[Source], user: str) -> tuple[list[Source], dict[str, Job]]:
    """The files with the keys that their jobs have together, and all of the jobs by key.

    `user` is the daemon's own. A key that two files would give goes to the first.
    """
    together = {job.key: job for tab in tabs for job in tab.jobs}
    if len(together) == sum(len(tab.jobs) for tab in tabs):
        return list(tabs), together
    made = iter(make_jobs([job.entry for tab in tabs for job in tab.jobs], user))
    named = [_named(tab, tuple(next(made) for _ in tab.jobs)) for tab in tabs]
    return named, {job.key: job for tab in named for job in tab.jobs}


def _named(tab: Source, same: tuple[Job, ...]) -> Source:
    keys = [job.key for job in same]
    return tab if keys == [job.key for job in tab.jobs] else _with_jobs(tab, same, keys)
