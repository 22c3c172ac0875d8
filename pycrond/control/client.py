"""The client of the control socket: one request, one answer."""

import contextlib
import json
import os
import socket
import time
from typing import Any

from pycrond import clock
from pycrond.control.protocol import encode, peer_uid, short_path
from pycrond.errors import NoAnswerError, NotRunningError, PycrondError, os_reason
from pycrond.host.names import NAMES
from pycrond.text import duration

BUSY_INTERVAL = 0.01  # seconds
RECEIVED_AT_ONCE = 1 << 18  # bytes


def connect(path: str, timeout: float) -> socket.socket:
    """Return a connection to a process of root or of this user; raises NotRunningError if no process listens.

    Raises NoAnswerError if its queue stays full, and PycrondError if a process of another user listens, or
    could listen. The kernel reports the user (SO_PEERCRED).
    """
    deadline = clock.elapsed() + timeout
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        client.settimeout(timeout)
        try:
            with short_path(path) as short:
                while not _is_connected(client, short, deadline):
                    time.sleep(BUSY_INTERVAL)
        except (BlockingIOError, TimeoutError) as error:
            raise _no_answer(timeout) from error
        except OSError as error:
            raise NotRunningError(f"pycrond is not running (no process listens at {path})") from error
        uid = peer_uid(client)
        if uid not in {0, os.geteuid()}:
            raise PycrondError(f"{path} is not used: it belongs to a process of {NAMES.owner_name(uid)}")
        stack.pop_all()  # the connection stays open
    return client


def _is_connected(client: socket.socket, path: str, deadline: float) -> bool:
    """Connect; return False if the daemon's queue is full. Raises BlockingIOError at the deadline."""
    try:
        client.connect(path)
    except BlockingIOError:
        if clock.elapsed() >= deadline:
            raise
        return False
    return True


def _no_answer(timeout: float) -> NoAnswerError:
    return NoAnswerError(
        f"pycrond has not answered for {duration(timeout)}: it hangs or is stopped (see 'pycrond doctor')"
    )


def ask(path: str, request: dict[str, Any], timeout: float = 60.0) -> dict[str, Any]:
    """Send a request to the daemon and return its answer. Raises PycrondError for an error in the answer, and
    NoAnswerError if the whole answer has not come within `timeout` seconds.
    """
    deadline = clock.elapsed() + timeout
    with connect(path, timeout) as client:
        try:
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):  # it may have refused the rest
                client.sendall(encode(request))
            line = _receive_line(client, deadline)
        except TimeoutError as error:
            raise _no_answer(timeout) from error
        except (ConnectionResetError, BrokenPipeError):
            line = b""
        except OSError as error:
            raise PycrondError(f"the daemon does not answer: {os_reason(error)}") from error
    if not line:
        raise NotRunningError("the daemon ended before it answered")
    answer: dict[str, Any] = json.loads(line)
    if "error" in answer:
        raise PycrondError(answer["error"])
    return answer


def _receive_line(client: socket.socket, deadline: float) -> bytes:
    """Return a line; empty if the connection ends before the line does. Raises TimeoutError at `deadline`, by
    clock.elapsed, even if parts of the line continue to arrive.
    """
    line = bytearray()
    while not line.endswith(b"\n"):
        left = deadline - clock.elapsed()
        if left <= 0:
            raise TimeoutError
        client.settimeout(left)
        data = client.recv(RECEIVED_AT_ONCE)
        if not data:
            return b""
        line += data
    return bytes(line)
