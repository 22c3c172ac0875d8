"""timeline: a day as a picture, on the terminal, as SVG or as JSON."""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from itertools import chain
from math import inf

from pycrond import clock
from pycrond.cli.commands.next import whole_minute
from pycrond.cli.render import terminal
from pycrond.cli.settings_layers import configured
from pycrond.cli.time_input import moment
from pycrond.cli.timeline import text_chart
from pycrond.cli.timeline.clusters import Cluster, find_clusters
from pycrond.cli.timeline.lanes import Timeline, TimeWindow, build_timeline, foreseen
from pycrond.cli.timeline.text_chart import ChartSize
from pycrond.errors import PycrondError
from pycrond.host import machine
from pycrond.keeper import start as keeper_start
from pycrond.ledger import codec
from pycrond.ledger.reader import Reader
from pycrond.ledger.rows import JobRow, SpanRow
from pycrond.schedule.dst import fire_times
from pycrond.schedule.timezone import Zone
from pycrond.scheduler import checkpoint
from pycrond.text import counted, rfc3339


def timeline(wanted: argparse.Namespace) -> int:
    """What ran, did not, and is to come, lane by lane; the stampedes by name."""
    settings = configured(wanted)
    reader = Reader(settings.state_dir)
    now = clock.now()
    zone = machine.load_zone(machine.local_zone_name(os.environ))
    window, day = _window(wanted, now, zone)
    running = keeper_start.is_locked(settings.state_dir)
    turn = None if running else checkpoint.read_checkpoint(os.path.join(settings.state_dir, "last-turn")).at
    told = window.now if turn is None else turn.timestamp()
    drawn, herds = _gathered(reader, wanted, window, told)
    reader.close()
    heading = _heading(drawn, day, zone)
    if wanted.svg:
        from pycrond.cli.timeline.svg_chart import svg

        _write(wanted.svg, svg(heading, drawn, herds, zone))
    if wanted.json:
        print(json.dumps(_document(drawn, herds, day, zone)))
    if wanted.svg or wanted.json:
        return 0
    if not running:
        heading += "; pycrond does NOT run"
    _print(heading, drawn, herds, zone)
    return 0


def _window(wanted: argparse.Namespace, now: datetime, zone: Zone) -> tuple[TimeWindow, str | None]:
    """From midnight to midnight of the zone, or the coming 24 hours."""
    if wanted.next:
        start, day = whole_minute(None, now, zone), None
        until = start + timedelta(hours=24)
    else:
        date = zone.local(moment(wanted.day, now, zone).at).date()
        day = date.isoformat()
        start, until = (moment(one.isoformat(), now, zone).at for one in (date, date + timedelta(days=1)))
    return TimeWindow(start.timestamp(), until.timestamp(), now.timestamp()), day


def _gathered(
    reader: Reader, wanted: argparse.Namespace, window: TimeWindow, told: float
) -> tuple[Timeline, list[Cluster]]:
    """What the ledger has, which is all that was due up to `told`, and after that what the schedules say."""
    globs = wanted.jobs
    spans = [] if wanted.next else reader.spans(window.start, window.until, window.now)
    jobs = reader.jobs()
    known = {job.key for job in jobs}
    absent = sorted({span.key for span in spans} - known)
    gone = {key: reader.history([key], 1)[0].name for key in absent}
    if globs:
        jobs = [job for job in jobs if _meant(globs, job.key, job.name, f"{job.file}:{job.line}")]
        gone = {key: name for key, name in gone.items() if _meant(globs, key, name)}
        known = {job.key for job in jobs} | set(gone)
        spans = [span for span in spans if span.key in known]
        if not jobs and not gone:
            raise PycrondError(f"no job is called '{' '.join(globs)}' (see 'pycrond list')")
    coming = _coming(jobs, max(window.start, (told // 60 + 1) * 60), window.until)
    paused = {row.key: row.until or inf for row in reader.pauses(window.now)}
    drawn = build_timeline(jobs, chain(spans, foreseen(coming, paused, window.now)), window, gone)
    jittered = [job.key for job in jobs if '"jitter"' in job.options]
    return drawn, find_clusters(drawn.fires, jittered)


def _meant(globs: Iterable[str], *words: str | None) -> bool:
    """Key, name, file:line, or the end of one after a slash."""
    texts = [text for word in words if word for text in (word, word.rpartition("/")[2])]
    return any(fnmatchcase(text, glob) for glob in globs for text in texts)


def _coming(jobs: Iterable[JobRow], start: float, until: float) -> dict[str, Sequence[float]]:
    """When each job is to start; equal schedules are looked at once."""
    first, end = (datetime.fromtimestamp(at, UTC) for at in (start, until))
    known: dict[tuple[object, str], Sequence[float]] = {}
    found = {}
    for job in jobs:
        if job.canonical is None or start >= until:
            continue
        schedule = codec.from_text(job.canonical)
        place = (schedule, job.zone)
        if place not in known:
            coming = fire_times(schedule, machine.load_zone(job.zone), first, end)
            known[place] = [one.at.timestamp() for one in coming]
        found[job.key] = _later(job, known[place]) if '"jitter"' in job.options else known[place]
    return found


def _later(job: JobRow, times: Iterable[float]) -> Sequence[float]:
    """The delays that the daemon will draw; RANDOM_DELAY, which the ledger does not know, apart."""
    from pycrond.ledger.codec import job_of
    from pycrond.scheduler.jitter import delay

    one, seed = job_of(job), machine.machine_id()
    return [at + delay(one, datetime.fromtimestamp(at, UTC), seed, "") for at in times]


def _heading(drawn: Timeline, day: str | None, zone: Zone) -> str:
    when = f"{datetime.fromisoformat(day):%A} {day}" if day else "The next 24 hours"
    bad = f", {drawn.failed:,} failed" if drawn.failed else ""
    jobs, starts = len(drawn.lanes), drawn.total
    return f"{when}, {zone.name}: {counted(jobs, 'job', ',')}, {counted(starts, 'start', ',')}{bad}"


def _print(heading: str, drawn: Timeline, herds: Sequence[Cluster], zone: Zone) -> None:
    """Print the chart, in plain characters if the output's encoding has no others."""
    marks = text_chart.BLOCKS if _can(sys.stdout.encoding) else text_chart.ASCII
    height = shutil.get_terminal_size().lines if terminal.is_terminal() else None
    size = ChartSize(terminal.width(), height, marks)
    terminal.show(text_chart.lines(heading, drawn, herds, zone, size))


def _can(encoding: str) -> bool:
    try:
        f"{text_chart.BLOCKS}".encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _write(file: str, text: str) -> None:
    if file == "-":
        print(text)
        return
    try:
        with open(file, "w", encoding="utf-8") as out:
            out.write(text)
    except OSError as error:
        raise PycrondError(f"cannot write {file}: {error.strerror}") from error


def _document(drawn: Timeline, herds: Iterable[Cluster], day: str | None, zone: Zone) -> dict[str, object]:
    return {
        "day": day,
        "from": rfc3339(drawn.window.start),
        "until": rfc3339(drawn.window.until),
        "zone": zone.name,
        "lanes": [
            {"key": lane.key, "name": lane.name, "bars": [_bar_json(bar) for bar in lane.bars]}
            for lane in drawn.lanes
        ],
        "starts": [
            {"minute": rfc3339(minute * 60), "count": drawn.starts[minute]} for minute in sorted(drawn.starts)
        ],
        "stampedes": [_stampede_json(one) for one in herds],
    }


def _bar_json(bar: SpanRow) -> dict[str, object]:
    return {
        "start": rfc3339(bar.start),
        "end": rfc3339(bar.end),
        "state": bar.state,
        "run": bar.run,
        "count": bar.several,
    }


def _stampede_json(one: Cluster) -> dict[str, object]:
    said = one.suggestion
    return {
        "at": rfc3339(one.minute * 60),
        "count": len(one.jobs),
        "jobs": one.jobs,
        "again": one.again,
        "suggestion": said
        and {
            "jitter": said.jitter,
            "jobs": said.jobs,
            "average": round(said.average, 1),
            "most": said.most,
        },
    }
