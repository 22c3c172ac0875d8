"""Recovery of an earlier daemon's runs: running runs are adopted, the others are closed."""

import contextlib
import os
from collections.abc import Mapping
from datetime import datetime

from pycrond import clock
from pycrond.host import procfs
from pycrond.host.names import NAMES
from pycrond.host.poller import Poller
from pycrond.jobs.run import OPEN, Cause, Outcome, Reason, Run, State
from pycrond.keeper.client import KeeperClient, ProcessEnd, read_saved_ends
from pycrond.ledger.codec import decode_job
from pycrond.ledger.rows import JobRow, Unfinished
from pycrond.ledger.writer import Ledger
from pycrond.output.capture import CapturedOutput
from pycrond.output.output import Output
from pycrond.runs.active import ActiveRun
from pycrond.runs.journal import NOT_BEGUN, JournalEntry
from pycrond.runs.outcome import ENDED_BY_US, reported_outcome
from pycrond.runs.reaper import REPORT_TIMEOUT, Reaper
from pycrond.runs.survivors import SurvivingProcess, Survivors
from pycrond.text import storable

MAX_ATTEMPT = 1_001  # of a job with the most retries
MAX_LATENESS = 60.0  # seconds by which a claimed run may start later, because the daemon died
DIED_BEFORE_START = Cause.of(Reason.DAEMON_DOWN, "the daemon died before it started the run")


class Recovery:
    """Takes over from an earlier daemon, once, at the start of a daemon."""

    def __init__(
        self,
        ledger: Ledger,
        output: Output,
        reaper: Reaper,
        keeper: KeeperClient,
        poller: Poller,
        ends_path: str,
    ) -> None:
        """`ends_path` is the file in which an earlier keeper saved ends."""
        self._ledger = ledger
        self._output = output
        self._reaper = reaper
        self._journal = reaper.journal
        self._keeper = keeper
        self._poller = poller
        self._ends_path = ends_path
        self._outputs: list[CapturedOutput] = []  # of all adopted and closed runs
        self._has_traceless_run = False  # a claimed run has left no trace of a process

    def run(self, last_turn: datetime | None, now: datetime) -> None:
        """Adopt living runs, close the others, and continue the delivery where the last daemon stopped.

        A run that was claimed for a minute after `last_turn` was not started; its claim is undone, and made
        again later. A run that was claimed for a minute up to `last_turn` may have been started, and is not
        started again.
        """
        entries = self._journal.read()
        ends = [*read_saved_ends(self._ends_path), *self._read_reports()]
        survivors = Survivors(entries, ends, self._keeper.leaders, self._keeper.dead_leaders)
        unfinished = self._unfinished(survivors, now)
        survivors.add_known(row.pid for row in unfinished if row.pid)
        cancelled = []
        for row in unfinished:
            is_claim = row.state in {State.CLAIMED, State.WAITING}
            is_of_minute = row.wall is not None  # other runs are claimed when they are to start
            if is_claim and is_of_minute and last_turn is not None and row.fire > last_turn.timestamp():
                cancelled.append(row.id)
            elif row.state == State.CLAIMED and self._journal.is_complete and _was_not_begun(row, entries):
                self._begin_late(row, now)
            elif row.state != State.WAITING:
                self._take_over(row, survivors, now)
        for run in set(self._output.capture.open_runs).difference(row.id for row in unfinished):
            pid = entries[run].pid if run in entries else 0
            self._catch_up(self._output.resume_unknown(run, pid))
        self._ledger.cancel(cancelled)
        for run in cancelled:
            self._output.capture.remove(run)
        self._journal.forget_processes(survivors.ends)
        # The earlier daemon may have had another keeper.
        self._keeper.hold([end for output in self._outputs for end in output.readers.items()])
        if not self._keeper.is_gone:
            self._poller.register(self._keeper, self._reaper.read_reports)
            self._keeper.release_others(self._output.capture.open_runs)

    def done(self) -> None:
        """Remove the file of ends: the ledger has them."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._ends_path)

    def _read_reports(self) -> list[ProcessEnd]:
        """Return the ends that the keeper reports; wait for the last of them, at most a second."""
        ends, give_up_at = self._keeper.read_ends(), clock.elapsed() + REPORT_TIMEOUT
        if not self._keeper.is_gone:
            self._poller.register(self._keeper, lambda: None)
        while not self._keeper.is_complete and clock.elapsed() < give_up_at:
            self._poller.wait(give_up_at - clock.elapsed())
            ends += self._keeper.read_ends()
        return ends

    def _unfinished(self, survivors: Survivors, now: datetime) -> list[Unfinished]:
        """Return the open runs of the ledger, and living runs that it does not have because it is new or the
        disk was full: these are identified by their environment.
        """
        unfinished = self._ledger.unfinished()
        unknown = {*self._output.capture.open_runs} - {row.id for row in unfinished}
        children = procfs.children_by_run() if unknown else {}  # after a restart in place
        rows = []
        for run in sorted(unknown):
            pid, start = children.get(str(run)) or survivors.living(run)
            claim = _claimed_identity(pid, run, self._output.capture.path(run))
            if claim:
                key, fire, attempt = claim
                at = now.timestamp() - max(0.0, clock.elapsed() - procfs.ticks_to_seconds(start))
                rows.append((run, key, fire, "schedule", attempt, pid, start, at))
        if not rows:
            return unfinished
        self._ledger.add_running(rows)
        return self._ledger.unfinished()

    # A claimed run that was not begun

    def _begin_late(self, row: Unfinished, now: datetime) -> None:
        """Let a run start that its daemon claimed but did not start. Up to a minute after its fire time it
        starts late; after that the job's `missed` decides.
        """
        self._output.capture.remove(row.id)
        missed = _run_of(self._ledger, row).job.entry.options.missed
        if abs(now.timestamp() - row.fire) <= MAX_LATENESS or missed in {"once", "all"}:
            self._ledger.wait([(row.id, DIED_BEFORE_START)])
        else:
            self._ledger.settle([(row.id, DIED_BEFORE_START)], State.MISSED, now)

    # A run that was begun, or may have been

    def _take_over(self, row: Unfinished, survivors: Survivors, now: datetime) -> None:
        run = _run_of(self._ledger, row)
        process = survivors.find(row.id, row.pid, row.pid_start, row.fire) if run.state in OPEN else None
        output = self._output.resume(run, row, process.pid if process else row.pid or 0)
        if run.state in OPEN:
            active = ActiveRun(run, row.pid or 0, output, began_at=row.started_at)
            active.is_being_ended = run.cause.reason in ENDED_BY_US
            if process:
                active.pid, active.start, active.pidfd = process.pid, process.start, process.pidfd
                if row.pid is None:
                    active.began_at = self._write_start(row, process, now)
                if run.state == State.CLAIMED:
                    run.enter(State.RUNNING, run.cause)
            self._continue(active, process, now)
        self._catch_up(output)

    def _catch_up(self, output: CapturedOutput) -> None:
        self._output.catch_up(output)
        self._outputs.append(output)

    def _continue(self, active: ActiveRun, process: SurvivingProcess | None, now: datetime) -> None:
        """Watch a run, or close it with the outcome that is known."""
        if process and process.lives:
            active.output.run_over = False
            self._reaper.adopt(active)
        elif process and process.end:
            self._reaper.end(active, *reported_outcome(process.end, active.began_at))
        elif process:
            self._reaper.await_status(active)
        elif self._has_traceless_run and self._journal.is_complete and active.run.state == State.CLAIMED:
            cause = Cause(Reason.DAEMON_DOWN, "claimed, but the daemon died before its start")
            self._reaper.end(active, Outcome(State.LOST, cause), now)
        else:  # runs are started one by one, and the journal has each start: only the first may have started
            cause = Cause(Reason.START_UNKNOWN, "the daemon died in the instant of its start")
            self._reaper.end(active, Outcome(State.UNKNOWN, cause), now)
            self._has_traceless_run = True

    def _write_start(self, row: Unfinished, process: SurvivingProcess, now: datetime) -> float:
        """Write the start of a run whose daemon died before it wrote the start; return it in Unix seconds."""
        age = clock.elapsed() - procfs.ticks_to_seconds(process.start) if process.start else 0.0
        latest = process.end.at if process.end else now.timestamp()
        at = max(row.fire, min(now.timestamp() - age, latest))
        lateness = 1000 * (at - row.fire)
        self._ledger.started([(row.id, process.pid, process.start, clock.at(at), lateness)])
        return at


def _run_of(ledger: Ledger, row: Unfinished) -> Run:
    """Return the run of a row. If the ledger does not have its job, the job has only its key."""
    job = ledger.jobs.job(row.key) or JobRow(
        row.key, None, row.key.partition("/")[0], "", 0, "", None, "UTC", "", "{}"
    )
    return Run(
        row.id, row.fire_of(decode_job(job)), State(row.state), Cause(Reason(row.reason_code), row.reason)
    )


def _claimed_identity(pid: int, run: int, fifo: str) -> tuple[str, float, int] | None:
    """Return the job's key, the fire time and the attempt that the process of a run has in its environment.

    A process can set any variables. So, according to the kernel, the user in the key must own the process and
    the FIFO. Return None if they differ, or if a value is not valid.
    """
    variables = procfs.run_variables(pid)
    if not variables or variables["RUN"] != str(run):
        return None
    try:
        fire = datetime.fromisoformat(variables["FIRE_TIME"]).timestamp()
        attempt = int(variables["ATTEMPT"])
        owners = {os.stat(f"/proc/{pid}").st_uid, os.stat(fifo).st_uid}
    except (ValueError, OverflowError, OSError):
        return None
    uid = NAMES.uid_of(variables["JOB"].partition("/")[0])
    if uid < 0 or owners != {uid} or not 0 < attempt <= MAX_ATTEMPT:
        return None
    return storable(variables["JOB"]), fire, attempt


def _was_not_begun(row: Unfinished, entries: Mapping[int, JournalEntry]) -> bool:
    """Return whether it is certain that no process was ever started for a run."""
    return row.pid is None and entries.get(row.id, NOT_BEGUN) == NOT_BEGUN
