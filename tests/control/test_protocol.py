"""The control socket: whole requests are answered, other clients are dropped, no client blocks the daemon."""

import contextlib
import json
import math
import os
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pycrond.control import protocol
from pycrond.control.client import ask, connect
from pycrond.control.connection import Connection
from pycrond.errors import NoAnswerError, NotRunningError, PycrondError
from tests.conftest import fill_queue, wait_until

NOBODY = 65534


def echo(request: dict[str, Any], uid: int) -> dict[str, Any]:
    if "refuse" in request:
        raise PycrondError("not for you")
    return {"request": request, "uid": uid}


def serve(client: Connection, answerer: protocol.Answerer = echo) -> bool:
    """Receive or send as far as the client is ready, as the server does; return False at its end."""
    if client.unsent:
        return client.send()
    if not client.receive():
        return False
    return client.answer(answerer) if client.is_whole else True


class Server:
    """The daemon's side; a test serves each client itself."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.listener = protocol.listen(path, 0o666)

    def accept(self) -> Connection:
        return Connection(self.listener.accept()[0], protocol.MIN_REQUEST, math.inf)

    def answer(self, data: bytes) -> dict[str, Any]:
        """Return the answer to a client that sends these bytes."""
        with connect(self.path, 5) as near:
            near.sendall(data)
            with contextlib.closing(self.accept()) as client:
                assert serve(client) is False
            answer: dict[str, Any] = json.loads(near.makefile("rb").readline())
        return answer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(str(tmp_path / "control.sock"))
    yield server
    server.listener.close()


def test_a_request_and_its_answer(server: Server) -> None:
    assert server.answer(b'{"command": "status"}\n') == {
        "request": {"command": "status"},
        "uid": os.geteuid(),
    }


def test_ask(server: Server) -> None:
    def answer_three() -> None:
        for _ in range(3):
            client = server.accept()
            while serve(client):
                pass
            client.close()

    thread = threading.Thread(target=answer_three)
    thread.start()
    try:
        assert ask(server.path, {"text": "\u00fc\n\0"})["request"] == {"text": "\u00fc\n\0"}
        assert len(ask(server.path, {"long": "x" * 60_000})["request"]["long"]) == 60_000
        with pytest.raises(PycrondError, match=r"^not for you$"):
            ask(server.path, {"refuse": True})
    finally:
        thread.join(10)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"\n", "not JSON"),
        (b"{\n", "not JSON"),
        (b"\xff\xfe\n", "not JSON"),
        (b'{"a": 1} trailing\n', "not JSON"),
        (b"NaN\n", "a request is an object"),
        (b"[]\n", "a request is an object"),
        (b"null\n", "a request is an object"),
        (b'"status"\n', "a request is an object"),
        (b'{"refuse": 1}\n', "not for you"),
        (b"[" * 60_000 + b"\n", "not JSON"),
        (b'{"a":' * 12_000 + b"\n", "not JSON"),
        (b'{"a": ' + b"9" * 60_000 + b"}\n", "not JSON"),
    ],
    ids=lambda part: repr(part[:20]),
)
def test_invalid_requests_are_answered_by_an_error(server: Server, data: bytes, error: str) -> None:
    assert server.answer(data)["error"].startswith(error)


def test_a_partial_request_waits_for_its_end(server: Server) -> None:
    with connect(server.path, 5) as near:
        client = server.accept()
        assert serve(client) is True, "nothing was sent yet"
        near.sendall(b'{"command":')
        assert serve(client) is True
        near.sendall(b'"x"}')
        assert serve(client) is True
        near.sendall(b"\n")
        assert serve(client) is False
        client.close()
        assert json.loads(near.recv(1000))["request"] == {"command": "x"}


def test_data_after_a_request_is_ignored(server: Server) -> None:
    assert server.answer(b'{"a": 1}\n{"refuse": 1}\n')["request"] == {"a": 1}


def test_a_client_that_disconnects_is_dropped(server: Server) -> None:
    for data in (b"", b'{"half":'):
        near = connect(server.path, 5)
        near.sendall(data)
        client = server.accept()
        near.close()
        while serve(client):
            pass
        client.close()


def test_a_client_that_resets_the_connection_is_dropped(server: Server) -> None:
    near = connect(server.path, 5)
    client = server.accept()
    near.sendall(b'{"a": 1}\n')
    near.close()
    assert serve(client) is False
    client.close()


def test_a_request_that_is_too_long_is_answered_with_an_error(server: Server) -> None:
    with connect(server.path, 5) as near:
        near.setblocking(False)
        client = server.accept()
        served = 0
        while served < 100:
            near.send(b"x" * 10_000)
            if not serve(client):
                break
            served += 1
        assert served < 10
        client.close()
        assert b"the request is too long: it may have 65536 bytes" in near.recv(1000)


def test_ask_reports_that_a_request_is_too_long(server: Server) -> None:
    def answer() -> None:
        with contextlib.closing(server.accept()) as client:
            while serve(client):
                pass

    thread = threading.Thread(target=answer)
    thread.start()
    with pytest.raises(PycrondError, match="the request is too long"):
        ask(server.path, {"text": "x" * 1_000_000})
    thread.join(10)


def flood(_request: dict[str, Any], _uid: int) -> dict[str, Any]:
    return {"much": "x" * 4_000_000}


def test_a_long_answer_is_sent_in_parts(server: Server) -> None:
    with connect(server.path, 5) as near, contextlib.closing(server.accept()) as client:
        near.sendall(b"{}\n")
        assert serve(client, flood) is True, "it did not block"
        assert client.unsent
        received, more = b"", True
        while not received.endswith(b"\n"):
            received += near.recv(1 << 20)
            more = more and serve(client, flood)
        assert more is False
        assert json.loads(received) == flood({}, 0)


def test_an_answer_that_is_too_long_is_an_error(server: Server) -> None:
    with connect(server.path, 5) as near, contextlib.closing(server.accept()) as client:
        near.sendall(b"{}\n")
        assert serve(client, lambda _request, _uid: {"much": "x" * protocol.MAX_ANSWER}) is False
        error = json.loads(near.recv(1000))["error"]
        assert error.endswith(f"bytes, at most {protocol.MAX_ANSWER} are sent; ask for less")


def test_a_client_that_disconnects_during_its_answer_is_dropped(server: Server) -> None:
    near = connect(server.path, 5)
    near.sendall(b"{}\n")
    client = server.accept()
    assert serve(client, flood) is True
    near.close()
    assert serve(client, flood) is False
    client.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_the_uid_is_the_kernels(server: Server) -> None:
    os.chmod(os.path.dirname(server.path), 0o755)
    near = socket.socket(socket.AF_UNIX)
    directory = os.open(os.path.dirname(server.path), os.O_PATH)
    child = os.fork()
    if not child:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            near.connect(f"/proc/self/fd/{directory}/control.sock")
        finally:
            os._exit(0)
    near.close()
    os.close(directory)
    client = server.accept()
    assert client.uid == NOBODY
    client.close()
    os.waitpid(child, 0)


# Addresses


def test_all_users_may_connect(server: Server) -> None:
    assert stat.S_IMODE(os.stat(server.path).st_mode) == 0o666


def test_a_path_may_have_any_length(tmp_path: Path) -> None:
    directory = tmp_path / ("x" * 200)
    directory.mkdir()
    server = Server(str(directory / "control.sock"))
    assert server.answer(b"{}\n")["request"] == {}
    server.listener.close()
    assert stat.S_ISSOCK(os.stat(server.path).st_mode)


def test_the_socket_of_a_dead_daemon_is_replaced(server: Server) -> None:
    server.listener.close()
    again = Server(server.path)
    assert again.answer(b"{}\n")["request"] == {}
    again.listener.close()


def test_a_file_at_the_path_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "control.sock").write_text("x")
    server = Server(str(tmp_path / "control.sock"))
    assert server.answer(b"{}\n")["request"] == {}
    server.listener.close()


@pytest.mark.parametrize("name", ["gone", "gone/control.sock", "file"])
def test_not_running(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(NotRunningError, match="pycrond is not running") as error:
        ask(str(tmp_path / name), {})
    assert error.value.status == 3


def test_a_stale_socket_means_not_running(server: Server) -> None:
    server.listener.close()
    with pytest.raises(NotRunningError):
        ask(server.path, {})


def test_the_daemon_dies_before_it_answers(server: Server) -> None:
    def hang_up() -> None:
        connection, _ = server.listener.accept()
        connection.recv(100)
        connection.close()

    thread = threading.Thread(target=hang_up)
    thread.start()
    with pytest.raises(NotRunningError, match="ended before it answered"):
        ask(server.path, {})
    thread.join(10)


def test_the_daemon_does_not_answer(server: Server) -> None:
    with pytest.raises(NoAnswerError, match="has not answered for"):
        ask(server.path, {}, timeout=0.05)


def test_a_daemon_that_accepts_no_more_connections_does_not_answer(server: Server) -> None:
    """Such a daemon was once reported as not running."""
    with contextlib.ExitStack() as stack:
        fill_queue(server.path, stack)
        with pytest.raises(NoAnswerError, match="has not answered for"):
            ask(server.path, {}, timeout=0.05)


def test_an_answer_that_comes_byte_by_byte_is_not_waited_for_longer(server: Server) -> None:
    def dribble() -> None:
        connection, _ = server.listener.accept()
        with connection, contextlib.suppress(OSError):
            while not ended.wait(0.01):
                connection.send(b" ")

    ended = threading.Event()
    thread = threading.Thread(target=dribble)
    thread.start()
    with pytest.raises(NoAnswerError):
        ask(server.path, {}, timeout=0.1)
    ended.set()
    thread.join(10)


def test_no_descriptor_is_left_open(server: Server) -> None:
    before = len(os.listdir("/proc/self/fd"))
    server.answer(b"{}\n")
    with pytest.raises(NotRunningError):
        ask(server.path + "x", {})
    wait_until(lambda: len(os.listdir("/proc/self/fd")) == before)
