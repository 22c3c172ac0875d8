"""The output of runs that go on: printed as it comes, until the runs end or the daemon does."""

import sys
import time
from collections.abc import Callable, Mapping

from pycrond.cli.data.output_lines import Stream
from pycrond.cli.printing import print_output
from pycrond.cli.render import terminal
from pycrond.cli.render.table import StyledLine
from pycrond.control.records import Records
from pycrond.errors import NotRunningError
from pycrond.jobs.run import OPEN
from pycrond.ledger.rows import RunRow

DAEMON_ABSENCE_MOST = 15.0  # seconds that a daemon may not answer, as during a restart
RUN_POLL_INTERVAL, OUTPUT_POLL_INTERVAL = 0.025, 0.1  # seconds
POLL_INTERVAL_MOST = 0.5  # seconds
POLL_INTERVAL_GROWTH = 1.5


class PollInterval:
    """The time between two looks, which grows while nothing happens."""

    def __init__(self, first: float) -> None:
        self._first = first
        self._seconds = first

    def wait(self, *, idle: bool) -> None:
        grown = min(POLL_INTERVAL_MOST, self._seconds * POLL_INTERVAL_GROWTH)
        self._seconds = grown if idle else self._first
        time.sleep(self._seconds)


def follow_run(records: Records, run: int, stream: Stream | None) -> RunRow:
    """Wait until a run has ended, and print its output meanwhile."""
    records.retry_for = DAEMON_ABSENCE_MOST
    interval = PollInterval(RUN_POLL_INTERVAL)
    while True:
        rows = records.runs([run])  # read before the output, which is complete once the run has ended
        ended = bool(rows) and rows[0].state not in OPEN
        printed = _print_lines(stream, to_the_end=ended) if stream else False
        if ended:
            return rows[0]
        if not records.is_running():
            raise NotRunningError(f"pycrond has stopped before run {run} ended")
        interval.wait(idle=not printed)


def _print_lines(
    stream: Stream, *, to_the_end: bool, paint: Callable[[StyledLine], str] | None = None
) -> bool:
    """Print the new lines, with `paint` each after the head of the stream; False if there were none."""
    printed = False
    for line in stream.lines(to_the_end=to_the_end):
        print_output(line, stream.head, paint)
        printed = True
    sys.stdout.flush()
    return printed


class Follower:
    """Prints the coming output of all jobs, of some jobs or of one run."""

    def __init__(
        self, records: Records, prefix: Callable[[RunRow], str], *, keys: list[str] | None, run: int | None
    ) -> None:
        """`prefix` returns the text before each line of a run."""
        self._records = records
        self._paint = terminal.painter()
        self._prefix = prefix
        self._keys = keys
        self._run = run
        self._streams: dict[int, Stream] = {}

    def follow(self, offsets: Mapping[int, int], newest: int) -> None:
        """Print until the one run has ended, or for ever.

        `offsets`: up to where the output of each run has been printed; runs up to the number `newest` have
        been considered for that.
        """
        self._records.retry_for = DAEMON_ABSENCE_MOST
        for run in self._records.runs([self._run]) if self._run else self._records.unfinished():
            if run.state in OPEN and run.id <= newest and self._is_selected(run):
                offset = offsets[run.id] if run.id in offsets else self._records.kept(run.id)[1]
                self._add(run, offset)
        interval = PollInterval(OUTPUT_POLL_INTERVAL)
        while self._streams or not self._run:
            if not self._run:
                for run in self._records.after(newest):
                    newest = run.id
                    if self._is_selected(run):
                        self._add(run, offsets.get(run.id, 0))
            printed = self._print()
            if not self._records.is_running():
                raise NotRunningError("pycrond has stopped")
            interval.wait(idle=not printed)

    def _is_selected(self, run: RunRow) -> bool:
        return self._keys is None or run.key in self._keys

    def _add(self, run: RunRow, offset: int) -> None:
        self._streams[run.id] = Stream(self._records, run.id, offset, self._prefix(run))

    def _print(self) -> bool:
        """Print what has come, and drop the runs that have ended; False if nothing has come."""
        states = {run.id: run.state for run in self._records.runs([*self._streams])}
        printed = False
        for run, stream in [*self._streams.items()]:
            ended = states.get(run) not in OPEN
            printed |= _print_lines(stream, to_the_end=ended, paint=self._paint)
            if ended:
                del self._streams[run]
        return printed
