"""The health of a daemon, for `status --check`: whether it starts jobs on time."""

import os
import time
from collections.abc import Iterator, Mapping
from enum import IntEnum
from typing import Any, NamedTuple

from pycrond import clock
from pycrond.cli.daemon_requests import ask_daemon, is_locked
from pycrond.errors import NoAnswerError, NotRunningError, PycrondError
from pycrond.host import procfs
from pycrond.settings import Settings
from pycrond.text import counted, duration

ANSWER_TIMEOUT = 3.0  # seconds
MAX_AGE = 4.0  # seconds from the start of this process to the answer of a check
MIN_ANSWER_TIMEOUT = 1.0  # seconds
RETRY_INTERVAL = 0.1  # seconds
MAX_LATENESS = 60.0  # seconds that starts may be late by default
MINUTE = 60.0  # seconds
MAX_DATABASE_ABSENCE = 60.0  # seconds without the cluster's database
MAX_FENCED = 120.0  # seconds; a new machine with the name of a dead node is fenced for 60 s
MAX_REPORT_DELAY = 300.0  # seconds until the cluster's database has acknowledged a verdict


class Status(IntEnum):
    """The exit statuses of `status --check`."""

    HEALTHY = 0
    LATE = 1
    NOT_RUNNING = 3
    NO_ANSWER = 4
    DISK = 5
    FENCED = 6


class Level(IntEnum):
    """The exit statuses of a plug-in of Nagios."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


class Health(NamedTuple):
    """A judgement of a daemon."""

    status: Status
    level: Level
    text: str
    """The reasons, one line."""
    figures: Mapping[str, str] = {}
    """Performance data as Nagios writes it: value, unit and limits."""


def ask_for_health(settings: Settings, max_lateness: float) -> Health:
    """Ask the daemon and judge its answer, within a few seconds even if the daemon hangs.

    A daemon that starts or executes another program is waited for within this time.
    """
    timeout = min(ANSWER_TIMEOUT, max(MIN_ANSWER_TIMEOUT, MAX_AGE - _age()))
    deadline = time.monotonic() + timeout
    while True:
        left = max(RETRY_INTERVAL, deadline - time.monotonic())
        try:
            answer = ask_daemon(settings, "status", timeout=left)
        except NoAnswerError as error:
            return Health(Status.NO_ANSWER, Level.CRITICAL, str(error))
        except NotRunningError:
            if not is_locked(settings.state_dir):
                return Health(Status.NOT_RUNNING, Level.CRITICAL, "pycrond is not running")
            if time.monotonic() >= deadline:
                text = f"no daemon has listened for {duration(timeout)}: it cannot start"
                return Health(Status.NOT_RUNNING, Level.CRITICAL, text)
            time.sleep(RETRY_INTERVAL)
        except PycrondError as error:
            return Health(Status.NO_ANSWER, Level.UNKNOWN, str(error))
        else:
            return judge(answer, clock.now().timestamp(), max_lateness)


def _age() -> float:
    """Return the age of this process in seconds; on a slow machine, its start takes long."""
    start = procfs.start_ticks(os.getpid())
    return max(0.0, clock.elapsed() - procfs.ticks_to_seconds(start)) if start else 0.0


def judge(answer: Mapping[str, Any], now: float, max_lateness: float) -> Health:
    """Judge a daemon's answer at the time `now`, in Unix seconds."""
    if "minute" not in answer:
        text = f"the daemon has version {answer['version']}, which cannot be checked: pycrond restart"
        return Health(Status.NO_ANSWER, Level.UNKNOWN, text)
    behind = max(0.0, now - answer["minute"] - MINUTE)
    lateness = (answer["lateness_ms"]["worst_recent"] or 0.0) / 1000
    figures = {
        "behind": f"{behind:.0f}s;;{max_lateness:g}",
        "lateness": f"{lateness:.3f}s;;{max_lateness:g}",
        **{name: str(answer[name]) for name in ("jobs", "running")},
        "errors": f"{answer['errors']};0",
        "backlog": f"{answer['disk']['waiting_bytes']}B",
    }
    if node := answer.get("cluster"):
        figures |= {"untold": str(node["untold"]), "clock": f"{node['clock_ms']}ms;-2000:2000"}
    late, full = [*_late(answer, behind, lateness, max_lateness)], [*_disk(answer["disk"])]
    fenced = [*_fenced(node)] if node else []
    if late or full or fenced:
        status = Status.LATE if late else Status.DISK if full else Status.FENCED
        return Health(status, Level.CRITICAL, "; ".join([*late, *full, *fenced]), figures)
    if warnings := [*_warnings(answer)]:
        return Health(Status.HEALTHY, Level.WARNING, "; ".join(warnings), figures)
    text = f"{counted(answer['jobs'], 'job')}, {answer['running']} running, no start late"
    return Health(Status.HEALTHY, Level.OK, text, figures)


def _late(answer: Mapping[str, Any], behind: float, lateness: float, most: float) -> Iterator[str]:
    if answer["stopping"]:
        yield "pycrond is stopping and starts no more jobs"
    elif answer.get("start_trouble"):
        yield f"jobs cannot be started ({answer['start_trouble']})"
    elif behind > most:
        yield f"the daemon is {duration(behind)} behind: it has not started the jobs of this time"
    if lateness > most:
        yield f"a job started {duration(lateness)} late in the last 10 min"
    if not answer["files"] and answer["errors"]:
        yield f"no crontab is loaded: {counted(answer['errors'], 'error')}"


def _disk(disk: Mapping[str, Any]) -> Iterator[str]:
    if disk["trouble"]:
        yield f"output cannot be written ({disk['trouble']}): {counted(disk['blocked_runs'], 'run')} held up"
    if disk["ledger"]:
        yield f"the ledger cannot be written ({disk['ledger']})"


def _fenced(node: Mapping[str, Any]) -> Iterator[str]:
    if node["state"] == "fenced" and node["away_s"] > MAX_FENCED:
        name, detail = node["node"], node["detail"]
        yield f"another machine has the name of node {name} ({detail}): shared jobs do not run here"


def _cluster_warnings(node: Mapping[str, Any]) -> Iterator[str]:
    if node["state"] != "fenced" and node["away_s"] > MAX_DATABASE_ABSENCE:
        detail = f" ({node['detail']})" if node["detail"] else ""
        yield f"the cluster's database has not been reached for {duration(node['away_s'])}{detail}"
    elif node["untold_s"] > MAX_REPORT_DELAY:
        yield f"the cluster's database has not acknowledged a verdict for {duration(node['untold_s'])}"


def _warnings(answer: Mapping[str, Any]) -> Iterator[str]:
    if answer["errors"]:
        kept = f", {counted(len(answer['kept']), 'crontab')} in force as before" if answer["kept"] else ""
        yield f"{counted(answer['errors'], 'error')} in crontabs{kept}"
    elif not answer["files"]:
        yield "no crontab is loaded"
    if not answer["keeper"]:
        yield "the keeper has ended: a daemon that dies is not started again"
    if node := answer.get("cluster"):
        yield from _cluster_warnings(node)


def line(health: Health) -> str:
    """Return the health as a line for people."""
    words = "not healthy" if health.status else "warning" if health.level else "healthy"
    return f"{words}: {health.text}"


def nagios_line(health: Health) -> str:
    """Return the health as a plug-in of Nagios prints it, with performance data after a bar."""
    figures = " ".join(f"{name}={value}" for name, value in health.figures.items())
    text = f"PYCROND {health.level.name} - {health.text.replace('|', '/')}"
    return f"{text} | {figures}" if figures else text
