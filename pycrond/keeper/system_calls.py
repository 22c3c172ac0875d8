"""System calls of the keeper's program. Standard library only."""

import contextlib
import io
import os
import select
import socket

OWN_FILE = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def poll(events: dict[int, int], timeout: int | None) -> list[tuple[int, int]]:
    """Wait up to `timeout` milliseconds for events of descriptors; return the events that came."""
    poller = select.poll()
    for descriptor, event in events.items():
        poller.register(descriptor, event)
    return poller.poll(timeout)


def reply(client: socket.socket, message: bytes, *, close: bool = True) -> None:
    """Send a message without waiting, to a process that may be gone."""
    client.setblocking(False)
    try:  # noqa: SIM105 -- contextlib would take a tenth of the keeper's memory
        client.sendall(message + b"\n")
    except OSError:
        pass  # the client is gone
    if close:
        client.close()


def contents(path: str) -> bytes:
    """Return a file's contents; nothing if it cannot be read (of a dead process: ENOENT or ESRCH)."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def stat_fields(pid: int) -> list[bytes]:
    """Return the fields of /proc/PID/stat from the state on; none if there is no such process."""
    return contents(f"/proc/{pid}/stat").rpartition(b")")[2].split()


def children() -> set[int]:
    """Return the pids of this process's children."""
    return set(map(int, contents(f"/proc/self/task/{os.getpid()}/children").split()))


def own_file(directory: str, name: str) -> io.FileIO:
    """Open a file of this user for reading and writing; make it and its directory where they are missing."""
    os.makedirs(directory, 0o700, exist_ok=True)
    return open(os.open(f"{directory}/{name}", os.O_RDWR | os.O_CREAT | OWN_FILE, 0o600), "r+b", 0)


def save_ends(state: str, lines: list[bytes]) -> None:
    """Store the ends of processes that no daemon has read, for commands and for the next daemon."""
    with contextlib.suppress(OSError), own_file(state, "ends") as file:
        file.seek(0, os.SEEK_END)
        file.write(b"".join(b"\n%b\n" % line for line in lines))  # a full disk may have cut a line
