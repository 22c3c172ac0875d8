"""What usually goes wrong around a cron daemon, judged from facts: each finding says what to do. Pure."""

from collections.abc import Callable, Iterator, Sequence

from pycrond.cli.doctor.facts import Finding, Level, MachineFacts, PlaceFacts
from pycrond.text import counted

MIB = 1 << 20
ROOM_LEAST, ROOM_LOW = 32 * MIB, 512 * MIB  # bytes free
INODES_LEAST, INODES_LOW = 1_000, 10_000
LEDGER_LARGE = 1 << 30
BACKLOG_LARGE = 100  # runs whose output waits for syslog
NAMED = 5  # jobs or files that a finding names


def diagnose(facts: MachineFacts) -> list[Finding]:
    """All findings, in the order in which one would look."""
    return [finding for judge in JUDGES for finding in judge(facts)]


Found = Iterator[Finding]


def _daemon(facts: MachineFacts) -> Found:
    one = facts.daemon
    if one.answers:
        yield Finding("ok", "daemon", f"runs, pid {one.pid}")
    elif one.left:
        yield Finding(
            "warning", "daemon", f"is stopped, {counted(one.left, 'job')} still running", "pycrond start"
        )
    elif one.locked:
        text = "the lock is held, but no daemon answers: it hangs, or cannot start"
        yield Finding(
            "problem", "daemon", text, "look at the log; kill -9 the daemon, its keeper starts it anew"
        )
    else:
        yield Finding("warning", "daemon", "does not run", "pycrond start")
    if one.answers and one.version != facts.version:
        text = f"it is version {one.version}, installed is {facts.version}"
        yield Finding("warning", "version", text, "pycrond restart")
    if one.answers and not one.has_keeper:
        yield Finding("warning", "keeper", "was killed: nothing starts the daemon again", "pycrond restart")
    if one.stale_pid is not None:
        text = f"the pidfile names {one.stale_pid}, which is no daemon"
        yield Finding("warning", "pidfile", text, "trust pycrond status; the next start writes it anew")


def _rivals(facts: MachineFacts) -> Found:
    for rival in facts.rivals:
        if any(_overlap(ours, theirs) for ours in facts.reads for theirs in rival.folders):
            text = f"{rival.name} runs, and reads the same crontabs: every job runs twice"
            yield Finding("problem", "other-cron", text, rival.stop)
        else:
            yield Finding("ok", "other-cron", f"{rival.name} runs, and reads other crontabs than we do")
    if not facts.rivals:
        yield Finding("ok", "other-cron", "none runs")


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(other + "/") or other.startswith(one + "/")


def _crontabs(facts: MachineFacts) -> Found:
    if facts.broken:
        do = "pycrond check shows them all"
        yield Finding("problem", "crontabs", f"{_some(facts.broken, 'error')}", do)
    if facts.kept:
        text = f"keep their last good version: {_named(facts.kept)}"
        yield Finding("problem", "last-good", text, "repair them, then pycrond reload")
    if not facts.broken:
        yield Finding("ok", "crontabs", f"no errors, {counted(facts.jobs, 'job')}")


def _jobs(facts: MachineFacts) -> Found:
    if facts.failing:
        text = f"{counted(len(facts.failing), 'job')} failed last: {_named(facts.failing)}"
        yield Finding("problem", "failing", text, "pycrond history JOB, pycrond logs JOB")
    if facts.never:
        text = f"{counted(len(facts.never), 'job')} never due: {_named(facts.never)}"
        yield Finding("warning", "never-due", text, "pycrond explain says what the schedule names")


def _syslog(facts: MachineFacts) -> Found:
    if not facts.syslog_trouble:
        yield Finding("ok", "syslog", f"{facts.syslog} is there")
        return
    level: Level = "warning" if facts.log_stderr else "problem"
    text = f"{facts.syslog}: {facts.syslog_trouble}; what jobs print waits on disk"
    yield Finding(level, "syslog", text, "start a syslogd (rsyslog, journald), or set another --syslog")
    if facts.daemon.backlog > BACKLOG_LARGE:
        yield Finding("warning", "backlog", f"{facts.daemon.backlog} runs wait to be told", "as above")


def _zone(facts: MachineFacts) -> Found:
    running = facts.daemon.zone
    if not facts.zone_known:
        text = f"{facts.zone_from} says {facts.zone}, which is no time zone"
        yield Finding("problem", "zone", text, "set it to a name in /usr/share/zoneinfo")
    elif running and running != facts.zone:
        text = f"the daemon runs in {running}, {facts.zone_from} here says {facts.zone}"
        yield Finding("warning", "zone", text, "pycrond restart, if the machine's zone was changed")
    elif facts.timezone_file and facts.timezone_file != facts.zone:
        text = f"{facts.zone_from} says {facts.zone}, which counts; /etc/timezone says {facts.timezone_file}"
        yield Finding("warning", "zone", text, f"timedatectl set-timezone {facts.zone}")
    else:
        yield Finding("ok", "zone", f"{facts.zone}, by {facts.zone_from}")


def _clock(facts: MachineFacts) -> Found:
    by = f" ({', '.join(facts.clock_programs)} runs)" if facts.clock_programs else ""
    if facts.synchronised:
        yield Finding("ok", "clock", f"the kernel says that it is synchronised{by}")
    elif by:
        text = f"not yet synchronised{by}"
        yield Finding("warning", "clock", text, "chronyc tracking, or timedatectl, says why")
    else:
        text = "not synchronised, and nothing runs that would do it: jobs drift"
        yield Finding("warning", "clock", text, "install chrony, or timedatectl set-ntp true")


def _places(facts: MachineFacts) -> Found:
    for place, name in ((facts.state, "state"), (facts.runtime, "runtime")):
        if place.refusal:
            do = f"chown it to the daemon's user, chmod go-w {place.path}"
            yield Finding("problem", name, f"{place.path}: {place.refusal}", do)
    yield from _room(facts.state)
    if facts.runtime.kind and facts.runtime.kind not in {"tmpfs", "ramfs"}:
        text = f"{facts.runtime.path} is on {facts.runtime.kind}: starts wait for the disk"
        yield Finding("warning", "runtime", text, "set --runtime-dir to a folder on a tmpfs, as in /run")
    if facts.ledger > LEDGER_LARGE:
        text = f"has {facts.ledger // MIB} MiB"
        do = "have jobs run less often, or stop pycrond and sqlite3 STATE/ledger VACUUM"
        yield Finding("warning", "ledger", text, do)


def _room(state: PlaceFacts) -> Found:
    low = state.free < ROOM_LOW or (state.inodes is not None and state.inodes < INODES_LOW)
    least = state.free < ROOM_LEAST or (state.inodes is not None and state.inodes < INODES_LEAST)
    inodes = "" if state.inodes is None else f", {state.inodes} inodes"
    text = f"{state.path} has {state.free // MIB} MiB{inodes} free"
    if not state.kind:
        return
    if low:
        do = "make room: without it runs are not written down"
        yield Finding("problem" if least else "warning", "disk", text, do)
    else:
        yield Finding("ok", "disk", text)


def _service(facts: MachineFacts) -> Found:
    if not facts.unit or not facts.kill_mode:
        return
    if facts.kill_mode != "process":
        text = f"{facts.unit} has KillMode={facts.kill_mode}: a stop or restart kills all running jobs"
        do = f"systemctl edit {facts.unit}: [Service] KillMode=process; or pycrond setup"
        yield Finding("problem", "systemd", text, do)
    else:
        yield Finding("ok", "systemd", f"{facts.unit} lets running jobs live")


def _mail(facts: MachineFacts) -> Found:
    if facts.mailed and not facts.has_mailer:
        text = f"{counted(len(facts.mailed), 'job')} with MAILTO, but there is no {facts.mailer}"
        yield Finding(
            "problem", "mail", text, "install a sendmail (postfix, msmtp-mta), or set --mailer smtp://…"
        )


def _some(errors: Sequence[str], what: str) -> str:
    return f"{counted(len(errors), what)}, the first: {errors[0]}"


def _named(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")


JUDGES: tuple[Callable[[MachineFacts], Found], ...] = (
    *(_daemon, _rivals, _crontabs, _jobs, _mail, _syslog),
    *(_zone, _clock, _places, _service),
)
