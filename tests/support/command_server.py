"""The command line in processes forked from a process that has imported it: a start takes some milliseconds.

A process of the installed script spends nearly all of its time on imports, and the suite starts it two
thousand times. A forked process is just as separate: with its own arguments, environment, directory,
descriptors and exit status.
"""

import contextlib
import json
import os
import resource
import selectors
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator

STARTUP_VARIABLES = ("FAKETIME", "LANG", "LC_", "LD_", "PYTHON")
"""Beginnings of the names of variables that are read when a program starts: each setting needs a server."""
LATER_VARIABLE = "FAKETIME_TIMESTAMP_FILE"  # libfaketime reads it each time that it reads the clock
MIN_USES = 3  # of an environment, before it gets a server, which takes as long to start as three commands
_lock = threading.Lock()
_uses: Counter[tuple[tuple[str, str], ...]] = Counter()
_servers: dict[tuple[tuple[str, str], ...], "_Server"] = {}


class _Server:
    """The process that forks, and the connection to it."""

    def __init__(self, environment: dict[str, str], script: str) -> None:
        self._connection, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with other:
            self.process = subprocess.Popen(
                [sys.executable, "-P", __file__, str(other.fileno()), script],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,  # as those of a command: streams on other files behave differently
                stderr=subprocess.PIPE,
                pass_fds=[other.fileno()],
            )

    def run(
        self, arguments: tuple[str, ...], environment: dict[str, str], cwd: str, seconds: float
    ) -> subprocess.CompletedProcess[str]:
        request = json.dumps(
            [arguments, environment, cwd, _umask(), resource.getrlimit(resource.RLIMIT_NOFILE)]
        ).encode()
        pipes = [os.pipe(), os.pipe()]
        with contextlib.ExitStack() as ours:
            for reader, _ in pipes:
                ours.callback(os.close, reader)
            try:
                socket.send_fds(self._connection, [request], [0, *(writer for _, writer in pipes)])
            finally:
                for _, writer in pipes:
                    os.close(writer)
            pid = int(self._connection.recv(64))
            try:
                output = _read([reader for reader, _ in pipes], os.times().elapsed + seconds)
            except TimeoutError:
                os.kill(pid, 9)
                raise
            finally:
                status = int(self._connection.recv(64))
        return subprocess.CompletedProcess(arguments, status, *output)

    def end(self) -> None:
        self._connection.close()
        self.process.kill()
        self.process.communicate()


def run(
    script: str, arguments: tuple[str, ...], environment: dict[str, str], cwd: str, seconds: float = 60.0
) -> subprocess.CompletedProcess[str] | None:
    """Run the command line until it ends, like `subprocess.run` of the installed script. Return None if the
    script must be used, because the environment is rare, or another thread is using the server.
    """
    if not _lock.acquire(blocking=False):
        return None
    try:
        startup = {name: value for name, value in environment.items() if name.startswith(STARTUP_VARIABLES)}
        startup.pop(LATER_VARIABLE, None)
        key = tuple(sorted(startup.items()))
        _uses[key] += 1
        if _uses[key] < MIN_USES:
            return None
        server = _servers.get(key)
        if not server or server.process.poll() is not None:  # killed after a test that failed
            if server:
                server.end()
            others = {
                name: value for name, value in os.environ.items() if not name.startswith(STARTUP_VARIABLES)
            }
            server = _servers[key] = _Server(others | startup, script)
        return server.run(arguments, environment, cwd, seconds)
    finally:
        _lock.release()


def end() -> None:
    """End the servers."""
    for server in _servers.values():
        server.end()
    _servers.clear()


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _read(readers: list[int], deadline: float) -> Iterator[str]:
    """Read each pipe until all have ended; return their contents."""
    texts: dict[int, list[bytes]] = {reader: [] for reader in readers}
    with selectors.DefaultSelector() as selector:
        for reader in readers:
            selector.register(reader, selectors.EVENT_READ)
        while selector.get_map():
            for key, _ in selector.select(max(0.0, deadline - os.times().elapsed)):
                data = os.read(key.fd, 1 << 16)
                texts[key.fd].append(data)
                if not data:
                    selector.unregister(key.fd)
            if os.times().elapsed >= deadline:
                raise TimeoutError
    return (b"".join(texts[reader]).decode().replace("\r\n", "\n") for reader in readers)


def _main(connection: socket.socket, script: str) -> None:
    """Serve until the connection is closed; in a forked process, become the command and return."""
    import gc
    import time

    with contextlib.suppress(ImportError):
        import psycopg  # noqa: F401
    import pycrond.cli.cluster.access
    import pycrond.cli.commands.history
    import pycrond.cli.commands.list
    import pycrond.cli.commands.logs
    import pycrond.cli.commands.run
    import pycrond.cli.commands.start
    import pycrond.cli.commands.status
    import pycrond.cli.commands.stop
    import pycrond.cli.main
    import pycrond.cli.parser

    gc.freeze()
    while True:
        data, descriptors, _, _ = socket.recv_fds(connection, 1 << 20, 3)
        if not data:
            return
        pid = os.fork()
        if not pid:
            break
        for descriptor in descriptors:
            os.close(descriptor)
        connection.send(str(pid).encode())
        connection.send(str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())
    connection.close()
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    arguments, environment, cwd, mask, limits = json.loads(data)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    os.chdir(cwd)
    os.umask(mask)
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    sys.argv = [script, *arguments]
    pycrond.cli.main.entry()


if __name__ == "__main__":
    _main(socket.socket(fileno=int(sys.argv[1])), sys.argv[2])
