"""Waiting for descriptors to become readable or writable, with a timeout."""

import functools
import os
import socket
from collections.abc import Iterator

import pytest

from pycrond.host.poller import Poller


@pytest.fixture
def poller() -> Iterator[Poller]:
    poller = Poller()
    yield poller
    poller.close()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for descriptor in (reader, writer):
        os.close(descriptor)


def called(poller: Poller, timeout: float | None = 0.0) -> int:
    calls = 0
    for call in poller.wait(timeout):
        call()
        calls += 1
    return calls


def test_nothing_to_wait_for(poller: Poller) -> None:
    assert list(poller.wait(0)) == []
    before = os.times().elapsed
    assert list(poller.wait(0.05)) == []
    assert os.times().elapsed - before >= 0.03


def test_the_callback_of_a_readable_descriptor_is_called(poller: Poller, pipe: tuple[int, int]) -> None:
    got: list[bytes] = []
    poller.register(pipe[0], lambda: got.append(os.read(pipe[0], 10)))
    assert called(poller) == 0
    os.write(pipe[1], b"x")
    assert called(poller, None) == 1
    assert (got, called(poller)) == ([b"x"], 0)


def test_a_descriptor_stays_readable_until_it_is_read(poller: Poller, pipe: tuple[int, int]) -> None:
    poller.register(pipe[0], lambda: None)
    os.write(pipe[1], b"x")
    assert [called(poller) for _ in range(3)] == [1, 1, 1]


def test_room_to_write(poller: Poller) -> None:
    near, far = socket.socketpair()
    with near, far:
        poller.register(near, lambda: None, write=True)
        assert called(poller) == 1
        poller.register(near, lambda: None)  # now for reading
        assert called(poller) == 0
        far.send(b"x")
        assert called(poller) == 1


def test_the_latest_callback_replaces_an_earlier_one(poller: Poller, pipe: tuple[int, int]) -> None:
    got: list[str] = []
    poller.register(pipe[0], lambda: got.append("first"))
    poller.register(pipe[0], lambda: got.append("second"))
    os.write(pipe[1], b"x")
    called(poller)
    assert got == ["second"]


def test_an_end_of_file_is_reported_until_unregistered(poller: Poller) -> None:
    reader, writer = os.pipe()
    poller.register(reader, lambda: None)
    os.close(writer)
    assert [called(poller), called(poller)] == [1, 1]
    poller.unregister(reader)
    assert called(poller) == 0
    poller.unregister(reader)  # a second time has no effect
    os.close(reader)


def test_unregistered_and_registered_again(poller: Poller, pipe: tuple[int, int]) -> None:
    os.write(pipe[1], b"x")
    for _ in range(2):
        poller.register(pipe[0], lambda: None)
        assert called(poller) == 1
        poller.unregister(pipe[0])
        assert called(poller) == 0


def test_a_reused_number_is_another_descriptor(poller: Poller) -> None:
    got: list[str] = []
    reader, writer = os.pipe()
    poller.register(reader, lambda: got.append("old"))
    poller.unregister(reader)
    os.close(reader)
    os.close(writer)
    again, writer = os.pipe()
    assert again == reader
    poller.register(again, lambda: got.append("new"))
    os.write(writer, b"x")
    called(poller)
    assert got == ["new"]
    poller.unregister(again)
    os.close(again)
    os.close(writer)


def test_a_descriptor_unregistered_by_a_callback_is_not_called_in_the_same_round(poller: Poller) -> None:
    calls: list[int] = []
    pipes = [os.pipe() for _ in range(2)]

    def remove_other(this_reader: int, other_reader: int) -> None:
        calls.append(this_reader)
        poller.unregister(other_reader)

    for (reader, writer), (other_reader, _) in zip(pipes, pipes[::-1], strict=True):
        poller.register(reader, functools.partial(remove_other, reader, other_reader))
        os.write(writer, b"x")
    assert called(poller) == 1
    assert len(calls) == 1
    poller.unregister(calls[0])
    for reader, writer in pipes:
        os.close(reader)
        os.close(writer)


def test_the_poll_happens_in_the_call(poller: Poller, pipe: tuple[int, int]) -> None:
    """The poll happens in the call, not when its result is iterated: the loop works between the two."""
    poller.register(pipe[0], lambda: None)
    calls = poller.wait(0)
    os.write(pipe[1], b"x")
    assert list(calls) == []


def test_many_at_once(poller: Poller) -> None:
    got: list[bytes] = []
    pipes = [os.pipe() for _ in range(300)]
    for number, (reader, writer) in enumerate(pipes):
        poller.register(reader, functools.partial(lambda reader: got.append(os.read(reader, 9)), reader))
        os.write(writer, str(number).encode())
    while called(poller):
        pass
    assert {int(text) for text in got} == set(range(300))
    for reader, writer in pipes:
        poller.unregister(reader)
        os.close(reader)
        os.close(writer)


def test_with_a_limit_all_descriptors_have_their_turn(poller: Poller) -> None:
    got: list[int] = []
    pipes = [os.pipe() for _ in range(9)]
    for reader, writer in pipes:
        poller.register(reader, functools.partial(got.append, reader))
        os.write(writer, b"x")  # and it is never read
    for _ in range(3):
        for call in poller.wait(0, 3):
            call()
    assert sorted(got) == sorted(reader for reader, _ in pipes)
    for reader, writer in pipes:
        poller.unregister(reader)
        os.close(reader)
        os.close(writer)


def test_a_set_watches_another(poller: Poller, pipe: tuple[int, int]) -> None:
    inner = Poller()
    poller.register(inner, lambda: None)
    inner.register(pipe[0], lambda: None)
    assert called(poller) == 0
    os.write(pipe[1], b"x")
    assert called(poller) == 1
    poller.unregister(inner)
    inner.close()
