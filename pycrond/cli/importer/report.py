"""What changes when pycrond runs the crontabs of another cron: remarks on their lines, and a report. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pycrond.crontab.parser import Crontab
from pycrond.errors import Problem
from pycrond.jobs.job import Entry
from pycrond.text import counted, visible

NAMED = 12  # scripts that a remark names
_RUN_PARTS = re.compile(r"run-parts(?:[ \t]+-\S+)*[ \t]+(/[^ \t;&|}]+)")
_GUARD = re.compile(r"(?:test[ \t]+-x|\[[ \t]+-x)[ \t]+\S*anacron(?:[ \t]+\])?[ \t]*(?:\|\||;)")
_STARTS_ANACRON = re.compile(
    r"(?:^|[ \t;&|/])anacron[ \t]+(?:start\b|-)|(?:^|/)anacron[ \t]*(?:$|[;&|])|start[ \t]+anacron"
)
CRONS = {"debian": "Debian cron", "cronie": "cronie"}


@dataclass(frozen=True, slots=True)
class Remark:
    """Something that differs, or is to be known; line 0 is the whole file."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Scripts:
    """What lies in a folder of run-parts."""

    run: Sequence[str] = ()
    left_out: Sequence[str] = ()
    """For their names, or not executable."""
    masked: Sequence[str] = ()
    """Those that run, and look whether systemd does: a timer is in their place then."""


@dataclass(frozen=True, slots=True)
class ImportedMachine:
    """What is known of it beside the crontabs."""

    cron: str
    """Whose crontabs they are: `debian` or `cronie`."""
    has_anacron: bool = False
    has_anacrontab: bool = False
    scripts: Mapping[str, Scripts] = field(default_factory=dict)
    """By folder of run-parts."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A file that was read, or could not be."""

    file: str
    user: str | None
    jobs: int
    lines: Sequence[str]
    remarks: Sequence[Remark]
    new: str = ""
    """Lines that stand for it from now on, where they are others."""


def is_left_out(entry: Entry, machine: ImportedMachine) -> bool:
    """Whether it starts anacron, whose jobs we take; a line that only asks whether that is there does not."""
    found = _STARTS_ANACRON.search(entry.command)
    return machine.has_anacrontab and found is not None and not _GUARD.search(entry.command)


def remarks(parsed: Crontab, problems: Iterable[Problem], machine: ImportedMachine) -> list[Remark]:
    """On one crontab; `problems` are those that `lint` finds with an eye to the machine's cron."""
    found = [Remark(one.line, f"{one.severity}: {one.message} [{one.code}]") for one in problems]
    first = next((one for one in parsed.problems if one.severity == "error"), None)
    if first and parsed.entries and machine.cron == "debian":
        runs = f"pycrond runs its {counted(len(parsed.entries), 'other line')}"
        found.append(Remark(0, f"Debian cron runs nothing of it, because of line {first.line}: {runs}"))
    for entry in parsed.entries:
        found += [Remark(entry.line, text) for text in _of_entry(entry, machine)]
    return sorted(found, key=lambda one: one.line)


def _of_entry(entry: Entry, machine: ImportedMachine) -> Iterator[str]:
    if "~" in entry.schedule_text and machine.cron == "cronie":
        yield "cronie draws the time anew whenever it reads the file, pycrond once and for all"
    zone = dict(entry.environment).get("CRON_TZ")
    if zone and machine.cron == "debian":
        yield f"Debian cron runs it by the machine's clock, pycrond by that of {zone}"
    if is_left_out(entry, machine):
        yield "starts anacron, whose jobs are schedules of pycrond's now: left out of what is written"
        return
    if _RUN_PARTS.search(entry.command) and machine.has_anacron and _GUARD.search(entry.command):
        yield "does nothing, as anacron is installed: it is anacrontab's job"
    else:
        yield from of_scripts(entry.command, machine)


def of_scripts(command: str, machine: ImportedMachine) -> Iterator[str]:
    """On what a command with run-parts runs."""
    parts = _RUN_PARTS.search(command)
    scripts = machine.scripts.get(parts[1]) if parts else None
    if parts is None or scripts is None:
        return
    folder = parts[1]
    yield f"one job to pycrond too: {folder} has {counted(len(scripts.run), 'script')}{_names(scripts.run)}"
    if scripts.left_out:
        yield f"run-parts leaves out{_names(scripts.left_out)}: for their names, or not executable"
    if scripts.masked:
        yield f"where systemd runs, a timer may be in the place of{_names(scripts.masked)}"
    if "0anacron" in scripts.run and folder.endswith("hourly"):
        yield f"{folder}/0anacron starts anacron: remove it, or anacrontab's jobs run twice"


def _names(names: Sequence[str]) -> str:
    more = ", …" if len(names) > NAMED else ""
    return f" ({', '.join(map(_shown, names[:NAMED]))}{more})" if names else ""


def _shown(text: str) -> str:
    return visible(text.encode("utf-8", "surrogateescape"))


def report(taken: Iterable[Taken], cron: str) -> Iterator[str]:
    """Lines of the report: each file, and of it only what differs."""
    taken = list(taken)
    jobs = sum(one.jobs for one in taken)
    files = counted(len(taken), "file")
    yield f"Crontabs of {CRONS[cron]}, as pycrond would run them: {counted(jobs, 'job')} in {files}."
    for one in taken:
        of = f", of {one.user}" if one.user else ""
        yield ""
        yield f"{_shown(one.file)}{of}: {counted(one.jobs, 'job')}{'' if one.remarks else ', all as before'}"
        last = 0
        for remark in one.remarks:
            if remark.line and remark.line != last:
                yield f"  {remark.line}: {_shown(_line(one.lines, remark.line))}"
            last = remark.line
            yield f"{'      ' if remark.line else '  '}{remark.text}"
        if one.new:
            yield "  which becomes:"
            yield from (f"      {_shown(line)}" for line in one.new.splitlines())


def _line(lines: Sequence[str], number: int) -> str:
    return lines[number - 1].rstrip("\r") if number <= len(lines) else ""
