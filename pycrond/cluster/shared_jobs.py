"""The meaning of a job's options in a cluster. Pure."""

from collections.abc import Collection, Iterable

from pycrond.cluster.fire import Policy
from pycrond.cluster.protocol import Claim
from pycrond.hashing import digest_words
from pycrond.jobs.job import Job
from pycrond.jobs.options import to_json
from pycrond.jobs.run import Fire
from pycrond.jobs.shared_identity import SharedIdentity
from pycrond.runs.policy import cluster_lock_of
from pycrond.schedule.timezone import Zone

MIN_WITHIN = 30.0  # seconds after the start in which the database may give a fire away


def cluster_name(job: Job, node: str) -> str:
    """Return the name of a job in the cluster: its key, followed by the node if each node has its own run."""
    return job.key if job.entry.options.is_shared else f"{job.key}@{node}"


def concerns_others(fire: Fire, labels: Collection[str]) -> bool:
    """Return whether a node with these labels cannot start a fire of its crontabs by itself."""
    options = fire.job.entry.options
    is_not_here = options.label is not None and options.label not in labels
    return fire.wall is not None and (options.is_clustered or is_not_here)


def zone_of(job: Job, identity: SharedIdentity) -> Zone:
    """Return the time zone of a shared job. Raises PycrondError for a zone unknown to this machine."""
    return Zone.of(job.entry.zone or identity.zone or "UTC")


def label_of(job: Job) -> str | None:
    """Return the label of the nodes that may run a shared job; None if all may."""
    return job.entry.options.label


def policy_of(job: Job) -> Policy:
    options = job.entry.options
    confirms = options.node_loss == "rerun" or bool(_locks(job, job.key))
    return Policy(confirms, options.on_partition == "run")


def claim_of(fire: Fire, run: str, node: str, now: float) -> Claim:
    """Return the claim for a fire. `now` is in Unix seconds."""
    job, at = fire.job, fire.at.timestamp()
    start = fire.start_at.timestamp() if fire.start_at else at
    name = cluster_name(job, node)
    locks = _locks(job, name)
    return Claim(
        *(name, fire.wall or 0, fire.fold, run, at),
        within=max(0.0, start - at, now - at) + MIN_WITHIN,
        rerun=runs_again(job),
        locks=locks,
        waits=may_wait(job),
    )


def runs_again(job: Job) -> bool:
    """Return whether a job's fire is run again if its node dies."""
    return job.entry.options.is_shared and job.entry.options.node_loss == "rerun"


def may_wait(job: Job) -> bool:
    """Return whether a fire of a job may wait in the database for a lock."""
    return job.entry.options.overlap != "skip" and bool(_locks(job, job.key))


def _locks(job: Job, name: str) -> tuple[str, ...]:
    """Return the names of the lock rows that a run of a job holds, for `overlap` and `lock=cluster:NAME`."""
    options = job.entry.options
    overlap = (f"overlap:{name}",) if options.is_shared and options.overlap != "allow" else ()
    lock = (f"lock:{held}",) if (held := cluster_lock_of(job)) else ()
    return (*lock, *overlap)


def digest_of(jobs: Iterable[Job]) -> str:
    """Return a digest of the shared jobs; nodes with the same shared jobs have the same digest."""
    lines = sorted(
        " ".join(map(str, (job.key, entry.schedule_text, entry.zone, entry.command, to_json(entry.options))))
        for job in jobs
        if (entry := job.entry).options.is_shared
    )
    return digest_words(*lines, size=8)
