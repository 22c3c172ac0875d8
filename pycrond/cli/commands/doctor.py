"""doctor: findings about the daemon, the crontabs and the machine, with remedies."""

import argparse
import contextlib
import os
import shutil
import stat
import subprocess
from collections.abc import Sequence

from pycrond import __version__, clock
from pycrond.cli.arguments import add_json
from pycrond.cli.daemon_requests import STATUS_TIMEOUT, ask_daemon, count_jobs_left, is_locked
from pycrond.cli.doctor import probe
from pycrond.cli.doctor.facts import DaemonFacts, DirectoryFacts, Finding, MachineFacts
from pycrond.cli.doctor.rules import diagnose
from pycrond.cli.next_fire import next_fire
from pycrond.cli.printing import print_json, print_line
from pycrond.cli.render import formatting
from pycrond.cli.settings_layers import load_settings
from pycrond.errors import PycrondError
from pycrond.host import machine, pidfile, users
from pycrond.ledger.reader import Reader
from pycrond.ledger.rows import JobRow
from pycrond.settings import Settings
from pycrond.sources import files, system
from pycrond.sources.loader import Loader

COMMAND_PATH = "/usr/local/bin:/usr/bin:/bin"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print the findings; 1 if one is a problem."""
    findings = diagnose(_facts(load_settings(options)))
    if options.json:
        print_json({"findings": [_json(finding) for finding in findings]})
    else:
        for finding in findings:
            print_line(_line(finding))
    return 1 if any(finding.level == "problem" for finding in findings) else 0


def _json(finding: Finding) -> dict[str, str]:
    return {"level": finding.level, "about": finding.about, "text": finding.text, "do": finding.remedy}


def _line(finding: Finding) -> str:
    remedy = f"  -> {finding.remedy}" if finding.remedy else ""
    return f"{finding.level:<8} {finding.about}: {finding.text}{remedy}"


def _facts(settings: Settings) -> MachineFacts:
    running = list(probe.processes())
    daemon = _daemon(settings)
    loaded = Loader(settings, users.by_uid(os.geteuid()), read_only=True).load()
    environ = {**os.environ, **probe.environment(daemon.pid)}
    zone = machine.local_zone_name(environ)
    unit, of_user = probe.unit_of(daemon.pid)
    failing, never_due = _jobs_in_trouble(settings)
    errors = [problem for problem in loaded.problems if problem.severity == "error"]
    return MachineFacts(
        version=__version__,
        daemon=daemon,
        crontabs=_crontab_paths(settings),
        other_crons=tuple(probe.other_crons(running)),
        syslog=settings.syslog,
        syslog_error=probe.syslog_error(settings.syslog),
        log_stderr=settings.log_stderr,
        zone=zone,
        zone_exists=_zone_exists(zone),
        timezone_file=probe.read_text("/etc/timezone").strip(),
        zone_source="TZ" if "TZ" in environ else machine.LOCALTIME,
        synchronised=probe.synchronised(),
        clock_programs=probe.clock_programs(running),
        state=_directory(settings.state_dir),
        runtime=_directory(settings.runtime_dir),
        unit=unit,
        kill_mode=_kill_mode(unit, of_user=of_user),
        mailer=settings.mailer,
        crontab_command=shutil.which("crontab", path=COMMAND_PATH) if settings.system else "",
        has_mailer=machine.is_mailer_available(settings.mailer),
        jobs_with_mailto=tuple(job.key for job in loaded.jobs if job.entry.options.mailto),
        kept_crontabs=loaded.kept,
        crontab_errors=tuple(str(problem) for problem in errors if problem.code != "kept"),
        jobs=len(loaded.jobs),
        failing_jobs=failing,
        never_due_jobs=never_due,
        ledger_bytes=_size(settings.ledger_path),
        idle_crontabs=_idle_crontabs(settings),
    )


def _daemon(settings: Settings) -> DaemonFacts:
    """Ask the daemon; if it does not answer, look at the lock and ask the keeper."""
    locked = is_locked(settings)  # if the lock is not readable, the finding about its directory says why
    is_daemons = pidfile.daemon_pid(settings.pidfile, settings.state_dir) is not None
    stale = None if is_daemons else pidfile.read_pid(settings.pidfile)
    try:
        status = ask_daemon(settings, "status", timeout=STATUS_TIMEOUT)
    except PycrondError:
        jobs_left = _jobs_left(settings) if locked else 0
        return DaemonFacts(locked, answers=False, jobs_left=jobs_left, stale_pid=stale)
    return DaemonFacts(
        locked,
        answers=True,
        pid=status["pid"],
        version=status["version"],
        zone=status["zone"],
        has_keeper=status["keeper"],
        backlog=status["backlog"] - status["running"],
    )


def _jobs_left(settings: Settings) -> int:
    with contextlib.suppress(PycrondError, ValueError):
        return count_jobs_left(settings)
    return 0


def _size(path: str) -> int:
    return os.path.getsize(path) if os.path.exists(path) else 0


def _idle_crontabs(settings: Settings) -> tuple[str, ...]:
    """Return the crontabs of the system that root's daemon does not read."""
    if settings.system or os.geteuid():
        return ()
    crontabs, _ = system.list_system_crontabs("/", system.RULES[machine.detect_dialect("/")])
    return tuple(crontab.file for crontab in crontabs)


def _crontab_paths(settings: Settings) -> tuple[str, ...]:
    system = [os.path.join(settings.root, path.lstrip("/")) for path in probe.CRON_PATHS]
    return (*map(os.path.realpath, settings.crontabs), *(system if settings.system else ()))


def _zone_exists(name: str) -> bool:
    try:
        machine.load_zone(name)
    except (PycrondError, ValueError):
        return False
    return True


def _directory(path: str) -> DirectoryFacts:
    """Return the facts about a directory; if it does not exist, about the file system it will be on."""
    existing = path
    while not os.path.isdir(existing):
        existing = os.path.dirname(existing)
    free_bytes, free_inodes = probe.free_space(existing)
    return DirectoryFacts(path, probe.file_system(existing), _refusal(path), free_bytes, free_inodes)


def _refusal(path: str) -> str | None:
    """Return the reason why a start would refuse the directory."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    if not stat.S_ISDIR(status.st_mode):
        return "is not a directory"
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        return files.permission_problem(status) or "belongs to another user, or others may write there"
    return None


def _kill_mode(unit: str, *, of_user: bool) -> str:
    if not unit:
        return ""
    user = ["--user"] if of_user else []
    command = ["systemctl", *user, "show", "--property=KillMode", "--value", unit]
    try:
        result = subprocess.run(  # noqa: S603 -- words of ours
            command, capture_output=True, text=True, check=False, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout.strip()


def _jobs_in_trouble(settings: Settings) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the titles of jobs whose latest run failed, and of jobs that are never due, by the ledger."""
    try:
        reader = Reader(settings.state_dir)
    except PycrondError:
        return (), ()
    jobs, last, now = reader.jobs(), reader.last_runs(), clock.now()
    failing = [job for job in jobs if job.key in last and formatting.ending(last[job.key]).kind == "bad"]
    never_due = [job for job in jobs if job.canonical is not None and next_fire(job, now) is None]
    return _titles(failing), _titles(never_due)


def _titles(jobs: Sequence[JobRow]) -> tuple[str, ...]:
    return tuple(formatting.title(job.key, job.name, job.command) for job in jobs)
