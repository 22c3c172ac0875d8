"""Delivered output on disk: the order in which it is deleted."""

from collections.abc import Mapping
from pathlib import Path

from pycrond.output import spool
from pycrond.output.kept import KeptOutput


def write(directory: Path, run: int, size: int) -> None:
    file = Path(spool.path(str(directory), run, 0))
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"x" * size)


def test_the_user_with_the_most_loses_its_oldest_output_first(tmp_path: Path) -> None:
    """The output of a user who prints much removes no output of another user, counted from disk or as it
    arrives.
    """
    users = dict.fromkeys(range(900, 905), "ada") | dict.fromkeys(range(990, 1090), "ben")

    def users_between(first: int, last: int) -> Mapping[int, str]:
        return {run: user for run, user in users.items() if first <= run <= last}

    for run in users:
        write(tmp_path, run, 5000)
    kept = KeptOutput(str(tmp_path), {1089}.__contains__, users_between)
    while kept.count():  # 2 ms at a time
        pass
    assert kept.size == 104 * 8192
    assert kept.free(50 * 8192) == 50 * 8192
    assert [run for run in users if spool.segments(str(tmp_path), run)] == [
        *range(900, 905),
        *range(1040, 1090),
    ]
    write(tmp_path, 1090, 5000)
    users[1090] = "cleo"
    kept.add(1090, 5000, "cleo")
    assert kept.free(1 << 30) == 55 * 8192, "all but that of the run that is not delivered"
    assert kept.size == 0
    assert [run for run in users if spool.segments(str(tmp_path), run)] == [1089]
