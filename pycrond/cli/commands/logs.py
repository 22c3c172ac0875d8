"""logs: what the jobs printed, and with --follow what they print."""

import argparse
import time
from collections.abc import Mapping, Sequence

from pycrond.cli import selectors
from pycrond.cli.data.access import records
from pycrond.cli.data.output_lines import Stream, tail
from pycrond.cli.render import formatting, terminal
from pycrond.cli.settings_layers import configured
from pycrond.control.records import Records
from pycrond.errors import NotRunningError, PycrondError
from pycrond.ledger.rows import RunFilter, RunRow

RUNS_MOST = 10_000  # looked through for output
LINES = 100  # shown where nothing says how many
QUICK, SLOW = 0.1, 0.5  # seconds between two looks
AWAY = 15.0  # seconds that a daemon may be away while it is followed what its jobs do
UNFINISHED = {"claimed", "waiting", "running"}


def logs(wanted: argparse.Namespace) -> int:
    """The newest lines that jobs printed, oldest first, each with the time and name of its run."""
    if wanted.follow and wanted.until is not None:
        raise PycrondError("--follow has no end: it does not go with --until")
    read = records(configured(wanted))
    keys, run = _meant(read, wanted.what)
    which = RunFilter((), *selectors.span(wanted))
    # Before the lines are read: what begins meanwhile is followed from its first byte on.
    newest = max((one.id for one in read.history(None, 1)), default=0)
    heads = Heads(read)
    newest_first = read.runs([run]) if run else read.history(keys, RUNS_MOST, *which)
    runs = sorted(newest_first, key=lambda one: (one.started_at or one.fire, one.id))
    most = wanted.lines or (LINES if which.since is None else None)
    ends = _show(read, heads, runs, most, follow=wanted.follow)
    if wanted.follow:
        Following(read, heads, ends, keys=keys, run=run).follow(newest)
    return 0


def _meant(read: Records, what: str | None) -> tuple[list[str] | None, int | None]:
    """What a word means: the key of a job, or a run's number."""
    if what is None:
        return None, None
    if what.isdecimal() and len(what) < 19 and read.runs([int(what)]):
        return None, int(what)
    return selectors.jobs_meant(read, what), None


class Heads:
    """What stands before the lines of each run."""

    def __init__(self, read: Records) -> None:
        self._read = read
        self._commands = {job.key: job.command for job in read.jobs()}
        self._now = terminal.here()
        self._paint = terminal.painter()

    def of(self, run: RunRow) -> str:
        head = formatting.log_head(run, self._commands.get(run.key, ""), self._now).rstrip(" ")
        return self._paint([(head, "dim")]) + " "


def _show(
    read: Records, heads: Heads, runs: Sequence[RunRow], most: int | None, *, follow: bool
) -> dict[int, int]:
    """The last lines of runs, the oldest first, or all that is kept; where they end, by run."""
    if most is None:
        return {run.id: _show_all(read, heads, run, follow=follow) for run in runs}
    newest_first: list[str] = []
    ends = {}
    for run in reversed(runs):
        missing = most - len(newest_first)
        if missing <= 0:
            break
        lines, ends[run.id] = tail(read, run.id, missing, whole=follow and run.state in UNFINISHED)
        newest_first += [heads.of(run) + line for line in reversed(lines)]
    for line in reversed(newest_first):
        print(line, flush=follow)
    return ends


def _show_all(read: Records, heads: Heads, run: RunRow, *, follow: bool) -> int:
    stream = Stream(read, run.id, read.kept(run.id)[0], heads.of(run))
    for line in stream.lines(to_the_end=not (follow and run.state in UNFINISHED)):
        print(line, flush=follow)
    return stream.offset


class Following:
    """What is printed from now on: by all jobs, by one, or in one run."""

    def __init__(
        self, read: Records, heads: Heads, ends: Mapping[int, int], *, keys: list[str] | None, run: int | None
    ) -> None:
        """`ends`: up to where the output of each run has been shown."""
        self._read = read
        self._heads = heads
        self._ends = ends
        self._keys = keys
        self._run = run
        self._streams: dict[int, Stream] = {}

    def follow(self, last: int) -> None:
        """Until the one run is over, or for ever. Runs up to the number `last` were looked at before."""
        self._read.retry_for = AWAY
        self._begin(last)
        pause = QUICK
        while self._streams or not self._run:
            if not self._run:
                last = self._add(last)
            pause = QUICK if self._print() else min(SLOW, pause * 1.5)
            if not self._read.is_running():
                raise NotRunningError("pycrond has stopped")
            time.sleep(pause)

    def _begin(self, last: int) -> None:
        """Those that are not over, from where their lines were shown."""
        for one in self._read.runs([self._run]) if self._run else self._read.unfinished():
            if one.state in UNFINISHED and one.id <= last and self._is_meant(one):
                offset = self._ends[one.id] if one.id in self._ends else self._read.kept(one.id)[1]
                self._streams[one.id] = Stream(self._read, one.id, offset, self._heads.of(one))

    def _is_meant(self, run: RunRow) -> bool:
        return self._keys is None or run.key in self._keys

    def _add(self, last: int) -> int:
        """Those that have begun since; the number of the last one."""
        for one in self._read.after(last):
            last = one.id
            if self._is_meant(one):
                offset = self._ends.get(one.id, 0)
                self._streams[one.id] = Stream(self._read, one.id, offset, self._heads.of(one))
        return last

    def _print(self) -> bool:
        """What has come of each; those that are over are left out from now on. Whether there was anything."""
        states = {one.id: one.state for one in self._read.runs([*self._streams])}
        came = False
        for run, stream in [*self._streams.items()]:
            over = states.get(run) not in UNFINISHED
            for line in stream.lines(to_the_end=over):
                print(line, flush=True)
                came = True
            if over:
                del self._streams[run]
        return came
