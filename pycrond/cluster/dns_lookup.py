"""The look-up of a host's name, in a thread: libpq's own look-up would block the loop while DNS does not
answer.
"""

import os
import select
import socket
import threading

from psycopg import OperationalError

from pycrond.errors import os_reason


class Lookup:
    """Looks one name up at a time; its descriptor is readable when there is a result."""

    def __init__(self) -> None:
        self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._name = ""
        self._thread: threading.Thread | None = None
        self._result: list[str] | OSError = []

    def fileno(self) -> int:
        return self._event

    @property
    def events(self) -> int:
        """The events for which `poll` waits."""
        return select.POLLIN

    def begin(self, name: str) -> None:
        """Look a name up, unless a look-up of the same name is still running."""
        if self._thread and self._thread.is_alive() and self._name == name:
            return
        self._name = name
        self._thread = threading.Thread(target=self._run, args=(name,), daemon=True)
        self._thread.start()

    def result(self, name: str) -> list[str] | None:
        """Return a name's addresses, once; None if there is no result. Raises OperationalError."""
        try:
            os.eventfd_read(self._event)
        except BlockingIOError:
            return None
        if name != self._name:
            return None
        if isinstance(self._result, OSError):
            raise OperationalError(f"cannot look {name} up: {os_reason(self._result)}")
        return self._result

    def close(self) -> None:
        os.close(self._event)
        self._event = -1

    def _run(self, name: str) -> None:
        result: list[str] | OSError
        try:
            answers = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
            result = [*dict.fromkeys(str(address[0]) for *_, address in answers)]
        except OSError as error:
            result = error
        if name == self._name and self._event >= 0:
            self._result = result
            os.eventfd_write(self._event, 1)
