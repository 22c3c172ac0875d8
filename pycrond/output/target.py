"""A target of messages, and a route: the messages on their way to one target."""

from collections import deque
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple, Protocol

from pycrond import clock
from pycrond.jobs.fair_queue import FairQueue
from pycrond.output.run_log import CMD_SENT, Piece, Progress, RunLog

MAX_QUEUED = 1000  # messages of the daemon that are kept while the target accepts none


class Message(NamedTuple):
    """A message of the daemon about itself, a crontab or a user."""

    at: datetime
    level: str
    user: str
    event: str
    detail: str


class Batch(NamedTuple):
    """Packets that are sent together, and the position after them."""

    packets: list[bytes]
    progress: Progress


class Format(Protocol):
    """The format of a target's messages."""

    read_size: int
    """The bytes of output formatted at once."""

    def message(self, message: Message, now: datetime, /) -> list[bytes]: ...

    def batches(self, log: RunLog, piece: Piece, end: Progress, now: datetime, /) -> Iterable[Batch]:
        """Return a piece of a run's log, which ends at the position `end`."""
        ...


class Target(Protocol):
    """A reader of messages, which may be slow, stand still or be absent.

    The loop calls `open` once; then, each turn, `tick`, `send` while `can_send`, and `pop_acknowledged`. It
    waits until `fileno` is writable while `wants_write`, but no longer than `retry_in`, in seconds from the
    last `tick`. No method blocks.
    """

    @property
    def can_send(self) -> bool: ...

    @property
    def wants_write(self) -> bool: ...

    def fileno(self) -> int | None: ...

    def open(self) -> None: ...

    def close(self) -> None: ...

    def tick(self, elapsed: float) -> None: ...

    def send(self, packets: Iterable[bytes], token: object) -> None: ...

    def pop_acknowledged(self) -> list[object]: ...

    def retry_in(self) -> float | None: ...


class Route:
    """The messages for one target: first the daemon's messages, then those about runs; users take turns."""

    def __init__(self, target: Target, form: Format, place: int) -> None:
        """`place` is the target's place in the positions of a run's log."""
        self.target = target
        self.form = form
        self._place = place
        self._messages: deque[Message] = deque()
        self._queue: FairQueue[RunLog] = FairQueue()

    def add_message(self, message: Message) -> None:
        """Queue a message of the daemon; if there are too many, drop the oldest."""
        self._messages.append(message)
        if len(self._messages) > MAX_QUEUED:
            self._messages.popleft()

    def add(self, log: RunLog) -> None:
        """Queue a run whose log may have new pieces."""
        position = log.positions[self._place]
        if not position.is_queued:
            position.is_queued = True
            self._queue.push(log.user, log)

    @property
    def is_empty(self) -> bool:
        """True if the target has been given all messages."""
        return not self._messages and not self._queue

    def send(self, now: datetime, give_up_at: float) -> bool:
        """Send the messages that the target accepts; return whether it would accept more."""
        while self._messages and self.target.can_send:
            self.target.send(self.form.message(self._messages.popleft(), now), None)
        while self._queue and self.target.can_send and not self._messages:
            self._send(self._queue.pop(), now)
            if clock.elapsed() >= give_up_at:
                break
        return not self.is_empty and self.target.can_send

    def _send(self, log: RunLog, now: datetime) -> None:
        """Send the next piece of a run's log, or the part of it that the target accepts."""
        position = log.positions[self._place]
        piece, end = log.next(position.handed, self.form.read_size, now)
        position.is_queued = piece is not None
        if piece is None:
            position.handed = end
            return
        for packets, progress in self.form.batches(log, piece, end, now):
            if not self.target.can_send:
                break
            position.handed = progress
            self.target.send(packets, (log, progress))
        self._queue.push(log.user, log)

    def acknowledge(self) -> dict[RunLog, int]:
        """Advance the positions of runs by the acknowledged messages; return these runs, with their bytes."""
        sizes: dict[RunLog, int] = {}
        for token in self.target.pop_acknowledged():
            if isinstance(token, tuple):
                log, progress = token
                position = log.positions[self._place]
                grown = max(0, progress.sent - position.acknowledged.sent)
                sizes[log] = sizes.get(log, 0) + grown
                position.acknowledged = max(
                    position.acknowledged, progress
                )  # a limit may have advanced it further
        return sizes


def skip_to_end(log: RunLog) -> None:
    """Advance all positions to the end of the output, which is dropped."""
    for position in log.positions.values():
        stage = max(position.acknowledged.stage, CMD_SENT)
        position.handed = position.acknowledged = Progress(log.spool.size, stage)
