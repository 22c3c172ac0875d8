"""The output of running jobs, printed as it comes, until the runs end or the daemon stops."""

import sys
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from pycrond.cli.data.output_lines import Line, Stream, interleaved
from pycrond.cli.printing import print_error, print_output
from pycrond.cli.standard_streams import OutputError, discard_output
from pycrond.control.records import Records
from pycrond.errors import NotRunningError
from pycrond.jobs.run import OPEN
from pycrond.ledger.rows import RunRow

MAX_DAEMON_ABSENCE = 15.0  # seconds without an answer of the daemon, as during a restart
RUN_POLL_INTERVAL, OUTPUT_POLL_INTERVAL = 0.025, 0.1  # seconds
MAX_POLL_INTERVAL = 0.5  # seconds
POLL_INTERVAL_GROWTH = 1.5
ShowLine = Callable[[RunRow, Line], None]
"""Prints a line of a run's output."""


class PollInterval:
    """The time between two polls, which grows while nothing happens."""

    def __init__(self, first: float) -> None:
        self._first = first
        self._seconds = first

    def wait(self, *, idle: bool) -> None:
        grown = min(MAX_POLL_INTERVAL, self._seconds * POLL_INTERVAL_GROWTH)
        self._seconds = grown if idle else self._first
        time.sleep(self._seconds)


def follow_run(records: Records, run: int, stream: Stream | None) -> RunRow:
    """Wait until a run has ended, and print its output meanwhile, as long as standard output takes it."""
    records.retry_for = MAX_DAEMON_ABSENCE
    interval = PollInterval(RUN_POLL_INTERVAL)
    while True:
        rows = records.runs([run])  # read before the output, which is complete once the run has ended
        ended = bool(rows) and rows[0].state not in OPEN
        try:
            printed = _print_lines(stream, to_the_end=ended) if stream else False
        except OutputError as error:
            discard_output()
            print_error(f"pycrond: {error}; the run goes on")
            stream, printed = None, False
        if ended:
            return rows[0]
        if not records.is_running():
            raise NotRunningError(f"pycrond has stopped before run {run} ended")
        interval.wait(idle=not printed)


def _print_lines(stream: Stream, *, to_the_end: bool) -> bool:
    """Print the new lines; return False if there were none."""
    printed = False
    for line in stream.lines(to_the_end=to_the_end):
        print_output(line.text)
        printed = True
    sys.stdout.flush()
    return printed


@dataclass(slots=True)
class Follower:
    """Prints the coming output of all jobs, of some jobs or of some runs."""

    records: Records
    show: ShowLine
    keys: Collection[str] | None
    """The keys of the followed jobs; None for all jobs."""
    runs: Collection[int]
    only: str
    """The stream whose lines are printed; empty for all streams."""
    _streams: dict[int, tuple[RunRow, Stream]] = field(default_factory=dict, init=False)

    def follow(self, offsets: Mapping[int, int], newest: int) -> None:
        """Print until the runs have ended; if jobs are followed, without end.

        `offsets` are the ends of the output that has been printed, by run; they are complete for runs up to
        the number `newest`.
        """
        self.records.retry_for = MAX_DAEMON_ABSENCE
        has_jobs = self.keys is None or bool(self.keys)
        unfinished = self.records.unfinished() if has_jobs else []
        for run in {run.id: run for run in (*unfinished, *self.records.runs([*self.runs]))}.values():
            if run.state in OPEN and run.id <= newest and self._is_selected(run):
                offset = offsets[run.id] if run.id in offsets else self.records.kept(run.id)[1]
                self._add(run, offset)
        interval = PollInterval(OUTPUT_POLL_INTERVAL)
        while self._streams or has_jobs:
            if has_jobs:
                for run in self.records.after(newest):
                    newest = run.id
                    if self._is_selected(run):
                        self._add(run, offsets.get(run.id, 0))
            printed = self._print()
            if not self.records.is_running():
                raise NotRunningError("pycrond has stopped")
            interval.wait(idle=not printed)

    def _is_selected(self, run: RunRow) -> bool:
        return self.keys is None or run.key in self.keys or run.id in self.runs

    def _add(self, run: RunRow, offset: int) -> None:
        self._streams[run.id] = run, Stream(self.records, run.id, offset, self.only)

    def _print(self) -> bool:
        """Print the new lines, and drop the runs that have ended; return False if there were no new lines."""
        states = {run.id: run.state for run in self.records.runs([*self._streams])}
        ended = [run for run in self._streams if states.get(run) not in OPEN]
        printed = False
        streams = (
            (0.0, run, stream.lines(to_the_end=number in ended))
            for number, (run, stream) in self._streams.items()
        )
        for run, line in interleaved(streams):
            self.show(run, line)
            printed = True
        sys.stdout.flush()
        for number in ended:
            del self._streams[number]
        return printed
