"""Which process was a run's, from what little a daemon that was killed has left."""

import os

import pytest

from pycrond.host import procfs
from pycrond.runs.adoption import Survivors
from pycrond.runs.journal import JournalEntry

FIRE = 1_000_000.0


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
    survivors = Survivors({7: JournalEntry(50)}, [], {8: (70, 7000)}, [dead])
    survivors.add_known([51])
    process = survivors.find(8, None, None, FIRE)
    assert (process is not None and process.pid == 70) is found, why


def test_of_a_run_whose_own_process_was_noted_nothing_else_is_it() -> None:
    """That is dead; what it left behind leads a session, with the run's number in its environment."""
    dead, gone = 1 << 22, 1 << 22  # no process has this number: they are below 2^22
    survivors = Survivors({8: JournalEntry(dead)}, [], {8: (os.getpid(), 7000), 9: (gone, 7000)})
    assert survivors.living(8) == (0, 0)
    assert survivors.living(9) == (gone, 7000)
    assert Survivors({8: JournalEntry(os.getpid())}, []).living(8) == (
        os.getpid(),
        procfs.start_ticks(os.getpid()),
    )
