"""A syslogd that reads datagrams as fast as possible, counts them and writes them to a file.

It is a process of its own, so that the benchmark does not delay it; in C (sink.c) if there is a compiler,
else in Python.
"""

import mmap
import os
import shutil
import signal
import socket
import subprocess
import sys

DIE_WITH_PARENT = "setpriv --pdeathsig KILL"
"""A prefix of a command, which is killed when the benchmark is."""


class Sink:
    """A syslogd that listens on DIRECTORY/log."""

    def __init__(self, directory: str) -> None:
        self.path = os.path.join(directory, "log")
        self._text = os.path.join(directory, "log.text")
        counter = os.path.join(directory, "log.count")
        with open(counter, "wb") as file:
            file.write(bytes(8))
        with open(counter, "r+b") as file:
            self._counter = mmap.mmap(file.fileno(), 8)
        program = _compiled(directory) or (sys.executable, "-I", "-S", __file__)
        self._process = subprocess.Popen(
            (*DIE_WITH_PARENT.split(), *program, self.path, self._text, counter), stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        self._process.stdout.readline()  # it is listening

    @property
    def count(self) -> int:
        """The number of datagrams read."""
        return int.from_bytes(self._counter[:], sys.byteorder)

    def pause(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def end(self) -> list[bytes]:
        """End the process and return all datagrams read."""
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait()
        with open(self._text, "rb") as file:
            return file.read().split(b"\n")[:-1]


def _compiled(directory: str) -> tuple[str, ...]:
    """Compile the program in a directory and return its command; empty without a compiler."""
    compiler, program = shutil.which("cc"), os.path.join(directory, "sink")
    if not compiler:
        return ()
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "sink.c")
    subprocess.run([compiler, "-O2", "-o", program, source], check=True)
    return (program,)


def _receive(path: str, text: str, counter: str) -> None:
    log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    log.bind(path)
    os.chmod(path, 0o666)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    buffer = bytearray(65536)
    view = memoryview(buffer)
    with open(counter, "r+b") as file:
        shared_count = memoryview(mmap.mmap(file.fileno(), 8)).cast("Q")
    with open(text, "wb", buffering=1 << 20) as out:
        print(flush=True)
        receive, write = log.recv_into, out.write
        count = 0
        while True:
            size = receive(buffer)
            write(view[:size])
            write(b"\n")
            count += 1
            shared_count[0] = count


if __name__ == "__main__":
    _receive(*sys.argv[1:])
