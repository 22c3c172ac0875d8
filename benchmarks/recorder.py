"""A tiny program by which a job records its own start, so that the cron is measured, not the job.

`date +%s%N` costs about as much as the shell that starts it: a thousand jobs at once would measure `date`. On
x86-64 the program is therefore made here from machine code: it reads CLOCK_REALTIME, appends the 16 bytes to
its standard output, and ends. On other machines it is `date`. The benchmark prints the cost of the recorder,
which is the same for all daemons.
"""

import os
import platform
import struct
from collections.abc import Callable
from dataclasses import dataclass

_PROGRAM = bytes.fromhex(
    "4883ec10"  # sub  rsp, 16           room for a struct timespec
    "b8e4000000"  # mov  eax, 228        clock_gettime(
    "31ff"  # xor  edi, edi                CLOCK_REALTIME,
    "4889e6"  # mov  rsi, rsp              the room)
    "0f05"  # syscall
    "b801000000"  # mov  eax, 1          write(
    "bf01000000"  # mov  edi, 1            standard output,
    "4889e6"  # mov  rsi, rsp              the room,
    "ba10000000"  # mov  edx, 16           16 bytes)
    "0f05"  # syscall
    "b83c000000"  # mov  eax, 60         exit(
    "31ff"  # xor  edi, edi                0)
    "0f05"  # syscall
)
_ADDRESS = 0x400000
_HEADERS = 64 + 56  # bytes of the headers of the file and of its segment: elf(5)


@dataclass(frozen=True, slots=True)
class Recorder:
    """A shell command that records when it runs, and the file of its records."""

    command: str
    """A crontab needs a backslash before each `%`."""
    path: str
    _read: Callable[[bytes], list[int]]

    def starts(self) -> list[int]:
        """Return the times recorded so far in nanoseconds since 1970, in ascending order."""
        if not os.path.exists(self.path):
            return []
        with open(self.path, "rb") as file:
            return sorted(self._read(file.read()))

    def reset(self) -> None:
        """Discard all records. The file remains for users who may not make it."""
        if os.path.exists(self.path):
            os.truncate(self.path, 0)


def make_recorder(directory: str) -> Recorder:
    """Make a recorder with its program and its records in this directory."""
    path = os.path.join(directory, "starts")
    if platform.machine() != "x86_64":
        return Recorder(f"date +%s%N >>{path}", path, _lines)
    program = os.path.join(directory, "recorder")
    with open(program, "wb") as file:
        file.write(_executable(_PROGRAM))
    os.chmod(program, 0o755)
    return Recorder(f"{program} >>{path}", path, _timespecs)


def _executable(code: bytes) -> bytes:
    """Return a minimal ELF file: two headers and the code, mapped as one segment."""
    size = _HEADERS + len(code)
    ident = b"\x7fELF\2\1\1" + bytes(9)  # 64 bits, little-endian, version 1
    header = struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, _ADDRESS + _HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _ADDRESS, _ADDRESS, size, size, 4096)  # loaded, r-x
    return ident + header + segment + code


def _timespecs(data: bytes) -> list[int]:
    records = data[: len(data) // 16 * 16]
    return [seconds * 10**9 + nanoseconds for seconds, nanoseconds in struct.iter_unpack("qq", records)]


def _lines(data: bytes) -> list[int]:
    return [int(line) for line in data.split(b"\n")[:-1]]
