"""Messages to a real rsyslogd that is stopped, killed and replaced: none is lost, and no call waits."""

import os
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
"""The number of datagrams that wait for a reader, less one: 10 by default, 512 with systemd."""


pytestmark = pytest.mark.process

TIME = datetime(2026, 3, 9, 1, 2, 3, tzinfo=UTC)
HEADER = syslog_format.format_header(TIME, "PYCROND", 77)
NETWORK_HEADER = syslog_format.format_header(TIME, "PYCROND", 77, host="web1")

Opened = Callable[..., SyslogClient]
Listen = Callable[..., socket.socket]


def numbered(count: int, header: bytes = HEADER) -> list[bytes]:
    return [
        syslog_format.packet(header, syslog_format.message("root", "CMDOUT", f"line {n}"))
        for n in range(count)
    ]


def numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"CMDOUT \(line (\d+)\)", text)]


class Loop:
    """The calls that a daemon's loop makes to a client."""

    def __init__(self, log: SyslogClient, packets: list[bytes]) -> None:
        self.log = log
        self.packets = packets
        self.sent = 0
        self.acknowledged: list[object] = []
        self._epoll = select.epoll()
        self._watched: int | None = None

    def turn(self) -> None:
        self.log.tick(clock.elapsed())
        while self.sent < len(self.packets) and self.log.can_send:
            self.log.send([self.packets[self.sent]], self.sent)
            self.sent += 1
        self.acknowledged += self.log.pop_acknowledged()
        number = self.log.fileno() if self.log.wants_write else None
        if number != self._watched:
            if self._watched is not None:
                self._epoll.unregister(self._watched)
            if number is not None:
                self._epoll.register(number, select.EPOLLOUT)
            self._watched = number

    def turn_until(self, fact: Callable[[], bool]) -> None:
        """Make turns without waits until `fact` is true."""
        deadline = os.times().elapsed + 10
        while not fact():
            assert os.times().elapsed < deadline
            self.turn()

    def wait(self, timeout: float = 0.0) -> bool:
        """Wait no longer than the client requires; return whether there is room to write."""
        return bool(self._epoll.poll(timeout or self.log.retry_in() or 0.0))

    def run(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Make turns until all packets are acknowledged, once and in order."""
        deadline = os.times().elapsed + 60
        while len(self.acknowledged) < len(self.packets):
            assert os.times().elapsed < deadline, f"{self.sent} sent, {len(self.acknowledged)} acknowledged"
            self.turn()
            meanwhile()
            self.wait()
        assert self.acknowledged == list(range(len(self.packets)))


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
    """Return a path for a socket; the paths of pytest's own directories can be too long."""
    with tempfile.TemporaryDirectory(prefix="log.") as directory:
        yield f"{directory}/log"


@pytest.fixture
def listen() -> Iterator[Listen]:
    """Return a function that makes the test's readers: at a path, or on a port of loopback."""
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
    """Read all waiting datagrams, each as a line."""
    received = b""
    with suppress(BlockingIOError):
        while data := reader.recv(65536):
            received += data + (b"\n" if reader.type == socket.SOCK_DGRAM else b"")
    return received


# Addresses


@pytest.mark.parametrize("form", ["rfc3164", "rfc5424"])
@pytest.mark.parametrize("scheme", ["unix", "udp", "tcp"])
def test_lines_arrive_and_in_order(
    opened: Opened, rsyslogd: Rsyslogd, scheme: str, form: syslog_format.Format
) -> None:
    address = rsyslogd.path if scheme == "unix" else f"{scheme}://127.0.0.1:{rsyslogd.port}"
    header = syslog_format.format_header(
        TIME, "PYCROND", 77, host="" if scheme == "unix" else "web1", form=form
    )

    Loop(opened(address, format=form), numbered(200, header)).run()

    wait_until(lambda: len(rsyslogd.lines()) >= 200)
    assert numbers("\n".join(rsyslogd.lines())) == list(range(200))
    if scheme != "unix":
        assert all(line.startswith("cron.info web1 PYCROND[77]") for line in rsyslogd.lines())


def test_a_line_as_rsyslogd_writes_it(opened: Opened, rsyslogd: Rsyslogd) -> None:
    Loop(opened(rsyslogd.path), syslog_format.packets(HEADER, "root", "CMD", "backup --all")).run()

    wait_until(lambda: len(rsyslogd.lines()) == 1)
    assert re.fullmatch(r"cron\.info \S+ PYCROND\[77\]: \(root\) CMD \(backup --all\)", rsyslogd.lines()[0])


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("rfc3164", b"%b\n%b\n"),  # lines
        ("rfc5424", b"55 %b55 %b"),  # with lengths
    ],
)
def test_message_framing_over_tcp(opened: Opened, listen: Listen, form: str, expected: bytes) -> None:
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
        received = b""

        def read() -> None:
            nonlocal received
            received += (
                reader.recv(1000, socket.MSG_DONTWAIT) if select.select([reader], [], [], 0)[0] else b""
            )

        loop.run(read)

    assert received == b"%b\0%b\0" % tuple(loop.packets)  # as libc ends them


@pytest.mark.parametrize(
    "address",
    [
        "",
        "log",  # the daemon's directory is /
        "localhost:514",
        "/" + "x" * 107,  # longer than the kernel accepts
        "/a\0b",
        "tcp://host",  # tcp has no default port
        "tcp://host:",
        "udp://:514",
        "udp://host:0",
        "udp://host:65536",
        "udp://host:514/x",
        "udp://::1:514",  # brackets are missing
        "tls://host:6514",
    ],
)
def test_bad_addresses(address: str) -> None:
    with pytest.raises(PycrondError, match="bad syslog address"):
        SyslogClient(address)


@pytest.mark.parametrize("host", ["x" * 64, "[::1%nowhere]"])
def test_unknown_hosts(host: str) -> None:
    with pytest.raises(PycrondError, match="cannot find syslog host"):
        SyslogClient(f"udp://{host}")


# Readers that are absent, stopped, killed or slow


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_reader_that_is_absent_at_the_start(
    opened: Opened, rsyslogd: Rsyslogd, number: signal.Signals
) -> None:
    rsyslogd.end(number)
    loop = Loop(opened(rsyslogd.path), numbered(100))
    loop.turn()
    assert (loop.sent, loop.acknowledged, loop.log.reachable) == (1, [], False)

    rsyslogd.start()
    loop.run()

    wait_until(lambda: len(rsyslogd.lines()) == 100)
    assert numbers("\n".join(rsyslogd.lines())) == list(range(100))


def test_a_stopped_reader_delays_nothing(opened: Opened, rsyslogd: Rsyslogd) -> None:
    count = QUEUE + 490
    loop = Loop(opened(rsyslogd.path), numbered(count))
    rsyslogd.pause()

    began = os.times().elapsed
    for _ in range(1000):
        loop.turn()
    assert os.times().elapsed - began < 2.0
    loop.turn_until(lambda: loop.log.wants_write)
    assert 0 < loop.sent < count
    assert loop.acknowledged == []
    assert not loop.wait(0.1)

    rsyslogd.go_on()
    assert loop.wait(10.0)
    loop.run()
    wait_until(lambda: len(rsyslogd.lines()) == count)
    assert numbers("\n".join(rsyslogd.lines())) == list(range(count))


@pytest.mark.parametrize("scheme", ["unix", "tcp"])
def test_no_line_is_lost_when_the_reader_is_killed_repeatedly(
    opened: Opened, rsyslogd: Rsyslogd, scheme: str
) -> None:
    address = rsyslogd.path if scheme == "unix" else f"tcp://127.0.0.1:{rsyslogd.port}"
    loop = Loop(opened(address), numbered(5000, HEADER if scheme == "unix" else NETWORK_HEADER))
    kills = [800, 1600, 2400, 3200, 4000]

    def kill() -> None:
        if kills and loop.sent > kills[0]:
            del kills[0]
            rsyslogd.end(signal.SIGKILL)
            loop.turn()  # without a reader
            rsyslogd.start()

    loop.run(kill)

    def received() -> list[int]:
        return numbers("\n".join(rsyslogd.lines()))

    wait_until(lambda: len(set(received())) == 5000)
    assert not kills
    firsts = list(dict.fromkeys(received()))
    assert firsts == sorted(firsts)
    print(f"{scheme}: {len(received()) - 5000} of 5000 lines twice after 5 kills")


def test_unread_messages_of_a_dead_reader_are_not_acknowledged(
    opened: Opened, listen: Listen, path: str
) -> None:
    first = listen(path)
    loop = Loop(opened(path), numbered(5))
    loop.turn()
    first.recv(1000)
    first.close()  # its queue is then empty, as if all messages were read
    loop.turn_until(lambda: not loop.log.reachable)
    assert (loop.sent, loop.acknowledged) == (5, [])

    second, received = listen(path), [b""]
    loop.run(lambda: received.append(drain(second)))
    assert numbers(b"".join(received).decode()) == [0, 1, 2, 3, 4]


def test_a_reader_that_dies_at_once_may_not_have_written(opened: Opened, listen: Listen, path: str) -> None:
    first = listen(path)
    loop = Loop(opened(path), numbered(5))
    loop.turn()
    drain(first)
    loop.turn()
    first.close()

    second, received = listen(path), [b""]
    loop.run(lambda: received.append(drain(second)))
    assert numbers(b"".join(received).decode()) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("reads", [True, False])
def test_another_reader_at_the_same_path(opened: Opened, listen: Listen, path: str, reads: bool) -> None:
    first = listen(path)  # stays alive
    loop = Loop(opened(path), numbered(20))
    before = b""
    for _ in range(20):
        loop.turn()
        before += drain(first) if reads else b""
        select.select([], [], [], 0.01)
    assert loop.acknowledged == (list(range(20)) if reads else [])

    second = listen(path)
    loop.packets = numbered(40)
    after = [b""]
    loop.run(lambda: after.append(drain(second)))

    assert numbers(before.decode()) == (list(range(20)) if reads else [])
    assert numbers(b"".join(after).decode()) == list(range(20 if reads else 0, 40))


def test_a_slow_reader_receives_everything(opened: Opened, listen: Listen, path: str) -> None:
    reader = listen(path)
    count = QUEUE + 290
    loop = Loop(opened(path), numbered(count))
    received = b""

    def read_some() -> None:
        nonlocal received
        with suppress(BlockingIOError):
            for _ in range(QUEUE // 5 + 1):
                received += reader.recv(1000) + b"\n"

    loop.run(read_some)

    assert numbers(received.decode()) == list(range(count))


def test_a_batch_is_acknowledged_with_its_last_message(opened: Opened, listen: Listen, path: str) -> None:
    reader = listen(path)
    log, packets = opened(path), numbered(QUEUE + 50)
    log.send(packets, "all")
    assert not log.can_send
    received, acknowledged = b"", list[object]()

    def turn() -> None:
        log.tick(clock.elapsed())
        acknowledged.extend(log.pop_acknowledged())

    for _ in range(49):
        received += reader.recv(1000) + b"\n"
        select.select([], [], [], 0.01)
        turn()
    assert acknowledged == []

    while not acknowledged:
        received += drain(reader)
        turn()
    assert acknowledged == ["all"]
    assert numbers(received.decode()) == list(range(QUEUE + 50))


def test_a_batch_is_sent_again_after_the_death_of_the_reader(
    opened: Opened, listen: Listen, path: str
) -> None:
    first = listen(path)
    log, packets = opened(path), numbered(QUEUE + 50)
    log.send(packets, "all")
    first.recv(1000)
    first.close()
    reader, received, acknowledged = listen(path), b"", list[object]()
    while not acknowledged:
        log.tick(clock.elapsed())
        received += drain(reader)
        acknowledged += log.pop_acknowledged()

    assert acknowledged == ["all"]
    assert numbers(received.decode()) == list(range(QUEUE + 50))


def test_the_client_waits_for_a_reader_that_makes_room(
    opened: Opened, listen: Listen, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syslog, "_SEND_TIMEOUT", 60.0)
    reader = listen(path)
    reader.setblocking(True)
    log, packets, received = opened(path), numbered(QUEUE + 500), list[bytes]()
    log.tick(clock.elapsed())
    thread = threading.Thread(target=lambda: received.extend(reader.recv(1000) for _ in packets))
    thread.start()

    log.send(packets, "all")

    assert log.can_send
    thread.join()
    assert received == packets


class StreamReader:
    """Reads the newest connection to a listener."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._connection: socket.socket | None = None
        self.received: list[bytes] = []

    def read(self) -> None:
        with suppress(BlockingIOError):
            connection, _ = self._listener.accept()
            self.reset()
            self._connection = connection
            self.received.append(b"")
        if self._connection:
            with suppress(BlockingIOError):
                while data := self._connection.recv(100_000, socket.MSG_DONTWAIT):
                    self.received[-1] += data

    def reset(self) -> None:
        if self._connection:
            self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._connection.close()
            self._connection = None

    def whole(self) -> list[int]:
        """Return the numbers of the messages received completely, each at its first arrival."""
        ends = [re.findall(rb"\(line (\d+)\)\.+[\n\0]", received) for received in self.received]
        return list(dict.fromkeys(int(number) for matches in ends for number in matches))


@pytest.mark.parametrize("scheme", ["unix", "tcp"])
def test_a_stream_reset_halfway_through_a_message(
    opened: Opened, listen: Listen, path: str, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syslog, "_MAX_PENDING_SIZE", 1 << 30)  # more than the kernel's buffers hold
    listener = listen(path if scheme == "unix" else ("127.0.0.1", 0), socket.SOCK_STREAM)
    address = path if scheme == "unix" else f"tcp://127.0.0.1:{listener.getsockname()[1]}"
    loop = Loop(opened(address), [packet.ljust(8000, b".") for packet in numbered(900)])
    loop.turn_until(lambda: loop.sent > 10 and loop.log.wants_write)  # the kernel's buffers are full
    reader = StreamReader(listener)

    def read() -> None:
        reader.read()
        if len(reader.received) in {1, 2} and len(reader.received[-1]) > 200_000:
            reader.reset()

    loop.run(read)
    while 899 not in reader.whole():
        reader.read()
    reader.reset()

    assert len(reader.received) == 3
    assert reader.whole() == list(range(900))


def test_udp_to_a_reader_that_comes_back(opened: Opened, listen: Listen) -> None:
    port = (reader := listen(("127.0.0.1", 0))).getsockname()[1]
    reader.close()
    loop = Loop(opened(f"udp://127.0.0.1:{port}"), numbered(3, NETWORK_HEADER))
    loop.turn()
    loop.turn_until(lambda: not loop.log.reachable)  # loopback reports that there is no reader

    reader = listen(("127.0.0.1", port))
    loop.run()
    assert numbers(drain(reader).decode()) == [0, 1, 2]


def test_a_tcp_socket_does_not_connect_to_itself() -> None:
    """A socket that connects to a free local port may, by chance, be bound to that port itself."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefusedError):
            link = SyslogSocket(sock, sock.getsockname(), "rfc3164")
            while not link.ready:
                link.finish()


# Costs


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


def test_without_messages_the_client_waits_for_nothing(opened: Opened, listen: Listen, path: str) -> None:
    log = opened(path)
    log.tick(100.0)
    assert (log.retry_in(), log.wants_write, log.fileno()) == (None, False, None)  # without a reader

    reader = listen(path)
    log.send([b"a"], 1)
    log.tick(100.0)
    assert log.can_send
    assert drain(reader) == b"a\n"
    for now in (100.0, 100.1, 100.2):
        log.tick(now)
        log.pop_acknowledged()
    assert (log.retry_in(), log.wants_write) == (None, False)


def test_the_client_reconnects_once_a_second_at_most(opened: Opened, listen: Listen, path: str) -> None:
    log = opened(path)
    log.send([b"a"], 1)
    log.tick(100.0)
    assert log.retry_in() == 1.0

    listen(path)
    log.tick(100.9)
    assert not log.reachable
    log.tick(101.0)
    assert log.reachable


def test_the_intervals_between_checks_grow(opened: Opened, listen: Listen, path: str) -> None:
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
    os.fstat(number)  # so that a selector can still unregister it

    log.tick(100.0)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)


# Bad output of jobs


def test_a_line_of_1_mb(opened: Opened, rsyslogd: Rsyslogd) -> None:
    packets = syslog_format.output_packets(HEADER, "root", [b"0123456789abcdef" * 65536])

    Loop(opened(rsyslogd.path), packets).run()

    wait_until(lambda: len(rsyslogd.lines()) == len(packets))
    pieces = [line.partition("CMDOUT (")[2].removesuffix(")") for line in rsyslogd.lines()]
    assert "".join(pieces) == "0123456789abcdef" * 65536


@pytest.mark.parametrize("scheme", ["unix", "udp", "tcp"])
def test_no_line_can_be_forged(opened: Opened, rsyslogd: Rsyslogd, scheme: str) -> None:
    address = rsyslogd.path if scheme == "unix" else f"{scheme}://127.0.0.1:{rsyslogd.port}"
    evil = b"a\n<78>Mar  9 01:02:03 web1 PYCROND[1]: (root) CMD (rm)\x00\x1b[2J\xff\xe2\x80\xae\r\n"

    Loop(opened(address), 2 * syslog_format.output_packets(NETWORK_HEADER, "root", [evil])).run()

    wait_until(lambda: len(rsyslogd.lines()) >= 2)
    shown = (
        r"(root) CMDOUT (a^J<78>Mar  9 01:02:03 web1 PYCROND[1]: (root) CMD (rm)^@^[[2J\377\342\200\256^M^J)"
    )
    assert Counter(line[line.index("(root)") :] for line in rsyslogd.lines()) == {shown: 2}


def test_a_packet_that_no_socket_accepts_is_cut(opened: Opened, listen: Listen, path: str) -> None:
    reader = listen(path)
    loop = Loop(opened(path), [b"x" * 1_000_000, b"y"])
    received = [b""]

    loop.run(lambda: received.append(drain(reader)))

    assert b"".join(received) == b"x" * 8192 + b"\ny\n"


# LOG_CONS


@pytest.mark.parametrize("reachable", [False, True])
def test_console(
    opened: Opened, listen: Listen, path: str, monkeypatch: pytest.MonkeyPatch, reachable: bool
) -> None:
    """The message has no priority and no version number of rfc5424."""
    monkeypatch.setattr(syslog, "CONSOLE", f"{path}.console")
    os.mkfifo(f"{path}.console")
    reader = os.open(f"{path}.console", os.O_RDONLY | os.O_NONBLOCK)
    if reachable:
        listen(path)
    header = syslog_format.format_header(TIME, "pycrond", 1, form="rfc5424")

    opened(path).show_on_console(
        [*syslog_format.packets(HEADER, "root", "CMD", "a"), syslog_format.packet(header, "hello")]
    )

    shown = b"Mar  9 01:02:03 PYCROND[77]: (root) CMD (a)\r\n2026-03-09T01:02:03.000000+00:00 - pycrond 1 - - hello\r\n"
    assert os.read(reader, 200) == (b"" if reachable else shown)  # syslog receives it
    os.close(reader)
