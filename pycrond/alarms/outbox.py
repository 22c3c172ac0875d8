"""The outbox: delivers each alarm by its own process, as its user, and retries until it is accepted."""

import contextlib
import os
import signal
from collections.abc import Iterable, Iterator
from datetime import datetime

from pycrond import clock
from pycrond.alarms.delivery_command import DeliveryCommands
from pycrond.alarms.queue import MAX_BYTES_OF_USER, AlarmQueue
from pycrond.alarms.time_limits import HOOK_TIME, TimeLimits
from pycrond.errors import PycrondError, UnknownUserError, UnusableAccountError, os_message
from pycrond.host import machine, spawn
from pycrond.host.names import User
from pycrond.host.spawner import SPAWNER
from pycrond.ledger.alarms import Alarm, AlarmTable
from pycrond.ledger.writer import Ledger
from pycrond.output.output import Output
from pycrond.runs.command import CommandBuilder
from pycrond.runs.runs import Runs
from pycrond.settings import Settings
from pycrond.text import duration

OUTPUT_WAIT = 10.0  # seconds that a mail waits for output that other processes hold open
ACCOUNT_WAIT = 0.05  # seconds between two checks whether an account was looked up
MIN_RETRY_DELAY, MAX_RETRY_DELAY = 10.0, 3600.0  # seconds between two attempts, doubling
GIVE_UP_AFTER = 5 * 86400.0  # seconds, as mail servers do
LATE = 124  # the exit status of timeout(1)
KILLED = {LATE, 128 + signal.SIGKILL, -signal.SIGKILL}  # timeout(1) may die of the KILL that it sends
MAX_PRINTED = 65536  # bytes that a hook or a courier may print
MAX_STARTS, MAX_CHECKS = 4, 64  # in a step: due jobs must not wait for all alarms
REPORT_INTERVAL = 60.0  # seconds between two messages about dropped alarms


class Outbox:
    """Waiting alarms, and alarms that are being delivered."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        table: AlarmTable,
        output: Output,
        builder: CommandBuilder,
        runs: Runs,
    ) -> None:
        self._settings = settings
        self._table = table
        self._output = output
        self._builder = builder
        self._commands = DeliveryCommands(settings, ledger, builder)
        self._time_limits = TimeLimits(runs.limits, runs.termination)
        self._queue = AlarmQueue(settings.max_waiting_alarms)
        self._deliveries: dict[int, tuple[Alarm, int]] = {}  # by pid, with the memfd that it prints to
        self.dropped = 0
        """The number of alarms dropped since the start, because their user had too many."""
        self._unreported: dict[str, int] = {}  # the number of dropped alarms not logged yet, by user
        self._report_at = 0.0
        if dropped := self.add(_without_longer_waits(table.open(), clock.now().timestamp())):
            for alarm in dropped:
                alarm.next_at = None
            table.record_attempt(dropped, "dropped: too many wait")

    @property
    def has_mailer(self) -> bool:
        return machine.is_mailer_available(self._settings.mailer)

    @property
    def backlog(self) -> int:
        """The number of alarms that are not delivered yet."""
        return len(self._queue)

    @property
    def is_busy(self) -> bool:
        return bool(self._deliveries)

    def mailed_runs(self) -> list[int]:
        """Return the runs whose output will be mailed."""
        return [alarm.run for alarm in self._queue.waiting() if alarm.kind == "mail" and alarm.run]

    def add(self, alarms: Iterable[Alarm]) -> list[Alarm]:
        """Queue alarms for delivery; return the alarms that are dropped because their user has too many."""
        dropped = [alarm for alarm in alarms if not self._queue.add(alarm)]
        for alarm in dropped:
            self._unreported[alarm.user] = self._unreported.get(alarm.user, 0) + 1
            self._release_output(alarm)
        self.dropped += len(dropped)
        return dropped

    def clock_was_turned(self, seconds: float) -> None:
        """Move the times of all alarms, here and in the ledger."""
        self._queue.clock_was_turned(seconds)
        for alarm, _ in self._deliveries.values():
            alarm.move(seconds)
        self._report_at += seconds
        self._table.move(seconds)

    def step(self, now: datetime, elapsed: float) -> None:
        """Begin the deliveries that are due, and end deliveries that take too long."""
        self._time_limits.step(elapsed)
        starts = 0
        for _ in range(MAX_CHECKS):
            alarm = self._queue.pop(now.timestamp()) if starts < MAX_STARTS else None
            if alarm is None:
                break
            if self._is_ready(alarm, now):
                self._begin(alarm, now)
                starts += 1
            else:
                self._queue.put_back(alarm)
        if self._unreported and now.timestamp() >= self._report_at:
            self._report_dropped(now)

    @property
    def next_at(self) -> datetime | None:
        """The time of the next work for `step`, by the wall clock."""
        times = [self._queue.next_at, self._report_at if self._unreported else None]
        first = min((at for at in times if at is not None), default=None)
        return None if first is None else clock.at(first)

    def retry_in(self, elapsed: float) -> float | None:
        """Return the seconds until `step` has something to do by elapsed time."""
        return self._time_limits.retry_in(elapsed)

    def _is_ready(self, alarm: Alarm, now: datetime) -> bool:
        """Return whether an alarm can be delivered now. It waits for its user's account; a mail also waits up
        to OUTPUT_WAIT for the end of the output.
        """
        if not self._builder.is_settled(alarm.user):
            alarm.next_at = now.timestamp() + ACCOUNT_WAIT
            return False
        if alarm.kind != "mail" or not os.path.exists(self._output.capture.path(alarm.run or 0)):
            return True
        if now.timestamp() >= alarm.made_at + OUTPUT_WAIT:
            return True
        alarm.next_at = now.timestamp() + 1.0
        return False

    def _report_dropped(self, now: datetime) -> None:
        self._report_at = now.timestamp() + REPORT_INTERVAL
        for user, count in self._unreported.items():
            most = f"max-waiting-alarms {self._settings.max_waiting_alarms}, {MAX_BYTES_OF_USER >> 20} MiB"
            detail = f"{count} alarms of {user} were dropped: too many wait ({most})"
            self._output.log.write("ALARM", detail, now, level="err")
        self._unreported.clear()

    # One delivery

    def _begin(self, alarm: Alarm, now: datetime) -> None:
        alarm.tries += 1
        try:
            self._start(alarm, self._builder.usable_user(alarm.user, alarm.document.get("uid"), now))
        except UnknownUserError as error:  # perhaps only now
            self._failed(alarm, str(error), now)
        except UnusableAccountError as error:
            self._give_up(alarm, str(error), now)
        except (PycrondError, OSError) as error:
            self._failed(alarm, os_message(error), now)
        except (ValueError, LookupError, TypeError, AttributeError):
            self._give_up(alarm, "its document in the ledger cannot be read", now)

    def _start(self, alarm: Alarm, user: User) -> None:
        """Start the process of a delivery; raises PycrondError or OSError."""
        limits = self._time_limits.limits(alarm)
        printed = spawn.make_memfd(MAX_PRINTED)
        try:
            launch = self._commands.build(alarm, user, f"/proc/{os.getpid()}/fd/{printed}", limits)
            if launch is None:
                self._done(alarm, "nothing was printed")
                os.close(printed)
                return
            with spawn.Starter() as starter:
                pid = starter.start(launch)
        except BaseException:
            os.close(printed)
            self._time_limits.not_started(alarm)
            raise
        self._deliveries[pid] = (alarm, printed)
        self._time_limits.started(alarm, pid, clock.elapsed())

    # The end of a delivery

    def children_ended(self, children: Iterable[tuple[int, int]], now: datetime) -> None:
        """Note the ends of children (pid, status of wait(2)); not all of them are deliveries."""
        for pid, status in children:
            if pid in self._deliveries:
                alarm, memfd = self._deliveries.pop(pid)
                printed = spawn.read_memfd(memfd, MAX_PRINTED)
                code = os.waitstatus_to_exitcode(status)
                if error := SPAWNER.take_failure(pid, status):
                    printed = str(error)
                if pid in self._time_limits.killed:
                    code, printed = LATE, "" if alarm.kind == "hook" else "killed at its time limit"
                self._time_limits.ended(alarm, pid)
                self._ended(alarm, code, printed, now)

    def _ended(self, alarm: Alarm, code: int, printed: str, now: datetime) -> None:
        """Handle an end. Exit status and output come from the user, so they decide only about this alarm."""
        first_line = printed.partition("\n")[0][:200]
        if code == 0:
            self._done(alarm, "delivered")
        elif alarm.kind == "hook":
            reason = f"it took more than {duration(HOOK_TIME)}" if code in KILLED else f"exit status {code}"
            self._give_up(alarm, f"{reason}{f': {first_line}' if first_line else ''}", now)
        elif code in {LATE, os.EX_TEMPFAIL, os.EX_SOFTWARE} or code < 0:
            self._failed(alarm, first_line or f"exit status {code}", now)
        else:
            self._give_up(alarm, first_line or f"exit status {code}", now)

    def _failed(self, alarm: Alarm, reason: str, now: datetime) -> None:
        """Try again later, up to GIVE_UP_AFTER."""
        if now.timestamp() - alarm.made_at > GIVE_UP_AFTER:
            self._give_up(alarm, reason, now)
            return
        alarm.next_at = now.timestamp() + _retry_delay(alarm.tries)
        if alarm.tries == 1:
            detail = f"{_title(alarm)} is tried again until it is accepted: {reason}"
            self._output.log.write("ALARM", detail, now, level="warning")
        self._queue.put_back(alarm)
        self._table.record_attempt([alarm], reason)

    def _give_up(self, alarm: Alarm, reason: str, now: datetime) -> None:
        self._output.log.write("ALARM", f"{_title(alarm)} failed: {reason}", now, level="err")
        self._done(alarm, reason)

    def _done(self, alarm: Alarm, result: str) -> None:
        alarm.next_at = None
        self._queue.done(alarm)
        self._table.record_attempt([alarm], result)
        self._release_output(alarm)

    def _release_output(self, alarm: Alarm) -> None:
        """Stop keeping the output of a run for its mail."""
        if alarm.kind == "mail" and alarm.run:
            self._output.delivery.mail_done(alarm.run)


def _retry_delay(tries: int) -> float:
    """Return the seconds from attempt number `tries` to the next."""
    return min(MIN_RETRY_DELAY * 2 ** min(tries - 1, 40), MAX_RETRY_DELAY) if tries else 0.0


def _without_longer_waits(alarms: Iterable[Alarm], now: float) -> Iterator[Alarm]:
    """Yield alarms with times that are not later than planned, even if the clock was set back since."""
    for alarm in alarms:
        alarm.made_at = min(alarm.made_at, now)
        alarm.next_at = min(alarm.next_at or 0.0, now + _retry_delay(alarm.tries))
        yield alarm


def _title(alarm: Alarm) -> str:
    titles = {"hook": f"on-{alarm.event}", "mail": "mail", "ping": f"ping {alarm.event}"}
    label = alarm.key
    with contextlib.suppress(ValueError):  # its document in the ledger cannot be read
        label = alarm.document.get("label", alarm.key)
    return f"{titles.get(alarm.kind, alarm.kind)} of {label}"
