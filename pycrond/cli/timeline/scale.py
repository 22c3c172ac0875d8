"""How a stretch of time is spread over columns: slots of whole minutes, the hours of a zone. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pycrond.cli.timeline.lanes import Window
from pycrond.ledger.rows import SpanRow
from pycrond.schedule.schedule import Zone
from pycrond.schedule.timezone import instant

SLOTS = (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60, 120, 240)
HOURS = (1, 2, 3, 4, 6, 12)  # between two labels


@dataclass(frozen=True, slots=True)
class Scale:
    """Columns of `slot` minutes each; the first begins at the minute `origin`, a whole slot of the clock."""

    origin: int
    slot: int
    columns: int

    @classmethod
    def of(cls, window: Window, zone: Zone, room: int) -> "Scale":
        """The finest that has room."""
        first, end = int(window.start // 60), -int(-window.until // 60)
        wall = zone.wall(instant(first))
        sizes = ((slot, -(-(end - first + wall % slot) // slot)) for slot in SLOTS)
        slot, columns = next((size for size in sizes if size[1] <= room), (SLOTS[-1], max(room, 1)))
        return cls(first - wall % slot, slot, columns)

    def column(self, seconds: float) -> int:
        """May lie before the first or after the last one."""
        return int((seconds - self.origin * 60) // (self.slot * 60))

    def columns_of(self, bar: SpanRow, now: float) -> range:
        """Those that a bar goes through, at least one: to the last of several fires, not to a run's end."""
        end = now if bar.end is None else bar.end
        behind = (
            self.column(end) + 1 if bar.several > 1 else -int(-(end - self.origin * 60) // (self.slot * 60))
        )
        first = self.column(bar.start)
        return range(max(0, first), min(max(behind, first + 1), self.columns))

    def hours(self, zone: Zone, room: int) -> Iterator[tuple[int, int]]:
        """Columns in which hours begin that are labelled, and the hours: no two nearer than `room`."""
        shown = {self.column(tick * 60): wall for tick, wall in self._walls(zone) if wall % 60 < self.slot}
        step = next((one for one in HOURS if one * 60 >= room * self.slot), 24)
        free = 0
        for column, wall in shown.items():
            hour = wall // 60 % 24
            if hour % step == 0 and column >= free:
                yield column, hour
                free = column + room - 1

    def _walls(self, zone: Zone) -> Iterator[tuple[int, int]]:
        for column in range(self.columns):
            tick = self.origin + column * self.slot
            yield tick, zone.wall(instant(tick))

    def folded(self, starts: Mapping[int, int]) -> list[int]:
        """The busiest minute of each column."""
        most = [0] * self.columns
        for minute, count in starts.items():
            column = (minute - self.origin) // self.slot
            if 0 <= column < self.columns:
                most[column] = max(most[column], count)
        return most
