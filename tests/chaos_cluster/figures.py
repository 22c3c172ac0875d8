"""Figures of an attack: how late jobs started, by their kinds."""

from collections.abc import Sequence
from statistics import median

from tests.chaos_cluster.driver import Attack
from tests.chaos_cluster.judgement import Judgement, is_quiet
from tests.chaos_cluster.kinds import KINDS, is_prompt
from tests.chaos_cluster.tally import Run

PLAIN, CONFIRMED = {"plain"}, {"again"}


def lines(judgement: Judgement) -> list[str]:
    """Return lines for people."""
    attack = judgement.attack
    calm = calm_minutes(attack)
    runs = [run for run in judgement.runs if attack.first <= run.wall <= attack.last]
    shared = [run for run in runs if _kind(run) != "every"]
    prompt = [run for run in shared if is_prompt(run.job, attack.spread)]
    groups = {
        "on=one": [run for run in prompt if _kind(run) in PLAIN],
        "on=one, confirmed": [run for run in prompt if _kind(run) in CONFIRMED],
        "on=every": [run for run in runs if _kind(run) == "every" and run.node != attack.control.name],
        "without a cluster": [run for run in runs if run.node == attack.control.name],
    }
    minutes = attack.last - attack.first + 1
    expected = minutes * sum(not KINDS[kind].is_every for kind in attack.jobs.values())
    return [
        f"faults: {dict(sorted(attack.counts().items()))}",
        f"failovers: {attack.servers.failovers}; minutes: {minutes}, of which {len(calm)} were calm",
        f"shared fires: {expected}; rows: {len(judgement.rows)}; starts: {len(shared)}",
        f"verdicts: {dict(judgement.verdicts.most_common())}",
        f"of jobs with node-loss=rerun: {dict(judgement.verdicts_of('rerun').most_common())}",
        *(
            f"late in calm minutes, {name}: {lateness([run for run in group if run.wall in calm])}"
            for name, group in groups.items()
        ),
    ]


def calm_minutes(attack: Attack) -> set[int]:
    """Return the minutes without any fault near."""
    faults = [*attack.disturbances, *(fault for node in attack.nodes for fault in node.disturbances)]
    return {
        wall
        for wall in range(attack.first, attack.last + 1)
        if is_quiet(faults, wall * 60.0, before=25.0, after=15.0)
    }


def lateness(runs: Sequence[Run]) -> str:
    """Return median, 99th percentile and maximum."""
    late = sorted(run.late for run in runs)
    if not late:
        return "none"
    return (
        f"median {median(late):.3f} s, p99 {late[int(len(late) * 0.99)]:.3f} s, worst {late[-1]:.3f} s,"
        f" of {len(late)}"
    )


def _kind(run: Run) -> str:
    return run.job.rstrip("0123456789")
