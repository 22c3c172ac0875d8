"""The shares of users, computed from the settings and the number of descriptors."""

from dataclasses import replace

import pytest

from pycrond.jobs.user_shares import Shares
from pycrond.settings import Settings

SETTINGS = Settings(state_dir="/s", runtime_dir="/r", pidfile="/p")


@pytest.mark.parametrize(
    ("max_running", "max_running_user", "max_fds", "share"),
    [
        (0, 0, 1 << 20, 1000),
        (0, 0, 1024, 128),  # half of the descriptors; a run needs four
        (0, 0, 3, 1),
        (1, 0, 1024, 1),  # nothing can be left for others
        (3, 0, 1024, 2),
        (100, 0, 1024, 75),
        (100, 100, 1024, 100),  # as the administrator says
        (0, 5000, 1024, 5000),
    ],
)
def test_the_share_of_places(max_running: int, max_running_user: int, max_fds: int, share: int) -> None:
    settings = replace(SETTINGS, max_running=max_running, max_running_user=max_running_user)
    assert Shares.of(settings, "me", max_fds).running == share


def test_root_and_the_daemons_user_have_no_limit() -> None:
    shares = Shares.of(replace(SETTINGS, max_running_user=2), "me", 1024)
    held = {"root": 9, "me": 9, "a": 9, "b": 1}
    assert [shares.free_places(user, held) for user in ("root", "me", "a", "b", "c")] == [None, None, 0, 1, 2]
