"""The identity of a cluster, from which jobs draw that only one of its nodes runs. Pure."""

from typing import NamedTuple


class SharedIdentity(NamedTuple):
    """The cluster's name and time zone, which its database has. The name is empty until both are known: until
    then, shared jobs draw from the machine's id and follow its time zone.
    """

    name: str = ""
    zone: str = ""
    """The time zone of shared jobs without CRON_TZ."""
