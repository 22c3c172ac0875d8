"""System calls of the keeper's program. Standard library only."""

import contextlib
import io
import os
import select
import socket
import sys
import time

OWN_FILE = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK

SEGMENT_SIZE = 1 << 20  # bytes
SPARE_MARKS = 4096  # bytes by which the marks of a segment may exceed its output
MAX_SEGMENTS = 16  # of a run; only a daemon, which knows the limits, stores more output


def poll(events: dict[int, int], timeout: int | None) -> list[tuple[int, int]]:
    """Wait up to `timeout` milliseconds for events of descriptors; return the events that came."""
    poller = select.poll()
    for descriptor, event in events.items():
        poller.register(descriptor, event)
    return poller.poll(timeout)


def reply(client: socket.socket, message: bytes, *, close: bool = True) -> None:
    """Send a message, without waiting, to a process that may have ended."""
    client.setblocking(False)
    with contextlib.suppress(OSError):  # the client is gone
        client.sendall(message + b"\n")
    if close:
        client.close()


def contents(path: str) -> bytes:
    """Return a file's contents; empty if it cannot be read (ENOENT or ESRCH for a dead process)."""
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
    """Open a file of this user for reading and writing; make it and its directory if they are missing."""
    os.makedirs(directory, 0o700, exist_ok=True)
    return open(os.open(f"{directory}/{name}", os.O_RDWR | os.O_CREAT | OWN_FILE, 0o600), "r+b", 0)


def move_output(reader: int, spool: str, run: int) -> bool:
    """Move the content of a pipe into the spool of a run; return False if there is no room for it."""
    directory, times = (f"{spool}/{name}{run // 1000}" for name in ("", "times/"))
    try:
        os.makedirs(directory, 0o700, exist_ok=True)
        names = [name for name in os.listdir(directory) if name.startswith(f"{run}.")]
        if len(names) > MAX_SEGMENTS:
            return False
        segment = max((int(name.partition(".")[2]) for name in names), default=0)
        if names and os.stat(f"{directory}/{run}.{segment}").st_size >= SEGMENT_SIZE:
            segment += 1
        name = f"{run}.{segment}"
        with own_file(directory, name) as file, own_file(times, name) as marks:
            size, to = file.seek(0, os.SEEK_END), file.fileno()
            os.splice(reader, to, SEGMENT_SIZE - size, offset_dst=size, flags=os.SPLICE_F_NONBLOCK)
            if marks.seek(0, os.SEEK_END) <= size + SPARE_MARKS:
                marks.write((size << 43 | int(time.time() * 1000)).to_bytes(8, sys.byteorder))
    except OSError:
        return False
    return True


def move(readers: dict[int, int], spool: str, run: int, *, to_end: bool) -> bool:
    """Move the content of a pipe into the spool of a run; return False if there is no room for it.

    If standard error has a pipe of its own, by -RUN, move complete lines of both pipes, or with `to_end` all
    their content; return False also if there is nothing to move.
    """
    errors = readers.get(-abs(run))
    if errors is None:
        return move_output(readers[run], spool, run)
    run = abs(run)
    # Imported only if needed. If that fails, such as during an upgrade, the output stays in the pipes.
    try:
        from pycrond.output import split_streams  # noqa: PLC0415 -- as above
        from pycrond.output.spool import Spool, segments  # noqa: PLC0415 -- as above

        if len(segments(spool, run)) > MAX_SEGMENTS:
            return False
        target = Spool(spool, run)
        try:
            return bool(split_streams.move(target, (readers[run], errors), time.time(), everything=to_end))
        finally:
            target.close()
    except Exception:  # noqa: BLE001 -- as above
        return False


def save_ends(state: str, lines: list[bytes]) -> None:
    """Store the ends of processes that no daemon has read, for commands and for the next daemon."""
    with contextlib.suppress(OSError), own_file(state, "ends") as file:
        file.seek(0, os.SEEK_END)
        file.write(b"".join(b"\n%b\n" % line for line in lines))  # a full disk may have cut a line
