"""The parsing and checking of crontabs, shared by `check` and `import`."""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import NamedTuple

from pycrond import clock
from pycrond.cli.check.facts import CheckFacts
from pycrond.cli.check.rules import find_problems
from pycrond.crontab.parser import Crontab, parse
from pycrond.errors import Problem
from pycrond.host import machine, users
from pycrond.jobs.job import SEARCH_PATHS
from pycrond.jobs.shared_identity import SharedIdentity


class CheckedCrontab(NamedTuple):
    """A crontab that was read, with its lines and all its problems."""

    parsed: Crontab
    lines: Sequence[str]
    problems: Sequence[Problem]


class CrontabChecker:
    """Parses crontabs in one dialect and checks them against this machine."""

    def __init__(
        self,
        dialect: str,
        mailer: str,
        *,
        daemon_user: str = "root",
        other_cron: str = "",
        same_machine: bool = True,
        cluster: SharedIdentity | None = None,
    ) -> None:
        """The crontabs are for a daemon of `daemon_user`, in a `cluster` or none. `other_cron` is the cron to
        compare with, or empty. Programs and users are looked up only if the crontabs belong to the
        `same_machine`.
        """
        self._cluster = cluster
        self._dialect = dialect
        self._daemon_user = daemon_user
        self._facts = CheckFacts(
            clock.now().year,
            machine.local_zone(),
            dialect=dialect,
            default_path=SEARCH_PATHS[other_cron or dialect],
            other_cron=other_cron,
            has_mailer=machine.is_mailer_available(mailer),
            has_cluster=cluster is not None,
        )
        if same_machine:
            self._facts = replace(
                self._facts,
                program_exists=_program_exists,
                user_exists=_user_exists,
                directory_exists=os.path.isdir,
                shell_name=lambda path: os.path.basename(os.path.realpath(path)),
            )

    def check(
        self,
        data: bytes,
        file: str,
        user: str | None,
        *,
        run_seconds: Mapping[int, float] | None = None,
        ignored: Sequence[str] = (),
    ) -> CheckedCrontab:
        """Parse and check a crontab of `user`; None for a crontab with a user column."""
        parsed = parse(
            data,
            file,
            system=user is None,
            dialect=self._dialect,
            user=user or "",
            seed=machine.machine_id(),
            cluster=self._cluster,
            is_roots=user in {None, self._daemon_user},
        )
        text = data.decode("utf-8", "surrogateescape")
        facts = replace(self._facts, run_seconds=run_seconds or {})
        return CheckedCrontab(parsed, text.split("\n"), find_problems(parsed, text, facts, ignored))


@cache
def _program_exists(name: str, path: str) -> bool:
    return shutil.which(name, path=path) is not None


@cache
def _user_exists(name: str) -> bool:
    return users.by_name(name) is not None
