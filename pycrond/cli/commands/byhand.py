"""run, kill, pause, resume: jobs controlled by hand."""

import argparse
import sys
import time
from datetime import UTC, datetime
from typing import Any

from pycrond import clock
from pycrond.cli.commands.logs import AWAY, QUICK, SLOW, UNFINISHED
from pycrond.cli.data.access import control_socket, records
from pycrond.cli.data.output_lines import Stream
from pycrond.cli.render import formatting
from pycrond.cli.settings_layers import configured
from pycrond.control import protocol
from pycrond.control.records import Records
from pycrond.errors import NotRunningError, PycrondError
from pycrond.ledger.rows import RunRow
from pycrond.text import duration


def _order(wanted: argparse.Namespace, command: str, **given: Any) -> dict[str, Any]:
    return protocol.ask(control_socket(configured(wanted)), {"command": command, **given})


def run(wanted: argparse.Namespace) -> int:
    """Have a job run now; with --wait or --follow, until it is over: its exit status."""
    answer = _order(wanted, "run", job=wanted.job)
    name = f"run {answer['run']} of {answer['key']}"
    stays = wanted.wait or wanted.follow
    if answer["verdict"] == "skip":
        raise PycrondError(f"{name} is skipped: {answer['reason']}")
    said = f"waits: {answer['reason']}" if answer["verdict"] == "wait" else "started"
    print(f"{name} {said}", file=sys.stderr if stays else sys.stdout, flush=True)
    if not stays:
        return 0
    read = records(configured(wanted))
    over = _wait(read, answer["run"], Stream(read, answer["run"]) if wanted.follow else None)
    print(f"{name} {_how_it_ended(over)}", file=sys.stderr)
    return _exit_status(over)


def _wait(read: Records, run: int, stream: Stream | None) -> RunRow:
    """Until it is over, with what it prints meanwhile."""
    read.retry_for = AWAY
    pause = QUICK / 4
    while True:
        found = read.runs([run])  # before its output: all of that is there when the run is over
        over = bool(found) and found[0].state not in UNFINISHED
        for line in stream.lines(to_the_end=over) if stream else ():
            print(line, flush=True)
            pause = QUICK / 4
        if over:
            return found[0]
        if not read.is_running():
            raise NotRunningError(f"pycrond has stopped before run {run} was over")
        time.sleep(pause)
        pause = min(SLOW, pause * 1.5)


def _how_it_ended(over: RunRow) -> str:
    """In a few words: `succeeded in 1.2 s`, `failed, exit status 3, in 0.1 s`, `skipped: overlap: …`."""
    how = over.state
    if over.exit_status:
        how += f", exit status {over.exit_status}"
    if over.signal is not None:
        how += f", signal {over.signal}"
    if over.duration_s is not None:
        how += f"{' in' if how == over.state else ', in'} {duration(over.duration_s)}"
    return f"{how}: {over.reason}".removesuffix(": ")


def _exit_status(over: RunRow) -> int:
    """The job's own, as a shell has it; 1 where it has none, or a good one and did not succeed."""
    if over.signal is not None:
        return 128 + over.signal
    if over.exit_status is None:
        return 1
    return over.exit_status or int(over.state != "succeeded")


def kill(wanted: argparse.Namespace) -> int:
    """End runs: TERM, after the grace KILL, or one signal."""
    answer = _order(wanted, "kill", what=wanted.what, signal=wanted.signal)
    for one in answer["runs"]:
        done = "gets the signal" if wanted.signal else "is being ended"
        print(f"run {one['run']} of {one['key']} {'waited, and is withdrawn' if one['waited'] else done}")
    return 0


def pause(wanted: argparse.Namespace) -> int:
    """Have no fire of these jobs start for a while."""
    seconds = None if wanted.forever else wanted.duration
    answer = _order(wanted, "pause", jobs=wanted.jobs, seconds=seconds, reason=wanted.reason)
    how = "until it is resumed"
    if answer["until"] is not None:
        until = datetime.fromtimestamp(answer["until"], UTC)
        how = f"until {formatting.moment(until, clock.now().astimezone())}"
    for key in answer["keys"]:
        print(f"{key} is paused {how}")
    return 0


def resume(wanted: argparse.Namespace) -> int:
    """Have them start again."""
    answer = _order(wanted, "resume", jobs=wanted.jobs)
    for key in answer["keys"]:
        print(f"{key} is resumed")
    for key in answer["others"]:
        print(f"{key} was not paused", file=sys.stderr)
    return 0
