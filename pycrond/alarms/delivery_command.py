"""The command that delivers an alarm: a hook's own, or the courier for a mail or a ping."""

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from pycrond import clock
from pycrond.alarms.time_limits import TIMEOUT
from pycrond.host import users
from pycrond.host.cgroup import Limits
from pycrond.host.spawn import Launch
from pycrond.jobs.job import Account, Entry, Job
from pycrond.jobs.options import CRON
from pycrond.jobs.run import Fire
from pycrond.ledger.alarms import Alarm
from pycrond.ledger.rows import run_json
from pycrond.ledger.writer import Ledger
from pycrond.output.spool import Spool
from pycrond.runs.command import CommandBuilder
from pycrond.settings import Settings

PROXY_VARIABLES = {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}
"""The part of the daemon's environment that a courier gets."""
COURIER = (sys.executable, "-P", "-X", "utf8", "-m", "pycrond.alarms.courier")


class DeliveryCommands:
    """Builds the commands of deliveries, each for the account of the alarm's user."""

    def __init__(self, settings: Settings, ledger: Ledger, builder: CommandBuilder) -> None:
        self._settings = settings
        self._ledger = ledger
        self._builder = builder

    def build(self, alarm: Alarm, account: Account, printed: str, limits: Limits) -> Launch | None:
        """Return the command of a delivery, which prints to `printed`; None if there is nothing to deliver.

        `limits` are those of a hook.
        """
        if alarm.kind == "hook":
            return self._hook(alarm, account, printed, limits)
        return self._courier(alarm, account, printed)

    def _courier(self, alarm: Alarm, account: Account, printed: str) -> Launch | None:
        """The courier begins as the daemon's user, to read the spool, and then becomes the alarm's user."""
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
        is_own = self._builder.is_own(account)
        path = {"PATH": self._builder.search_path, "LC_ALL": "C.UTF-8"}
        document["process"] = {
            "ids": None if is_own else [account.uid, account.gid, users.group_ids(account)],
            "environment": {
                **path,
                "HOME": account.home,
                "LOGNAME": account.name,
                "USER": account.name,
            },
        }
        # HOME is the daemon's: Python would look there for modules, while it still has root's rights.
        environment = {**_proxies(os.environ, is_own=is_own), **path, "HOME": self._builder.account.home}
        return Launch(COURIER, environment, "/", json.dumps(document).encode(), printed)

    def _hook(self, alarm: Alarm, account: Account, printed: str, limits: Limits) -> Launch:
        document = alarm.document
        about = self._about(alarm, document)
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
            environment=(*variables, *_variables(about), ("PYCROND_ALARM", str(alarm.id))),
            options=CRON,
        )
        fire = Fire(Job(alarm.key, account.name, entry), clock.at(alarm.made_at), None)
        return self._builder.build(
            fire, alarm.run or 0, printed, limits=limits, prefix=TIMEOUT, account=account
        )

    def _about(self, alarm: Alarm, document: Mapping[str, Any]) -> dict[str, Any]:
        """An object of `history`, with the place of the job and the event."""
        row = self._ledger.run(alarm.run) if alarm.run else None
        run = run_json(row) if row else {"key": alarm.key, "id": None}
        return {**run, **document["about"], "event": alarm.event}


def _proxies(environ: Mapping[str, str], *, is_own: bool) -> dict[str, str]:
    """Return the proxies of the daemon's environment; for other users without those that have a password."""
    return {
        name: value
        for name, value in environ.items()
        if name.lower() in PROXY_VARIABLES and (is_own or "@" not in value)
    }


def _variables(about: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The variables of a hook that tell about the run."""
    names = ("event", "name", "state", "reason", "exit_status", "signal", "duration_s", "attempt")
    values = [(f"PYCROND_{name.upper()}", about.get(name)) for name in names]
    return [(name, "" if value is None else str(value)) for name, value in values]
