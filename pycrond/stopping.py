"""The end of a daemon: at once, or when what runs has ended, by itself or by our hand."""

from pycrond.running import Runs

GRACE = 10.0  # seconds between TERM and KILL


class Stopping:
    """What was asked for so far; a later order replaces an earlier one."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._at_once = False
        self._kill_at: float | None = None  # by clock.elapsed
        self.is_wanted = False
        """Nothing is started any more."""

    def at_once(self) -> None:
        """Leave running what runs."""
        self._at_once = self.is_wanted = True

    def when_idle(self) -> None:
        """Wait until nothing runs."""
        self.is_wanted = True

    def kill(self, elapsed: float) -> None:
        """End what runs: TERM to each process group now, KILL after a grace time."""
        self.is_wanted = True
        self._kill_at = elapsed + GRACE
        self._runs.end_all(hard=False)

    def tend(self, elapsed: float) -> None:
        if self._kill_at is not None and elapsed >= self._kill_at:
            self._kill_at = elapsed + GRACE
            self._runs.end_all(hard=True)

    def retry_in(self, elapsed: float) -> float | None:
        return None if self._kill_at is None else max(0.0, self._kill_at - elapsed)

    @property
    def is_due(self) -> bool:
        return self._at_once or (self.is_wanted and not self._runs.count)
