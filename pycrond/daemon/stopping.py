"""The end of a daemon: at once, or when what runs has ended, by itself or by our hand."""

from pycrond.runs.active import ActiveRuns
from pycrond.runs.launcher import Launcher
from pycrond.runs.termination import Termination


class Shutdown:
    """What was asked for so far; a later order replaces an earlier one."""

    def __init__(self, runs: ActiveRuns, launching: Launcher, endings: Termination) -> None:
        self._runs = runs
        self._launcher = launching
        self._termination = endings
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
        self._launcher.give_up()
        self._termination.end([*self._runs.living.values()], "killed", "stop --kill-jobs")

    @property
    def is_due(self) -> bool:
        return self._at_once or (self.is_wanted and not self._runs.count and not self._termination.left_to_do)
