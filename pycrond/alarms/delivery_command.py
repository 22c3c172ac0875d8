"""The command that delivers an alarm: the hook itself, or the courier for a mail or a ping."""

import json
import os
import sys
from collections.abc import Mapping
from datetime import datetime

from pycrond import clock
from pycrond.alarms import hook_document
from pycrond.alarms.time_limits import TIMEOUT
from pycrond.host.cgroup import Limits
from pycrond.host.names import User
from pycrond.host.spawn import Launch
from pycrond.jobs.job import Entry, Job
from pycrond.jobs.options import CRON
from pycrond.jobs.run import Fire
from pycrond.ledger.alarms import Alarm
from pycrond.ledger.writer import Ledger
from pycrond.output.spool import Spool
from pycrond.runs.command import CommandBuilder
from pycrond.settings import Settings

PROXY_VARIABLES = {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}
"""The part of the daemon's environment that a courier gets."""
COURIER = (sys.executable, "-P", "-X", "utf8", "-m", "pycrond.alarms.courier")


class DeliveryCommands:
    """Builds the commands of deliveries, each for the alarm's user."""

    def __init__(self, settings: Settings, ledger: Ledger, builder: CommandBuilder) -> None:
        self._settings = settings
        self._ledger = ledger
        self._builder = builder

    def build(self, alarm: Alarm, user: User, printed: str, limits: Limits) -> Launch | None:
        """Return the command of a delivery, which prints to `printed`; None if there is nothing to deliver.

        `limits` are the limits of a hook.
        """
        if alarm.kind == "hook":
            return self._hook(alarm, user, printed, limits)
        return self._courier(alarm, user, printed)

    def _courier(self, alarm: Alarm, user: User, printed: str) -> Launch | None:
        """Return the courier, which reads the spool as the daemon's user, then becomes the alarm's user."""
        document = {"kind": alarm.kind, **alarm.document}
        if alarm.kind == "mail" or document.get("output"):
            size = Spool(self._settings.spool_dir, alarm.run).size if alarm.run else 0
            if alarm.kind == "mail" and alarm.event == "output" and not size:
                return None
            document |= {"spool": self._settings.spool_dir, "run": alarm.run or 0, "bytes": size}
        if alarm.kind == "mail":
            document["mailer"] = self._settings.mailer
            document["password_file"] = self._settings.mailer_password_file
        account = user.account
        is_own = self._builder.is_own(account)
        path = {"PATH": self._builder.search_path, "LC_ALL": "C.UTF-8"}
        document["process"] = {
            "ids": None if is_own else [account.uid, account.gid, user.groups],
            "environment": {**path, "HOME": account.home, "LOGNAME": account.name, "USER": account.name},
        }
        # HOME is the daemon's: Python would search the user's for modules while it still has root's rights.
        environment = {**_proxies(os.environ, is_own=is_own), **path, "HOME": self._builder.account.home}
        return Launch(COURIER, environment, "/", json.dumps(document).encode(), printed)

    def _hook(self, alarm: Alarm, user: User, printed: str, limits: Limits) -> Launch:
        document = alarm.document
        row = self._ledger.run(alarm.run) if alarm.run else None
        facts = {**document["about"], "key": alarm.key, "event": alarm.event}
        about = hook_document.about(row, facts, self._settings.spool_dir)
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
            environment=(*variables, *hook_document.variables(about), ("PYCROND_ALARM", str(alarm.id))),
            options=CRON,
        )
        made_at = clock.at(alarm.made_at)
        at = datetime.fromisoformat(about["fire"]) if about["fire"] else made_at
        job = Job(alarm.key, user.account.name, entry)
        fire = Fire(job, at, None, attempt=about["attempt"] or 1)
        return self._builder.build(fire, alarm.run or 0, printed, user, limits=limits, prefix=TIMEOUT)


def _proxies(environ: Mapping[str, str], *, is_own: bool) -> dict[str, str]:
    """Return the proxies of the daemon's environment; for other users only those without a password."""
    return {
        name: value
        for name, value in environ.items()
        if name.lower() in PROXY_VARIABLES and (is_own or "@" not in value)
    }
