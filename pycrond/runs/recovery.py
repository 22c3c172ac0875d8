"""Recovery: what an earlier daemon left. Its running runs are adopted, the others closed."""

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
DIED_BEFORE_START = Cause.of(Reason.DAEMON_DOWN, "it died before this was started")


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
        """`ends_path` is the file of ends that a keeper which has ended wrote."""
        self._ledger = ledger
        self._output = output
        self._reaper = reaper
        self._journal = reaper.journal
        self._keeper = keeper
        self._poller = poller
        self._ends_path = ends_path
        self._outputs: list[CapturedOutput] = []  # of all runs that it takes over
        self._found_traceless = False  # a claimed run that left no trace of a process

    def run(self, last_turn: datetime | None, now: datetime) -> None:
        """Adopt what lives, close what does not, and go on with the delivery where the last daemon stopped.

        A run that was claimed for a minute after `last_turn` was not started; its claim is undone, to be made
        again. A run that was claimed up to it may have been started, and is not started again.
        """
        entries = self._journal.read()
        ends = [*read_saved_ends(self._ends_path), *self._read_reports()]
        survivors = Survivors(entries, ends, self._keeper.leaders, self._keeper.dead_leaders)
        unfinished = self._unfinished(survivors, now)
        survivors.add_known(row.pid for row in unfinished if row.pid)
        cancelled = []
        for row in unfinished:
            is_claim = row.state in {State.CLAIMED, State.WAITING}
            is_of_minute = row.wall is not None  # others are claimed when they are to start
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
        # The keeper may be another one than that daemon's.
        self._keeper.hold([end for output in self._outputs for end in output.readers.items()])
        if not self._keeper.is_gone:
            self._poller.register(self._keeper, self._reaper.read_reports)
            self._keeper.release_others(self._output.capture.open_runs)

    def done(self) -> None:
        """Remove the file of ends: the ledger has them."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._ends_path)

    def _read_reports(self) -> list[ProcessEnd]:
        """The ends that the keeper reports; the last of them is waited for, for a second."""
        ends, give_up_at = self._keeper.read_ends(), clock.elapsed() + REPORT_TIMEOUT
        if not self._keeper.is_gone:
            self._poller.register(self._keeper, lambda: None)
        while not self._keeper.is_complete and clock.elapsed() < give_up_at:
            self._poller.wait(give_up_at - clock.elapsed())
            ends += self._keeper.read_ends()
        return ends

    def _unfinished(self, survivors: Survivors, now: datetime) -> list[Unfinished]:
        """The open runs of the ledger, and living runs that it has never heard of, because it is new or the
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
        """Let a run start that its daemon claimed and did not begin: up to a minute later that is lateness;
        after that the job's `missed` decides.
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
        """Watch a run, or close it, as far as its end is known."""
        if process and process.lives:
            active.output.run_over = False
            self._reaper.adopt(active)
        elif process and process.end:
            self._reaper.end(active, *reported_outcome(process.end, active.began_at))
        elif process:
            self._reaper.await_status(active)
        elif self._found_traceless and self._journal.is_complete and active.run.state == State.CLAIMED:
            cause = Cause(Reason.DAEMON_DOWN, "claimed, and the daemon died")
            self._reaper.end(active, Outcome(State.LOST, cause), now)
        else:  # runs are started one after another, and each is noted: only the first can have been started
            cause = Cause(Reason.START_UNKNOWN, "the daemon died in the instant of its start")
            self._reaper.end(active, Outcome(State.UNKNOWN, cause), now)
            self._found_traceless = True

    def _write_start(self, row: Unfinished, process: SurvivingProcess, now: datetime) -> float:
        """Write the start of a run whose daemon died before it could; return it in Unix seconds."""
        age = clock.elapsed() - procfs.ticks_to_seconds(process.start) if process.start else 0.0
        latest = process.end.at if process.end else now.timestamp()
        at = max(row.fire, min(now.timestamp() - age, latest))
        lateness = 1000 * (at - row.fire)
        self._ledger.started([(row.id, process.pid, process.start, clock.at(at), lateness)])
        return at


def _run_of(ledger: Ledger, row: Unfinished) -> Run:
    """The run of a row, as far as the ledger knows its job."""
    job = ledger.jobs.job(row.key) or JobRow(
        row.key, None, row.key.partition("/")[0], "", 0, "", None, "UTC", "", "{}"
    )
    return Run(
        row.id, row.fire_of(decode_job(job)), State(row.state), Cause(Reason(row.reason_code), row.reason)
    )


def _claimed_identity(pid: int, run: int, fifo: str) -> tuple[str, float, int] | None:
    """Return the job's key, the fire time and the attempt that the process of a run has in its environment.

    A process can put anything there. So the user of the key must be the owner of the process and of the FIFO,
    by the kernel's word; None where they differ, or where the text makes no sense.
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
