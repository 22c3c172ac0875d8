"""Parked descriptors come back as they were."""

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
def test_descriptors_come_back_in_order_and_are_not_inherited(tmp_path: Path, number: int) -> None:
    before = count()
    made = [os.open(tmp_path / f"{index}", os.O_RDWR | os.O_CREAT) for index in range(number)]
    for index, descriptor in enumerate(made):
        os.write(descriptor, b"%d" % index)
    with parked_fds(made) as back:
        assert count() - before == (number if number < MIN_PARKED else 2)
    assert count() - before == number
    assert [os.pread(descriptor, 10, 0) for descriptor in back] == [b"%d" % index for index in range(number)]
    assert not any(os.get_inheritable(descriptor) for descriptor in back)
    for descriptor in back:
        os.close(descriptor)


def test_descriptors_come_back_after_an_exception() -> None:
    before = count()
    made = [os.dup(0) for _ in range(MIN_PARKED)]
    with pytest.raises(SystemExit), parked_fds(made) as back:
        raise SystemExit
    for descriptor in back:
        os.close(descriptor)
    assert count() == before


def test_descriptors_that_the_kernel_refuses_stay_open() -> None:
    """An error like ETOOMANYREFS, when too many descriptors are in sockets already."""
    made = [os.dup(0) for _ in range(FDS_PER_MESSAGE + 1)]
    with parked_fds([*made, -1]) as back:  # EBADF
        assert [os.fstat(descriptor).st_ino for descriptor in made[FDS_PER_MESSAGE:]] == [os.fstat(0).st_ino]
    assert back[FDS_PER_MESSAGE:] == [made[FDS_PER_MESSAGE], -1]
    for descriptor in back[:-1]:
        os.close(descriptor)
