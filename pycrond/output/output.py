"""The output of the jobs and the daemon's messages, on their way to syslog and standard output."""

import os
import select
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pycrond import clock
from pycrond.host import spawn
from pycrond.host.names import NAMES
from pycrond.host.poller import Poller
from pycrond.jobs.run import OPEN, Outcome, Run, State
from pycrond.jobs.user_shares import Shares
from pycrond.ledger.rows import Unfinished
from pycrond.ledger.writer import Ledger
from pycrond.output.capture import MAX_READ, Capture, CapturedOutput
from pycrond.output.daemon_log import DaemonLog
from pycrond.output.delivery import Delivery
from pycrond.output.file_copies import FileCopies
from pycrond.output.run_log import EXIT_SENT, STREAM, SYSLOG, Progress, RunLog
from pycrond.output.spool import Spool
from pycrond.output.standard_stream import StandardStream, is_null
from pycrond.output.stream_format import FORMATS
from pycrond.output.syslog import SyslogClient
from pycrond.output.syslog_format import SyslogHeader, settings_format
from pycrond.output.syslog_messages import SyslogMessages
from pycrond.output.syslog_socket import writable
from pycrond.output.target import Message, Route
from pycrond.settings import NO_SYSLOG, Settings

ACKNOWLEDGEMENT_CHECKS, ACKNOWLEDGEMENT_INTERVAL = 5, 0.011  # at a stop; seconds between two
MAX_STALL_TIME = 1.0  # seconds for which `drain` waits for a reader that reads nothing
MAX_ROOM_WAIT = 0.05  # seconds for which `drain` waits for room before it reads the FIFOs again


class Output:
    """Captures, stores and delivers output; the only writer of the runs' logs and spools."""

    def __init__(self, settings: Settings, ledger: Ledger, poller: Poller, shares: Shares) -> None:
        """Connect to the targets and make the directory of the FIFOs."""
        self.shares = shares
        self._spool_dir = settings.spool_dir
        self._poller = poller
        self._routes = _routes(settings)
        self._watched: dict[int, int] = {}  # the descriptors of targets without room, by their places
        self.log = DaemonLog(self._routes.values(), _console(settings, self._routes))
        self.delivery = Delivery(settings, ledger, self._routes, self.log, shares)
        os.makedirs(settings.fifo_dir, mode=0o700, exist_ok=True)
        self.copies = FileCopies(poller, ledger.file, self.log)
        self.capture = Capture(poller, self.delivery, self.log, settings.fifo_dir)

    # Runs

    def begin(self, started: Sequence[tuple[Run, int, Mapping[int, int], float]]) -> list[CapturedOutput]:
        """Log started runs, and capture their output: run, pid, the read ends of its FIFOs as in
        `CapturedOutput.readers`, and the time of the start in Unix seconds.
        """
        outputs = []
        for run, pid, readers, at in started:
            log = RunLog.of(run, pid, Spool(self._spool_dir, run.id, is_new=True), at)
            outputs.append(CapturedOutput(log, readers[run.id], readers.get(-run.id, -1)))
        self.delivery.add([output.log for output in outputs])
        for output in outputs:
            self.capture.watch(output)
        return outputs

    def end(self, output: CapturedOutput, outcome: Outcome, duration: float | None, at: datetime) -> None:
        """Log the end of a run; the output of processes that it left behind is still captured."""
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
        """Continue a run of an earlier daemon at the end of its delivery."""
        log = RunLog.of(run, pid, Spool(self._spool_dir, run.id), row.started_at)
        log.resume(Progress(row.delivered, row.stage), Progress(row.printed, row.shown))
        is_open = run.state in OPEN
        log.mailed = log.mailed and is_open
        if not is_open:
            log.ending, log.size_at_end = (row.outcome(), row.duration_s), log.spool.size
            log.ended_at = row.ended_at
        return self._resume(log)

    def resume_unknown(self, run: int, pid: int) -> CapturedOutput:
        """Continue the output of a run that is not in the ledger, because the disk was full."""
        user = NAMES.owner_name(os.stat(self.capture.path(run)).st_uid)
        log = RunLog(run, pid, user, "", "", Spool(self._spool_dir, run), logged=False)
        log.resume(*[Progress(0, EXIT_SENT)] * 2)
        log.ending = (Outcome(State.UNKNOWN), None)
        return self._resume(log)

    def _resume(self, log: RunLog) -> CapturedOutput:
        reader, errors = (spawn.open_fifo(self.capture.path(number)) for number in (log.run, -log.run))
        output = CapturedOutput(log, reader, errors, run_over=True)
        log.output_open = output.reader >= 0
        self.copies.resume(log)
        self.delivery.add([log])
        return output

    def catch_up(self, output: CapturedOutput) -> None:
        """Read a FIFO that has had no daemon: without a writer, only splice(2) shows its end."""
        if output.reader >= 0:
            output.log.spool.open()
            self.capture.watch(output)
            self.capture.read(output, MAX_READ, everything=output.run_over)

    # The loop

    def step(self, now: datetime, elapsed: float) -> bool:
        """Retry, and send what the targets accept; return whether there is more to do at once."""
        self.capture.retry(elapsed)
        self.capture.write_back(elapsed)
        self.copies.step(elapsed, self.delivery.changed)
        more = self.delivery.step(now, elapsed)
        self._watch_targets()
        return more

    def _watch_targets(self) -> None:
        """Wait for room in the queue of a target only while there is something for it."""
        for place, route in self._routes.items():
            number = route.target.fileno() if route.target.wants_write else None
            watched = self._watched.pop(place, None)
            if watched is not None and watched != number:
                self._poller.unregister(watched)
            if number is not None:
                self._watched[place] = number
                if number != watched:
                    self._poller.register(number, lambda: None, write=True)

    def retry_in(self, elapsed: float) -> float | None:
        """Return the seconds until `step` has something to do; None if it has nothing to wait for."""
        targets = (route.target.retry_in() for route in self._routes.values())
        parts = (part.retry_in(elapsed) for part in (self.capture, self.copies, self.delivery))
        waits = [*parts, *targets]
        return min((wait for wait in waits if wait is not None), default=None)

    def drain(self, now: datetime, give_up_at: float) -> None:
        """Send all messages that the targets accept. Wait for the reader of standard output to make room,
        until `give_up_at` (`clock.elapsed`), unless it stands still or has ended.
        """
        stalled_at = clock.elapsed() + MAX_STALL_TIME
        while (elapsed := clock.elapsed()) < min(give_up_at, stalled_at):
            self.capture.read_ready()
            if self.delivery.step(now, elapsed):
                continue
            stream = self._routes.get(STREAM)
            number = stream.target.fileno() if stream and stream.target.wants_write else None
            if number is None:
                break
            if writable(number, MAX_ROOM_WAIT):
                stalled_at = clock.elapsed() + MAX_STALL_TIME
        for _ in range(ACKNOWLEDGEMENT_CHECKS):  # else the next daemon sends again what the reader has read
            if all(route.target.retry_in() is None for route in self._routes.values()):
                break
            select.select((), (), (), ACKNOWLEDGEMENT_INTERVAL)  # whatever jobs print meanwhile
            self.delivery.step(now, clock.elapsed())

    def figures(self) -> dict[str, Any]:
        """Return the trouble with the disk, the bytes that cannot be written, and the delivery's figures."""
        blocked, trouble = self.capture.blocked_sizes(), self.capture.trouble
        return {
            "trouble": trouble or None,
            "since": self.capture.troubled_at if trouble else None,
            "blocked_runs": len(blocked),
            "blocked_bytes": sum(blocked),
            **self.delivery.figures(),
        }

    def close(self) -> None:
        """Close the targets; the next daemon sends again what syslog has not acknowledged."""
        self.capture.close()
        for route in self._routes.values():
            route.target.close()


def _routes(settings: Settings) -> dict[int, Route]:
    """Return the routes to the targets that the settings name, by their places."""
    routes = {}
    if settings.syslog != NO_SYSLOG:
        client = SyslogClient(settings.syslog, format=settings_format(settings))
        routes[SYSLOG] = Route(client, SyslogMessages(SyslogHeader(settings)), SYSLOG)
    number = 1 if settings.log_stdout else 2
    if (settings.log_stdout or settings.log_stderr) and not is_null(number):
        stream = StandardStream(number)
        routes[STREAM] = Route(stream, FORMATS[settings.log_format](), STREAM)
    for route in routes.values():
        route.target.open()
    return routes


def _console(settings: Settings, routes: Mapping[int, Route]) -> Callable[[Message], None]:
    """Return a function that writes a message of the daemon to the console, if the settings say so."""
    syslog = routes.get(SYSLOG)
    if not settings.log_console or not syslog or not isinstance(syslog.target, SyslogClient):
        return lambda _message: None
    client, form = syslog.target, syslog.form
    return lambda message: client.show_on_console(form.message(message, message.at))
