"""The options of an entry: expanded addresses, and combinations that a cluster cannot carry out. Pure."""

from dataclasses import replace

from pycrond.crontab.syntax import expand
from pycrond.jobs.options import Options


def with_addresses(options: Options, environment: tuple[tuple[str, str], ...], user: str) -> Options:
    """Return the options with the variables in MAILTO and MAILFROM expanded, as in cronie's crontab(5)."""
    if "$" not in f"{options.mailto} {options.mailfrom}":
        return options
    mailto, mailfrom = (
        text and expand(text, {**dict(environment), "LOGNAME": user, "USER": user})
        for text in (options.mailto, options.mailfrom)
    )
    return replace(options, mailto=mailto, mailfrom=mailfrom)


def cluster_mistake(options: Options, *, is_reboot: bool, has_own_name: bool) -> tuple[str, str] | None:
    """Return the attribute of an option that the cluster cannot carry out for this entry, and the reason.

    The nodes identify a shared job by its name. Hashes of its line would differ while a changed line is
    copied from node to node, and both versions would run.
    """
    on, lock = f"on={options.on}", f"lock={options.lock}"
    if options.is_shared:
        if is_reboot:
            return "on", f"{on} is not possible with @reboot: each machine has its own boots"
        if not has_own_name:
            return (
                "on",
                f"{on} needs name=, with a name that no other entry has: the nodes identify the job by it",
            )
        if options.overlap == "replace":
            return "overlap", f"overlap=replace is not possible with {on}: a run on another node is not ended"
    if options.cluster_lock is not None:
        if is_reboot:
            return "lock", f"{lock} is not possible with @reboot, which does not wait for the cluster"
        if options.on_partition == "run":
            return "on_partition", f"on-partition=run is not possible with {lock}, which is in the database"
    return None
