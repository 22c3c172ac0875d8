"""A day of the simulated server; `make days` lets more pass."""

import os
from pathlib import Path

import pytest

from tests.simulation.judgement import Judgement
from tests.simulation.server import Server
from tests.support.rsyslog import Rsyslogd

pytestmark = [
    pytest.mark.daemon,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: accounts and mounts of its own"),
]


def test_a_day_in_which_much_happens_is_accounted_for(tmp_path: Path, rsyslogd: Rsyslogd) -> None:
    tmp_path.parent.chmod(0o755)
    server = Server(tmp_path, rsyslogd, seed=1)
    try:
        server.set_up()
        server.live(6)
        Judgement(server).judge()
    finally:
        server.tear_down()
