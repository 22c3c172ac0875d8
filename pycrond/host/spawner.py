"""The daemon's end of the spawner, which starts the programs of other users; see `spawner_program`."""

import contextlib
import errno
import os
import signal
import socket
import sys

from pycrond.errors import PycrondError, UnusableAccountError, os_reason

PROGRAM = os.path.join(os.path.dirname(__file__), "spawner_program.py")
USER_FILES = os.path.join(os.path.dirname(__file__), "user_files.py")
PAM_SESSION = os.path.join(os.path.dirname(__file__), "pam_session.py")
ANSWER_TIMEOUT = 2.0  # seconds; it answers in a millisecond
MAX_MESSAGE = 8192  # bytes
MAX_FAILURES = 10_000  # failures that are kept until the reaper asks for them
NOT_EXECUTED = {126, 127}
"""The exit statuses of a process that could not execute its program; programs may use them, too."""


class SpawnerProcess:
    """The spawner of this process. It is started when it is first needed, or by `open`."""

    def __init__(self) -> None:
        self._channel: socket.socket | None = None
        self.pid = 0
        """The pid of the last spawner."""
        self._process = -1  # its pidfd
        self._failures: dict[int, PycrondError] = {}
        self.pam_service = ""
        """The PAM service under which programs run; empty: without PAM. Takes effect at the next `open`."""

    def start(self, memory: int, stdin: int | None) -> int:
        """Start the program of a request, which is a file in memory; return its pid. Raises OSError."""
        channel = self._channel or self.open()
        descriptors = [memory] if stdin is None else [memory, stdin]
        answer: int | None = None
        try:
            socket.send_fds(channel, [b"start"], descriptors)
            answer = self._read_answer(channel)
        except OSError:
            # An answer that it sent before its death is valid. Without an answer, it has started nothing.
            self._kill()
            channel.setblocking(False)
            with contextlib.suppress(OSError):
                answer = self._read_answer(channel)
            self.close()
        if answer is None:
            raise OSError(errno.EAGAIN, "the spawner has ended")
        if answer < 0:
            raise OSError(-answer, os.strerror(-answer))
        return answer

    def _read_answer(self, channel: socket.socket) -> int:
        """Return the answer: a pid, or an error number below 0. Raises OSError if the spawner has ended."""
        while message := channel.recv(MAX_MESSAGE):
            if b" " not in message:
                return int(message)
            self._note_failure(message)
        raise ConnectionResetError

    def _kill(self) -> None:
        """Kill the spawner, and wait until it is dead; the reaper reaps it."""
        with contextlib.suppress(OSError):
            signal.pidfd_send_signal(self._process, signal.SIGKILL)
            os.waitid(os.P_PIDFD, self._process, os.WEXITED | os.WNOWAIT)

    def take_failure(self, pid: int, status: int) -> PycrondError | None:
        """Return the error of an ended process that could not execute its program; None if it could. `status`
        is from wait(2).
        """
        if os.waitstatus_to_exitcode(status) not in NOT_EXECUTED:
            return None
        if self._channel:
            self._channel.setblocking(False)
            with contextlib.suppress(OSError):
                while message := self._channel.recv(MAX_MESSAGE):
                    self._note_failure(message)
            self._channel.settimeout(ANSWER_TIMEOUT)
        return self._failures.pop(pid, None)

    def _note_failure(self, message: bytes) -> None:
        pid, number, reason = message.split(b" ", 2)
        text = reason.decode("utf-8", "surrogateescape")
        refusal = UnusableAccountError(text)
        error = PycrondError(f"{text}: {os_reason(OSError(int(number), os.strerror(int(number))))}")
        self._failures[int(pid)] = error if int(number) else refusal
        if len(self._failures) > MAX_FAILURES:
            del self._failures[next(iter(self._failures))]

    def open(self) -> socket.socket:
        """Start the spawner, and return this end of the socket; the other end is its standard input."""
        channel, end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pam = [PAM_SESSION, self.pam_service] if self.pam_service else []
        with end:
            self.pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-I", "-S", PROGRAM, USER_FILES, *pam],
                {"LD_BIND_NOW": "1"},  # otherwise each of its processes would look up each function again
                file_actions=[(os.POSIX_SPAWN_DUP2, end.fileno(), 0)],
                setsigmask=[],
                setsigdef=[signal.SIGPIPE],
            )
        self._process = os.pidfd_open(self.pid)
        channel.settimeout(ANSWER_TIMEOUT)
        self._channel = channel
        return channel

    def close(self) -> None:
        """End the spawner; programs that it has started go on."""
        if self._channel:
            self._channel.close()
            os.close(self._process)
        self._channel = None


SPAWNER = SpawnerProcess()
"""The spawner of this process. A forked process must not use it."""
