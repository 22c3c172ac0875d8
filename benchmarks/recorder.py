"""The tiny program with which a job records its own start, so that what is measured is the cron.

`date +%s%N` costs about as much as the shell that starts it, so a thousand jobs at once would measure `date`.
On an x86-64 the program is therefore made here, by hand and without a compiler: it reads CLOCK_REALTIME,
writes the 16 bytes to its standard output, a file opened for appending, and ends. Elsewhere it is `date`.
The bench prints what the recorder costs; the jobs of all daemons use the same one.
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
_HEADERS = 64 + 56  # bytes of the file's header and of its one segment's: elf(5)


@dataclass(frozen=True, slots=True)
class Recorder:
    """A shell command that records when it runs, and the file it records to."""

    command: str
    """In a crontab each `%` in it needs a backslash."""
    path: str
    _read: Callable[[bytes], list[int]]

    def starts(self) -> list[int]:
        """What was recorded so far, each in nanoseconds since 1970, in order of time."""
        if not os.path.exists(self.path):
            return []
        with open(self.path, "rb") as file:
            return sorted(self._read(file.read()))

    def forget(self) -> None:
        """Begin anew. The file stays: users who may not make one record there."""
        if os.path.exists(self.path):
            os.truncate(self.path, 0)


def recorder(folder: str) -> Recorder:
    """One that keeps its program and its records in this folder."""
    path = os.path.join(folder, "starts")
    if platform.machine() != "x86_64":
        return Recorder(f"date +%s%N >>{path}", path, _lines)
    program = os.path.join(folder, "recorder")
    with open(program, "wb") as file:
        file.write(_executable(_PROGRAM))
    os.chmod(program, 0o755)
    return Recorder(f"{program} >>{path}", path, _timespecs)


def _executable(code: bytes) -> bytes:
    """The smallest ELF file that Linux runs: two headers and the code, mapped as one segment."""
    size = _HEADERS + len(code)
    ident = b"\x7fELF\2\1\1" + bytes(9)  # 64 bits, little-endian, version 1
    header = struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, _ADDRESS + _HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _ADDRESS, _ADDRESS, size, size, 4096)  # loaded, r-x
    return ident + header + segment + code


def _timespecs(data: bytes) -> list[int]:
    whole = data[: len(data) // 16 * 16]
    return [seconds * 10**9 + rest for seconds, rest in struct.iter_unpack("qq", whole)]


def _lines(data: bytes) -> list[int]:
    return [int(line) for line in data.split(b"\n")[:-1]]
