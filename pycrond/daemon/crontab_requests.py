"""Requests of crontab(1): users edit their crontabs without access to the spool directory."""

import base64
import binascii
from collections.abc import Callable
from typing import Any

from pycrond import clock
from pycrond.control.permissions import requester
from pycrond.control.requests import text
from pycrond.errors import PycrondError
from pycrond.host.names import NAMES
from pycrond.jobs.job import Account
from pycrond.output.daemon_log import DaemonLog
from pycrond.settings import Settings
from pycrond.sources.allow_deny import refusal
from pycrond.sources.limits import limits_of_users
from pycrond.sources.user_crontabs import UserCrontabs

ACTIONS = {"list": "LIST", "edit": "BEGIN EDIT", "replace": "REPLACE", "delete": "DELETE"}
"""The actions, with their words in the log, which are those of Debian's crontab and cronie's."""
LIMITS = "limits"
"""The action whose answer has the limits, so that crontab(1) refuses what the daemon would not read."""


class CrontabRequests:
    """Reads and writes the crontabs of users: each user its own, root those of all users."""

    def __init__(self, settings: Settings, dialect: str, log: DaemonLog, load: Callable[[], None]) -> None:
        """`load` requests a reload of the crontabs."""
        self._settings = settings
        self._dialect = dialect
        self._limits = limits_of_users(settings)
        self._crontabs = UserCrontabs(settings.root, dialect)
        self._log = log
        self._load = load

    def answer(self, request: dict[str, Any], uid: int) -> dict[str, Any]:
        """Carry out a request; the answer to `list` and `edit` has the text, null if there is no crontab.

        Raises PycrondError if the request is not allowed or fails.
        """
        action = text(request, "action")
        if action not in {*ACTIONS, LIMITS}:
            raise PycrondError(f"'action' must be one of {', '.join((*ACTIONS, LIMITS))}")
        account = self._account(request, uid)
        if action == LIMITS:
            return self._limits._asdict()
        crontab = self._crontab(request) if action == "replace" else b""
        self._log.write(ACTIONS[action], account.name, clock.now(), user=NAMES.owner_name(uid))
        if action == "replace":
            self._crontabs.write(account, crontab)
        elif action == "delete" and not self._crontabs.remove(account):
            return {"existed": False}
        if action in {"replace", "delete"}:
            self._load()
            return {"existed": True}
        return {"text": self._crontabs.read(account)}

    def _account(self, request: dict[str, Any], uid: int) -> Account:
        """Return the owner of the crontab; raises PycrondError if the client may not use it."""
        if not self._settings.system:
            raise PycrondError("this pycrond does not read users' crontabs (setting system)")
        client = requester(uid, system=True)
        name = client.name if request.get("user") is None else text(request, "user")
        if not client.can_access(name):
            raise PycrondError("must be privileged to use -u")
        account = NAMES.owner(uid) if name == client.name else self._account_of(name)
        if account is None:
            raise PycrondError(f"crontab: user `{name}' unknown")
        if refusal(self._settings.root, self._dialect, client.name, uid):
            self._log.write("AUTH", "crontab command not allowed", clock.now(), user=client.name)
            message = f"You ({client.name}) are not allowed to use this program (crontab)"
            raise PycrondError(f"{message}\nSee crontab(1) for more information")
        return account

    @staticmethod
    def _account_of(name: str) -> Account | None:
        """Return the account of a user that root names; root's crontab(1) itself does not ask the daemon."""
        user = NAMES.user(name)
        return user.account if user else None

    def _crontab(self, request: dict[str, Any]) -> bytes:
        """Return the crontab in a request, decoded from base64; raises PycrondError if it is too large."""
        try:
            crontab = base64.b64decode(request["text"], validate=True)
        except (KeyError, TypeError, ValueError, binascii.Error) as error:
            raise PycrondError("'text' must be a text in base64") from error
        if message := self._limits.size_problem(crontab):
            raise PycrondError(message)
        return crontab
