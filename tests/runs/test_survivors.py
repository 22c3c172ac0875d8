"""The search for the process of a run whose daemon was killed before it wrote down the start."""

import os

import pytest

from pycrond.host import procfs
from pycrond.runs.journal import JournalEntry
from pycrond.runs.survivors import Survivors

FIRE = 1_000_000.0


@pytest.mark.parametrize(
    ("dead", "is_adopted", "why"),
    [
        ((60, 6999), False, "it may be the run's own process, and the living process its child"),
        ((60, 7000), False, "it may be the run's own: both began in the same tick"),
        ((60, 7001), True, "it is younger than the living process"),
        ((50, 6999), True, "the journal has it as the process of another run"),
        ((51, 6999), True, "the ledger has it as the process of another run"),
    ],
)
def test_a_living_process_is_not_adopted_if_an_older_unknown_leader_is_dead(
    dead: tuple[int, int], is_adopted: bool, why: str
) -> None:
    """The daemon was killed in the instant of the start: the journal does not have the pid."""
    survivors = Survivors({7: JournalEntry(50)}, [], {8: (70, 7000)}, [dead])
    survivors.add_known([51])
    process = survivors.find(8, None, None, FIRE)
    assert (process is not None and process.pid == 70) is is_adopted, why


def test_a_run_whose_pid_is_in_the_journal_has_no_other_process() -> None:
    """The process itself is dead; its child leads a session and has the run's number in its environment."""
    dead, gone = 1 << 22, 1 << 22  # no process has this number: they are below 2^22
    survivors = Survivors({8: JournalEntry(dead)}, [], {8: (os.getpid(), 7000), 9: (gone, 7000)}, ())
    assert survivors.living(8) == (0, 0)
    assert survivors.living(9) == (gone, 7000)
    assert Survivors({8: JournalEntry(os.getpid())}, [], {}, ()).living(8) == (
        os.getpid(),
        procfs.start_ticks(os.getpid()),
    )
