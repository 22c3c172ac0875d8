"""Clusters: minutes in which many jobs start together, and the jitter that would spread them. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import ceil, exp, lgamma, log, prod
from typing import NamedTuple

from pycrond.cli.render.cell_width import cut
from pycrond.schedule.timezone import Zone, instant
from pycrond.text import counted

MIN_JOBS = 10  # in a cluster
MIN_SHARE = 0.2  # of the largest cluster's jobs; smaller clusters do not matter beside it
MAX_CLUSTERS = 10  # reported
MAX_DESCRIBED = 3  # clusters that a chart describes
JITTERS = (120, 300, 600, 900, 1800, 3600)  # seconds
GOOD_SHARE, GOOD_JOBS = 0.25, 5  # of a cluster in one minute: a jitter that leaves no more is long enough
WORTHWHILE_SHARE = 0.75  # a jitter that leaves more in one minute is not suggested
EXCEEDED = 0.01  # probability that more jobs start in a minute than the number given as the most
DEVIATIONS = 9  # standard deviations beyond which probabilities are taken as 0
TITLE_WIDTH = 18  # columns of a job's title in a description


class JitterSuggestion(NamedTuple):
    """A jitter in seconds, the jobs to give it to, and how many would then start in the largest minute:
    on average, and at most on 99 of 100 days.
    """

    jitter: int
    jobs: tuple[str, ...]
    average: float
    most: int


class Cluster(NamedTuple):
    """The jobs that start in one minute; most of them also start together in `again` other minutes."""

    minute: int
    jobs: tuple[str, ...]
    again: int = 0
    suggestion: JitterSuggestion | None = None


def find_clusters(fires: Mapping[int, Sequence[str]], jittered: Iterable[str] = ()) -> list[Cluster]:
    """Return the clusters, the largest first. `fires` has the keys of the jobs that start in each minute;
    no jitter is suggested for `jittered` jobs, as they have one.
    """
    jobs: dict[int, set[str]] = {}
    again: Counter[int] = Counter()
    least = max(MIN_JOBS, MIN_SHARE * max(map(len, fires.values()), default=0))
    for minute in sorted(fires, key=lambda minute: (-len(fires[minute]), minute)):
        keys = set(fires[minute])
        if len(keys) < least:
            continue
        similar = next((first for first, known in jobs.items() if 2 * len(keys & known) >= len(keys)), None)
        if similar is not None:
            again[similar] += 1
        elif len(jobs) < MAX_CLUSTERS:
            jobs[minute] = keys
    room = _room(fires, set[str]().union(*jobs.values()) - set(jittered))
    return [
        Cluster(minute, tuple(dict.fromkeys(fires[minute])), again[minute], suggest(minute, fires, room))
        for minute in jobs
    ]


def _room(fires: Mapping[int, Sequence[str]], keys: set[str]) -> dict[str, int]:
    """Return the seconds that each job may be delayed: at most half the time to its next start."""
    last: dict[str, int] = {}
    room = dict.fromkeys(keys, 2 * JITTERS[-1])
    for minute in sorted(fires):
        for key in fires[minute]:
            if key in room and minute > last.get(key, minute):
                room[key] = min(room[key], (minute - last[key]) * 30)
            last[key] = minute
    return room


def suggest(
    minute: int, fires: Mapping[int, Sequence[str]], room: Mapping[str, int]
) -> JitterSuggestion | None:
    """Return the shortest jitter that makes a cluster small, apart from other starts in those minutes;
    otherwise the jitter with the largest effect, or None if no jitter has an effect. `room`: the seconds that
    each job may be delayed.
    """
    count, best = len(fires[minute]), None
    for jitter in JITTERS:
        moved = [key for key in fires[minute] if room.get(key, 0) >= jitter]
        if not moved:
            continue
        others = [len(fires.get(minute + later, ())) for later in range(jitter // 60 + 1)]
        others[0] -= len(moved)
        average, most = largest(len(moved), jitter, others)
        if most < best.most if best else most <= int(count * WORTHWHILE_SHARE):
            best = JitterSuggestion(jitter, tuple(dict.fromkeys(moved)), average, most)
            if most - max(others) <= max(GOOD_JOBS, (count - max(others)) * GOOD_SHARE):
                break
    return best


def largest(moved: int, jitter: int, others: Sequence[int]) -> tuple[float, int]:
    """Return the size of the largest minute if `moved` jobs are delayed by 0 to `jitter` whole seconds each:
    the average, and the size exceeded with a probability of at most `EXCEEDED`. `others` are the jobs that
    start in each of these minutes anyway.

    The average treats minutes as independent, although a job in one minute is in no other: the difference is
    small. The second figure is never too low, as the probabilities of the minutes are added.
    """
    minute, last_second = 60 / (jitter + 1), 1 / (jitter + 1)  # the last second lies in a minute of its own
    in_minute, in_last = _exceeds(moved, minute), _exceeds(moved, last_second)
    above = [(in_minute if later < len(others) - 1 else in_last, base) for later, base in enumerate(others)]
    lowest = moved * minute - DEVIATIONS * (moved * minute) ** 0.5
    size = max(*others, int(max(others[:-1]) + lowest))
    average, most = float(size), -1
    while True:
        chances = [chance[size - base] if size - base < len(chance) else 0.0 for chance, base in above]
        if most < 0 and sum(chances) <= EXCEEDED:
            most = size
        if not any(chances):
            return average, most
        average += 1 - prod(1 - chance for chance in chances)
        size += 1


def _exceeds(number: int, chance: float) -> list[float]:
    """Return the probabilities that more than 0, 1, 2 … of `number` draws hit, each with the probability
    `chance`, up to where they are practically 0.
    """
    highest = min(number, ceil(number * chance + DEVIATIONS * (number * chance) ** 0.5) + DEVIATIONS)
    choose = lgamma(number + 1)
    left, exceeding = 1.0, []
    for hits in range(highest):
        ways = choose - lgamma(hits + 1) - lgamma(number - hits + 1)
        left -= exp(ways + hits * log(chance) + (number - hits) * log(1 - chance))
        exceeding.append(max(0.0, left))
    return exceeding


def descriptions(
    clusters: Sequence[Cluster], titles: Mapping[str, str], zone: Zone, ellipsis: str
) -> Iterator[str]:
    """Yield a sentence for each of the largest clusters. `titles` are by job key; the first are named."""
    for cluster in clusters[:MAX_DESCRIBED]:
        again = f", some of them in {counted(cluster.again, 'other minute')}, too" if cluster.again else ""
        advice = _advice(cluster.suggestion, titles, ellipsis)
        time = f"{zone.local(instant(cluster.minute)):%H:%M}"
        yield f"{time}: {len(cluster.jobs):,} jobs start together{again}; {advice}"


def _advice(suggestion: JitterSuggestion | None, titles: Mapping[str, str], ellipsis: str) -> str:
    if suggestion is None:
        return "no jitter would spread them"
    jobs = set(suggestion.jobs)
    names = [cut(titles[key], TITLE_WIDTH, ellipsis).rstrip() for key in titles if key in jobs][:2]
    if len(jobs) > 2:
        names = [", ".join(names), counted(len(jobs) - 2, "other", ",")]
    most = f"{suggestion.average:.0f} in the largest minute, {suggestion.most:,} at most"
    return f"jitter={suggestion.jitter // 60}m on {' and '.join(names)} would leave about {most}"
