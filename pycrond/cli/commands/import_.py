"""import: the machine's present crontabs, what would change under pycrond, and crontabs for it."""

import argparse
import contextlib
import os
import pwd
import re
import shutil
import stat
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pycrond import clock
from pycrond.cli.check import rules as check_rules
from pycrond.cli.check.dst_effects import DstEffects
from pycrond.cli.importer import anacrontab, report
from pycrond.cli.importer.report import ImportedMachine, Remark, Scripts, Taken
from pycrond.cli.settings_layers import configured
from pycrond.crontab import parser
from pycrond.errors import PycrondError, UnreadableError
from pycrond.host import machine, users
from pycrond.jobs.job import SEARCH_PATHS
from pycrond.sources import files
from pycrond.sources import system as system_crontabs

PERIODIC = ("hourly", "daily", "weekly", "monthly", "yearly")
ANACRON = "etc/cron.d/anacrontab"
"""Where anacron's jobs go: a name that both crons take, and anacron's own package does not have."""
SCRIPT_READ = 4096  # bytes of a script, which asks before it does anything
RUN_BY_RUN_PARTS = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Written:
    """A crontab for pycrond."""

    path: str
    """Below the folder of all."""
    content: bytes
    mode: int
    owner: str


def import_crontabs(wanted: argparse.Namespace) -> int:
    """The report, and with --output the crontabs; of another user than root, only his own."""
    root = os.path.abspath(wanted.root)
    importer = _Importer(root, configured(wanted).mailer)
    taken, written = importer.own() if os.geteuid() and root == "/" else importer.system()
    lines = [*report.report(taken, importer.cron)]
    if wanted.output:
        folder = os.path.abspath(wanted.output)
        _write(folder, written)
        lines += ["", *_next(folder, importer.cron, alone=os.geteuid() != 0 and root == "/")]
    text = "\n".join(lines) + "\n"
    if wanted.report:
        _save(wanted.report, text)
    else:
        print(text, end="")
    return 0


class _Importer:
    """Reads the crontabs below a root."""

    def __init__(self, root: str, mailer: str) -> None:
        self._root = root
        self._here = root == "/"
        self.cron = self._cron()
        anacron = any(os.path.exists(self._at(f"usr/{name}/anacron")) for name in ("sbin", "bin"))
        table = os.path.exists(self._at("etc/anacrontab"))
        self._machine = ImportedMachine(self.cron, anacron, table, self._scripts())
        self._nights = DstEffects(clock.now(), machine.load_zone(machine.local_zone_name(os.environ)))
        self._mailer = machine.is_mailer_available(mailer)

    def _at(self, path: str) -> str:
        return os.path.join(self._root, path)

    def _cron(self) -> str:
        """By the system's name, else by where the users' crontabs lie."""
        if os.path.exists(self._at("etc/os-release")):
            return machine.detect_dialect(self._root)
        return "debian" if os.path.isdir(self._at("var/spool/cron/crontabs")) else "cronie"

    def _scripts(self) -> dict[str, Scripts]:
        found = {}
        for period in PERIODIC:
            folder = f"/etc/cron.{period}"
            try:
                names = sorted(os.listdir(self._at(folder[1:])))
            except OSError:
                continue
            paths = {name: self._at(f"{folder[1:]}/{name}") for name in names if not name.startswith(".")}
            run = [name for name, path in paths.items() if self._runs(name, path)]
            left_out = [name for name in paths if name not in run]
            found[folder] = Scripts(run, left_out, [name for name in run if _asks_for_systemd(paths[name])])
        return found

    def _runs(self, name: str, path: str) -> bool:
        taken = RUN_BY_RUN_PARTS if self.cron == "debian" else system_crontabs.CRONIE.names
        return bool(taken.fullmatch(name)) and os.path.isfile(path) and os.access(path, os.X_OK)

    def own(self) -> tuple[list[Taken], list[Written]]:
        """The crontab of who asks, as crontab(1) shows it."""
        name = users.by_uid(os.geteuid()).name
        if not shutil.which("crontab"):
            raise PycrondError("there is no crontab(1) that would show your crontab; root can read it")
        done = subprocess.run(["crontab", "-l"], capture_output=True, check=False)
        if done.returncode:
            return [], []
        one = self._read(done.stdout, f"crontab of {name}", name)
        return [one], [Written(name, _copy(done.stdout, f"crontab -l of {name}", []), 0o600, name)]

    def system(self) -> tuple[list[Taken], list[Written]]:
        rules = system_crontabs.RULES[self.cron]
        tabs, skipped = system_crontabs.list_system_crontabs(self._root, rules)
        taken = [Taken(one.file, None, 0, (), [Remark(0, one.message)]) for one in skipped]
        written = []
        for tab in tabs:
            try:
                data = files.read_crontab(tab.file, system_crontabs.permission_check(tab, rules))
            except UnreadableError as error:
                remark = Remark(0, f"{error}, by {report.CRONS[self.cron]} and by pycrond")
                taken.append(Taken(tab.file, tab.user, 0, (), [remark]))
                continue
            taken.append(self._read(data, tab.file, tab.user))
            written.append(self._written(tab, data))
        more = list(self._anacrontab())
        return [*taken, *(one for one, _ in more)], [*written, *(one for _, one in more)]

    def _parse(self, data: bytes, file: str, user: str | None) -> parser.Crontab:
        return parser.parse(
            data, file, system=user is None, dialect=self.cron, user=user or "", seed=machine.machine_id()
        )

    def _read(self, data: bytes, file: str, user: str | None) -> Taken:
        parsed = self._parse(data, file, user)
        text = data.decode("utf-8", "surrogateescape")
        path = SEARCH_PATHS[self.cron]
        asked = (
            check_rules.wanted(parsed, path) if self._here else check_rules.NeededFacts()
        )  # of another machine we know nothing
        facts = check_rules.CheckFacts(
            self._nights,
            frozenset((path, name) for path, name in asked.programs if not shutil.which(name, path=path)),
            frozenset(name for name in asked.users if users.by_name(name) is None),
            path,
            self.cron,
            self._mailer,
        )
        found = report.remarks(parsed, check_rules.lint(parsed, text, facts), self._machine)
        return Taken(file, user, len(parsed.entries), text.split("\n"), found)

    def _written(self, tab: system_crontabs.SystemCrontab, data: bytes) -> Written:
        parsed = self._parse(data, tab.file, tab.user)
        out = [one.line for one in parsed.entries if report.is_left_out(one, self._machine)]
        path = os.path.relpath(tab.file, self._root)
        if tab.user is None:
            return Written(path, _copy(data, tab.file, out), 0o644, "root")
        return Written(f"var/spool/cron/crontabs/{tab.user}", _copy(data, tab.file, out), 0o600, tab.user)

    def _anacrontab(self) -> Iterator[tuple[Taken, Written]]:
        file = self._at("etc/anacrontab")
        with contextlib.suppress(UnreadableError):
            data = files.read_crontab(file)
            hour = anacrontab.HOUR_OF_DEBIAN if self.cron == "debian" else anacrontab.HOUR_OF_CRONIE
            table = anacrontab.parse(data, file, hour=hour)
            made = list(anacrontab.crontab_lines(table, self.cron))
            new = "".join(text for _, text in made)
            found = [Remark(line, message) for line, message in table.remarks]
            for one, _ in made:
                if one:
                    found += [
                        Remark(one.line, said) for said in report.of_scripts(one.command, self._machine)
                    ]
            found.sort(key=lambda one: one.line)
            if table.items:
                found.append(Remark(0, "anacron is not needed for them any more: disable it, and its timer"))
            lines = data.decode("utf-8", "surrogateescape").split("\n")
            jobs = sum(one is not None for one, _ in made)
            yield (
                Taken(file, None, jobs, lines, found, new),
                Written(ANACRON, _imported(file, new), 0o644, "root"),
            )


def _asks_for_systemd(path: str) -> bool:
    """As scripts do that a timer replaces there."""
    try:
        with open(path, "rb") as file:
            return b"/run/systemd/system" in file.read(SCRIPT_READ)
    except OSError:
        return False


def _imported(file: str, text: str) -> bytes:
    return f"# From {file}, by pycrond import.\n{text}".encode("utf-8", "surrogateescape")


def _copy(data: bytes, file: str, left_out: Sequence[int]) -> bytes:
    """The same bytes, with a word on where they come from; the numbered lines become comments."""
    lines = data.removesuffix(b"\n").split(b"\n")
    for number in left_out:
        lines[number - 1] = b"# starts anacron, whose jobs are in cron.d/anacrontab now: " + lines[number - 1]
    return _imported(file, "") + b"\n".join(lines) + b"\n"


def _write(folder: str, written: Sequence[Written]) -> None:
    """Into a folder that has nothing else; owners as they must be, where we are root."""
    try:
        os.makedirs(folder, mode=0o755, exist_ok=True)
        if os.listdir(folder):
            raise PycrondError(f"{folder} is not empty: nothing was written")
        for one in written:
            path = os.path.join(folder, one.path)
            os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with open(descriptor, "wb") as file:
                file.write(one.content)
                if os.geteuid() == 0:
                    account = pwd.getpwnam(one.owner)
                    os.fchown(descriptor, account.pw_uid, account.pw_gid)
                os.fchmod(descriptor, stat.S_IMODE(one.mode))
    except OSError as error:
        raise PycrondError(f"cannot write {error.filename}: {error.strerror}") from error


def _save(file: str, text: str) -> None:
    try:
        with open(file, "w", encoding="utf-8", errors="surrogateescape") as opened:
            opened.write(text)
    except OSError as error:
        raise PycrondError(f"cannot write {file}: {error.strerror}") from error


def _next(folder: str, cron: str, *, alone: bool) -> Iterator[str]:
    yield f"The crontabs are in {folder}. Next:"
    options = f"--crontabs {folder}" if alone else f"--system --root {folder} --dialect {cron}"
    yield f"  pycrond check {options}"
    if not alone:
        yield "  systemctl disable --now cron crond anacron.timer    (those that there are)"
    yield f"  pycrond start {options}"
