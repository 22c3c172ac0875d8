"""Descriptors put aside come back as they were."""

import os
from pathlib import Path

import pytest

from pycrond.aside import BATCH, FEW, Aside

pytestmark = pytest.mark.process


@pytest.mark.parametrize("number", [0, 1, FEW - 1, FEW, BATCH, BATCH + 1, 3 * BATCH])
def test_they_come_back_in_order_and_are_not_inherited(tmp_path: Path, number: int) -> None:
    before = len(os.listdir("/proc/self/fd"))
    made = []
    for each in range(number):
        made.append(os.open(tmp_path / f"{each}", os.O_RDWR | os.O_CREAT))
        os.write(made[-1], b"%d" % each)
    aside = Aside(made)
    left = len(os.listdir("/proc/self/fd")) - before
    assert left == (1 + (number if number < FEW else 0))
    back = aside.back()
    assert [os.pread(each, 10, 0) for each in back] == [b"%d" % each for each in range(number)]
    assert not any(os.get_inheritable(each) for each in back)
    for each in back:
        os.close(each)
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_the_kernel_does_not_take_stays() -> None:
    """As where too many are in sockets already, ETOOMANYREFS."""
    made = [os.dup(0) for _ in range(FEW)]
    made[-1:] = [1 << 30]  # EBADF
    assert Aside(made).back() == made
    for each in made[:-1]:
        os.close(each)
