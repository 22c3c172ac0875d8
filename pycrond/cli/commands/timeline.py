"""timeline: draw a day on the terminal, as SVG or as JSON."""

import argparse
import json
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from functools import partial
from itertools import chain
from math import inf

from pycrond import clock
from pycrond.cli.arguments import add_cluster, add_json
from pycrond.cli.crontab_input import cluster_name
from pycrond.cli.daemon_requests import presence
from pycrond.cli.data.access import as_present
from pycrond.cli.data.ledger_directory import ledger_directory
from pycrond.cli.documents.times import BarDocument, LaneDocument, StampedeDocument, TimelineDocument
from pycrond.cli.next_fire import plan_of
from pycrond.cli.printing import print_json, write_document
from pycrond.cli.render import terminal
from pycrond.cli.settings_layers import load_settings
from pycrond.cli.time_input import moment, whole_minute
from pycrond.cli.timeline import text_chart
from pycrond.cli.timeline.clusters import Cluster, find_clusters
from pycrond.cli.timeline.lanes import Lane, Timeline, TimeWindow, build_timeline, foreseen
from pycrond.cli.timeline.text_chart import ChartSize
from pycrond.errors import PycrondError
from pycrond.host import machine
from pycrond.jobs.jitter import delay
from pycrond.ledger import codec
from pycrond.ledger.reader import Reader
from pycrond.ledger.rows import JobRow, SpanRow
from pycrond.schedule.fire_times import fire_times
from pycrond.schedule.timezone import Zone
from pycrond.scheduler import checkpoint
from pycrond.settings import Settings
from pycrond.text import counted, rfc3339


def add_arguments(parser: argparse.ArgumentParser) -> None:
    when = parser.add_mutually_exclusive_group()
    when.add_argument("--day", default="today", metavar="DAY", help="such as yesterday, 2026-03-29 (today)")
    when.add_argument("--next", action="store_true", help="the coming 24 hours, by the schedules")
    about = "only jobs whose name or key matches"
    parser.add_argument("--job", dest="jobs", nargs="+", action="extend", metavar="GLOB", help=about)
    parser.add_argument("--svg", metavar="FILE", help="write the picture to this file")
    add_cluster(parser, "shared jobs on all nodes, a lane for each node, from the cluster's database")
    add_json(parser, TimelineDocument)


def run(options: argparse.Namespace) -> int:
    """Show runs, skipped and missed fires, and coming fires in a lane for each job; name the clusters."""
    settings = load_settings(options)
    reader = Reader(ledger_directory(settings))
    now, zone = clock.now(), machine.local_zone()
    window, day = _window(options, now, zone)
    daemon = presence(settings, reader.daemon())
    running = daemon.runs or daemon.restarts
    last = None if running else checkpoint.read_checkpoint(settings.checkpoint_path).at
    spans = [] if options.next else reader.spans(window.start, window.until, window.now)
    spans = as_present(reader, settings, spans)
    recorded = last.timestamp() if last else window.now
    nodes: Mapping[str, str] = {}
    if options.of_cluster:
        timeline, nodes = _read_cluster(settings, reader, options, window)
        clusters: list[Cluster] = []
    else:
        timeline, clusters = _read_ledger(reader, spans, options, window, recorded, cluster_name(settings))
    reader.close()
    heading = _heading(timeline, day, zone, "lane" if options.of_cluster else "job")
    if options.svg:
        from pycrond.cli.timeline.svg_chart import svg

        write_document(options.svg, svg(heading, timeline, clusters, zone))
    if options.json:
        print_json(_document(timeline, clusters, day, zone, nodes))
    if not options.svg and not options.json:
        _print(heading if running else f"{heading}; pycrond does NOT run", timeline, clusters, zone)
    return 0


def _window(options: argparse.Namespace, now: datetime, zone: Zone) -> tuple[TimeWindow, str | None]:
    """Return the day from midnight to midnight of the zone, and its date; or the coming 24 hours."""
    if options.next:
        start, day = whole_minute(None, now, zone), None
        until = start + timedelta(hours=24)
    else:
        date = zone.local(moment(options.day, now, zone).at).date()
        day = date.isoformat()
        midnights = (date, date + timedelta(days=1))
        start, until = (moment(midnight.isoformat(), now, zone).at for midnight in midnights)
    return TimeWindow(start.timestamp(), until.timestamp(), now.timestamp()), day


def _read_ledger(
    reader: Reader,
    spans: list[SpanRow],
    options: argparse.Namespace,
    window: TimeWindow,
    recorded: float,
    cluster: str,
) -> tuple[Timeline, list[Cluster]]:
    """Draw the ledger's spans, which cover fires up to the time `recorded`, and later fires by the schedules.

    `cluster` is the name of the cluster or empty.
    """
    jobs = reader.jobs()
    absent = sorted({span.key for span in spans} - {job.key for job in jobs})
    gone = {key: reader.history([key], 1)[0] for key in absent}
    if options.jobs:
        globs = options.jobs
        jobs = [job for job in jobs if _matches(globs, job.key, job.title, f"{job.file}:{job.line}")]
        gone = {key: run for key, run in gone.items() if _matches(globs, key, run.title)}
        selected = {job.key for job in jobs} | gone.keys()
        spans = [span for span in spans if span.key in selected]
        if not selected:
            raise PycrondError(f"no job is called '{' '.join(globs)}' (see 'pycrond list')")
    coming = _coming_starts(jobs, max(window.start, (recorded // 60 + 1) * 60), window.until, cluster)
    paused = {row.key: row.until or inf for row in reader.pauses(window.now)}
    timeline = build_timeline(jobs, chain(spans, foreseen(coming, paused, window.now)), window, gone)
    return timeline, find_clusters(timeline.fires, [job.key for job in jobs if _has_jitter(job)])


def _read_cluster(
    settings: Settings, reader: Reader, options: argparse.Namespace, window: TimeWindow
) -> tuple[Timeline, Mapping[str, str]]:
    """Read the claims of shared jobs, and add later fires by this machine's schedules. Return also the nodes
    of lanes, by key.
    """
    from pycrond.cli.cluster import claim_rows, node_lanes

    globs = options.jobs or ["*"]
    jobs = [
        job
        for job in reader.jobs()
        if claim_rows.is_shared_job(job) and _matches(globs, job.key, job.title, f"{job.file}:{job.line}")
    ]
    read = node_lanes.read_bars(settings, window.start, window.until, partial(_matches, globs))
    lanes = node_lanes.node_lanes([] if options.next else read, jobs, window.now)
    start = max(window.start, (window.now // 60 + 1) * 60)
    coming = _coming_starts(jobs, start, window.until, cluster_name(settings))
    bars = chain(lanes.spans, foreseen(coming, {}, window.now))
    timeline = build_timeline(jobs, bars, window, lanes.gone)
    places = {job.key: place for place, job in enumerate(jobs)}
    ordered = sorted(timeline.lanes, key=lambda lane: lanes.place(lane.key, places))
    return timeline._replace(lanes=tuple(ordered)), lanes.nodes


def _matches(globs: Iterable[str], *names: str | None) -> bool:
    """Compare the globs with key, name and file:line, and with their ends after the last slash."""
    texts = [text for name in names if name for text in (name, name.rpartition("/")[2])]
    return any(fnmatchcase(text, glob) for glob in globs for text in texts)


def _coming_starts(
    jobs: Iterable[JobRow], start: float, until: float, cluster: str
) -> dict[str, Sequence[float]]:
    """Return the coming starts of each job; the fire times of equal schedules are computed once."""
    if start >= until:
        return {}
    first, end = (clock.at(at) for at in (start, until))
    by_schedule: dict[object, Sequence[float]] = {}
    starts = {}
    for job in jobs:
        schedule = plan_of(job)
        if schedule is None:
            continue
        if schedule not in by_schedule:
            coming = fire_times(*schedule, first, end)
            by_schedule[schedule] = [fire.at.timestamp() for fire in coming]
        times = by_schedule[schedule]
        starts[job.key] = _delayed(job, times, cluster) if _has_jitter(job) else times
    return starts


def _has_jitter(job: JobRow) -> bool:
    return "jitter" in job.options and "jitter" in json.loads(job.options)


def _delayed(row: JobRow, times: Iterable[float], cluster: str) -> Sequence[float]:
    """Add the delays that the daemon will draw, without RANDOM_DELAY, which the ledger does not have."""
    job, seed = codec.decode_job(row), machine.machine_id()
    return [at + delay(job, clock.at(at), seed, "", cluster) for at in times]


def _heading(timeline: Timeline, day: str | None, zone: Zone, noun: str) -> str:
    when = f"{datetime.fromisoformat(day):%A} {day}" if day else "The next 24 hours"
    failed = f", {timeline.failed:,} failed" if timeline.failed else ""
    jobs, starts = counted(len(timeline.lanes), noun, ","), counted(timeline.total, "start", ",")
    return f"{when}, {zone.name}: {jobs}, {starts}{failed}"


def _print(heading: str, timeline: Timeline, clusters: Sequence[Cluster], zone: Zone) -> None:
    """Print the chart, in ASCII if the output's encoding has no other characters."""
    marks = text_chart.BLOCKS if _is_encodable(f"{text_chart.BLOCKS}") else text_chart.ASCII
    height = shutil.get_terminal_size().lines if terminal.is_terminal() else None
    size = ChartSize(terminal.width(), height, marks)
    terminal.show(text_chart.lines(heading, timeline, clusters, zone, size))


def _is_encodable(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        return False
    return True


def _document(
    timeline: Timeline, clusters: Iterable[Cluster], day: str | None, zone: Zone, nodes: Mapping[str, str]
) -> TimelineDocument:
    starts = sorted(timeline.starts.items())
    return {
        "day": day,
        "from": rfc3339(timeline.window.start),
        "until": rfc3339(timeline.window.until),
        "zone": zone.name,
        "lanes": [_lane_json(lane, nodes.get(lane.key)) for lane in timeline.lanes],
        "starts": [{"minute": rfc3339(minute * 60), "count": count} for minute, count in starts],
        "stampedes": [_cluster_json(cluster) for cluster in clusters],
    }


def _lane_json(lane: Lane, node: str | None) -> LaneDocument:
    document: LaneDocument = {
        "key": lane.key,
        "name": lane.name,
        "display_name": lane.title,
        "bars": [_bar_json(bar) for bar in lane.bars],
    }
    return document if node is None else {**document, "node": node}


def _bar_json(bar: SpanRow) -> BarDocument:
    return {
        "start": rfc3339(bar.start),
        "end": rfc3339(bar.end),
        "state": bar.state,
        "run": bar.run,
        "count": bar.fires,
    }


def _cluster_json(cluster: Cluster) -> StampedeDocument:
    suggestion = cluster.suggestion
    return {
        "at": rfc3339(cluster.minute * 60),
        "count": len(cluster.jobs),
        "jobs": [*cluster.jobs],
        "again": cluster.again,
        "suggestion": {
            "jitter": suggestion.jitter,
            "jobs": [*suggestion.jobs],
            "average": round(suggestion.average, 1),
            "most": suggestion.most,
        }
        if suggestion
        else None,
    }
