"""The outbox: delivers each alarm by a process of its own, and retries until it is taken."""

import json
import os
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from pycrond.errors import PycrondError
from pycrond.host import machine, spawn, users
from pycrond.host.spawn import Launch
from pycrond.jobs.job import Entry, Job
from pycrond.jobs.options import CRON
from pycrond.jobs.run import Fire
from pycrond.ledger.alarms import Alarm, AlarmTable
from pycrond.ledger.rows import run_json
from pycrond.ledger.writer import Ledger
from pycrond.output.output import Output
from pycrond.output.spool import Spool
from pycrond.runs.command import CommandBuilder
from pycrond.settings import Settings

MAX_PROCESSES = 4
OUTPUT_WAIT = 10.0  # seconds that a mail waits for the end of an output that other processes hold open
MIN_RETRY_DELAY, MAX_RETRY_DELAY = 10.0, 3600.0  # seconds between two tries, doubling
GIVE_UP_AFTER = 5 * 86400.0  # seconds, as mail servers do
HOOK_PREFIX = ("/usr/bin/timeout", "--kill-after=5", "60")
MAX_PRINTED = 65536  # bytes that a hook or a courier may print
PROXY_VARIABLES = {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}
"""The part of the daemon's environment that a courier gets."""
COURIER = (sys.executable, "-P", "-X", "utf8", "-m", "pycrond.alarms.courier")


class Outbox:
    """The alarms that wait for their delivery, and those that are being delivered."""

    def __init__(
        self, settings: Settings, ledger: Ledger, table: AlarmTable, output: Output, builder: CommandBuilder
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._table = table
        self._output = output
        self._builder = builder
        self._waiting = table.open()
        self._deliveries: dict[int, tuple[Alarm, int]] = {}  # by pid, with the memfd that it prints to

    @property
    def has_mailer(self) -> bool:
        return machine.is_mailer_available(self._settings.mailer)

    @property
    def backlog(self) -> int:
        """The number of alarms that are not delivered yet."""
        return len(self._waiting) + len(self._deliveries)

    @property
    def is_busy(self) -> bool:
        return bool(self._deliveries)

    def mailed_runs(self) -> list[int]:
        """The runs whose output is to be mailed."""
        return [alarm.run for alarm in self._waiting if alarm.kind == "mail" and alarm.run]

    def add(self, alarms: Iterable[Alarm]) -> None:
        self._waiting += alarms

    def step(self, now: datetime) -> None:
        """Begin the deliveries that are due: a few at once, and one of a kind for each job."""
        for alarm in self._candidates() if self._waiting else ():
            busy = {(other.key, other.kind) for other, _ in self._deliveries.values()}
            is_due = (alarm.next_at or 0.0) <= now.timestamp()
            if is_due and (alarm.key, alarm.kind) not in busy and self._is_ready(alarm, now):
                self._waiting.remove(alarm)
                self._begin(alarm, now)
                if len(self._deliveries) >= MAX_PROCESSES:
                    break

    @property
    def next_at(self) -> datetime | None:
        """When `step` has something to do."""
        times = [alarm.next_at or 0.0 for alarm in self._candidates()] if self._waiting else []
        return datetime.fromtimestamp(min(times), UTC) if times else None

    def _candidates(self) -> list[Alarm]:
        """The alarms that need not wait for another of the same job and kind. Pings keep their order,
        whatever becomes of the first.
        """
        if len(self._deliveries) >= MAX_PROCESSES:
            return []
        busy = {(alarm.key, alarm.kind) for alarm, _ in self._deliveries.values()}
        candidates = []
        for alarm in self._waiting:
            key = (alarm.key, alarm.kind)
            if key not in busy:
                candidates.append(alarm)
                if alarm.kind == "ping":
                    busy.add(key)
        return candidates

    def _is_ready(self, alarm: Alarm, now: datetime) -> bool:
        """Return whether an alarm need not wait: a mail waits for the end of the output, for a while."""
        if alarm.kind != "mail" or not os.path.exists(self._output.capture.path(alarm.run or 0)):
            return True
        if now.timestamp() >= alarm.made_at + OUTPUT_WAIT:
            return True
        alarm.next_at = now.timestamp() + 1.0
        return False

    # One delivery

    def _begin(self, alarm: Alarm, now: datetime) -> None:
        alarm.tries += 1
        printed = spawn.make_memfd(MAX_PRINTED)
        try:
            launch = self._hook(alarm, printed) if alarm.kind == "hook" else self._courier(alarm, printed)
            if launch is None:
                self._done(alarm, "nothing was printed")
                os.close(printed)
                return
            with spawn.Spawner() as spawner:
                pid = spawner.start(launch)
            self._deliveries[pid] = (alarm, printed)
        except (PycrondError, OSError) as error:
            os.close(printed)
            self._failed(alarm, str(error), now)

    def _courier(self, alarm: Alarm, printed: int) -> Launch | None:
        document = {"kind": alarm.kind, **alarm.document}
        if alarm.kind == "mail":
            size = Spool(self._settings.spool_dir, alarm.run).size if alarm.run else 0
            if alarm.event == "output" and not size:
                return None
            document |= {
                "mailer": self._settings.mailer,
                "password_file": self._settings.mailer_password_file,
                "spool": self._settings.spool_dir,
                "run": alarm.run or 0,
                "bytes": size,
            }
        proxies = {name: value for name, value in os.environ.items() if name.lower() in PROXY_VARIABLES}
        builder = self._builder
        environment = {
            **proxies,
            "PATH": builder.search_path,
            "HOME": builder.account.home,
            "LC_ALL": "C.UTF-8",
        }
        return Launch(COURIER, environment, "/", json.dumps(document).encode(), _memfd_path(printed))

    def _hook(self, alarm: Alarm, printed: int) -> Launch:
        """The command of a hook, as the job's user, whose account may be gone by now."""
        document = alarm.document
        account = self._builder.accounts.get(document["user"]) or users.by_name(document["user"])
        if account is None:
            raise PycrondError(f"there is no user '{document['user']}'")
        about = self._about(alarm)
        variables = tuple((name, value) for name, value in document["environment"])
        entry = Entry(
            file="",
            line=0,
            user=None,
            schedule=None,
            schedule_text="",
            zone=None,
            command=document["command"],
            stdin=json.dumps(about) + "\n",
            environment=(*variables, *_variables(about)),
            options=CRON,
        )
        fire = Fire(Job(alarm.key, account.name, entry), datetime.fromtimestamp(alarm.made_at, UTC), None)
        path = _memfd_path(printed)
        return self._builder.build(fire, alarm.run or 0, path, prefix=HOOK_PREFIX, account=account)

    def _about(self, alarm: Alarm) -> dict[str, Any]:
        """An object of `history`, with the place of the job and the event."""
        row = self._ledger.run(alarm.run) if alarm.run else None
        run = run_json(row) if row else {"key": alarm.key, "id": None}
        return {**run, **alarm.document["about"], "event": alarm.event}

    # The end of a delivery

    def children_ended(self, children: Iterable[tuple[int, int]], now: datetime) -> None:
        """Note the ends of children, pid and status as wait(2) has it; not all of them are deliveries."""
        for pid, status in children:
            if pid in self._deliveries:
                alarm, memfd = self._deliveries.pop(pid)
                printed = spawn.read_memfd(memfd, MAX_PRINTED)
                self._ended(alarm, os.waitstatus_to_exitcode(status), printed, now)

    def _ended(self, alarm: Alarm, code: int, printed: str, now: datetime) -> None:
        first_line = printed.partition("\n")[0][:200]
        if code == 0:
            self._done(alarm, "delivered")
        elif alarm.kind == "hook":
            reason = "it took more than 60 s" if code in {124, 137} else f"exit status {code}"
            self._give_up(alarm, f"{reason}{f': {first_line}' if first_line else ''}", now)
        elif code in {os.EX_TEMPFAIL, os.EX_SOFTWARE} or code < 0:
            self._failed(alarm, first_line or f"exit status {code}", now)
        else:
            self._give_up(alarm, first_line or f"exit status {code}", now)

    def _failed(self, alarm: Alarm, reason: str, now: datetime) -> None:
        """Try again later, but not for ever."""
        if now.timestamp() - alarm.made_at > GIVE_UP_AFTER:
            self._give_up(alarm, reason, now)
            return
        alarm.next_at = now.timestamp() + min(MIN_RETRY_DELAY * 2 ** (alarm.tries - 1), MAX_RETRY_DELAY)
        if alarm.tries == 1:
            detail = f"{_title(alarm)} is tried again until it is taken: {reason}"
            self._output.log.write("ALARM", detail, now, level="warning")
        self._waiting.append(alarm)
        self._table.tried(alarm, reason)

    def _give_up(self, alarm: Alarm, reason: str, now: datetime) -> None:
        self._output.log.write("ALARM", f"{_title(alarm)} failed: {reason}", now, level="err")
        self._done(alarm, reason)

    def _done(self, alarm: Alarm, result: str) -> None:
        alarm.next_at = None
        self._table.tried(alarm, result)
        if alarm.kind == "mail" and alarm.run:
            self._output.delivery.mail_done(alarm.run)


def _memfd_path(descriptor: int) -> str:
    return f"/proc/{os.getpid()}/fd/{descriptor}"


def _title(alarm: Alarm) -> str:
    titles = {"hook": f"on-{alarm.event}", "mail": "mail", "ping": f"ping {alarm.event}"}
    return f"{titles[alarm.kind]} of {alarm.key}"


def _variables(about: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The variables of a hook that tell about the run."""
    names = ("event", "name", "state", "reason", "exit_status", "signal", "duration_s", "attempt")
    values = [(f"PYCROND_{name.upper()}", about.get(name)) for name in names]
    return [(name, "" if value is None else str(value)) for name, value in values]
