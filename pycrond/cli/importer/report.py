"""The report of `import`: remarks on lines that pycrond runs differently than the present cron."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from pycrond.cli.check.checker import CheckedCrontab
from pycrond.jobs.job import Entry
from pycrond.text import counted, visible

MAX_NAMED_SCRIPTS = 12  # in one remark
_RUN_PARTS = re.compile(r"run-parts(?:[ \t]+-\S+)*[ \t]+(/[^ \t;&|}]+)")
_ANACRON_TEST = re.compile(r"(?:test[ \t]+-x|\[[ \t]+-x)[ \t]+\S*anacron(?:[ \t]+\])?[ \t]*(?:\|\||;)")
_ANACRON_START = re.compile(
    r"(?:^|[ \t;&|/])anacron[ \t]+(?:start\b|-)|(?:^|/)anacron[ \t]*(?:$|[;&|])|start[ \t]+anacron"
)
CRON_NAMES = {"debian": "Debian cron", "cronie": "cronie"}


class Remark(NamedTuple):
    """A difference or a hint on a line; line 0 means the whole file."""

    line: int
    text: str


class RunPartsScripts(NamedTuple):
    """The scripts in a directory of run-parts."""

    run: Sequence[str] = ()
    left_out: Sequence[str] = ()
    """Not run because of their names, or not executable."""
    masked: Sequence[str] = ()
    """The scripts of `run` that test for systemd: where it runs, a timer usually replaces them."""


@dataclass(frozen=True, slots=True)
class ImportedMachine:
    """Facts about the machine whose crontabs are imported."""

    cron: str
    """The cron that reads the crontabs: `debian` or `cronie`."""
    has_anacron: bool = False
    has_anacrontab: bool = False
    scripts: Mapping[str, RunPartsScripts] = field(default_factory=dict)
    """The scripts of each directory of run-parts."""


class CrontabCopy(NamedTuple):
    """A crontab for pycrond."""

    path: str
    """Below the output directory."""
    content: bytes
    owner: str
    mode: int


class ImportedCrontab(NamedTuple):
    """A crontab in the report."""

    file: str
    user: str | None
    jobs: int = 0
    lines: Sequence[str] = ()
    remarks: Sequence[Remark] = ()
    new: str = ""
    """The lines that replace the file's content, if they differ."""
    copy: CrontabCopy | None = None
    """None if the file was not read."""


def starts_anacron(entry: Entry, machine: ImportedMachine) -> bool:
    """Return True if the entry starts anacron, whose jobs are imported, and does not only test for it."""
    command = entry.command
    return (
        machine.has_anacrontab
        and _ANACRON_START.search(command) is not None
        and not _ANACRON_TEST.search(command)
    )


def crontab_remarks(crontab: CheckedCrontab, machine: ImportedMachine) -> list[Remark]:
    """Return the remarks on a crontab in the order of the lines."""
    parsed = crontab.parsed
    remarks = [
        Remark(problem.line, f"{problem.severity}: {problem.message} [{problem.code}]")
        for problem in crontab.problems
    ]
    first_error = next((problem for problem in parsed.problems if problem.severity == "error"), None)
    if first_error and parsed.entries and machine.cron == "debian":
        others = counted(len(parsed.entries), "other line")
        text = (
            f"Debian cron runs nothing of it, because of line {first_error.line}: pycrond runs its {others}"
        )
        remarks.append(Remark(0, text))
    for entry in parsed.entries:
        remarks += [Remark(entry.line, text) for text in _entry_remarks(entry, machine)]
    return sorted(remarks, key=lambda remark: remark.line)


def _entry_remarks(entry: Entry, machine: ImportedMachine) -> Iterator[str]:
    if "~" in entry.schedule_text and machine.cron == "cronie":
        yield "cronie draws the time anew whenever it reads the file, pycrond draws it once"
    zone = dict(entry.environment).get("CRON_TZ")
    if zone and machine.cron == "debian":
        yield f"Debian cron runs it in the machine's time zone, pycrond in {zone}"
    if starts_anacron(entry, machine):
        yield "starts anacron, whose jobs pycrond now starts itself: left out of the copy"
    elif machine.has_anacron and _RUN_PARTS.search(entry.command) and _ANACRON_TEST.search(entry.command):
        yield "does nothing, because anacron is installed: anacrontab has this job"
    else:
        yield from script_remarks(entry.command, machine)


def script_remarks(command: str, machine: ImportedMachine) -> Iterator[str]:
    """Yield remarks on the scripts that a command starts through run-parts."""
    run_parts = _RUN_PARTS.search(command)
    directory = run_parts[1] if run_parts else ""
    scripts = machine.scripts.get(directory)
    if scripts is None:
        return
    count = counted(len(scripts.run), "script")
    yield f"one job for pycrond, too: {directory} has {count}{_in_brackets(scripts.run)}"
    if scripts.left_out:
        names = _in_brackets(scripts.left_out)
        yield f"run-parts leaves out{names}: because of their names, or not executable"
    if scripts.masked:
        yield f"where systemd runs, a timer may be in the place of{_in_brackets(scripts.masked)}"
    if "0anacron" in scripts.run and directory.endswith("hourly"):
        yield f"{directory}/0anacron starts anacron: remove it, or anacrontab's jobs run twice"


def _in_brackets(names: Sequence[str]) -> str:
    more = ", …" if len(names) > MAX_NAMED_SCRIPTS else ""
    return f" ({', '.join(map(visible, names[:MAX_NAMED_SCRIPTS]))}{more})" if names else ""


def report_lines(crontabs: Sequence[ImportedCrontab], cron: str) -> Iterator[str]:
    """Yield the lines of the report: each file, with its lines that have remarks."""
    jobs = counted(sum(crontab.jobs for crontab in crontabs), "job")
    files = counted(len(crontabs), "file")
    yield f"Crontabs of {CRON_NAMES[cron]}, as pycrond would run them: {jobs} in {files}."
    for crontab in crontabs:
        owner = f", of {crontab.user}" if crontab.user else ""
        unchanged = "" if crontab.remarks else ", all as before"
        yield ""
        yield f"{visible(crontab.file)}{owner}: {counted(crontab.jobs, 'job')}{unchanged}"
        last_line = 0
        for remark in crontab.remarks:
            if remark.line and remark.line != last_line:
                line = crontab.lines[remark.line - 1].rstrip("\r")
                yield f"  {remark.line}: {visible(line)}"
            last_line = remark.line
            yield f"{'      ' if remark.line else '  '}{remark.text}"
        if crontab.new:
            yield "  which becomes:"
            yield from (f"      {visible(line)}" for line in crontab.new.splitlines())
