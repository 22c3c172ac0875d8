"""How the daemon does, in figures: what runs and waits, how late starts were, what is still to be told."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pycrond.alarms.outbox import Outbox
from pycrond.control import requests
from pycrond.daemon.reload import Reloader
from pycrond.errors import PycrondError
from pycrond.host.cgroup import ResourceLimits
from pycrond.ledger.paused import Pauses
from pycrond.runs.launcher import Launcher
from pycrond.scheduler.admission import Admission
from pycrond.scheduler.delayed import DelayedStarts

FILES_MOST = 1000  # that are named


@dataclass(frozen=True, slots=True)
class Statistics:
    """The parts that are counted."""

    admission: Admission
    launching: Launcher
    limits: ResourceLimits
    pauses: Pauses
    reloading: Reloader
    waiting: DelayedStarts
    outbox: Outbox
    system: bool

    def at(self, now: datetime, uid: int) -> dict[str, Any]:
        """What `status` adds to what the daemon is; the files are those of whose jobs `uid` may see."""
        return {
            "waiting": {
                "for_a_time": len(self.waiting.all),
                "for_others": len(self.admission.line.waiting),
                "for_room": len(self.launching.again),
            },
            "alarms": self.outbox.backlog,
            "paused": self.pauses.count(now),
            "lateness_ms": lateness(self.launching.lateness),
            "limits": {**self.limits.in_force(), "max_running": self.admission.most},
            "loaded_files": self._files(uid),
        }

    def _files(self, uid: int) -> dict[str, int]:
        """Jobs by file, of the first files."""
        try:
            asker = requests.requester(uid, system=self.system)
        except PycrondError:
            return {}
        jobs = (job for job in self.reloading.loaded.jobs if asker.can_access(job.user))
        return dict([*Counter(job.entry.file for job in jobs).items()][:FILES_MOST])


def lateness(starts: Iterable[float]) -> dict[str, Any]:
    """Of so many starts: the median, the one that 99 of 100 do not exceed, the worst; null without any."""
    late = sorted(starts)
    if not late:
        return {"starts": 0, "median": None, "p99": None, "worst": None}
    last = len(late) - 1
    median, p99 = late[last // 2], late[-(-last * 99 // 100)]
    return {
        "starts": len(late),
        "median": round(median, 3),
        "p99": round(p99, 3),
        "worst": round(late[-1], 3),
    }
