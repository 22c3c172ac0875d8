"""Reports of the daemon's state to its keeper and to systemd."""

import contextlib
import socket
from collections.abc import Callable, Iterable, Mapping


class Readiness:
    """Reports ready, failed and stopping to the keeper, the first two also to systemd; waits for neither."""

    def __init__(self, send_to_keeper: Callable[[bytes], None], environ: Mapping[str, str]) -> None:
        self._send_to_keeper = send_to_keeper
        self._systemd = environ.get("NOTIFY_SOCKET", "")

    def ready(self, pid: int) -> None:
        self._send_to_keeper(b"R%d" % pid)
        self._send_to_systemd("READY=1")

    def failed(self, reason: str) -> None:
        self._send_to_keeper(b"F" + reason.replace("\n", " ").encode(errors="replace"))
        self._send_to_systemd(f"STATUS=failed: {reason}")

    def stopping(self, left_running: Iterable[int]) -> None:
        """Report a planned stop, which leaves these pids running, to the keeper alone.

        To systemd, the service goes on if only the keeper has died.
        """
        self._send_to_keeper(b"S" + b" ".join(b"%d" % pid for pid in left_running))

    def _send_to_systemd(self, text: str) -> None:
        """Send one datagram, as sd_notify(3) does; a leading @ is an abstract socket."""
        if not self._systemd:
            return
        address = "\0" + self._systemd[1:] if self._systemd.startswith("@") else self._systemd
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.connect(address)
            notify.send(text.encode())
