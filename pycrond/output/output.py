"""The output of the jobs and the daemon's messages, on their way to syslog."""

import os
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pycrond.host import spawn
from pycrond.host.names import NAMES
from pycrond.host.poller import Poller
from pycrond.jobs.run import OPEN, Outcome, Run, State
from pycrond.jobs.shares import Shares
from pycrond.ledger.rows import Unfinished
from pycrond.ledger.writer import Ledger
from pycrond.output.capture import MAX_TAKEN, Capture, CapturedOutput
from pycrond.output.daemon_log import DaemonLog
from pycrond.output.delivery import Delivery
from pycrond.output.run_log import EXIT_SENT, Progress, RunLog
from pycrond.output.spool import Spool
from pycrond.output.syslog import SyslogClient
from pycrond.output.syslog_format import SyslogHeader, settings_format
from pycrond.settings import Settings


class Output:
    """Captures, stores and delivers; the only writer of the runs' logs and spools."""

    def __init__(self, settings: Settings, ledger: Ledger, poller: Poller, shares: Shares) -> None:
        """Connect to syslog and make the directory of the FIFOs."""
        self.shares = shares
        self._spool_dir = settings.spool_dir
        self._poller = poller
        self._watched: int | None = None
        self._syslog = SyslogClient(
            settings.syslog,
            format=settings_format(settings),
            console=settings.log_console,
            perror=2 if settings.log_stderr else None,
        )
        self._syslog.open()
        header = SyslogHeader(settings)
        self.log = DaemonLog(header, self._syslog)
        self.delivery = Delivery(settings, ledger, self._syslog, header, self.log, shares)
        os.makedirs(settings.fifo_dir, mode=0o700, exist_ok=True)
        self.capture = Capture(poller, self.delivery, self.log, settings.fifo_dir)

    # Runs

    def begin(self, started: Sequence[tuple[Run, int, int, float]]) -> list[CapturedOutput]:
        """Log runs that were started, and capture their output: run, pid, the FIFO's read end, and the time
        of the start in Unix seconds.
        """
        outputs = [
            CapturedOutput(RunLog.of(run, pid, Spool(self._spool_dir, run.id, is_new=True), at), reader)
            for run, pid, reader, at in started
        ]
        self.delivery.add([output.log for output in outputs])
        for output in outputs:
            self.capture.watch(output)
        return outputs

    def end(self, output: CapturedOutput, outcome: Outcome, duration: float | None, at: datetime) -> None:
        """Log the end of a run; what processes that it left behind print is captured as it comes."""
        output.log.size_at_end = self.capture.run_ended(output)
        output.log.ending, output.log.ended_at = (outcome, duration), at.timestamp()
        self.delivery.changed(output.log)

    def not_started(self, run: Run, outcome: Outcome, at: datetime) -> None:
        """Log a run that could not be started, also with `log=no`."""
        spool = Spool(self._spool_dir, run.id, is_new=True)
        log = RunLog.of(run, os.getpid(), spool, at.timestamp())
        log.logged, log.output_open, log.ending, log.ended_at = True, False, (outcome, None), log.started_at
        self.delivery.add([log])

    def resume(self, run: Run, row: Unfinished, pid: int) -> CapturedOutput:
        """Go on with a run of an earlier daemon, from where its delivery ended."""
        log = RunLog.of(run, pid, Spool(self._spool_dir, run.id), row.started_at)
        # The daemon may have died, or the disk been full, after it deleted segments and before it stored
        # that; and a power cut may have taken the end of what was delivered.
        sent = min(max(row.delivered, log.spool.kept_start), log.spool.size)
        log.handed = log.acknowledged = log.copied = Progress(sent, row.stage)
        is_open = run.state in OPEN
        log.mailed = log.mailed and is_open
        if not is_open:
            log.ending, log.size_at_end = (row.outcome(), row.duration_s), log.spool.size
            log.ended_at = row.ended_at
        return self._resume(log)

    def resume_unknown(self, run: int, pid: int) -> CapturedOutput:
        """Go on with the output of a run that the ledger has never heard of, because the disk was full."""
        user = NAMES.owner_name(os.stat(self.capture.path(run)).st_uid)
        log = RunLog(run, pid, user, "", "", Spool(self._spool_dir, run), logged=False)
        log.handed = log.acknowledged = log.copied = Progress(log.spool.kept_start, EXIT_SENT)
        log.ending = (Outcome(State.UNKNOWN), None)
        return self._resume(log)

    def _resume(self, log: RunLog) -> CapturedOutput:
        output = CapturedOutput(log, spawn.open_fifo(self.capture.path(log.run)), run_over=True)
        log.output_open = output.reader >= 0
        self.delivery.add([log])
        return output

    def catch_up(self, output: CapturedOutput) -> None:
        """Read what a FIFO without a daemon holds: if nobody writes to it, only splice(2) shows its end."""
        if output.reader >= 0:
            output.log.spool.open()
            self.capture.watch(output)
            self.capture.read(output, MAX_TAKEN)

    # The loop

    def step(self, now: datetime, elapsed: float) -> bool:
        """Retry, and send what syslog takes; return whether there is more to do at once."""
        self.capture.retry(elapsed)
        self.capture.write_back(elapsed)
        more = self.delivery.step(now, elapsed)
        self._watch_syslog()
        return more

    def _watch_syslog(self) -> None:
        """Wait for room in syslog's queue only while there is something for it."""
        number = self._syslog.fileno() if self._syslog.wants_write else None
        if number == self._watched:
            return
        if self._watched is not None:
            self._poller.unregister(self._watched)
        if number is not None:
            self._poller.register(number, lambda: None, write=True)
        self._watched = number

    def retry_in(self, elapsed: float) -> float | None:
        """Seconds until `step` has something to do; None if it has to wait for nothing."""
        waits = [self.capture.retry_in(elapsed), self._syslog.retry_in()]
        return min((wait for wait in waits if wait is not None), default=None)

    def figures(self) -> dict[str, Any]:
        """Return what the disk does not take, and what is on it; in bytes."""
        blocked, trouble = self.capture.blocked_sizes(), self.capture.trouble
        return {
            "trouble": trouble or None,
            "since": self.capture.troubled_at if trouble else None,
            "blocked_runs": len(blocked),
            "blocked_bytes": sum(blocked),
            **self.delivery.figures(),
        }

    def close(self) -> None:
        """Close the connection to syslog; what is under way is sent again by the next daemon."""
        self.capture.close()
        self._syslog.close()
