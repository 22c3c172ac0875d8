"""A clock that is set back by days, set forward, or wrong when a daemon starts; with real daemons."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Crond, wait_until
from tests.support import faketime

pytestmark = pytest.mark.daemon

NOON = "2031-03-10 12:00:02"


@pytest.fixture
def crond(crond: Crond) -> Iterator[Crond]:
    """A pycrond whose wall clock can be set, while elapsed time goes on as it is."""
    faketime.library()
    crond.environment |= {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}
    yield crond


def findings(crond: Crond) -> list[str]:
    done = crond.run("audit", status=None)
    return done.stdout.splitlines()


def states(crond: Crond, key: str) -> list[tuple[str, str, str | None, int | None]]:
    return [
        (run["state"], run["fire"], run["until"], run["count"])
        for run in crond.history()[::-1]
        if run["key"] == key
    ]
