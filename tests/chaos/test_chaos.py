"""Short rounds of the attack; `make chaos` runs long ones."""

from pathlib import Path

import pytest

from tests.chaos.driver import Chaos
from tests.support.rsyslog import Rsyslogd

pytestmark = pytest.mark.daemon


@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_is_lost(tmp_path: Path, rsyslogd: Rsyslogd, seed: int) -> None:
    chaos = Chaos(tmp_path, rsyslogd, seed, copies=1)
    try:
        chaos.start()
        for _ in range(10):
            chaos.inject_fault()
        chaos.judge()
    finally:
        chaos.crond.end()
