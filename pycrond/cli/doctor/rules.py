"""Rules for common problems around a cron daemon: facts in, findings with a remedy out. Pure."""

import re
from collections.abc import Callable, Iterator, Sequence

from pycrond.cli.doctor.facts import DirectoryFacts, Finding, Level, MachineFacts, OtherCron
from pycrond.settings import NO_SYSLOG
from pycrond.text import counted

MIB = 1 << 20  # bytes
PROBLEM_FREE_BYTES, WARNING_FREE_BYTES = 32 * MIB, 512 * MIB
PROBLEM_FREE_INODES, WARNING_FREE_INODES = 1_000, 10_000
WARNING_LEDGER_BYTES = 1 << 30
WARNING_BACKLOG = 100  # runs whose output is not yet sent to syslog
_ZONE_NAME = re.compile(r"[A-Z]{3,5}|[A-Z][A-Za-z0-9_-]+(?:/[A-Za-z0-9_+-]+)+")
"""The name of a time zone, and not a rule such as CET-1CEST."""
MAX_NAMED = 5  # jobs or files named in a finding


def diagnose(facts: MachineFacts) -> list[Finding]:
    """Return the findings of all rules, the most basic ones first."""
    return [finding for rule in RULES for finding in rule(facts)]


Findings = Iterator[Finding]


def _daemon(facts: MachineFacts) -> Findings:
    daemon = facts.daemon
    if daemon.answers:
        yield Finding("ok", "daemon", f"runs, pid {daemon.pid}")
    elif daemon.jobs_left:
        text = f"is stopped, {counted(daemon.jobs_left, 'job')} still running"
        yield Finding("warning", "daemon", text, "pycrond start")
    elif daemon.is_locked:
        text = "the lock is held, but no daemon answers: it hangs, or cannot start"
        remedy = "look at the log; kill -9 the daemon, its keeper starts it again"
        yield Finding("problem", "daemon", text, remedy)
    else:
        yield Finding("warning", "daemon", "does not run", "pycrond start")
    if daemon.answers and daemon.version != facts.version:
        text = f"the daemon has version {daemon.version}, installed is {facts.version}"
        yield Finding("warning", "version", text, "pycrond restart")
    if daemon.answers and not daemon.has_keeper:
        text = "was killed: nothing starts the daemon again after a crash"
        yield Finding("warning", "keeper", text, "pycrond restart")
    if daemon.stale_pid is not None:
        text = f"the pidfile names {daemon.stale_pid}, which is not the daemon"
        remedy = "use pycrond status instead; the next start rewrites the pidfile"
        yield Finding("warning", "pidfile", text, remedy)


def _other_crons(facts: MachineFacts) -> Findings:
    for cron in facts.other_crons:
        if reads_same(facts.crontabs, cron):
            text = f"{cron.name} runs, and reads the same crontabs: every job runs twice"
            yield Finding("problem", "other-cron", text, cron.stop)
        else:
            yield Finding("ok", "other-cron", f"{cron.name} runs, and reads other crontabs than pycrond")
    if facts.idle_crontabs and not facts.other_crons:
        text = f"no cron runs the system's crontabs: {_named(facts.idle_crontabs)}"
        yield Finding("warning", "other-cron", text, "pycrond start --system, or start the other cron")
    elif not facts.other_crons:
        yield Finding("ok", "other-cron", "none runs")


def reads_same(crontabs: Sequence[str], cron: OtherCron) -> bool:
    """Return whether another cron reads one of these paths, or a path above or below one of them."""
    return any(_overlap(ours, theirs) for ours in crontabs for theirs in cron.crontabs)


def _overlap(path: str, other_path: str) -> bool:
    return path == other_path or path.startswith(other_path + "/") or other_path.startswith(path + "/")


def _crontabs(facts: MachineFacts) -> Findings:
    if facts.crontab_errors:
        text = f"{counted(len(facts.crontab_errors), 'error')}, the first: {facts.crontab_errors[0]}"
        yield Finding("problem", "crontabs", text, "pycrond check shows them all")
    if facts.kept_crontabs:
        text = f"the last good version stays in force: {_named(facts.kept_crontabs)}"
        yield Finding("problem", "last-good", text, "repair them, then pycrond reload")
    if not facts.crontab_errors:
        yield Finding("ok", "crontabs", f"no errors, {counted(facts.jobs, 'job')}")


def _jobs(facts: MachineFacts) -> Findings:
    history = "pycrond history JOB"
    rows: tuple[tuple[Level, str, Sequence[str], str, str], ...] = (
        ("problem", "failing", facts.failing_jobs, "failed last", f"{history}, pycrond logs JOB"),
        ("problem", "overdue", facts.gone_and_overdue, "overdue", history),
        ("problem", "missed", facts.missed_jobs, "missed since the last run", f"{history}, pycrond run JOB"),
        ("warning", "never-due", facts.never_due_jobs, "never due", "pycrond explain describes the schedule"),
    )
    for level, about, jobs, problem, remedy in rows:
        if jobs:
            yield Finding(level, about, f"{counted(len(jobs), 'job')} {problem}: {_named(jobs)}", remedy)


def _mail(facts: MachineFacts) -> Findings:
    if facts.jobs_with_mailto and not facts.has_mailer:
        text = f"{counted(len(facts.jobs_with_mailto), 'job')} with MAILTO, but there is no {facts.mailer}"
        remedy = "install a sendmail (postfix, msmtp-mta), or set --mailer smtp://…"
        yield Finding("problem", "mail", text, remedy)


def _syslog(facts: MachineFacts) -> Findings:
    if facts.syslog == NO_SYSLOG:
        yield Finding("ok", "syslog", "none: messages go to standard output in the foreground")
        return
    if not facts.syslog_error:
        yield Finding("ok", "syslog", f"{facts.syslog} accepts messages")
        return
    level: Level = "warning" if facts.log_stderr else "problem"
    text = f"{facts.syslog}: {facts.syslog_error}; the output of jobs waits on disk"
    remedy = "start a syslogd (rsyslog, journald), or set another --syslog"
    yield Finding(level, "syslog", text, remedy)
    if facts.daemon.backlog > WARNING_BACKLOG:
        yield Finding("warning", "backlog", f"the output of {facts.daemon.backlog} runs waits", remedy)


def _zone(facts: MachineFacts) -> Findings:
    running = facts.daemon.zone
    if not facts.zone_exists:
        text = f"{facts.zone_source} says {facts.zone}, which is no time zone"
        yield Finding("problem", "zone", text, "set it to a name in /usr/share/zoneinfo")
    elif running and running != facts.zone:
        text = f"the daemon runs in {running}, {facts.zone_source} here says {facts.zone}"
        yield Finding("warning", "zone", text, "pycrond restart, if the machine's zone was changed")
    elif facts.timezone_file and facts.timezone_file != facts.zone:
        text = f"/etc/timezone says {facts.timezone_file}, but {facts.zone_source} is used: {facts.zone}"
        remedy = "give both the same name of a time zone"
        if _ZONE_NAME.fullmatch(facts.zone):
            remedy = f"echo {facts.zone} > /etc/timezone"
        yield Finding("warning", "zone", text, remedy)
    else:
        yield Finding("ok", "zone", f"{facts.zone}, by {facts.zone_source}")


def _clock(facts: MachineFacts) -> Findings:
    programs = f" ({', '.join(facts.clock_programs)} runs)" if facts.clock_programs else ""
    if facts.synchronised:
        yield Finding("ok", "clock", f"synchronised, according to the kernel{programs}")
    elif programs:
        remedy = "chronyc tracking, or timedatectl, shows the reason"
        yield Finding("warning", "clock", f"not yet synchronised{programs}", remedy)
    else:
        text = "not synchronised, and nothing runs that would synchronise it: jobs drift"
        yield Finding("warning", "clock", text, "install chrony, or timedatectl set-ntp true")


def _directories(facts: MachineFacts) -> Findings:
    for directory, name in ((facts.state, "state"), (facts.runtime, "runtime")):
        if directory.refusal:
            remedy = f"chown it to the daemon's user, chmod go-w {directory.path}"
            yield Finding("problem", name, f"{directory.path}: {directory.refusal}", remedy)
    for line in facts.daemon.disk:
        yield Finding("problem", "output", line, f"free some space at {facts.state.path}; see --spool-limit")
    yield from _disk(facts.state)
    if facts.runtime.file_system not in {"", "tmpfs", "ramfs"}:
        text = f"{facts.runtime.path} is on {facts.runtime.file_system}: starts wait for the disk"
        yield Finding("warning", "runtime", text, "set --runtime-dir to a directory on a tmpfs, as in /run")
    if facts.ledger_bytes > WARNING_LEDGER_BYTES:
        text = f"has {facts.ledger_bytes // MIB} MiB"
        remedy = "have jobs run less often, or stop pycrond and sqlite3 STATE/ledger VACUUM"
        yield Finding("warning", "ledger", text, remedy)


def _disk(state: DirectoryFacts) -> Findings:
    if not state.file_system:
        return
    free, inodes = state.free_bytes, state.free_inodes
    text = f"{state.path} has {free // MIB} MiB{'' if inodes is None else f', {inodes} inodes'} free"
    remedy = "free some space: without it runs are not recorded"
    if free < PROBLEM_FREE_BYTES or (inodes is not None and inodes < PROBLEM_FREE_INODES):
        yield Finding("problem", "disk", text, remedy)
    elif free < WARNING_FREE_BYTES or (inodes is not None and inodes < WARNING_FREE_INODES):
        yield Finding("warning", "disk", text, remedy)
    else:
        yield Finding("ok", "disk", text)


def _service(facts: MachineFacts) -> Findings:
    if not facts.unit or not facts.kill_mode:
        return
    if facts.kill_mode != "process":
        text = f"{facts.unit} has KillMode={facts.kill_mode}: a stop or restart kills all running jobs"
        remedy = f"systemctl edit {facts.unit}: [Service] KillMode=process; or pycrond setup"
        yield Finding("problem", "systemd", text, remedy)
    else:
        yield Finding("ok", "systemd", f"{facts.unit} does not kill running jobs")


def _crontab_command(facts: MachineFacts) -> Findings:
    if facts.crontab_command is None:
        text = "there is no command crontab, by which users edit their crontabs"
        yield Finding("warning", "crontab", text, "pycrond setup --system places it")


def _password(facts: MachineFacts) -> Findings:
    if path := facts.exposed_password:
        text = f"other users can read the password of the cluster in {path}"
        yield Finding("problem", "password", text, f"chmod 600 {path}, and change the password")


def _named(names: Sequence[str]) -> str:
    return ", ".join(names[:MAX_NAMED]) + (", …" if len(names) > MAX_NAMED else "")


RULES: tuple[Callable[[MachineFacts], Findings], ...] = (
    *(_daemon, _other_crons, _crontabs, _jobs, _mail, _syslog),
    *(_zone, _clock, _directories, _service, _crontab_command, _password),
)
