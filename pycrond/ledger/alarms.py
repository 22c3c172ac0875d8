"""The ledger's tables of alarms to be delivered, and of the health of jobs."""

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from pycrond.ledger.database import Database, Work
from pycrond.text import storable

KEPT_RESULTS = 100_000  # alarms whose results stay in the table
ALARM = """
    INSERT INTO alarms (id, run, key, kind, event, made_at, next_at, document) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
HEALTH = """
    INSERT OR REPLACE INTO health (key, since, failing_since, alarmed_at, succeeded_at, overdue_at, expect)
    VALUES (?, ?, ?, ?, ?, ?, ?)
"""


@dataclass(slots=True)
class Alarm:
    """A mail, a command or a ping to be delivered. Times are Unix seconds."""

    id: int
    run: int | None
    key: str
    kind: str  # mail, hook, ping
    event: str  # output, start, success, failure, recovery, missed, overdue
    made_at: float
    next_at: float | None  # None: it was delivered, or given up
    tries: int
    text: str  # the document as JSON

    @property
    def user(self) -> str:
        """The job's user; the delivery runs with its rights."""
        return self.key.partition("/")[0]

    def move(self, seconds: float) -> None:
        """Move the times after the clock was turned."""
        self.made_at += seconds
        if self.next_at is not None:
            self.next_at += seconds

    @property
    def document(self) -> dict[str, Any]:
        """The facts that the delivery needs. They are kept as JSON, which takes a fifth of the memory."""
        document = json.loads(self.text)
        return document if isinstance(document, dict) else {}


class Health(NamedTuple):
    """The record of a job whose alarms depend on earlier runs. Times are Unix seconds."""

    key: str
    since: float
    failing_since: float | None = None
    alarmed_for: float | None = None  # the fire time of the last failure with an alarm: column alarmed_at
    succeeded_at: float | None = None
    overdue_at: float | None = None  # when it was last reported as overdue
    expect: float | None = None

    def recovered(self, at: float) -> "Health":
        """Return the health after a success at this time."""
        return self._replace(failing_since=None, alarmed_for=None, succeeded_at=at, overdue_at=None)

    def moved(self, seconds: float) -> "Health":
        """Return the health with all times moved after the clock was turned."""
        times = {name: getattr(self, name) for name in self._fields[1:6]}
        return self._replace(**{name: at + seconds for name, at in times.items() if at is not None})

    def until(self, now: float) -> "Health":
        """Return the health, with all times moved back if one of them is after now."""
        return self.moved(min(0.0, max(-1e12, now - max(at for at in self[1:6] if at is not None))))


class AlarmTable:
    """Reads and writes both tables."""

    def __init__(self, file: Database) -> None:
        self._file = file
        self._last = int(
            file.db.execute("SELECT coalesce(max(id), 0) FROM alarms WHERE id < 1 << 62").fetchone()[0]
        )

    def open(self) -> Iterator[Alarm]:
        """Yield the alarms that are not delivered yet, oldest first."""
        rows = self._file.db.execute(
            "SELECT id, run, key, kind, event, made_at, next_at, tries, document FROM alarms"
            " WHERE next_at IS NOT NULL AND id > 0 AND kind IN ('mail', 'hook', 'ping') ORDER BY id"
        )
        return (Alarm(*row) for row in rows)

    def move(self, seconds: float) -> None:
        """Move the times of the alarms that are not delivered yet."""
        statement = "UPDATE alarms SET made_at = made_at + ?, next_at = next_at + ? WHERE next_at IS NOT NULL"
        self._file.write((statement, [(seconds, seconds)]))

    def new_id(self) -> int:
        """Return the id of a new alarm."""
        self._last += 1
        return self._last

    def added(self, alarms: Iterable[Alarm]) -> Work:
        """Return the statement that writes new alarms."""
        return ALARM, [
            (
                *(alarm.id, alarm.run, alarm.key, alarm.kind, alarm.event),
                *(alarm.made_at, alarm.next_at, alarm.text),
            )
            for alarm in alarms
        ]

    def record_attempt(self, alarms: Collection[Alarm], result: str) -> None:
        """Write the result of an attempt, and the time of the next."""
        rows = [
            # Nothing needs the document of an alarm that is delivered or given up.
            (
                alarm.tries,
                alarm.next_at,
                storable(result),
                "{}" if alarm.next_at is None else alarm.text,
                alarm.id,
            )
            for alarm in alarms
        ]
        old = [(alarm.id - KEPT_RESULTS,) for alarm in alarms if alarm.next_at is None]
        self._file.write(
            ("UPDATE alarms SET tries = ?, next_at = ?, result = ?, document = ? WHERE id = ?", rows),
            ("DELETE FROM alarms WHERE id = ? AND next_at IS NULL", old),
        )

    def health(self) -> dict[str, Health]:
        """Return the health of jobs, by key."""
        rows = self._file.db.execute(
            "SELECT key, since, failing_since, alarmed_at, succeeded_at, overdue_at, expect FROM health"
        )
        return {row[0]: Health(*row) for row in rows}

    @staticmethod
    def health_written(rows: Iterable[Health]) -> Work:
        """Return the statement that writes changed health."""
        return HEALTH, [tuple(row) for row in rows]
