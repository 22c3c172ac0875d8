"""What an earlier daemon left: its runs that live, those that do not, what is still to be told of them."""

import contextlib
import os
from collections.abc import Mapping
from datetime import UTC, datetime

from pycrond import clock
from pycrond.host import procfs, spawn, users
from pycrond.host.poller import Poller
from pycrond.jobs.job import Job
from pycrond.jobs.run import Fire, Outcome, State
from pycrond.keeper.client import KeeperClient, ProcessEnd, left_behind
from pycrond.ledger.codec import job_of
from pycrond.ledger.rows import JobRow, Unfinished
from pycrond.ledger.writer import Ledger
from pycrond.output.capture import TAKES, Capture, CapturedOutput
from pycrond.output.delivery import Delivery
from pycrond.output.run_log import EXIT_SENT, Progress, RunLog
from pycrond.output.spool import CHUNK, Spool
from pycrond.runs.active import ActiveRun, ActiveRuns, how_it_ended
from pycrond.runs.adoption import SurvivingProcess, Survivors
from pycrond.runs.journal import NOT_BEGUN, Journal, JournalEntry
from pycrond.runs.pending import PendingWrites
from pycrond.runs.policy import may_be_mailed

PATIENCE = 1.0  # seconds to wait for the keeper's word
LATE = 60.0  # seconds


class Recovery:
    """Takes over; made once, at the start of a daemon."""

    def __init__(
        self,
        poller: Poller,
        ledger: Ledger,
        deliveries: Delivery,
        outputs: Capture,
        runs: ActiveRuns,
        *,
        owed: PendingWrites,
        state_dir: str,
    ) -> None:
        self._spools = os.path.join(state_dir, "spool")
        self._poller = poller
        self._ledger = ledger
        self._delivery = deliveries
        self._outputs = outputs
        self._runs = runs
        self._pending = owed
        self._traceless = False  # a claimed run was met that left no trace of a process
        self._ends = os.path.join(state_dir, "ends")

    def run(self, keeping: KeeperClient, starts: Journal, last_turn: datetime | None, now: datetime) -> None:
        """Take over what lives, close what does not, and go on telling where the last one stopped.

        What was claimed for a minute after `last_turn` was not started, and is taken back to be claimed
        anew. What was claimed up to it may have been, and is not started again.
        """
        started = starts.read()
        ends = [*left_behind(self._ends), *self._told(keeping)]
        survivors = Survivors(started, ends, keeping.leaders, keeping.dead_leaders)
        unfinished = self._unfinished(survivors, now)
        survivors.know(left.pid for left in unfinished if left.pid)
        not_begun = []
        for left in unfinished:
            is_open = left.state in {"claimed", "waiting"}
            is_named = left.wall is not None  # after a minute: others are claimed when they are to start
            if is_open and is_named and last_turn is not None and left.fire > last_turn.timestamp():
                not_begun.append(left.id)
            elif left.state == "claimed" and starts.is_complete and _was_never_begun(left, started):
                self._begin_late(left, now)
            elif left.state != "waiting":
                self._take_over(left, survivors, now)
        for run in set(self._outputs.open).difference(left.id for left in unfinished):
            self._take_over_output(run, started[run].pid if run in started else 0)
        self._ledger.cancel(not_begun)
        for run in not_begun:
            self._outputs.remove(run)
        self._pending.forget(survivors.ends)
        if not keeping.is_gone:
            self._poller.register(keeping, self._runs.hear)
            keeping.keep(self._outputs.open)

    def _begin_late(self, left: Unfinished, now: datetime) -> None:
        """It was claimed, and the daemon died before its turn came: a minute later that is lateness, and it
        waits to be started; then the job's `missed` decides.
        """
        self._outputs.remove(left.id)
        missed = self._fire(left).job.entry.options.missed
        if now.timestamp() - left.fire <= LATE or missed in {"once", "all"}:
            self._ledger.wait([(left.id, "daemon-down: it died before this was started")])
        else:
            self._ledger.settle([(left.id, "daemon-down: it died before this was started")], "missed", now)

    def done(self) -> None:
        """The ledger has it all."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._ends)

    def _unfinished(self, survivors: Survivors, now: datetime) -> list[Unfinished]:
        """What the ledger has to be done, and runs that live and that it has never heard of, being new or the
        disk full: they say themselves who they are.
        """
        unfinished = self._ledger.unfinished()
        unknown = {*self._outputs.open} - {left.id for left in unfinished}
        children = procfs.children_by_run() if unknown else {}  # of a restart in place
        rows = []
        for run in sorted(unknown):
            pid, start = children.get(str(run)) or survivors.living(run)
            told = procfs.told(pid)
            if told and told["RUN"] == str(run):
                at = now.timestamp() - max(0.0, clock.elapsed() - procfs.seconds(start))
                fire = datetime.fromisoformat(told["FIRE_TIME"]).timestamp()
                rows.append((run, told["JOB"], fire, "schedule", int(told["ATTEMPT"]), pid, start, at))
        if not rows:
            return unfinished
        self._ledger.found(rows)
        return self._ledger.unfinished()

    def _told(self, keeping: KeeperClient) -> list[ProcessEnd]:
        """What the keeper knows, waited for a second."""
        known, give_up = keeping.ends(), clock.elapsed() + PATIENCE
        if not keeping.is_gone:
            self._poller.register(keeping, lambda: None)
        while not keeping.all_told and clock.elapsed() < give_up:
            self._poller.wait(give_up - clock.elapsed())
            known += keeping.ends()
        return known

    def _take_over(self, left: Unfinished, survivors: Survivors, now: datetime) -> None:
        found = None
        if left.state in {"claimed", "running"}:
            found = survivors.find(left.id, left.pid, left.pid_start, left.fire)
        fire = self._fire(left)
        output = self._output(left, found, fire.job)
        running = ActiveRun(left.id, fire, left.pid or 0, output, began_at=left.started_at)
        was_ended = left.state in {"claimed", "running"} and bool(left.reason)
        if was_ended and ", SIG" in left.reason:  # as `ByHand` writes it
            running.signalled = left.reason
        elif was_ended:
            state: State = "timed-out" if left.reason.startswith("timeout") else "killed"
            running.ended_by = (state, left.reason)
        telling = running.output.log
        if found:
            running.pid, running.start, running.pidfd = found.pid, found.start, found.pidfd
        if found and left.pid is None:
            running.began_at = self._write_start(left, found, now)
        if left.state in {"claimed", "running"}:
            self._continue(running, found, now)
        else:
            telling.ending, telling.end_at = (left.outcome(), left.duration_s), telling.spool.size
        self._delivery.touch(telling)
        self._take(output)

    def _take_over_output(self, run: int, pid: int) -> None:
        """Of a run that the ledger has never heard of, for the disk was full: what it prints is told."""
        path = self._outputs.path(run)
        user = users.own(os.stat(path).st_uid).name
        telling = RunLog(run, pid, user, "", "", Spool(self._spools, run), logged=False)
        telling.handed = telling.taken = telling.shown = Progress(telling.spool.begin, EXIT_SENT)
        telling.ending = (Outcome("unknown"), None)
        self._delivery.add([telling])
        self._take(CapturedOutput(telling, spawn.open_fifo(path), run_over=True))

    def _take(self, output: CapturedOutput) -> None:
        if output.reader >= 0:
            output.log.spool.open()  # of a FIFO that nobody writes to, only splice itself shows the end
            self._outputs.watch(output)
            self._outputs.take(output, TAKES * CHUNK)

    def _fire(self, left: Unfinished) -> Fire:
        row = self._ledger.jobs.job(left.key) or JobRow(
            left.key, None, left.key.partition("/")[0], "", 0, "", None, "UTC", "", "{}"
        )
        at = datetime.fromtimestamp(left.fire, UTC)
        return Fire(job_of(row), at, left.wall, left.fold, left.era, left.trigger, attempt=left.attempt)

    def _continue(self, running: ActiveRun, found: SurvivingProcess | None, now: datetime) -> None:
        """Watch it, or close it, as far as it is known how."""
        if found and (found.is_child or found.pidfd >= 0):
            running.output.run_over = False
            self._runs.adopt(running)
        elif found and found.end:
            self._runs.over(running, *how_it_ended(found.end, running.began_at))
        elif found:
            self._runs.wait_for_word(running)
        elif self._traceless:
            self._runs.over(running, Outcome("lost", "claimed, and the daemon died"), now)
        else:  # they are started one after another, and each is noted: only of the first can this be
            self._runs.over(running, Outcome("unknown", "the daemon died in the instant of its start"), now)
            self._traceless = True

    def _output(self, left: Unfinished, found: SurvivingProcess | None, job: Job) -> CapturedOutput:
        name = left.key.partition("/")[2]
        pid = found.pid if found else left.pid or 0
        telling = RunLog(left.id, pid, job.user, job.entry.command, name, Spool(self._spools, left.id))
        # The daemon may have died, or the disk been full, after it deleted segments and before it wrote so.
        sent = max(left.delivered, telling.spool.begin)
        telling.handed = telling.taken = telling.shown = Progress(sent, left.told)
        telling.logged = job.entry.options.log
        telling.mailed = left.state in {"claimed", "running"} and may_be_mailed(job.entry.options)
        self._delivery.add([telling])
        output = CapturedOutput(telling, spawn.open_fifo(self._outputs.path(left.id)), run_over=True)
        telling.output_open = output.reader >= 0
        return output

    def _write_start(self, left: Unfinished, found: SurvivingProcess, now: datetime) -> float:
        """Of a run whose daemon died before it could write down that it had started."""
        ago = clock.elapsed() - procfs.seconds(found.start) if found.start else 0.0
        latest = found.end.at if found.end else now.timestamp()
        at = max(left.fire, min(now.timestamp() - ago, latest))
        self._ledger.started(
            [(left.id, found.pid, found.start, datetime.fromtimestamp(at, UTC), 1000 * (at - left.fire))]
        )
        return at


def _was_never_begun(left: Unfinished, started: Mapping[int, JournalEntry]) -> bool:
    """Whether no process was ever started for it, for certain."""
    return left.pid is None and started.get(left.id, NOT_BEGUN) == NOT_BEGUN
