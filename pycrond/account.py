"""Who a job runs as."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Account:
    """A user, as the password file has it."""

    name: str
    uid: int
    gid: int
    home: str
