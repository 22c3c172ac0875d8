"""The present crontabs of a machine: read, checked against its cron, and copied or converted for pycrond."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence

from pycrond.cli.check.checker import CrontabChecker
from pycrond.cli.importer import anacrontab, report
from pycrond.cli.importer.report import CrontabCopy, ImportedCrontab, ImportedMachine, Remark, RunPartsScripts
from pycrond.errors import PycrondError, UnreadableError
from pycrond.host import machine, safe_paths, users
from pycrond.sources import file_rules, files
from pycrond.sources import system as system_crontabs

PERIODS = ("hourly", "daily", "weekly", "monthly", "yearly")
CONVERTED_ANACRONTAB = "etc/cron.d/anacrontab"
"""A name that both crons accept in cron.d, and that the package of anacron does not use."""
SCRIPT_HEAD = 4096  # bytes at the beginning of a script, where it tests for systemd
DEBIAN_SCRIPT_NAME = re.compile(r"[A-Za-z0-9_-]+")


class CrontabImporter:
    """Reads the crontabs below a root, or with `own_only` the caller's own crontab."""

    def __init__(self, root: str, mailer: str, *, own_only: bool) -> None:
        self._root = root
        self._own_only = own_only
        if not any(os.path.isdir(self._at(directory)) for directory in ("etc", "var/spool/cron")):
            raise PycrondError(
                f"{root} has no system: neither {self._at('etc')} nor {self._at('var/spool/cron')}"
            )
        for directory in (root, self._at("etc")):  # other users must not decide what is copied
            safe_paths.check_directory(directory)
        self.cron = self._detected_cron()
        self._machine = ImportedMachine(
            self.cron,
            has_anacron=any(os.path.exists(self._at(f"usr/{name}/anacron")) for name in ("sbin", "bin")),
            has_anacrontab=not own_only and os.path.exists(self._at("etc/anacrontab")),
            scripts=dict(self._scripts()),
        )
        self._checker = CrontabChecker(
            self.cron,
            mailer,
            daemon_user=users.by_uid(os.geteuid() if own_only else 0).name,
            other_cron=self.cron,
            same_machine=root == "/",
        )

    def crontabs(self) -> list[ImportedCrontab]:
        """Return the crontabs, each with its remarks and, if it can be read, its copy."""
        return [*self._own()] if self._own_only else [*self._system(), *self._anacrontab()]

    def _at(self, path: str) -> str:
        return os.path.join(self._root, path)

    def _detected_cron(self) -> str:
        """Return `debian` or `cronie` by the system's name, else by the directory of users' crontabs."""
        if os.path.exists(self._at("etc/os-release")):
            return machine.detect_dialect(self._root)
        return "debian" if os.path.isdir(self._at("var/spool/cron/crontabs")) else "cronie"

    def _scripts(self) -> Iterator[tuple[str, RunPartsScripts]]:
        for period in PERIODS:
            directory = self._at(f"etc/cron.{period}")
            try:
                names = [name for name in sorted(os.listdir(directory)) if not name.startswith(".")]
            except OSError:
                continue
            run = [name for name in names if self._is_run(os.path.join(directory, name))]
            left_out = [name for name in names if name not in run]
            masked = [name for name in run if _looks_for_systemd(os.path.join(directory, name))]
            yield f"/etc/cron.{period}", RunPartsScripts(run, left_out, masked)

    def _is_run(self, path: str) -> bool:
        """Return True if run-parts runs the script."""
        pattern = DEBIAN_SCRIPT_NAME if self.cron == "debian" else file_rules.CRONIE.names
        has_valid_name = pattern.fullmatch(os.path.basename(path)) is not None
        return has_valid_name and os.path.isfile(path) and os.access(path, os.X_OK)

    def _own(self) -> Iterator[ImportedCrontab]:
        """Yield the caller's crontab as crontab(1) prints it; nothing if there is none."""
        name = users.by_uid(os.geteuid()).name
        if not shutil.which("crontab"):
            raise PycrondError("there is no crontab(1) that would show your crontab; root can read it")
        result = subprocess.run(["crontab", "-l"], capture_output=True, check=False)  # noqa: S607 -- an ordinary user's PATH
        if result.returncode == 0:
            yield self._imported(result.stdout, f"crontab of {name}", name, name)

    def _system(self) -> Iterator[ImportedCrontab]:
        crontabs, skipped = system_crontabs.list_system_crontabs(self._root, self.cron)
        for problem in skipped:
            yield ImportedCrontab(problem.file, None, remarks=[Remark(0, problem.message)])
        for crontab in crontabs:
            file, user = crontab.file, crontab.user
            try:
                data = files.read_crontab(file, crontab.check)
            except UnreadableError as error:
                remark = Remark(0, f"{error}, by {report.CRON_NAMES[self.cron]} and by pycrond")
                yield ImportedCrontab(file, user, remarks=[remark])
            else:
                path = f"var/spool/cron/crontabs/{user}" if user else os.path.relpath(file, self._root)
                yield self._imported(data, file, user, path)

    def _imported(self, data: bytes, file: str, user: str | None, path: str) -> ImportedCrontab:
        """Check a crontab; `path` is the path of its copy below the output directory."""
        checked = self._checker.check(data, file, user)
        entries = checked.parsed.entries
        left_out = [entry.line for entry in entries if report.starts_anacron(entry, self._machine)]
        copy = CrontabCopy(path, _copied(data, file, left_out), user or "root", 0o600 if user else 0o644)
        remarks = report.crontab_remarks(checked, self._machine)
        return ImportedCrontab(file, user, len(entries), checked.lines, remarks, copy=copy)

    def _anacrontab(self) -> Iterator[ImportedCrontab]:
        file = self._at("etc/anacrontab")
        try:
            data = files.read_crontab(file)
        except UnreadableError:
            return
        new, jobs, known_remarks = anacrontab.convert(data, file, self.cron)
        remarks = [*known_remarks]
        for job in jobs:
            texts = report.script_remarks(job.command, self._machine)
            remarks += [Remark(job.line, text) for text in texts]
        remarks.sort(key=lambda remark: remark.line)
        if new:
            text = "anacron is no longer needed for these jobs: disable it, and its timer"
            remarks.append(Remark(0, text))
        lines = data.decode("utf-8", "surrogateescape").split("\n")
        copy = CrontabCopy(CONVERTED_ANACRONTAB, _with_source(file, new), "root", 0o644)
        yield ImportedCrontab(file, None, len(jobs), lines, remarks, new, copy)


def _looks_for_systemd(path: str) -> bool:
    """Return True if a script tests for systemd, as scripts do that a timer of systemd replaces."""
    try:
        with open(safe_paths.open_regular(path, os.O_RDONLY), "rb") as file:
            return b"/run/systemd/system" in file.read(SCRIPT_HEAD)
    except (OSError, PycrondError):
        return False


def _with_source(file: str, text: str) -> bytes:
    return f"# From {file}, by pycrond import.\n{text}".encode("utf-8", "surrogateescape")


def _copied(data: bytes, file: str, left_out: Sequence[int]) -> bytes:
    """Return the same bytes below a comment with their source; the lines `left_out` become comments."""
    lines = data.removesuffix(b"\n").split(b"\n")
    for number in left_out:
        lines[number - 1] = b"# starts anacron, whose jobs are in cron.d/anacrontab now: " + lines[number - 1]
    return _with_source(file, "") + b"\n".join(lines) + b"\n"
