"""A minute of the attack on a cluster; `make chaos-cluster` runs long ones."""

import faulthandler
from pathlib import Path

import pytest

from tests.chaos_cluster.driver import attack
from tests.chaos_cluster.judgement import Judgement
from tests.chaos_cluster.kinds import KINDS
from tests.chaos_cluster.plan import SERVERS, Fault

pytestmark = pytest.mark.daemon

QUICK = ("plain", "again", "partition", "lock", "retry", "every")
"""The kinds of jobs that end soon."""
FAULTS = {
    "n1": [Fault(1.2, "power_off_without_jobs", 5.0)],
    "n2": [Fault(-1.5, "freeze", 8.0)],
    "n3": [Fault(1.2, "half_and_deliver", 6.0)],
    SERVERS: [Fault(-2.0, "cancel_and_fail_over", 4.5)],
}
"""The range around the only minute, in seconds."""


def test_each_fire_has_one_start_and_one_verdict(tmp_path: Path) -> None:
    faulthandler.cancel_dump_traceback_later()  # it waits for a minute and lasts longer than other tests
    named = {f"{kind}{number}": kind for kind in QUICK for number in range(3 if KINDS[kind].is_every else 20)}
    with attack(tmp_path, nodes=3, named=named) as cluster:
        cluster.start()
        cluster.run(FAULTS, 15.0, print)
        cluster.heal()
        judgement = Judgement(cluster, max_late=None)
        assert not cluster.failures, cluster.failures
        assert not [*judgement.problems()]
        assert judgement.by_fire
