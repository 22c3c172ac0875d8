"""The alarms that wait for their delivery: users take turns, and each has a share of the deliveries at once.

Pure. The cost of a step grows only with the logarithm of the number of waiting alarms.
"""

from collections import OrderedDict
from collections.abc import Iterator
from heapq import heappop, heappush

from pycrond.alarms.planned_times import PlannedTimes
from pycrond.ledger.alarms import Alarm

MAX_DELIVERIES = 16  # deliveries at once
MAX_OF_USER = 4  # deliveries of a user at once
MAX_BYTES_OF_USER = 16 << 20  # of the documents of a user's alarms


class _Lane:
    """The alarms of a job and kind. One of them is delivered at a time.

    Pings keep their order, even if the first fails; other alarms are in the order of their times.
    """

    __slots__ = ("alarms", "is_busy", "kind", "user")

    def __init__(self, user: "_User", kind: str) -> None:
        self.user = user
        self.kind = kind
        self.alarms: list[tuple[float, int, Alarm]] = []  # a heap
        self.is_busy = False

    def push(self, alarm: Alarm) -> None:
        order = 0.0 if self.kind == "ping" else alarm.next_at or 0.0
        heappush(self.alarms, (order, alarm.id, alarm))

    @property
    def next_at(self) -> float | None:
        """The time at which its first alarm is due; None if none waits, or one is being delivered."""
        return (self.alarms[0][2].next_at or 0.0) if self.alarms and not self.is_busy else None

    def plan(self) -> None:
        self.user.lanes.plan(self, self.next_at)


class _User:
    """The alarms of a user: waiting ones, in lanes, and those being delivered."""

    __slots__ = ("alarms", "lanes", "running", "size")

    def __init__(self) -> None:
        self.lanes: PlannedTimes[_Lane] = PlannedTimes()  # their times may be too early
        self.running = 0
        self.alarms = 0
        self.size = 0

    @property
    def next_at(self) -> float | None:
        """The time at which its next alarm is due; None if none waits or its share is used up."""
        while first := self.lanes.first:
            at, lane = first
            if at == lane.next_at:
                return at if self.running < MAX_OF_USER else None
            self.lanes.pop().plan()
        return None

    def pop(self) -> Alarm:
        """Remove and return the alarm that is due at `next_at`."""
        lane = self.lanes.pop()
        lane.is_busy = True
        self.running += 1
        return heappop(lane.alarms)[2]


class AlarmQueue:
    """Alarms between `add`, `pop` and `done`; after a failed attempt, `put_back` and another `pop`."""

    def __init__(self, max_of_user: int) -> None:
        """`max_of_user` is the most alarms that a user may have here; 0: no limit."""
        self._max_of_user = max_of_user
        self._users: dict[str, _User] = {}
        self._lanes: dict[tuple[str, str], _Lane] = {}  # by job and kind
        self._times: PlannedTimes[_User] = PlannedTimes()  # the times may be too early
        self._turns: OrderedDict[_User, None] = OrderedDict()  # users with a due alarm
        self._running = 0

    def __len__(self) -> int:
        """Return the number of alarms that wait or are being delivered."""
        return sum(user.alarms for user in self._users.values())

    def waiting(self) -> Iterator[Alarm]:
        """Yield all alarms that are not being delivered, in no order."""
        return (alarm for lane in self._lanes.values() for _, _, alarm in lane.alarms)

    def add(self, alarm: Alarm) -> bool:
        """Add a new alarm; return False if its user has too many."""
        user = self._users.get(alarm.user) or _User()
        if self._max_of_user and user.alarms >= self._max_of_user:
            return False
        if user.size + len(alarm.text) > MAX_BYTES_OF_USER:
            return False
        self._users[alarm.user] = user
        user.alarms += 1
        user.size += len(alarm.text)
        lane = self._lanes.setdefault((alarm.key, alarm.kind), _Lane(user, alarm.kind))
        lane.push(alarm)
        lane.plan()
        self._plan(user)
        return True

    def pop(self, now: float) -> Alarm | None:
        """Remove and return a due alarm of the user whose turn it is; None if there is none."""
        for user in self._times.pop_due(now):
            self._give_turn(user, now)
        while self._turns and self._running < MAX_DELIVERIES:
            user, _ = self._turns.popitem(last=False)
            at = user.next_at
            if at is None or at > now:
                self._plan(user)
                continue
            alarm = user.pop()
            self._running += 1
            self._give_turn(user, now)
            return alarm
        return None

    def put_back(self, alarm: Alarm) -> None:
        """Queue an alarm from `pop` again, to wait for its `next_at`."""
        lane = self._lanes[alarm.key, alarm.kind]
        lane.push(alarm)
        self._release(lane)

    def done(self, alarm: Alarm) -> None:
        """Forget an alarm from `pop`."""
        lane = self._lanes[alarm.key, alarm.kind]
        user = lane.user
        user.alarms -= 1
        user.size -= len(alarm.text)
        self._release(lane)
        if not lane.alarms:
            del self._lanes[alarm.key, alarm.kind]
        if not user.alarms:
            del self._users[alarm.user]

    def clock_was_turned(self, seconds: float) -> None:
        """Move the times of all alarms that wait."""
        for lane in self._lanes.values():
            for _, _, alarm in lane.alarms:
                alarm.move(seconds)
            waiting, lane.alarms = lane.alarms, []
            for _, _, alarm in waiting:
                lane.push(alarm)
        self._times.clear()
        for user in self._users.values():
            user.lanes.clear()
        for lane in self._lanes.values():
            lane.plan()
            self._plan(lane.user)

    @property
    def next_at(self) -> float | None:
        """The time at which `pop` has an alarm; None if none waits, or all wait for the end of a delivery."""
        if self._running >= MAX_DELIVERIES:
            return None
        while not self._turns and (first := self._times.first):
            at, user = first
            if at == user.next_at:
                return at
            self._give_turn(self._times.pop(), 0.0)
        return 0.0 if self._turns else None

    def _release(self, lane: _Lane) -> None:
        lane.is_busy = False
        lane.user.running -= 1
        self._running -= 1
        lane.plan()
        self._plan(lane.user)

    def _plan(self, user: _User) -> None:
        """Plan a user's turn for its next alarm, unless the user already has a turn."""
        if user not in self._turns:
            self._times.plan(user, user.next_at)

    def _give_turn(self, user: _User, now: float) -> None:
        at = user.next_at
        if at is not None and at <= now:
            self._turns[user] = None
        else:
            self._plan(user)
