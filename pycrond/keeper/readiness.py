"""Telling whoever started the daemon how it goes: the keeper over its socket, systemd over its own."""

import contextlib
import socket
from collections.abc import Callable, Iterable, Mapping


class Readiness:
    """Where to say ready, failed, stopping; every word is optional to whoever listens and blocks nobody."""

    def __init__(self, keeper: Callable[[bytes], None], environ: Mapping[str, str]) -> None:
        """`keeper` says a message to it."""
        self._tell_keeper = keeper
        self._systemd = environ.get("NOTIFY_SOCKET", "")

    def ready(self, pid: int) -> None:
        self._tell_keeper(b"R%d" % pid)
        self._tell_systemd("READY=1")

    def failed(self, reason: str) -> None:
        self._tell_keeper(b"F" + reason.replace("\n", " ").encode(errors="replace"))
        self._tell_systemd(f"STATUS=failed: {reason}")

    def stopping(self, left: Iterable[int]) -> None:
        """A planned stop, which leaves these pids running."""
        self._tell_keeper(b"S" + b" ".join(b"%d" % pid for pid in left))
        self._tell_systemd("STOPPING=1")

    def _tell_systemd(self, text: str) -> None:
        """sd_notify(3): one datagram; a leading @ is an abstract socket."""
        if not self._systemd:
            return
        address = "\0" + self._systemd[1:] if self._systemd.startswith("@") else self._systemd
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.connect(address)
            notify.send(text.encode())
