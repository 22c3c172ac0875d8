"""The leaders of the runs' sessions among the keeper's children. Part of the keeper's program."""

import os
from collections.abc import Mapping

from pycrond.keeper.system_calls import children, contents, poll, stat_fields

RUN_VARIABLE = b"PYCROND_RUN="
EXEC_CHECKS = 10  # checks of a process that was forked and has not executed its program
EXEC_INTERVAL = 10  # milliseconds between them


def find_leaders(readers: Mapping[int, int]) -> dict[bytes, bytes]:
    """Return a line `RUN PID START` for the oldest session leader of each run, by the run's variable in its
    environment, and a line `0 PID START` for each dead leader, by its pid.

    `readers` are the read ends of the runs' FIFOs. At the daemon's death, a run's leader is its own process,
    unless that is dead; later the leader may be a process that the run left behind. Processes that have not
    executed their programs yet are checked again.
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
    """Add a process to `leaders` if it leads a session and is dead or has a run; return whether that is
    final.
    """
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
        has_user = _belongs_to_user(pid, run, readers)
        if has_user:
            leaders.setdefault(variable, b"%b %d %b" % (run, pid, fields[19]))
        return has_user is not None
    return bool(variable) or fields[0] == b"Z"


def _belongs_to_user(pid: int, run: bytes, readers: Mapping[int, int]) -> bool | None:
    """Return whether a process belongs to the owner of the FIFO of its run: a process can claim any run. None
    while it belongs to root and may be about to become that user.
    """
    try:
        reader = readers.get(int(run)) if run.isdigit() and len(run) < 19 else None
        owner = -1 if reader is None else os.fstat(reader).st_uid
        uid = os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return False
    return None if uid == 0 != owner >= 0 else uid == owner
