"""Minutes in which a herd of jobs starts together, and the jitter that would part it. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, exp, lgamma, log, prod

LEAST = 10  # jobs; fewer are no herd
SMALL = 0.2  # of the largest herd; a smaller one goes under beside it
MOST = 10  # that are told of
JITTERS = (120, 300, 600, 900, 1800, 3600)
ENOUGH, FEW = 4, 5  # a jitter that leaves a quarter of the herd in a minute, or so few, need not be longer
WORTH = 0.75  # of the herd may be left in one minute, or nobody need be asked to change anything
SELDOM = 0.01  # how likely it is that more start in a minute than are said to be the most
DEVIATIONS = 9  # beyond so many standard deviations nothing is looked for


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A jitter in seconds, the jobs to give it to, and how many would then start in the largest minute:
    on average, and at most on 99 of 100 days.
    """

    jitter: int
    jobs: tuple[str, ...]
    average: float
    most: int


@dataclass(frozen=True, slots=True)
class Stampede:
    """Jobs that start in one minute; `again`: in how many others most of them do, too."""

    minute: int
    jobs: tuple[str, ...]
    again: int = 0
    suggestion: Suggestion | None = None


def stampedes(
    fires: Mapping[int, Sequence[str]], jittered: Iterable[str] = (), least: float = LEAST
) -> list[Stampede]:
    """The largest first. `fires`: which jobs start in which minute; those that are `jittered` already are
    given no other jitter.
    """
    found: list[tuple[Stampede, set[str]]] = []
    least = max(least, SMALL * max(map(len, fires.values()), default=0))
    for minute in sorted(fires, key=lambda one: (-len(fires[one]), one)):
        jobs = tuple(dict.fromkeys(fires[minute]))
        if len(jobs) < least:
            continue
        like = next((place for place, (_, seen) in enumerate(found) if _mostly(jobs, seen)), None)
        if like is not None:
            known, seen = found[like]
            found[like] = (replace(known, again=known.again + 1), seen)
        elif len(found) < MOST:
            found.append((Stampede(minute, jobs), set(jobs)))
    room = _room(fires, set().union(*(seen for _, seen in found)), set(jittered))
    return [replace(one, suggestion=suggest(one.minute, fires, room)) for one, _ in found]


def _mostly(jobs: Sequence[str], seen: set[str]) -> bool:
    return 2 * sum(key in seen for key in jobs) >= len(jobs)


def _room(fires: Mapping[int, Sequence[str]], keys: set[str], jittered: set[str]) -> dict[str, int]:
    """How many seconds each job may be delayed: up to half the time to its next start."""
    last: dict[str, int] = {}
    room = dict.fromkeys(keys - jittered, 2 * JITTERS[-1])
    for minute in sorted(fires):
        for key in fires[minute]:
            if key in room and minute > last.get(key, minute):
                room[key] = min(room[key], (minute - last[key]) * 30)
            last[key] = minute
    return room


def suggest(minute: int, fires: Mapping[int, Sequence[str]], room: Mapping[str, int]) -> Suggestion | None:
    """The shortest jitter that makes the herd small enough, but for what others start in those minutes;
    else the one that does most for it; None if none makes a difference. `room`: how long each job may be
    delayed, in seconds.
    """
    count, best = len(fires[minute]), None
    worth = int(count * WORTH)
    for jitter in JITTERS:
        moved = [key for key in fires[minute] if room.get(key, 0) >= jitter]
        if not moved:
            continue
        others = [len(fires.get(minute + later, ())) for later in range(jitter // 60 + 1)]
        others[0] -= len(moved)
        average, most = largest(len(moved), jitter, others)
        if most < best.most if best else most <= worth:
            best = Suggestion(jitter, tuple(dict.fromkeys(moved)), average, most)
            if most - max(others) <= max(FEW, (count - max(others)) / ENOUGH):
                break
    return best


def largest(moved: int, jitter: int, others: Sequence[int]) -> tuple[float, int]:
    """How many start in the largest minute when so many draw a delay of 0 to `jitter` whole seconds each:
    on average, and the number that is exceeded with the probability `SELDOM` at most. `others` start in
    these minutes anyway.

    For the average, minutes are taken as if they knew nothing of one another; what the one gets the other
    cannot, which makes little difference. The most is never too low by that: the chances are added up.
    """
    whole, rest = 60 / (jitter + 1), 1 / (jitter + 1)  # the last second lies in a minute of its own
    crowd, straggler = _exceeds(moved, whole), _exceeds(moved, rest)
    above = [(crowd if later < len(others) - 1 else straggler, base) for later, base in enumerate(others)]
    lowest = moved * whole - DEVIATIONS * (moved * whole) ** 0.5
    size = max(*others, int(max(others[:-1]) + lowest))
    average, most = float(size), -1
    while True:
        chances = [chance[size - base] if size - base < len(chance) else 0.0 for chance, base in above]
        if most < 0 and sum(chances) <= SELDOM:
            most = size
        if not any(chances):
            return average, most
        average += 1 - prod(1 - chance for chance in chances)
        size += 1


def _exceeds(number: int, chance: float) -> list[float]:
    """The probability that more than 0, 1, 2 … of so many draws fall where each does with this chance, up
    to where it is as good as none.
    """
    highest = min(number, ceil(number * chance + DEVIATIONS * (number * chance) ** 0.5) + DEVIATIONS)
    choose = lgamma(number + 1)
    left, found = 1.0, []
    for hits in range(highest):
        ways = choose - lgamma(hits + 1) - lgamma(number - hits + 1)
        left -= exp(ways + hits * log(chance) + (number - hits) * log(1 - chance))
        found.append(max(0.0, left))
    return found
