"""Messages reach a real rsyslogd, however it is stopped, killed and replaced, and nobody waits for it."""

import os
import pty
import re
import select
import signal
import socket
import struct
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pycrond import clock
from pycrond.errors import PycrondError
from pycrond.output import syslog, syslog_format
from pycrond.output.syslog import SyslogClient
from pycrond.output.syslog_socket import SyslogSocket
from tests.conftest import wait_until
from tests.support.rsyslog import Rsyslogd

QUEUE = int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text())
"""Datagrams that wait for a reader, less one: 10 by the kernel, 512 where systemd has begun."""


pytestmark = pytest.mark.process

AT = datetime(2026, 3, 9, 1, 2, 3, tzinfo=UTC)
HEAD = syslog_format.format_header(AT, "PYCROND", 77)
FAR_HEAD = syslog_format.format_header(AT, "PYCROND", 77, host="web1")

Opened = Callable[..., SyslogClient]
Listen = Callable[..., socket.socket]


def numbered(count: int, head: bytes = HEAD) -> list[bytes]:
    return [
        syslog_format.packet(head, syslog_format.message("root", "CMDOUT", f"line {n}")) for n in range(count)
    ]


def numbers(text: str) -> list[int]:
    return [int(found) for found in re.findall(r"CMDOUT \(line (\d+)\)", text)]


class Loop:
    """What a daemon's loop does with a syslogger."""

    def __init__(self, log: SyslogClient, packets: list[bytes]) -> None:
        self.log = log
        self.packets = packets
        self.sent = 0
        self.taken: list[object] = []
        self._epoll = select.epoll()
        self._watched: int | None = None

    def turn(self) -> None:
        self.log.tick(clock.elapsed())
        while self.sent < len(self.packets) and self.log.can_send:
            self.log.send([self.packets[self.sent]], self.sent)
            self.sent += 1
        self.taken += self.log.pop_acknowledged()
        number = self.log.fileno() if self.log.wants_write else None
        if number != self._watched:
            if self._watched is not None:
                self._epoll.unregister(self._watched)
            if number is not None:
                self._epoll.register(number, select.EPOLLOUT)
            self._watched = number

    def turned_until(self, fact: Callable[[], bool]) -> None:
        """Turns, without waits, until it is so."""
        give_up = os.times().elapsed + 10
        while not fact():
            assert os.times().elapsed < give_up
            self.turn()

    def wait(self, most: float = 0.0) -> bool:
        """No longer than the syslogger asks for; whether there is room to write."""
        return bool(self._epoll.poll(most or self.log.retry_in() or 0.0))

    def run(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Until all are known to be taken, each once and in order."""
        give_up = os.times().elapsed + 60
        while len(self.taken) < len(self.packets):
            assert os.times().elapsed < give_up, f"{self.sent} sent, {len(self.taken)} taken"
            self.turn()
            meanwhile()
            self.wait()
        assert self.taken == list(range(len(self.packets)))


@pytest.fixture
def opened() -> Iterator[Opened]:
    with ExitStack() as after:

        def make(address: str, **settings: Any) -> SyslogClient:
            log = SyslogClient(address, **settings)
            after.callback(log.close)
            log.open()
            return log

        yield make


@pytest.fixture
def path() -> Iterator[str]:
    """Where a reader may listen; pytest's own folders can be too deep for a socket."""
    with tempfile.TemporaryDirectory(prefix="log.") as folder:
        yield f"{folder}/log"


@pytest.fixture
def listen() -> Iterator[Listen]:
    """Readers of the test's own: at a path, or on a port of loopback."""
    with ExitStack() as after:

        def make(place: str | tuple[str, int], kind: int = socket.SOCK_DGRAM) -> socket.socket:
            local = isinstance(place, str)
            reader = after.enter_context(socket.socket(socket.AF_UNIX if local else socket.AF_INET, kind))
            if isinstance(place, str):
                with suppress(FileNotFoundError):
                    os.unlink(place)
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            reader.bind(place)
            if kind == socket.SOCK_STREAM:
                reader.listen()
            reader.setblocking(False)
            return reader

        yield make


def drain(reader: socket.socket) -> bytes:
    """All that there is to read, a line for a datagram."""
    found = b""
    with suppress(BlockingIOError):
        while data := reader.recv(65536):
            found += data + (b"\n" if reader.type == socket.SOCK_DGRAM else b"")
    return found


# Where messages go


@pytest.mark.parametrize("form", ["rfc3164", "rfc5424"])
@pytest.mark.parametrize("scheme", ["unix", "udp", "tcp"])
def test_lines_arrive_and_in_order(
    opened: Opened, rsyslogd: Rsyslogd, scheme: str, form: syslog_format.Format
) -> None:
    address = rsyslogd.path if scheme == "unix" else f"{scheme}://127.0.0.1:{rsyslogd.port}"
    head = syslog_format.format_header(AT, "PYCROND", 77, host="" if scheme == "unix" else "web1", form=form)

    Loop(opened(address, format=form), numbered(200, head)).run()

    wait_until(lambda: len(rsyslogd.lines()) >= 200)
    assert numbers("\n".join(rsyslogd.lines())) == list(range(200))
    if scheme != "unix":
        assert all(line.startswith("cron.info web1 PYCROND[77]") for line in rsyslogd.lines())


def test_a_line_as_rsyslogd_writes_it(opened: Opened, rsyslogd: Rsyslogd) -> None:
    Loop(opened(rsyslogd.path), syslog_format.packets(HEAD, "root", "CMD", "backup --all")).run()

    wait_until(lambda: len(rsyslogd.lines()) == 1)
    assert re.fullmatch(r"cron\.info \S+ PYCROND\[77\]: \(root\) CMD \(backup --all\)", rsyslogd.lines()[0])


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("rfc3164", b"%b\n%b\n"),  # a line each
        ("rfc5424", b"55 %b55 %b"),  # counted
    ],
)
def test_framing_over_tcp(opened: Opened, listen: Listen, form: str, expected: bytes) -> None:
    listener = listen(("127.0.0.1", 0), socket.SOCK_STREAM)
    port = listener.getsockname()[1]
    loop = Loop(opened(f"tcp://127.0.0.1:{port}", format=form), numbered(2))

    loop.run()

    reader, _ = listener.accept()
    with reader:
        assert expected % tuple(loop.packets) == reader.recv(1000)


def test_ipv6_in_brackets(opened: Opened) -> None:
    with socket.socket(socket.AF_INET6) as listener:
        try:
            listener.bind(("::1", 0))
        except OSError as error:
            pytest.skip(f"no IPv6 here: {error}")
        listener.listen()

        Loop(opened(f"tcp://[::1]:{listener.getsockname()[1]}"), numbered(2)).run()


def test_a_stream_socket_at_the_path(opened: Opened, listen: Listen, path: str) -> None:
    listener = listen(path, socket.SOCK_STREAM)
    loop = Loop(opened(path), numbered(2))
    reader, _ = listener.accept()
    with reader:
        found = b""

        def read() -> None:
            nonlocal found
            found += reader.recv(1000, socket.MSG_DONTWAIT) if select.select([reader], [], [], 0)[0] else b""

        loop.run(read)

    assert found == b"%b\0%b\0" % tuple(loop.packets)  # as libc ends them


@pytest.mark.parametrize(
    "address",
    [
        "",
        "log",  # the daemon's directory is /
        "localhost:514",
        "/" + "x" * 107,  # longer than the kernel takes
        "/a\0b",
        "tcp://host",  # there is no port that all agree on
        "tcp://host:",
        "udp://:514",
        "udp://host:0",
        "udp://host:65536",
        "udp://host:514/x",
        "udp://::1:514",  # brackets
        "tls://host:6514",
    ],
)
def test_no_address(address: str) -> None:
    with pytest.raises(PycrondError, match="bad syslog address"):
        SyslogClient(address)


@pytest.mark.parametrize("host", ["x" * 64, "[::1%nowhere]"])
def test_no_host(host: str) -> None:
    with pytest.raises(PycrondError, match="cannot find syslog host"):
        SyslogClient(f"udp://{host}")


# Readers that are absent, stopped, killed, slow


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])  # one leaves the socket's file behind
def test_absent_at_the_start(opened: Opened, rsyslogd: Rsyslogd, number: signal.Signals) -> None:
    rsyslogd.end(number)
    loop = Loop(opened(rsyslogd.path), numbered(100))
    loop.turn()
    assert (loop.sent, loop.taken, loop.log.reachable) == (1, [], False)  # the one that it waits with

    rsyslogd.start()
    loop.run()

    wait_until(lambda: len(rsyslogd.lines()) == 100)
    assert numbers("\n".join(rsyslogd.lines())) == list(range(100))


def test_stopped_it_holds_nobody_up(opened: Opened, rsyslogd: Rsyslogd) -> None:
    count = QUEUE + 490
    loop = Loop(opened(rsyslogd.path), numbered(count))
    rsyslogd.pause()

    began = os.times().elapsed
    for _ in range(1000):
        loop.turn()
    assert os.times().elapsed - began < 2.0
    loop.turned_until(lambda: loop.log.wants_write)
    assert 0 < loop.sent < count
    assert loop.taken == []
    assert not loop.wait(0.1)

    rsyslogd.go_on()
    assert loop.wait(10.0)
    loop.run()
    wait_until(lambda: len(rsyslogd.lines()) == count)
    assert numbers("\n".join(rsyslogd.lines())) == list(range(count))


@pytest.mark.parametrize("scheme", ["unix", "tcp"])
def test_killed_again_and_again_no_line_is_lost(opened: Opened, rsyslogd: Rsyslogd, scheme: str) -> None:
    address = rsyslogd.path if scheme == "unix" else f"tcp://127.0.0.1:{rsyslogd.port}"
    loop = Loop(opened(address), numbered(5000, HEAD if scheme == "unix" else FAR_HEAD))
    kills = [800, 1600, 2400, 3200, 4000]

    def kill() -> None:
        if kills and loop.sent > kills[0]:
            del kills[0]
            rsyslogd.end(signal.SIGKILL)
            loop.turn()  # with nobody there
            rsyslogd.start()

    loop.run(kill)

    def found() -> list[int]:
        return numbers("\n".join(rsyslogd.lines()))

    wait_until(lambda: len(set(found())) == 5000)
    assert not kills
    firsts = list(dict.fromkeys(found()))
    assert firsts == sorted(firsts)
    print(f"{scheme}: {len(found()) - 5000} of 5000 lines twice after 5 kills")


def test_what_a_dead_reader_had_not_read_is_not_taken(opened: Opened, listen: Listen, path: str) -> None:
    first = listen(path)
    loop = Loop(opened(path), numbered(5))
    loop.turn()
    first.recv(1000)
    first.close()  # and its queue, which looks as if all had been read
    loop.turned_until(lambda: not loop.log.reachable)
    assert (loop.sent, loop.taken) == (5, [])

    second, found = listen(path), [b""]
    loop.run(lambda: found.append(drain(second)))
    assert numbers(b"".join(found).decode()) == [0, 1, 2, 3, 4]


def test_a_reader_that_dies_at_once_may_not_have_written(opened: Opened, listen: Listen, path: str) -> None:
    first = listen(path)
    loop = Loop(opened(path), numbered(5))
    loop.turn()
    drain(first)
    loop.turn()
    first.close()

    second, found = listen(path), [b""]
    loop.run(lambda: found.append(drain(second)))
    assert numbers(b"".join(found).decode()) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("reads", [True, False])
def test_another_reader_at_the_same_path(opened: Opened, listen: Listen, path: str, reads: bool) -> None:
    first = listen(path)  # and lives on
    loop = Loop(opened(path), numbered(20))
    before = b""
    for _ in range(20):
        loop.turn()
        before += drain(first) if reads else b""
        select.select([], [], [], 0.01)
    assert loop.taken == (list(range(20)) if reads else [])

    second = listen(path)
    loop.packets = numbered(40)
    after = [b""]
    loop.run(lambda: after.append(drain(second)))

    assert numbers(before.decode()) == (list(range(20)) if reads else [])
    assert numbers(b"".join(after).decode()) == list(range(20 if reads else 0, 40))


def test_a_slow_reader_is_waited_for_without_waiting(opened: Opened, listen: Listen, path: str) -> None:
    reader = listen(path)
    count = QUEUE + 290
    loop = Loop(opened(path), numbered(count))
    found = b""

    def read_some() -> None:
        nonlocal found
        with suppress(BlockingIOError):
            for _ in range(QUEUE // 5 + 1):
                found += reader.recv(1000) + b"\n"

    loop.run(read_some)

    assert numbers(found.decode()) == list(range(count))


def test_many_at_once_are_taken_when_the_last_of_them_is(opened: Opened, listen: Listen, path: str) -> None:
    reader = listen(path)
    log, packets = opened(path), numbered(QUEUE + 50)
    log.send(packets, "all")
    assert not log.can_send
    found, taken = b"", list[object]()

    def turn() -> None:
        log.tick(clock.elapsed())
        taken.extend(log.pop_acknowledged())

    for _ in range(49):
        found += reader.recv(1000) + b"\n"
        select.select([], [], [], 0.01)
        turn()
    assert taken == []

    while not taken:
        found += drain(reader)
        turn()
    assert taken == ["all"]
    assert numbers(found.decode()) == list(range(QUEUE + 50))


def test_many_at_once_are_sent_again_after_a_readers_death(opened: Opened, listen: Listen, path: str) -> None:
    first = listen(path)
    log, packets = opened(path), numbered(QUEUE + 50)
    log.send(packets, "all")
    first.recv(1000)
    first.close()
    reader, found, taken = listen(path), b"", list[object]()
    while not taken:
        log.tick(clock.elapsed())
        found += drain(reader)
        taken += log.pop_acknowledged()

    assert taken == ["all"]
    assert numbers(found.decode()) == list(range(QUEUE + 50))


def test_a_reader_who_makes_room_is_waited_for(
    opened: Opened, listen: Listen, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syslog, "_SEND_TIMEOUT", 60.0)
    reader = listen(path)
    reader.setblocking(True)
    log, packets, found = opened(path), numbered(QUEUE + 500), list[bytes]()
    log.tick(clock.elapsed())
    thread = threading.Thread(target=lambda: found.extend(reader.recv(1000) for _ in packets))
    thread.start()

    log.send(packets, "all")

    assert log.can_send
    thread.join()
    assert found == packets


class StreamReader:
    """Reads the newest connection to a listener."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._connection: socket.socket | None = None
        self.heard: list[bytes] = []

    def read(self) -> None:
        with suppress(BlockingIOError):
            connection, _ = self._listener.accept()
            self.reset()
            self._connection = connection
            self.heard.append(b"")
        if self._connection:
            with suppress(BlockingIOError):
                while data := self._connection.recv(100_000, socket.MSG_DONTWAIT):
                    self.heard[-1] += data

    def reset(self) -> None:
        if self._connection:
            self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._connection.close()
            self._connection = None

    def whole(self) -> list[int]:
        """Which of the numbered messages it has heard to the end, the first time each."""
        ends = [re.findall(rb"\(line (\d+)\)\.+[\n\0]", heard) for heard in self.heard]
        return list(dict.fromkeys(int(number) for found in ends for number in found))


@pytest.mark.parametrize("scheme", ["unix", "tcp"])
def test_a_stream_reset_halfway_through_a_message(
    opened: Opened, listen: Listen, path: str, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syslog, "_MAX_PENDING_SIZE", 1 << 30)  # more than the kernel's buffers hold
    listener = listen(path if scheme == "unix" else ("127.0.0.1", 0), socket.SOCK_STREAM)
    address = path if scheme == "unix" else f"tcp://127.0.0.1:{listener.getsockname()[1]}"
    loop = Loop(opened(address), [packet.ljust(8000, b".") for packet in numbered(900)])
    loop.turned_until(lambda: loop.sent > 10 and loop.log.wants_write)  # it is full
    reader = StreamReader(listener)

    def read() -> None:
        reader.read()
        if len(reader.heard) in {1, 2} and len(reader.heard[-1]) > 200_000:
            reader.reset()

    loop.run(read)
    while 899 not in reader.whole():
        reader.read()
    reader.reset()

    assert len(reader.heard) == 3
    assert reader.whole() == list(range(900))


def test_udp_comes_back(opened: Opened, listen: Listen) -> None:
    port = (reader := listen(("127.0.0.1", 0))).getsockname()[1]
    reader.close()
    loop = Loop(opened(f"udp://127.0.0.1:{port}"), numbered(3, FAR_HEAD))
    loop.turn()
    loop.turned_until(lambda: not loop.log.reachable)  # loopback says that nobody is there

    reader = listen(("127.0.0.1", port))
    loop.run()
    assert numbers(drain(reader).decode()) == [0, 1, 2]


def test_tcp_does_not_talk_to_itself() -> None:
    """Who connects to a free port of his own machine may, by chance, be given that port to connect from."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefusedError):
            link = SyslogSocket(sock, sock.getsockname(), b"\n")
            while not link.ready:
                link.finish()


# What it costs


def test_memory_is_bounded(opened: Opened, listen: Listen) -> None:
    reader = listen(("127.0.0.1", 0))
    log = opened(f"udp://127.0.0.1:{reader.getsockname()[1]}")
    packet = b"x" * 1000

    log.tick(0.0)
    sent = 0
    while log.can_send:
        log.send([packet], sent)
        sent += len(packet)
    assert syslog._MAX_PENDING_SIZE <= sent < syslog._MAX_PENDING_SIZE + len(packet)


def test_nothing_to_say_nothing_to_do(opened: Opened, listen: Listen, path: str) -> None:
    log = opened(path)
    log.tick(100.0)
    assert (log.retry_in(), log.wants_write, log.fileno()) == (
        None,
        False,
        None,
    )  # nobody there, and no matter

    reader = listen(path)
    log.send([b"a"], 1)
    log.tick(100.0)
    assert log.can_send
    assert drain(reader) == b"a\n"
    for now in (100.0, 100.1, 100.2):
        log.tick(now)
        log.pop_acknowledged()
    assert (log.retry_in(), log.wants_write) == (None, False)


def test_it_reconnects_once_a_second_at_most(opened: Opened, listen: Listen, path: str) -> None:
    log = opened(path)
    log.send([b"a"], 1)
    log.tick(100.0)
    assert log.retry_in() == 1.0

    listen(path)
    log.tick(100.9)
    assert not log.reachable
    log.tick(101.0)
    assert log.reachable


def test_it_looks_less_and_less_often(opened: Opened, listen: Listen, path: str) -> None:
    listen(path)
    log = opened(path)
    log.tick(100.0)
    log.send([b"a"], 1)

    now, pauses = 100.0, list[float]()
    while len(pauses) < 12:
        pauses.append(log.retry_in() or 0.0)
        now += pauses[-1]
        log.tick(now)
        log.pop_acknowledged()

    assert pauses == sorted(pauses)
    assert pauses[0] == pytest.approx(0.01)
    assert pauses[-1] == 1.0
    assert sum(pauses) > 4.0


def test_a_lost_connection_stays_open_until_the_next_turn(opened: Opened, listen: Listen, path: str) -> None:
    reader = listen(path)
    log = opened(path)
    number = log.fileno()
    assert number is not None
    reader.close()

    log.send([b"a"], 1)
    assert log.fileno() is None
    os.fstat(number)  # so that a selector can still let go of it

    log.tick(100.0)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)


# Bad output of jobs


def test_a_line_of_1_mb(opened: Opened, rsyslogd: Rsyslogd) -> None:
    packets = syslog_format.output_packets(HEAD, "root", [b"0123456789abcdef" * 65536])

    Loop(opened(rsyslogd.path), packets).run()

    wait_until(lambda: len(rsyslogd.lines()) == len(packets))
    pieces = [line.partition("CMDOUT (")[2].removesuffix(")") for line in rsyslogd.lines()]
    assert "".join(pieces) == "0123456789abcdef" * 65536


@pytest.mark.parametrize("scheme", ["unix", "udp", "tcp"])
def test_no_line_can_be_forged(opened: Opened, rsyslogd: Rsyslogd, scheme: str) -> None:
    address = rsyslogd.path if scheme == "unix" else f"{scheme}://127.0.0.1:{rsyslogd.port}"
    evil = b"a\n<78>Mar  9 01:02:03 web1 PYCROND[1]: (root) CMD (rm)\x00\x1b[2J\xff\xe2\x80\xae\r\n"

    Loop(opened(address), 2 * syslog_format.output_packets(FAR_HEAD, "root", [evil])).run()

    wait_until(lambda: len(rsyslogd.lines()) >= 2)
    shown = (
        r"(root) CMDOUT (a^J<78>Mar  9 01:02:03 web1 PYCROND[1]: (root) CMD (rm)^@^[[2J\377\342\200\256^M^J)"
    )
    assert Counter(line[line.index("(root)") :] for line in rsyslogd.lines()) == {shown: 2}


def test_a_packet_that_no_socket_takes_is_cut_and_in_nobodys_way(
    opened: Opened, listen: Listen, path: str
) -> None:
    reader = listen(path)
    loop = Loop(opened(path), [b"x" * 1_000_000, b"y"])
    found = [b""]

    loop.run(lambda: found.append(drain(reader)))

    assert b"".join(found) == b"x" * 8192 + b"\ny\n"


# LOG_PERROR and LOG_CONS


def shown_on(log: SyslogClient, **options: bool) -> None:
    for packet in syslog_format.packets(HEAD, "root", "CMD", "a"):
        log.copy(packet, **options)


SHOWN = b"Mar  9 01:02:03 PYCROND[77]: (root) CMD (a)"


def test_perror_to_a_file(opened: Opened, path: str) -> None:
    with open(path, "wb", buffering=0) as file:
        log = opened("/nowhere", perror=file.fileno())
        shown_on(log)
        file.write(b"said by somebody else\n")
        shown_on(log, console=True)

    assert Path(path).read_bytes() == SHOWN + b"\nsaid by somebody else\n" + SHOWN + b"\n"


@pytest.mark.parametrize("make", [os.pipe, pty.openpty, lambda: [s.detach() for s in socket.socketpair()]])
def test_perror_never_waits(opened: Opened, make: Callable[[], tuple[int, int]]) -> None:
    reader, writer = make()
    log = opened("/nowhere", perror=writer)

    shown_on(log)
    assert os.read(reader, 100).rstrip() == SHOWN
    began = os.times().elapsed
    for _ in range(20_000):
        shown_on(log)  # and nobody reads
    assert os.times().elapsed - began < 10.0
    assert os.get_blocking(writer)  # as its other users have it

    os.close(reader)
    shown_on(log)
    os.close(writer)
    shown_on(log)


def test_rfc5424_is_shown_without_its_number(opened: Opened, path: str) -> None:
    with open(path, "wb", buffering=0) as file:
        opened("/nowhere", perror=file.fileno()).copy(
            syslog_format.packet(syslog_format.format_header(AT, "pycrond", 1, form="rfc5424"), "hello")
        )

    assert Path(path).read_text() == "2026-03-09T01:02:03.000000+00:00 - pycrond 1 - - hello\n"


@pytest.mark.parametrize(
    ("reachable", "setting", "asked", "shown"),
    [
        (False, True, True, SHOWN + b"\r\n"),
        (True, True, True, b""),  # syslog has it
        (False, False, True, b""),  # no LOG_CONS
        (False, True, False, b""),  # not one of the daemon's own
    ],
)
def test_console(  # noqa: PLR0917 - fixtures and a table
    opened: Opened,
    listen: Listen,
    path: str,
    monkeypatch: pytest.MonkeyPatch,
    reachable: bool,
    setting: bool,
    asked: bool,
    shown: bytes,
) -> None:
    monkeypatch.setattr(syslog, "CONSOLE", f"{path}.console")
    os.mkfifo(f"{path}.console")
    reader = os.open(f"{path}.console", os.O_RDONLY | os.O_NONBLOCK)
    if reachable:
        listen(path)

    shown_on(opened(path, console=setting), console=asked)

    assert os.read(reader, 100) == shown
    os.close(reader)
