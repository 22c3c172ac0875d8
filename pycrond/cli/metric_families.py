"""The metrics of a daemon and its jobs for prometheus-client, which no other module imports."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from pycrond.cli.metric_facts import Facts, Label, Labels, RunTotals
from pycrond.jobs.run import State
from pycrond.ledger.totals import DURATIONS

JOB = ("job", "user")


class Collector:
    """A collector of all metrics for prometheus-client; at most `max_jobs` jobs have series of their own."""

    def __init__(self, facts: Facts, max_jobs: int) -> None:
        self._facts = facts
        self._labels = Labels(facts, max_jobs)

    def collect(self) -> Iterator[Metric]:
        status = self._facts.status
        yield _gauge("up", "1 if the daemon answers.", float(status is not None))
        yield _gauge("metrics_timestamp_seconds", "When these metrics were made.", self._facts.now)
        if status and "minute" in status:  # else the daemon is of an older version
            yield from _daemon_metrics(status)
            if node := status.get("cluster"):
                yield from _node_metrics(node)
        yield from _run_metrics(self._facts, self._labels)
        yield from _job_metrics(self._facts, self._labels)


def _daemon_metrics(status: Mapping[str, Any]) -> Iterator[Metric]:
    disk, lateness = status["disk"], status["lateness_ms"]["total"]
    starts = CounterMetricFamily("pycrond_daemon_starts", "Starts of the daemon.")
    starts.add_metric((), status["start"])
    yield starts
    gauges = {
        "daemon_start_timestamp_seconds": ("When the daemon was started.", status["started_at"]),
        "last_minute_timestamp_seconds": ("The latest minute whose jobs were started.", status["minute"]),
        "jobs": ("Loaded jobs.", status["jobs"]),
        "crontab_errors": ("Errors in crontabs.", status["errors"]),
        "delivery_backlog_bytes": ("Output that waits for syslog.", disk["waiting_bytes"]),
        "spool_bytes": ("Output on disk.", disk["waiting_bytes"] + disk["kept_bytes"]),
        "blocked_bytes": ("Output that cannot be written to the disk yet.", disk["blocked_bytes"]),
        "ledger_pending_rows": ("Rows that cannot be written to the ledger yet.", disk["ledger_pending"]),
        "alarms_pending": ("Mails, commands and pings that are not delivered yet.", status["alarms"]),
    }
    for name, (about, value) in gauges.items():
        yield _gauge(name, about, value)
    about = "Lateness of scheduled starts since the start of the daemon."
    histogram = HistogramMetricFamily("pycrond_start_lateness_seconds", about)
    buckets = [*lateness["within"].items(), ("+Inf", lateness["starts"])]
    histogram.add_metric((), buckets, sum_value=lateness["seconds"])
    yield histogram


def _node_metrics(node: Mapping[str, Any]) -> Iterator[Metric]:
    about = "1 if the database of the cluster is connected."
    yield _gauge("cluster_connected", about, float(not node["away_s"] and node["state"] != "fenced"))
    about = "Nodes of the cluster by their last known state; draining nodes are alive."
    nodes = GaugeMetricFamily("pycrond_cluster_nodes", about, labels=("state",))
    draining = node["draining_nodes"]
    states = {
        "alive": node["alive"] - draining,
        "draining": draining,
        "silent": node["nodes"] - node["alive"],
    }
    for state, number in states.items():
        nodes.add_metric((state,), number)
    yield nodes
    about = "Fires of shared jobs whose end the database has not acknowledged, also running ones."
    yield _gauge("cluster_untold_fires", about, node["untold"])
    about = "The age of the oldest verdict on a shared job that is not acknowledged."
    yield _gauge("cluster_untold_seconds", about, node["untold_s"])
    about = "By how much this clock is ahead of the median of the nodes."
    yield _gauge("cluster_clock_disagreement_seconds", about, node["clock_ms"] / 1000)


def _run_metrics(facts: Facts, labels: Labels) -> Iterator[Metric]:
    totals = RunTotals(facts, labels)
    about = "Ended runs, and skipped or missed fires, by outcome."
    counter = CounterMetricFamily("pycrond_runs", about, labels=(*JOB, "outcome"))
    for names, number in totals.runs.items():
        counter.add_metric(names, number)
    yield counter
    histogram = HistogramMetricFamily("pycrond_run_duration_seconds", "Durations of runs.", labels=JOB)
    for label, (*within, measured, seconds) in totals.durations.items():
        buckets = [*zip(map(str, map(float, DURATIONS)), within, strict=True), ("+Inf", measured)]
        histogram.add_metric(label, buckets, sum_value=seconds)
    yield histogram
    yield _by_job("last_end_timestamp_seconds", "When the latest run ended.", totals.ends)
    yield _by_job("last_success_timestamp_seconds", "When the latest run succeeded.", totals.successes)


def _job_metrics(facts: Facts, labels: Labels) -> Iterator[Metric]:
    zeros = dict.fromkeys((labels.of(job.user, job.name) for job in facts.jobs), 0)
    for name, state in (("running_runs", State.RUNNING), ("waiting_runs", State.WAITING)):
        keys = (run.key for run in facts.open_runs if run.state == state)
        yield _by_job(name, f"Runs that are {state}.", zeros | Counter(map(labels.of_key, keys)))
    expecting = dict.fromkeys((labels.of_key(row.key) for row in facts.expected), 0)
    overdue = Counter(labels.of_key(key) for key in facts.overdue)
    about = "Jobs with the option expect whose next success is overdue."
    yield _by_job("overdue_jobs", about, expecting | overdue)


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(f"pycrond_{name}", about, value=value)


def _by_job(name: str, about: str, values: Mapping[Label, float]) -> Metric:
    gauge = GaugeMetricFamily(f"pycrond_{name}", about, labels=JOB)
    for label, value in values.items():
        gauge.add_metric(label, value)
    return gauge
