"""The end of a daemon: at once, or when what runs has ended, by itself or by our hand."""

from pycrond.runs.active import Runs
from pycrond.runs.launcher import Launching
from pycrond.runs.termination import Endings


class Stopping:
    """What was asked for so far; a later order replaces an earlier one."""

    def __init__(self, runs: Runs, launching: Launching, endings: Endings) -> None:
        self._runs = runs
        self._launching = launching
        self._endings = endings
        self._at_once = False
        self.is_wanted = False
        """Nothing is started any more."""

    def at_once(self) -> None:
        """Leave running what runs."""
        self._at_once = self.is_wanted = True

    def when_idle(self) -> None:
        """Wait until nothing runs."""
        self.is_wanted = True

    def kill(self) -> None:
        """End what runs: TERM to each process group now, KILL after its grace."""
        self.is_wanted = True
        self._launching.give_up()
        self._endings.end([*self._runs.living.values()], "killed", "stop --kill-jobs")

    @property
    def is_due(self) -> bool:
        return self._at_once or (self.is_wanted and not self._runs.count and not self._endings.left_to_do)
