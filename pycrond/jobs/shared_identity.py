"""The identity of a cluster, from which shared jobs draw their random delays and minutes. Pure."""

from typing import NamedTuple


class SharedIdentity(NamedTuple):
    """The cluster's name and time zone, from its database. The name is empty until both are known: until
    then, shared jobs draw from the machine's id and follow its time zone.
    """

    name: str = ""
    zone: str = ""
    """The time zone of shared jobs without CRON_TZ."""
