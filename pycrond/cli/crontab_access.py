"""Access of crontab(1) to a user's crontab: root writes the file itself, a user asks the daemon to do it."""

import base64
import contextlib
import os
from typing import TYPE_CHECKING, Any

from pycrond import clock
from pycrond.cli.daemon_requests import ask_daemon
from pycrond.errors import NotRunningError, Problem, PycrondError
from pycrond.host import machine, users
from pycrond.jobs.job import Job, make_jobs
from pycrond.settings import Settings
from pycrond.sources.allow_deny import refusal
from pycrond.sources.system import dialect_of
from pycrond.sources.user_crontabs import UserCrontabs

if TYPE_CHECKING:
    from pycrond.crontab import parser
    from pycrond.sources.limits import CrontabLimits

NO_NEWLINE = "new crontab file is missing newline before EOF, can't install."


class CrontabAccess:
    """The crontab of one user."""

    def __init__(self, settings: Settings, name: str | None) -> None:
        """Select the crontab of `name`, or the caller's own. Raise PycrondError if it may not be used."""
        self._settings = settings
        self._own = users.by_uid(os.geteuid())
        if name not in {None, self._own.name} and self._own.uid != 0:
            raise PycrondError("must be privileged to use -u")
        account = users.by_name(name or self._own.name)
        if account is None:
            raise PycrondError(f"crontab: user `{name or self._own.name}' unknown")
        self.account = account
        self.state_dir = settings.state_dir
        self.dialect = dialect_of(settings)
        self._files = UserCrontabs(settings.root, self.dialect) if self._own.uid == 0 else None

    def read(self, action: str) -> bytes | None:
        """Return the crontab, or None if there is none. `action` is `list` or `edit`. Raise PycrondError."""
        if self._files:
            self._check_user()
            return self._files.read(self.account)
        text = self._ask(action)["text"]
        return None if text is None else base64.b64decode(text)

    def replace(self, text: bytes) -> None:
        """Install a crontab and have the daemon load it. Raise PycrondError."""
        if self._files:
            self._check_user()
            self._files.write(self.account, text)
            self._reload()
        else:
            self._ask("replace", text=base64.b64encode(text).decode())

    def delete(self) -> bool:
        """Remove the crontab; return False if there is none. Raise PycrondError."""
        if not self._files:
            return bool(self._ask("delete")["existed"])
        self._check_user()
        existed = self._files.remove(self.account)
        self._reload()
        return existed

    def jobs(self, text: bytes) -> list[Job]:
        """Return the jobs of a text."""
        return make_jobs(self._parse(text, self.account.name).entries, self.account.name)

    def changes(self, before: bytes, after: bytes) -> list[str]:
        """Return a line for each job that an edit adds, removes or changes, with fire times won and lost."""
        from pycrond.cli.reload_preview import changes_of_fire_times

        jobs = (self.jobs(before), self.jobs(after))
        return changes_of_fire_times(self._settings, *jobs, clock.now())

    def errors(self, text: bytes, file: str) -> list[Problem]:
        """Return the problems that prevent the installation of a text; `file` is its name in messages."""
        limits = self._limits()
        if message := limits.size_problem(text):
            return [Problem(file, 0, 0, "error", "beyond-limit", message)]
        parsed = self._parse(text, file, limits.entries)
        errors = [problem for problem in parsed.problems if problem.severity == "error"]
        if message := limits.repetition_problem(parsed.entries):
            errors.append(Problem(file, 0, 0, "error", "beyond-limit", message))
        if text and not text.endswith(b"\n") and not errors:
            line = text.count(b"\n") + 1
            errors.append(Problem(file, line, 0, "error", "no-newline", NO_NEWLINE))
        return errors

    def _limits(self) -> "CrontabLimits":
        """Return the limits of this crontab: those of the daemon, or without one of the settings."""
        from pycrond.sources.limits import NO_LIMITS, CrontabLimits, limits_of_users

        if self.account.uid == 0:
            return NO_LIMITS
        if not self._files:
            with contextlib.suppress(PycrondError):
                return CrontabLimits(**self._ask("limits"))
        return limits_of_users(self._settings)

    def _parse(self, text: bytes, file: str, max_entries: int = 0) -> "parser.Crontab":
        from pycrond.cli.crontab_input import cluster_identity
        from pycrond.crontab import parser

        return parser.parse(
            text,
            file,
            dialect=self.dialect,
            user=self.account.name,
            seed=machine.machine_id(),
            cluster=cluster_identity(self._settings),
            is_roots=self.account.uid == 0,
            max_entries=max_entries,
        )

    def _check_user(self) -> None:
        """Raise PycrondError if Debian's cron.allow or cron.deny forbids this user's crontab."""
        account = self.account
        if self.dialect == "debian" and refusal(self._settings.root, "debian", account.name, account.uid):
            raise PycrondError(f"The user {self.account.name} cannot use this program (crontab)")

    def _ask(self, action: str, text: str = "") -> dict[str, Any]:
        user = self.account.name
        try:
            return ask_daemon(self._settings, "crontab", action=action, user=user, text=text)
        except NotRunningError as error:
            message = "pycrond is not running: without it only root can read and change crontabs"
            raise PycrondError(message) from error

    def _reload(self) -> None:
        with contextlib.suppress(NotRunningError):  # the next start reads the file
            ask_daemon(self._settings, "reload")
