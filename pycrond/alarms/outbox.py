"""The alarms that are under way: each delivered by a process of its own, and again until it is taken."""

import json
import os
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from pycrond.errors import PycrondError
from pycrond.host import machine, spawn, users
from pycrond.host.spawn import Launch
from pycrond.jobs.job import Account, Entry, Job
from pycrond.jobs.options import CRON
from pycrond.jobs.run import Fire
from pycrond.ledger import rows
from pycrond.ledger.alarms import Alarm, AlarmTable
from pycrond.ledger.writer import Ledger
from pycrond.output.delivery import Delivery
from pycrond.output.spool import Spool
from pycrond.runs.command import describe
from pycrond.runs.environment import inherited
from pycrond.settings import Settings

AT_ONCE = 4  # processes
LINGER = 10.0  # seconds that a mail waits for an output which others hold open
AGAIN_FIRST, AGAIN_MOST = 10.0, 3600.0  # seconds between two tries, doubling
GIVE_UP = 5 * 86400.0  # seconds, as mail servers do
HOOK_TIME = ("/usr/bin/timeout", "--kill-after=5", "60")
SAID_MOST = 65536  # bytes that a hook may print; more is refused to it
PROXIES = {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}
"""What of the daemon's environment a courier has: how the world is reached."""
COURIER = (sys.executable, "-P", "-X", "utf8", "-m", "pycrond.alarms.courier")


class Outbox:
    """What is to be delivered, what is being delivered, and the mailer there is."""

    def __init__(
        self,
        ledger: Ledger,
        book: AlarmTable,
        deliveries: Delivery,
        settings: Settings,
        *,
        account: Account,
        search_path: str,
    ) -> None:
        """`account` is the daemon's own; `accounts` are those of the jobs, by name, and change with them."""
        self._ledger = ledger
        self._book = book
        self._delivery = deliveries
        self._settings = settings
        self._account = account
        self.accounts: Mapping[str, Account] = {account.name: account}
        self._search_path = search_path
        self._spools = os.path.join(settings.state_dir, "spool")
        self._fifos = os.path.join(settings.runtime_dir, "fifo")
        self._waiting = book.open()
        self._under_way: dict[int, tuple[Alarm, int]] = {}  # by pid, with what it prints to

    @property
    def has_mailer(self) -> bool:
        return machine.has_mailer(self._settings.mailer)

    @property
    def backlog(self) -> int:
        """How many are not delivered yet."""
        return len(self._waiting) + len(self._under_way)

    @property
    def is_busy(self) -> bool:
        return bool(self._under_way)

    def mails(self) -> list[int]:
        """The runs whose output is to be mailed."""
        return [one.run for one in self._waiting if one.kind == "mail" and one.run]

    def add(self, alarms: Iterable[Alarm]) -> None:
        self._waiting += alarms

    def tick(self, now: datetime) -> None:
        """Begin what is due, a few at once, those of one job one after another."""
        for alarm in self._next() if self._waiting else ():
            under_way = {(other.key, other.kind) for other, _ in self._under_way.values()}
            is_due = (alarm.next_at or 0.0) <= now.timestamp()
            if is_due and (alarm.key, alarm.kind) not in under_way and self._is_ready(alarm, now):
                self._waiting.remove(alarm)
                self._begin(alarm, now)
                if len(self._under_way) >= AT_ONCE:
                    break

    @property
    def next_at(self) -> datetime | None:
        """When `tend` has something to do."""
        times = [one.next_at or 0.0 for one in self._next()] if self._waiting else []
        return datetime.fromtimestamp(min(times), UTC) if times else None

    def _next(self) -> list[Alarm]:
        """Those that need not wait for another one: of a job, one of a kind is under way at a time, and pings
        keep their order whatever becomes of the first.
        """
        if len(self._under_way) >= AT_ONCE:
            return []
        busy = {(alarm.key, alarm.kind) for alarm, _ in self._under_way.values()}
        found = []
        for alarm in self._waiting:
            place = (alarm.key, alarm.kind)
            if place not in busy:
                found.append(alarm)
                if alarm.kind == "ping":
                    busy.add(place)
        return found

    def _is_ready(self, alarm: Alarm, now: datetime) -> bool:
        """A mail waits for the end of the output, or for a while."""
        if alarm.kind != "mail" or not os.path.exists(os.path.join(self._fifos, str(alarm.run))):
            return True
        if now.timestamp() >= alarm.made_at + LINGER:
            return True
        alarm.next_at = now.timestamp() + 1.0
        return False

    def _begin(self, alarm: Alarm, now: datetime) -> None:
        alarm.tries += 1
        said = spawn.make_memfd(SAID_MOST)
        try:
            launch = self._hook(alarm, said) if alarm.kind == "hook" else self._courier(alarm, said)
            if launch is None:
                self._done(alarm, "nothing was printed")
                os.close(said)
                return
            self._under_way[spawn.start(launch)] = (alarm, said)
        except (PycrondError, OSError) as error:
            os.close(said)
            self._failed(alarm, str(error), now)

    def _courier(self, alarm: Alarm, said: int) -> Launch | None:
        document = {"kind": alarm.kind, **alarm.document}
        if alarm.kind == "mail":
            size = Spool(self._spools, alarm.run).size if alarm.run else 0
            if alarm.event == "output" and not size:
                return None
            document |= {
                "mailer": self._settings.mailer,
                "password_file": self._settings.mailer_password_file,
                "spool": self._spools,
                "run": alarm.run or 0,
                "bytes": size,
            }
        home = self._account.home
        proxies = {name: value for name, value in os.environ.items() if name.lower() in PROXIES}
        environment = {**proxies, "PATH": self._search_path, "HOME": home, "LC_ALL": "C.UTF-8"}
        text = json.dumps(document).encode()
        return Launch(COURIER, environment, "/", text, f"/proc/{os.getpid()}/fd/{said}")

    def _hook(self, alarm: Alarm, said: int) -> Launch:
        """As the job's user, who may be gone by now."""
        document = alarm.document
        account = self.accounts.get(document["user"]) or users.named(document["user"])
        if account is None:
            raise PycrondError(f"there is no user '{document['user']}'")
        about = self._about(alarm)
        entry = Entry(
            "",
            0,
            None,
            None,
            "",
            None,
            document["command"],
            json.dumps(about) + "\n",
            (*((name, value) for name, value in document["environment"]), *_variables(about)),
            CRON,
        )
        fire = Fire(Job(alarm.key, account.name, entry), datetime.fromtimestamp(alarm.made_at, UTC), None)
        groups = None if account.uid == self._account.uid else users.groups(account)
        return describe(
            fire,
            alarm.run or 0,
            account,
            f"/proc/{os.getpid()}/fd/{said}",
            self._search_path,
            groups=groups,
            prefix=HOOK_TIME,
            state_dir=self._settings.state_dir,
            inherited=inherited(os.environ, wanted=self._settings.inherit_env),
        )

    def _about(self, alarm: Alarm) -> dict[str, Any]:
        """One object of `history`, and where the job stands."""
        row = self._ledger.run(alarm.run) if alarm.run else None
        found = rows.run_json(row) if row else {"key": alarm.key, "id": None}
        return {**found, **alarm.document["about"], "event": alarm.event}

    # What comes of it

    def reaped(self, ended: Iterable[tuple[int, int]], now: datetime) -> None:
        """Children that have ended, pid and status as wait(2) has it; some are none of ours."""
        for pid, status in ended:
            if pid in self._under_way:
                alarm, said = self._under_way.pop(pid)
                text = spawn.read_memfd(said, SAID_MOST)
                self._take(alarm, os.waitstatus_to_exitcode(status), text, now)

    def _take(self, alarm: Alarm, code: int, said: str, now: datetime) -> None:
        first = said.partition("\n")[0][:200]
        if code == 0:
            self._done(alarm, "delivered")
        elif alarm.kind == "hook":
            why = "it took more than 60 s" if code in {124, 137} else f"exit status {code}"
            self._give_up(alarm, f"{why}{f': {first}' if first else ''}", now)
        elif code in {os.EX_TEMPFAIL, os.EX_SOFTWARE} or code < 0:
            self._failed(alarm, first or f"exit status {code}", now)
        else:
            self._give_up(alarm, first or f"exit status {code}", now)

    def _failed(self, alarm: Alarm, why: str, now: datetime) -> None:
        """Another time, but not for ever."""
        if now.timestamp() - alarm.made_at > GIVE_UP:
            self._give_up(alarm, why, now)
            return
        alarm.next_at = now.timestamp() + min(AGAIN_FIRST * 2 ** (alarm.tries - 1), AGAIN_MOST)
        if alarm.tries == 1:
            said = f"{_name(alarm)} is tried again until it is taken: {why}"
            self._delivery.say("ALARM", said, now, level="warning")
        self._waiting.append(alarm)
        self._book.tried(alarm, why)

    def _give_up(self, alarm: Alarm, why: str, now: datetime) -> None:
        self._delivery.say("ALARM", f"{_name(alarm)} failed: {why}", now, level="err")
        self._done(alarm, why)

    def _done(self, alarm: Alarm, result: str) -> None:
        alarm.next_at = None
        self._book.tried(alarm, result)
        if alarm.kind == "mail" and alarm.run:
            self._delivery.mail_done(alarm.run)


def _name(alarm: Alarm) -> str:
    words = {"hook": f"on-{alarm.event}", "mail": "mail", "ping": f"ping {alarm.event}"}
    return f"{words[alarm.kind]} of {alarm.key}"


def _variables(about: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a hook finds in its environment."""
    names = ("event", "name", "state", "reason", "exit_status", "signal", "duration_s", "attempt")
    found = [(f"PYCROND_{name.upper()}", about.get(name)) for name in names]
    return [(name, "" if value is None else str(value)) for name, value in found]
