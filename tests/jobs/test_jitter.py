"""The delays of shared jobs, which are the same on all nodes of a cluster."""

from datetime import timedelta

import pytest

from pycrond.jobs.jitter import delay
from tests.conftest import jobs_of
from tests.scheduler.test_agenda import at

FIRES = [at("2026-05-01 00:00+00:00") + timedelta(minutes=number) for number in range(20)]


def delays(options: str, seed: str, cluster: str, head: str = "") -> list[int]:
    (job,) = jobs_of(f"{head}#: name=a {options}\n* * * * * x\n", file="jobs")
    return [delay(job, fire, seed, "cronie", cluster) for fire in FIRES]


@pytest.mark.parametrize(("options", "head"), [("jitter=1h", ""), ("", "RANDOM_DELAY=1000\n")])
def test_the_nodes_of_a_cluster_draw_the_delay_of_a_shared_job_alike(options: str, head: str) -> None:
    shared = delays(f"{options} on=one", "machine", "prod", head)
    assert shared == delays(f"{options} on=one", "another", "prod", head)
    assert shared != delays(f"{options} on=one", "machine", "staging", head)
    assert delays(f"{options} on=one", "machine", "", head) == delays(options, "machine", "", head)


@pytest.mark.parametrize("on", ["every", "db"])
def test_other_jobs_draw_by_their_machine(on: str) -> None:
    own = delays(f"jitter=1h on={on}", "machine", "prod")
    assert own == delays("jitter=1h", "machine", "") != delays(f"jitter=1h on={on}", "another", "prod")
