"""Descriptors put aside come back as they were."""

import os
from pathlib import Path

import pytest

from pycrond.host.parked_fds import FDS_PER_MESSAGE, MIN_PARKED, parked_fds

pytestmark = pytest.mark.process


def count() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize(
    "number", [0, 1, MIN_PARKED - 1, MIN_PARKED, FDS_PER_MESSAGE, FDS_PER_MESSAGE + 1, 3 * FDS_PER_MESSAGE]
)
def test_they_come_back_in_order_and_are_not_inherited(tmp_path: Path, number: int) -> None:
    before = count()
    made = [os.open(tmp_path / f"{each}", os.O_RDWR | os.O_CREAT) for each in range(number)]
    for each, descriptor in enumerate(made):
        os.write(descriptor, b"%d" % each)
    with parked_fds(made) as back:
        assert count() - before == (number if number < MIN_PARKED else 2)
    assert count() - before == number
    assert [os.pread(each, 10, 0) for each in back] == [b"%d" % each for each in range(number)]
    assert not any(os.get_inheritable(each) for each in back)
    for each in back:
        os.close(each)


def test_they_come_back_after_a_failure() -> None:
    before = count()
    made = [os.dup(0) for _ in range(MIN_PARKED)]
    with pytest.raises(SystemExit), parked_fds(made) as back:
        raise SystemExit
    for each in back:
        os.close(each)
    assert count() == before


def test_what_the_kernel_does_not_take_stays() -> None:
    """As where too many are in sockets already, ETOOMANYREFS."""
    made = [os.dup(0) for _ in range(FDS_PER_MESSAGE + 1)]
    with parked_fds([*made, -1]) as back:  # EBADF
        assert [os.fstat(each).st_ino for each in made[FDS_PER_MESSAGE:]] == [os.fstat(0).st_ino]
    assert back[FDS_PER_MESSAGE:] == [made[FDS_PER_MESSAGE], -1]
    for each in back[:-1]:
        os.close(each)
