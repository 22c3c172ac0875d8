"""Which process was a run's, from what little a daemon that was killed has left."""

import pytest

from pycrond import procfs
from pycrond.keeping import End
from pycrond.starts import Noted
from pycrond.survivors import Survivors

FIRE = 1_000_000.0


@pytest.mark.parametrize(
    ("ended", "found", "why"),
    [
        (None, True, "the run's own process lives, or what it left would not be the oldest"),
        (
            End(70, 500, 0, 0.0, 0, FIRE + 1),
            False,
            "that was the run's, and this a daemon that it left behind",
        ),
        (End(70, 501, 0, 0.0, 0, FIRE + 1), False, "so it may be: they began in the same tick"),
        (End(70, 502, 0, 0.0, 0, FIRE + 1), True, "younger"),
        (End(70, 500, 0, 0.0, 0, FIRE - 1), True, "ended before"),
        (End(60, 500, 0, 0.0, 0, FIRE + 1), True, "another run's, as was noted"),
    ],
)
def test_a_run_whose_pid_nobody_noted(
    monkeypatch: pytest.MonkeyPatch, ended: End | None, found: bool, why: str
) -> None:
    monkeypatch.setattr(procfs, "leaders_by_run", lambda parent: {8: (80, 501)})
    survivors = Survivors({7: Noted(60)}, [ended] if ended else [])
    survivors.look_for_leaders()
    process = survivors.find(8, None, None, FIRE)
    assert (process is not None and process.pid == 80) is found, why


def test_the_process_that_the_keeper_saw_is_the_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever else says that it is."""
    monkeypatch.setattr(procfs, "leaders_by_run", lambda parent: {8: (80, 8000)})
    survivors = Survivors({}, [End(60, 500, 0, 0.0, 0, FIRE + 1)], {8: (70, 7000)})
    survivors.look_for_leaders()
    process = survivors.find(8, None, None, FIRE)
    assert process is not None
    assert (process.pid, process.start) == (70, 7000)


@pytest.mark.parametrize(
    ("dead", "found", "why"),
    [
        ((60, 6999), False, "that was the run's, and the one that lives a daemon that it left behind"),
        ((60, 7000), False, "so it may be: they began in the same tick"),
        ((60, 7001), True, "younger"),
        ((50, 6999), True, "another run's, as was noted"),
        ((51, 6999), True, "another run's, as the ledger says"),
    ],
)
def test_what_a_run_left_behind_when_it_ended_just_before_its_daemon(
    dead: tuple[int, int], found: bool, why: str
) -> None:
    """The daemon was held up in the instant of the start, and killed there."""
    survivors = Survivors({7: Noted(50)}, [], {8: (70, 7000)}, [dead])
    survivors.know([51])
    process = survivors.find(8, None, None, FIRE)
    assert (process is not None and process.pid == 70) is found, why
