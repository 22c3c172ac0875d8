"""The leaders of the runs' sessions among the keeper's children. Part of the keeper's program."""

import os
from collections.abc import Mapping

from pycrond.keeper.system_calls import children, contents, poll, stat_fields

RUN_VARIABLE = b"PYCROND_RUN="
EXEC_CHECKS = 10  # checks of a process that was forked and has not executed its program
EXEC_INTERVAL = 10  # milliseconds between them


def find_leaders(readers: Mapping[int, int]) -> dict[bytes, bytes]:
    """Return a line `RUN PID START` for the oldest session leader of each run, which it shows in its
    environment, and for each leader that is dead, by its pid and with 0 as the run.

    `readers` are the read ends of the runs' FIFOs. At the daemon's death a leader is the run's own process,
    unless that is dead; later it may be a process that the run left behind. Wait for processes that have not
    executed their programs yet.
    """
    leaders: dict[bytes, bytes] = {}
    unidentified = sorted(children())
    for _ in range(EXEC_CHECKS):
        unidentified = [pid for pid in unidentified if not _identify(pid, readers, leaders)]
        if not unidentified:
            break
        poll({}, EXEC_INTERVAL)
    return leaders


def _identify(pid: int, readers: Mapping[int, int], leaders: dict[bytes, bytes]) -> bool:
    """Add a process that is dead or leads a run's session; return whether its run will not change."""
    environment = contents(f"/proc/{pid}/environ").split(b"\0")
    variable = next((entry for entry in environment if entry.startswith(RUN_VARIABLE)), b"")
    fields = stat_fields(pid)
    if not fields:
        return True
    leads_session = int(fields[3]) == pid  # as every run does, and the spawner does not
    if fields[0] == b"Z" and leads_session:
        leaders.setdefault(b"%d" % pid, b"0 %d %b" % (pid, fields[19]))
    elif variable and leads_session:
        run = variable.removeprefix(RUN_VARIABLE)
        is_user = _belongs_to_user(pid, run, readers)
        if is_user:
            leaders.setdefault(variable, b"%b %d %b" % (run, pid, fields[19]))
        return is_user is not None
    return bool(variable) or fields[0] == b"Z"


def _belongs_to_user(pid: int, run: bytes, readers: Mapping[int, int]) -> bool | None:
    """Return whether a process belongs to the owner of the FIFO of the run that it names (it names any);
    None while it is root's and may be about to become that user's.
    """
    try:
        reader = readers.get(int(run)) if run.isdigit() and len(run) < 19 else None
        owner = -1 if reader is None else os.fstat(reader).st_uid
        uid = os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return False
    return None if uid == 0 != owner >= 0 else uid == owner
