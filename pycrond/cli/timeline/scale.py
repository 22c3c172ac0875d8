"""The columns of a chart: slots of whole minutes, and the hours of a zone. Pure."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from pycrond.cli.timeline.lanes import TimeWindow
from pycrond.ledger.rows import SpanRow
from pycrond.schedule.timezone import Zone, instant

SLOTS = (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60, 120, 240)  # minutes
LABEL_STEPS = (1, 2, 3, 4, 6, 12)  # hours between two labels


class TimeScale(NamedTuple):
    """Columns of `slot` minutes each; the first begins at the minute `origin`, a multiple of the slot by the
    zone's clock.
    """

    origin: int
    slot: int
    columns: int

    @classmethod
    def of(cls, window: TimeWindow, zone: Zone, room: int) -> "TimeScale":
        """Return the finest scale of at most `room` columns."""
        first, end = int(window.start // 60), -int(-window.until // 60)
        wall = zone.wall(instant(first))
        sizes = ((slot, -(-(end - first + wall % slot) // slot)) for slot in SLOTS)
        slot, columns = next((size for size in sizes if size[1] <= room), (SLOTS[-1], max(room, 1)))
        return cls(first - wall % slot, slot, columns)

    def minute(self, column: int) -> int:
        """Return the minute at which a column begins."""
        return self.origin + column * self.slot

    def column(self, seconds: float) -> int:
        """Return the column of a time; it may lie before the first or after the last column."""
        return int((seconds - self.origin * 60) // (self.slot * 60))

    def columns_of(self, bar: SpanRow, now: float) -> range:
        """Return the columns of a bar, at least one: up to a run's end, or to the column of the last fire."""
        first, end = self.column(bar.start), now if bar.end is None else bar.end
        last = self.column(end)
        if bar.fires <= 1 and last * self.slot * 60 == end - self.origin * 60:
            last -= 1  # the run ended as this column began
        return range(max(0, first), min(max(first, last) + 1, self.columns))

    def hours(self, zone: Zone, room: int) -> Iterator[tuple[int, int]]:
        """Yield columns to be labelled, at least `room` - 1 apart, each with the hour that begins in it."""
        step = next((hours for hours in LABEL_STEPS if hours * 60 >= room * self.slot), 24)
        free = 0
        for column in range(self.columns):
            hour, minute = divmod(zone.wall(instant(self.minute(column))), 60)
            if minute < self.slot and hour % 24 % step == 0 and column >= free:
                yield column, hour % 24
                free = column + room - 1

    def busiest(self, starts: Mapping[int, int]) -> list[int]:
        """Return the number of starts in the busiest minute of each column."""
        most = [0] * self.columns
        for minute, count in starts.items():
            column = (minute - self.origin) // self.slot
            if 0 <= column < self.columns:
                most[column] = max(most[column], count)
        return most
