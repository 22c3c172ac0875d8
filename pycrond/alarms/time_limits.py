"""The time limits of deliveries: they are killed after their limit, as are processes left by hooks."""

import math
import signal
from itertools import islice, takewhile

from pycrond.host import procfs, spawn
from pycrond.host.cgroup import Limits, ResourceLimits
from pycrond.host.procfs import ProcessSearch
from pycrond.host.spawn import NO_LIMITS, as_bytes
from pycrond.jobs.options import Options
from pycrond.ledger.alarms import Alarm
from pycrond.runs.termination import SEARCH_TIME, Termination

HOOK_TIME = 60  # seconds
HOOK_GRACE = 5  # seconds between TERM and KILL
TIMEOUT = ("/usr/bin/timeout", f"--kill-after={HOOK_GRACE}", str(HOOK_TIME))
"""Ends a hook in time even if this daemon dies."""
LIMITS = {"hook": HOOK_TIME + HOOK_GRACE + 1.0, "mail": 95.0, "ping": 95.0}
"""Seconds after which a delivery is killed. The courier has its own time limit, but the user can stop
(SIGSTOP) a process that runs as the user, which then does not notice its limit.
"""
SWEEP_INTERVAL = 5  # seconds between two searches for processes that hooks left
CGROUP = Options(timeout=HOOK_TIME)


class TimeLimits:
    """Kills deliveries at their time limit. A hook's processes are found as those of a run are."""

    def __init__(self, limits: ResourceLimits, termination: Termination) -> None:
        self._limits = limits
        self._termination = termination
        self._ends: dict[int, float] = {}  # by pid: the time (clock.elapsed) at which a delivery is killed
        # By alarm: the time at which processes that a hook left are killed; the oldest first.
        self._hooks: dict[int, float] = {}
        self._users: dict[int, str] = {}  # of the alarms in `_hooks` and in `_searching`
        self._search: ProcessSearch | None = None
        self._searching: list[int] = []  # the alarms whose processes are searched for
        self.killed: set[int] = set()
        """The pids of deliveries that were killed and have not been reaped yet."""

    def limits(self, alarm: Alarm) -> Limits:
        """Return the limits of a delivery: a hook gets a cgroup."""
        return self._limits.limits(CGROUP, -alarm.id) if alarm.kind == "hook" else NO_LIMITS

    def started(self, alarm: Alarm, pid: int, elapsed: float) -> None:
        self._ends[pid] = end = elapsed + LIMITS[alarm.kind]
        if alarm.kind == "hook":
            self._users[alarm.id] = alarm.user
            self._hooks[alarm.id] = math.ceil(end / SWEEP_INTERVAL) * SWEEP_INTERVAL

    def not_started(self, alarm: Alarm) -> None:
        self._limits.remove(-alarm.id)

    def ended(self, alarm: Alarm, pid: int) -> None:
        """Note the end of a delivery. A hook that left no process in its cgroup needs no search."""
        del self._ends[pid]
        self.killed.discard(pid)
        if alarm.kind == "hook" and self._limits.pids(-alarm.id) == []:
            self._limits.remove(-alarm.id)
            self._forget(alarm.id)

    def step(self, elapsed: float) -> None:
        """Kill deliveries that have reached their limits."""
        for pid, end in self._ends.items():
            if elapsed >= end and pid not in self.killed:
                self.killed.add(pid)
                spawn.signal_group(pid, signal.SIGKILL)
        if self._search is None:
            self._begin_sweep(elapsed)
        if self._search and self._search.step(SEARCH_TIME):
            self._end_sweep(self._search, elapsed)

    def _begin_sweep(self, elapsed: float) -> None:
        """Kill processes that hooks left in their cgroups; without cgroups, search for them."""
        due = [*takewhile(lambda alarm: elapsed >= self._hooks[alarm], self._hooks)]
        for alarm in due:
            del self._hooks[alarm]
            if self._limits.pids(-alarm) is None:
                self._searching.append(alarm)
            else:
                self._limits.kill(-alarm)
                self._limits.remove(-alarm)
                self._forget(alarm)
        if self._searching:
            marks_of = {-alarm: self._marks(alarm) for alarm in self._searching}
            users_of = {-alarm: self._users[alarm] for alarm in self._searching}
            self._search = self._termination.search(marks_of, users_of)

    def _forget(self, alarm: int) -> None:
        self._hooks.pop(alarm, None)
        self._users.pop(alarm, None)

    def _end_sweep(self, search: ProcessSearch, elapsed: float) -> None:
        searched, self._searching, self._search = self._searching, [], None
        left = [alarm for alarm in searched if search.pids.get(-alarm)]
        for alarm in set(searched) - set(left):
            self._forget(alarm)
        for alarm in left:
            procfs.kill_marked(search.pids[-alarm], self._marks(alarm))
        # They may have forked since the search.
        self._hooks = {**dict.fromkeys(left, elapsed + SWEEP_INTERVAL), **self._hooks}

    def _marks(self, alarm: int) -> list[bytes]:
        return [as_bytes(f"PYCROND_STATE_DIR={self._limits.state_dir}"), b"PYCROND_ALARM=%d" % alarm]

    def retry_in(self, elapsed: float) -> float | None:
        """Return the seconds until `step` has something to do; None if nothing has a limit."""
        if self._search:
            return 0.0
        ends = [end for pid, end in self._ends.items() if pid not in self.killed]
        first = min([*ends, *islice(self._hooks.values(), 1)], default=None)
        return None if first is None else max(0.0, first - elapsed)
