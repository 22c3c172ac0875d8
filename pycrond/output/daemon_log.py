"""The daemon's own messages to syslog."""

import os
from collections import deque
from datetime import datetime
from typing import NamedTuple

from pycrond.output import syslog_format
from pycrond.output.syslog import SyslogClient
from pycrond.output.syslog_format import SyslogHeader

MAX_QUEUED = 1000  # messages kept while syslog is away


class _Message(NamedTuple):
    at: datetime
    level: str
    user: str
    event: str
    detail: str


class DaemonLog:
    """Messages ``(user) EVENT (detail)``; while syslog is away the newest are kept."""

    def __init__(self, header: SyslogHeader, syslog: SyslogClient) -> None:
        self._header = header
        self._syslog = syslog
        self._queue: deque[_Message] = deque()
        self.dropped = 0
        """Messages that were dropped while syslog was away."""

    def write(
        self, event: str, detail: str, now: datetime, *, level: str = "info", user: str = "CRON"
    ) -> None:
        """Queue a message, and copy it to the console or standard error where the settings say so.

        `user` is the user that the message is about, `CRON` the daemon.
        """
        message = _Message(now, level, user, event, detail)
        for packet in self._packets(message, now):
            self._syslog.copy(packet, console=True)
        self._queue.append(message)
        while len(self._queue) > MAX_QUEUED:
            self._queue.popleft()
            self.dropped += 1

    def _packets(self, message: _Message, now: datetime) -> list[bytes]:
        head = self._header.format("pycrond", os.getpid(), message.at, message.level)
        end = self._header.late_end(message.at, now)
        return syslog_format.packets(head, message.user, message.event, message.detail, end)

    def flush(self, now: datetime) -> bool:
        """Send as much as syslog takes; return whether nothing is left."""
        while self._queue and self._syslog.can_send:
            self._syslog.send(self._packets(self._queue.popleft(), now), None)
        return not self._queue
