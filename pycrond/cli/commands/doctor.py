"""doctor: gathers what there is to know about daemon, crontabs and machine, and says what is wrong."""

import argparse
import contextlib
import json
import os
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pycrond import __version__, clock
from pycrond.cli.commands.control import say_to_keeper
from pycrond.cli.commands.show import next_fire
from pycrond.cli.doctor import probe
from pycrond.cli.doctor.facts import DaemonFacts, Finding, MachineFacts, PlaceFacts
from pycrond.cli.doctor.rules import diagnose
from pycrond.cli.render import formatting
from pycrond.cli.settings_layers import configured
from pycrond.control import protocol
from pycrond.errors import PycrondError
from pycrond.host import machine, pidfile, users
from pycrond.keeper import start
from pycrond.ledger.reader import Reader
from pycrond.ledger.rows import JobRow
from pycrond.settings import Settings
from pycrond.sources import files
from pycrond.sources.loader import Loader, LoadResult


def doctor(wanted: argparse.Namespace) -> int:
    """A line for each thing looked at; 1 if one is a problem."""
    findings = diagnose(_facts(configured(wanted)))
    if wanted.json:
        print(json.dumps({"findings": [asdict(one) for one in findings]}))
    else:
        for one in findings:
            print(_line(one))
    return 1 if any(one.level == "problem" for one in findings) else 0


def _line(one: Finding) -> str:
    do = f"  -> {one.do}" if one.do else ""
    return f"{one.level:<8} {one.about}: {one.text}{do}"


def _facts(settings: Settings) -> MachineFacts:
    running = list(probe.processes())
    daemon = _daemon(settings)
    loaded = Loader(settings, users.by_uid(os.geteuid()), read_only=True).load()
    environ = {**os.environ, **probe.environment(daemon.pid)} if daemon.pid else os.environ
    zone = machine.local_zone_name(environ)
    unit, of_user = probe.unit_of(daemon.pid) if daemon.pid else ("", False)
    failing, never = _jobs_in_trouble(settings)
    return MachineFacts(
        version=__version__,
        daemon=daemon,
        reads=_reads(settings),
        rivals=tuple(probe.rivals(running)),
        syslog=settings.syslog,
        syslog_trouble=probe.syslog_trouble(settings.syslog),
        log_stderr=settings.log_stderr,
        zone=zone,
        zone_known=_is_zone(zone),
        timezone_file=_text("/etc/timezone"),
        zone_from="TZ" if "TZ" in environ else machine.LOCALTIME,
        synchronised=probe.synchronised(),
        clock_programs=probe.clock_programs(running),
        state=_place(settings.state_dir),
        runtime=_place(settings.runtime_dir),
        unit=unit,
        kill_mode=_kill_mode(unit, of_user=of_user),
        mailer=settings.mailer,
        has_mailer=machine.is_mailer_available(settings.mailer),
        mailed=tuple(job.key for job in loaded.jobs if job.entry.options.mailto),
        kept=loaded.kept,
        broken=_errors(loaded),
        jobs=len(loaded.jobs),
        failing=failing,
        never=never,
        ledger=_size(os.path.join(settings.state_dir, "ledger")),
    )


def _daemon(settings: Settings) -> DaemonFacts:
    """By lock, control socket, keeper and pidfile."""
    locked = _is_locked(settings.state_dir)
    stale = None if pidfile.locked_pid(settings.pidfile) else pidfile.read_pid(settings.pidfile)
    try:
        path = os.path.join(settings.runtime_dir, "control.sock")
        said: dict[str, Any] = protocol.ask(path, {"command": "status"}, timeout=10.0)
    except PycrondError:
        return DaemonFacts(locked, answers=False, left=_left(settings) if locked else 0, stale_pid=stale)
    return DaemonFacts(
        locked,
        answers=True,
        pid=said["pid"],
        version=said["version"],
        zone=said["zone"],
        has_keeper=said["keeper"],
        backlog=said["backlog"] - said["running"],
    )


def _is_locked(state_dir: str) -> bool:
    try:
        return start.is_locked(state_dir)
    except PycrondError:
        return False  # not ours to open: its owner and mode are told of


def _left(settings: Settings) -> int:
    with contextlib.suppress(PycrondError, ValueError):
        daemon, _, left = say_to_keeper(settings, "status").partition(" ")
        return int(left or 0) if daemon == "0" else 0
    return 0


def _reads(settings: Settings) -> tuple[str, ...]:
    system = [os.path.join(settings.root, path.lstrip("/")) for path in probe.CRON_FOLDERS]
    return (*(os.path.realpath(one) for one in settings.crontabs), *(system if settings.system else ()))


def _is_zone(name: str) -> bool:
    try:
        machine.load_zone(name)
    except (PycrondError, ValueError):
        return False
    return True


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _place(path: str) -> PlaceFacts:
    """Of one that is not there yet, what it will lie on."""
    there = path
    while not os.path.isdir(there):
        there = os.path.dirname(there)
    free, inodes = probe.room(there)
    return PlaceFacts(path, probe.file_system(there), _refusal(path), free, inodes)


def _refusal(path: str) -> str | None:
    """As a start would judge it."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    if not stat.S_ISDIR(status.st_mode):
        return "is no directory"
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        return (
            files.permission_problem(status)
            or "does not belong to the daemon's user, or others may write there"
        )
    return None


def _kill_mode(unit: str, *, of_user: bool) -> str:
    if not unit:
        return ""
    command = ["systemctl", *(["--user"] if of_user else []), "show", "--property=KillMode", "--value", unit]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def _errors(loaded: LoadResult) -> tuple[str, ...]:
    return tuple(str(one) for one in loaded.problems if one.severity == "error" and one.code != "kept")


def _jobs_in_trouble(settings: Settings) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Those whose latest run went wrong, and those that are never due; as the ledger has them."""
    try:
        reader = Reader(settings.state_dir)
    except PycrondError:
        return (), ()
    jobs, last, now = reader.jobs(), reader.last_runs(), clock.now()
    failing = [job for job in jobs if job.key in last and formatting.ending(last[job.key]).kind == "bad"]
    never = [job for job in jobs if job.canonical is not None and next_fire(job, now) is None]
    return _titles(failing), _titles(never)


def _titles(jobs: Sequence[JobRow]) -> tuple[str, ...]:
    return tuple(formatting.title(job.key, job.name, job.command) for job in jobs)
