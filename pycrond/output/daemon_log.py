"""The daemon's own messages."""

from collections.abc import Callable, Iterable
from datetime import datetime

from pycrond.output.target import Message, Route


class DaemonLog:
    """Messages ``(user) EVENT (detail)``; while a target accepts none, the newest are kept."""

    def __init__(self, routes: Iterable[Route], console: Callable[[Message], None]) -> None:
        """`console` is called with each message at once."""
        self._routes = routes
        self._console = console

    def write(
        self, event: str, detail: str, now: datetime, *, level: str = "info", user: str = "CRON"
    ) -> None:
        """Queue a message. `user` is the user that the message is about, `CRON` the daemon."""
        message = Message(now, level, user, event, detail)
        self._console(message)
        for route in self._routes:
            route.add_message(message)
