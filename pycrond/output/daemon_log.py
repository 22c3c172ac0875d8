"""The daemon's own messages to syslog."""

import os
from collections import deque
from datetime import datetime

from pycrond.output import syslog_format
from pycrond.output.syslog import SyslogClient
from pycrond.output.syslog_format import SyslogHeader

MAX_QUEUED = 1000  # messages kept while syslog is away


class DaemonLog:
    """Messages ``(CRON) EVENT (detail)``; while syslog is away the newest are kept."""

    def __init__(self, header: SyslogHeader, syslog: SyslogClient) -> None:
        self._header = header
        self._syslog = syslog
        self._queue: deque[tuple[datetime, str, str, str]] = deque()  # when, level, event, detail
        self.dropped = 0
        """Messages that were dropped while syslog was away."""

    def write(self, event: str, detail: str, now: datetime, *, level: str = "info") -> None:
        """Queue a message, and copy it to the console or standard error where the settings say so."""
        message = (now, level, event, detail)
        for packet in self._packets(message, now):
            self._syslog.copy(packet, console=True)
        self._queue.append(message)
        while len(self._queue) > MAX_QUEUED:
            self._queue.popleft()
            self.dropped += 1

    def _packets(self, message: tuple[datetime, str, str, str], now: datetime) -> list[bytes]:
        at, level, event, detail = message
        head = self._header.format("pycrond", os.getpid(), at, level)
        return syslog_format.packets(head, "CRON", event, detail, self._header.late_end(at, now))

    def flush(self, now: datetime) -> bool:
        """Send as much as syslog takes; return whether nothing is left."""
        while self._queue and self._syslog.can_send:
            self._syslog.send(self._packets(self._queue.popleft(), now), None)
        return not self._queue
