"""A syslogd that takes every datagram at once, counts them and keeps them in a file: a process of its own, so
that nothing the bench does holds it up. In C (sink.c) where there is a compiler, else in Python.
"""

import mmap
import os
import shutil
import signal
import socket
import subprocess
import sys

WITH_US = "setpriv --pdeathsig KILL"
"""Before a command: it is killed when the bench is."""


class Sink:
    """One that listens on FOLDER/log."""

    def __init__(self, folder: str) -> None:
        self.path = os.path.join(folder, "log")
        self._text = os.path.join(folder, "log.text")
        counter = os.path.join(folder, "log.count")
        with open(counter, "wb") as file:
            file.write(bytes(8))
        with open(counter, "r+b") as file:
            self._counter = mmap.mmap(file.fileno(), 8)
        program = _compiled(folder) or (sys.executable, "-I", "-S", __file__)
        self._process = subprocess.Popen(
            (*WITH_US.split(), *program, self.path, self._text, counter), stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        self._process.stdout.readline()  # it listens

    @property
    def count(self) -> int:
        """How many datagrams it has taken."""
        return int.from_bytes(self._counter[:], sys.byteorder)

    def hold(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def end(self) -> list[bytes]:
        """What it has taken."""
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait()
        with open(self._text, "rb") as file:
            return file.read().split(b"\n")[:-1]


def _compiled(folder: str) -> tuple[str, ...]:
    """The program, made there; empty without a compiler."""
    compiler, program = shutil.which("cc"), os.path.join(folder, "sink")
    if not compiler:
        return ()
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "sink.c")
    subprocess.run([compiler, "-O2", "-o", program, source], check=True)
    return (program,)


def _take(path: str, text: str, counter: str) -> None:
    log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    log.bind(path)
    os.chmod(path, 0o666)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    buffer = bytearray(65536)
    view = memoryview(buffer)
    with open(counter, "r+b") as file:
        counted = memoryview(mmap.mmap(file.fileno(), 8)).cast("Q")
    with open(text, "wb", buffering=1 << 20) as out:
        print(flush=True)
        receive, write = log.recv_into, out.write
        taken = 0
        while True:
            size = receive(buffer)
            write(view[:size])
            write(b"\n")
            taken += 1
            counted[0] = taken


if __name__ == "__main__":
    _take(*sys.argv[1:])
