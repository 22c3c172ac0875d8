"""doctor: findings about the daemon, the crontabs and the machine, with remedies."""

import argparse
import os
import shutil
import stat
import subprocess
from dataclasses import replace

from pycrond import __version__, conninfo
from pycrond.cli.arguments import add_json
from pycrond.cli.crontab_input import load_crontabs
from pycrond.cli.daemon_requests import STATUS_TIMEOUT, ask_daemon, is_locked, presence
from pycrond.cli.data.access import records
from pycrond.cli.data.job_status import gone_and_overdue, read_jobs
from pycrond.cli.doctor import probe
from pycrond.cli.doctor.facts import DaemonFacts, DirectoryFacts, Finding, MachineFacts
from pycrond.cli.doctor.rules import diagnose
from pycrond.cli.documents.reports import DoctorDocument, FindingDocument
from pycrond.cli.printing import print_json, print_line
from pycrond.cli.render import job_table, terminal
from pycrond.cli.render.disk import disk_lines
from pycrond.cli.settings_layers import config_file, layers, load_settings
from pycrond.errors import Problem, PycrondError
from pycrond.host import machine, pidfile
from pycrond.settings import Settings
from pycrond.sources import file_rules, system
from pycrond.text import counted

COMMAND_PATH = "/usr/local/bin:/usr/bin:/bin"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_json(parser, DoctorDocument)


def run(options: argparse.Namespace) -> int:
    """Print the findings; 1 if one is a problem."""
    settings = load_settings(options)
    facts = replace(_facts(settings), exposed_password=_exposed_password(options))
    findings = [*diagnose(facts), *_cluster_findings(settings, facts.zone)]
    if options.json:
        print_json({"findings": [_json(finding) for finding in findings]})
    else:
        for finding in findings:
            print_line(_line(finding))
    return 1 if any(finding.level == "problem" for finding in findings) else 0


def _json(finding: Finding) -> FindingDocument:
    return {"level": finding.level, "about": finding.about, "text": finding.text, "do": finding.remedy}


def _line(finding: Finding) -> str:
    remedy = f"  -> {finding.remedy}" if finding.remedy else ""
    return f"{finding.level:<8} {finding.about}: {finding.text}{remedy}"


def _facts(settings: Settings) -> MachineFacts:
    running = list(probe.processes())
    daemon = _daemon(settings)
    loaded = load_crontabs(settings)
    environ = {**os.environ, **probe.environment(daemon.pid)}
    zone = machine.local_zone_name(environ)
    unit, of_user = probe.unit_in(probe.read_text(f"/proc/{daemon.pid}/cgroup"))
    failing, overdue, missed, never_due = _jobs_in_trouble(settings)
    return MachineFacts(
        version=__version__,
        daemon=daemon,
        crontabs=probe.crontab_paths(settings),
        other_crons=tuple(probe.other_crons(running)),
        syslog=settings.syslog,
        syslog_error=probe.syslog_error(settings.syslog),
        log_stderr=settings.log_stderr,
        zone=zone,
        zone_exists=machine.known_zone(zone) is not None,
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
        crontab_errors=tuple(str(problem) for problem in loaded.problems if _is_error(problem)),
        jobs=len(loaded.jobs),
        failing_jobs=failing,
        gone_and_overdue=overdue,
        missed_jobs=missed,
        never_due_jobs=never_due,
        ledger_bytes=_size(settings.ledger_path),
        idle_crontabs=_idle_crontabs(settings),
    )


def _exposed_password(options: argparse.Namespace) -> str:
    """Return the path of pycrond.toml if others can read the password of the cluster's database in it."""
    path = config_file(options.config)
    has_password = conninfo.has_password(str(layers(options)["file"].get("cluster", "")))
    return path if has_password and os.stat(path).st_mode & 0o044 else ""


def _cluster_findings(settings: Settings, zone: str) -> list[Finding]:
    if not settings.cluster:
        return []
    from pycrond.cli.doctor.cluster_probe import cluster_facts
    from pycrond.cli.doctor.cluster_rules import diagnose_cluster

    return [*diagnose_cluster(cluster_facts(settings, zone))]


def _is_error(problem: Problem) -> bool:
    return problem.severity == "error" and problem.code != "kept"


def _daemon(settings: Settings) -> DaemonFacts:
    """Ask the daemon; if it does not answer, test the lock and ask the keeper."""
    # If the lock is not readable, the finding about its directory says why.
    locked = is_locked(settings.state_dir)
    is_daemons = pidfile.daemon_pid(settings.pidfile, settings.state_dir) is not None
    stale = None if is_daemons else pidfile.read_pid(settings.pidfile)
    try:
        status = ask_daemon(settings, "status", timeout=STATUS_TIMEOUT)
    except PycrondError:
        jobs_left = presence(settings, None).jobs_left if locked else 0
        return DaemonFacts(locked, answers=False, jobs_left=jobs_left, stale_pid=stale)
    return DaemonFacts(
        locked,
        answers=True,
        pid=status["pid"],
        version=status["version"],
        zone=status["zone"],
        has_keeper=status["keeper"],
        backlog=status["backlog"] - status["running"],
        disk=tuple(disk_lines(status["disk"], terminal.here())),
    )


def _size(path: str) -> int:
    return os.path.getsize(path) if os.path.exists(path) else 0


def _idle_crontabs(settings: Settings) -> tuple[str, ...]:
    """Return the crontabs of the system that root's daemon does not read."""
    if settings.system or os.geteuid():
        return ()
    crontabs, _ = system.list_system_crontabs("/", machine.detect_dialect("/"))
    return tuple(crontab.file for crontab in crontabs)


def _directory(path: str) -> DirectoryFacts:
    """Return the facts about a directory; if it does not exist, about the file system that it will be on."""
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
        return file_rules.permission_problem(status) or "belongs to another user, or others may write there"
    return None


def _kill_mode(unit: str, *, of_user: bool) -> str:
    if not unit:
        return ""
    user = ["--user"] if of_user else []
    command = ["systemctl", *user, "show", "--property=KillMode", "--value", unit]
    try:
        result = subprocess.run(  # noqa: S603 -- fixed words
            command, capture_output=True, text=True, check=False, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout.strip()


def _jobs_in_trouble(settings: Settings) -> tuple[tuple[str, ...], ...]:
    """Return the jobs that fail, that are overdue, that have missed fires, and that are never due."""
    try:
        read, here = records(settings), terminal.here()
        jobs, gone = read_jobs(read, here), gone_and_overdue(read, here)
    except PycrondError:
        return (), (), (), ()
    failing = (f"{job.title} ({job_table.failure(job, here)})" for job in jobs if job.has_failed)
    late = [(job.title, job.overdue) for job in jobs if job.overdue]
    late += [(f"{row.key}, which is gone", row) for row in gone]
    overdue = (f"{title} ({job_table.overdue(row, here)})" for title, row in late)
    missed = (f"{job.title} ({counted(job.standing.missed, 'time')})" for job in jobs if job.standing.missed)
    never_due = (job.title for job in jobs if job.job.canonical is not None and job.next is None)
    return tuple(failing), tuple(overdue), tuple(missed), tuple(never_due)
