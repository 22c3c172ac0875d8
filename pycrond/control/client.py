"""The client of the control socket: one request, one answer."""

import json
import os
import socket
import struct
import time
from typing import Any

from pycrond import clock
from pycrond.control.protocol import encode, short_path
from pycrond.errors import NotRunningError, PycrondError, os_reason
from pycrond.host.names import NAMES

BUSY_INTERVAL = 0.01  # seconds


def connect(path: str, timeout: float) -> socket.socket:
    """A connection to a process of root or of this user; raises NotRunningError where nobody listens.

    Raises PycrondError where another user listens, or could: the kernel reports who it is (SO_PEERCRED).
    """
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.settimeout(timeout)
    deadline = clock.elapsed() + timeout
    try:
        with short_path(path) as short:
            while not _is_connected(client, short, deadline):
                time.sleep(BUSY_INTERVAL)
    except OSError as error:
        client.close()
        raise NotRunningError(f"pycrond is not running (nobody listens at {path})") from error
    except PycrondError:
        client.close()
        raise
    _, uid, _ = struct.unpack(
        "iII", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("iII"))
    )
    if uid not in {0, os.geteuid()}:
        client.close()
        raise PycrondError(f"{path} is not used: it belongs to a process of {NAMES.owner_name(uid)}")
    return client


def _is_connected(client: socket.socket, path: str, deadline: float) -> bool:
    """Connect; return False if the daemon has too many connections to accept now, until the deadline."""
    try:
        client.connect(path)
    except BlockingIOError:
        if clock.elapsed() >= deadline:
            raise
        return False
    return True


def ask(path: str, request: dict[str, Any], timeout: float = 60.0) -> dict[str, Any]:
    """Send a request to the daemon and return its answer; raises the error that it answers."""
    with connect(path, timeout) as client:
        try:
            client.sendall(encode(request))
            with client.makefile("rb") as lines:
                line = lines.readline()
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
