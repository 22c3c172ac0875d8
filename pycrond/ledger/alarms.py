"""The ledger's tables of alarms that are to be delivered, and of how each job does."""

import json
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from typing import Any, NamedTuple

from pycrond.ledger.database import Database, Work

ALARM = """
    INSERT INTO alarms (id, run, key, kind, event, made_at, next_at, document) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
HEALTH = """
    INSERT OR REPLACE INTO health (key, since, failing_since, alarmed_at, succeeded_at, overdue_at, expect)
    VALUES (?, ?, ?, ?, ?, ?, ?)
"""


@dataclass(slots=True)
class Alarm:
    """Something to be taken out of the machine. Times are Unix seconds."""

    id: int
    run: int | None
    key: str
    kind: str  # mail, hook, ping
    event: str  # output, start, success, failure, recovery, missed, overdue
    made_at: float
    next_at: float | None  # None: it is done
    tries: int
    document: dict[str, Any]  # what its courier needs to know


class Health(NamedTuple):
    """How a job does, of those whose alarms depend on it. Times are Unix seconds."""

    key: str
    since: float
    failing_since: float | None = None
    alarmed_at: float | None = None
    succeeded_at: float | None = None
    overdue_at: float | None = None  # when it was said that it has not succeeded for too long
    expect: float | None = None


class AlarmTable:
    """Both tables, in the ledger's file."""

    def __init__(self, file: Database) -> None:
        self._file = file
        self._last = int(file.db.execute("SELECT coalesce(max(id), 0) FROM alarms").fetchone()[0])

    def open(self) -> list[Alarm]:
        """What is still to be delivered, oldest first."""
        rows = self._file.db.execute(
            "SELECT id, run, key, kind, event, made_at, next_at, tries, document FROM alarms"
            " WHERE next_at IS NOT NULL ORDER BY id"
        )
        return [
            Alarm(number, run, key, kind, event, made_at, next_at, tries, json.loads(document))
            for number, run, key, kind, event, made_at, next_at, tries, document in rows
        ]

    def number(self) -> int:
        """The next alarm's id."""
        self._last += 1
        return self._last

    def added(self, alarms: Iterable[Alarm]) -> Work:
        """To be written with what they are about."""
        return ALARM, [(*astuple(one)[:7], json.dumps(one.document)) for one in alarms]

    def tried(self, alarm: Alarm, result: str) -> None:
        """What came of a try, and when the next one is, if there is one."""
        row = (alarm.tries, alarm.next_at, result, alarm.id)
        self._file.do(("UPDATE alarms SET tries = ?, next_at = ?, result = ? WHERE id = ?", [row]))

    def health(self) -> dict[str, Health]:
        """By key."""
        rows = self._file.db.execute(
            "SELECT key, since, failing_since, alarmed_at, succeeded_at, overdue_at, expect FROM health"
        )
        return {row[0]: Health(*row) for row in rows}

    @staticmethod
    def healthy(rows: Iterable[Health]) -> Work:
        """To be written with what has changed it."""
        return HEALTH, [tuple(row) for row in rows]
