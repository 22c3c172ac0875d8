"""A crontab as it was read: its jobs and problems, which are used again until the file changes."""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from pycrond import __version__
from pycrond.crontab import parser
from pycrond.errors import Problem
from pycrond.hashing import digest_words
from pycrond.jobs.job import Account, Job, make_jobs
from pycrond.jobs.shared_identity import SharedIdentity
from pycrond.sources.limits import NO_LIMITS, CrontabLimits
from pycrond.sources.watch import FileStamp
from pycrond.text import quoted

MAX_PROBLEMS = 50  # of a crontab that has limits


class Source(NamedTuple):
    """A crontab file with the jobs that run from it."""

    file: str
    file_stamp: FileStamp | None
    """The stamp of the file when it was read; None if a later change could leave the stamp the same."""
    jobs: tuple[Job, ...]
    """The jobs, with the keys that they would have if there were no other file."""
    problems: tuple[Problem, ...]
    users: frozenset[str]
    """The users of the jobs."""
    stamp: str
    """A hash: two readings of a file with the same stamp give the same jobs, in this daemon or another."""
    further_errors: int = 0
    """The number of errors of the file that `problems` leaves out."""
    owner: Account | None = None
    """The account of the crontab's user when it was read; None for the daemon's user or a user column."""
    uses_last_good: bool = False
    """The file has errors, and the jobs are those of its last good version."""

    @property
    def depends_on_identity(self) -> bool:
        """Return whether another identity of the cluster could give other jobs or problems."""
        return not self.is_good or any(job.entry.options.is_shared for job in self.jobs)

    @property
    def is_good(self) -> bool:
        return all(problem.severity == "warning" for problem in self.problems)


class SourceParser(NamedTuple):
    """Parses crontabs under the rules of this daemon."""

    dialect: str
    """`debian` or `cronie`."""
    seed: str
    """An id of this machine, which decides the values that `~` and `H` draw."""
    user: str
    """The daemon's user."""
    cluster: SharedIdentity | None = None
    """The identity of the cluster; None without a cluster."""

    def parse(
        self,
        text: bytes,
        file: str,
        owner: str | None,
        file_stamp: FileStamp | None,
        *,
        limits: CrontabLimits = NO_LIMITS,
    ) -> Source:
        """Parse a crontab of the user `owner`; None stands for a crontab with a user column. A crontab that
        exceeds the limits has no jobs.

        Only root can write a file with a user column, and root's own crontab. Any other file counts as
        written by its user, even if root owns it: some crontab(1) programs give it to root. If the daemon
        does not run as root, the kernel limits what the jobs can do.
        """
        crontab = parser.parse(
            text,
            file,
            system=owner is None,
            dialect=self.dialect,
            user=owner or "",
            seed=self.seed,
            runs_as=None if owner == self.user else owner,
            is_roots=owner in {None, self.user},
            max_entries=limits.entries,
            cluster=self.cluster,
        )
        entries, problems = crontab.entries, crontab.problems
        if message := limits.repetition_problem(entries):
            entries, problems = (), (*problems, Problem(file, 0, 0, "error", "beyond-limit", message))
        first = _first_problems(problems) if limits.entries else problems
        jobs = tuple(make_jobs(entries, self.user))
        stamp = self.stamp(text, owner, limits, are_shared=any(job.entry.options.is_shared for job in jobs))
        further = count_errors(problems) - count_errors(first)
        return Source(file, file_stamp, jobs, first, frozenset(job.user for job in jobs), stamp, further)

    def stamp(self, text: bytes, owner: str | None, limits: CrontabLimits, *, are_shared: bool) -> str:
        """Return the stamp of the source that `parse` returns. `are_shared`: it has shared jobs."""
        cluster = self.cluster if are_shared else self.cluster is not None
        facts = map(str, (self.dialect, self.seed, self.user, owner, limits, cluster))
        return digest_words(__version__, *facts, text)


def count_errors(problems: Iterable[Problem]) -> int:
    return sum(problem.severity == "error" for problem in problems)


def _first_problems(problems: tuple[Problem, ...]) -> tuple[Problem, ...]:
    """Return at most `MAX_PROBLEMS` problems of a file, errors first, and a note if there are more."""
    if len(problems) <= MAX_PROBLEMS:
        return problems
    first = sorted(problems, key=lambda problem: problem.severity)[:MAX_PROBLEMS]
    message = f"{len(problems) - MAX_PROBLEMS} further problems: pycrond check shows them"
    return (*first, Problem(first[0].file, 0, 0, "warning", "further-problems", message))


def without_users(source: Source, users: Collection[str]) -> Source:
    """Return a source without the jobs of unknown users."""
    remaining = [job for job in source.jobs if job.user not in users]
    return _with_jobs(source, remaining, reasons=sorted(users))


def unknown_user_problems(jobs: Iterable[Job], reasons: Mapping[str, str]) -> list[Problem]:
    """Return an error for each job of an unknown user; `reasons` has a text for each of these users."""
    return [
        Problem(
            *(job.entry.file, job.entry.line, 0, "error", "unknown-user"), f"not run, {reasons[job.user]}"
        )
        for job in jobs
        if job.user in reasons
    ]


def _with_jobs(source: Source, jobs: Iterable[Job], reasons: Iterable[str]) -> Source:
    """Return a source with changed jobs; the `reasons` of the change become part of its stamp."""
    return source._replace(jobs=tuple(jobs), stamp=digest_words(source.stamp, *reasons))


def merge(
    sources: Collection[Source], user: str, *, is_clustered: bool
) -> tuple[Collection[Source], dict[str, Job], list[Problem]]:
    """Make the keys of jobs unique among all sources; return the sources, all jobs by key, and problems.

    `user` is the daemon's user. Of two sources with the same key, the first keeps it. In a cluster, a shared
    job that does not keep its name is not run.
    """
    by_key = {job.key: job for source in sources for job in source.jobs}
    if len(by_key) == sum(len(source.jobs) for source in sources):
        return sources, by_key, []
    jobs = iter(make_jobs([job.entry for source in sources for job in source.jobs], user))
    merged, problems = [], list[Problem]()
    for source in sources:
        unique = [next(jobs) for _ in source.jobs]
        if is_clustered:
            problems += map(_nameless_problem, filter(_is_nameless, unique))
            unique = [job for job in unique if not _is_nameless(job)]
        keys = [job.key for job in unique]
        changed = keys != [job.key for job in source.jobs]
        merged.append(_with_jobs(source, unique, reasons=keys) if changed else source)
    return merged, {job.key: job for source in merged for job in source.jobs}, problems


def _is_nameless(job: Job) -> bool:
    return job.entry.options.is_shared and not job.has_own_name


def _nameless_problem(job: Job) -> Problem:
    name, on = quoted(job.entry.options.name or ""), job.entry.options.on
    message = f"not run, because a job of another file has the name {name}, and on={on} needs one of its own"
    return Problem(job.entry.file, job.entry.line, 0, "error", "cluster-option", message)
