"""The plan of an attack: which fault happens where, when and for how long, determined by a seed. Pure."""

import random
from typing import NamedTuple

SERVERS = "servers"
"""The place of the faults of the database."""
CYCLE = 300.0  # seconds, which begin calmly
CALM = 75.0  # seconds of a cycle without a new fault
NEAR_MINUTE = (-3.0, 8.0)  # seconds, around the start of fires
SHORT_CALM = 10.0  # seconds, in an attack shorter than a cycle
WELL = 1  # the number of those cycles of three whose servers are well, so that the nodes can see that one is dead


class Fault(NamedTuple):
    """A fault, in seconds since the plan's begin."""

    at: float
    name: str
    seconds: float


NODE_FAULTS = {  # weight, shortest and longest time in seconds
    "kill_daemon": (4, 0, 0),
    "kill_agent": (2, 0, 0),
    "kill_both": (3, 0, 0),
    "power_off": (4, 5, 150),
    "power_off_without_jobs": (3, 1, 40),
    "restart": (2, 0, 0),
    "stop": (1, 1, 20),
    "freeze": (6, 5, 90),
    "freeze_all": (3, 5, 150),
    "freeze_agent": (3, 2, 30),
    "freeze_daemon": (3, 5, 90),
    "refuse": (3, 2, 60),
    "swallow": (3, 2, 90),
    "swallow_and_deliver": (3, 2, 90),
    "half": (3, 2, 60),
    "half_and_deliver": (3, 2, 60),
    "late_requests": (3, 4, 60),
    "drain": (1, 10, 40),
    "edit": (2, 5, 90),
    "reload": (1, 0, 0),
}
CLOCK_FAULTS = {"turn_clock": (6, 5, 60)}
SERVER_FAULTS = {
    "power_off": (4, 0, 6),
    "crash": (2, 0, 6),
    "shut_down": (2, 0, 6),
    "restart": (2, 1, 15),
    "freeze": (2, 2, 40),
    "freeze_and_fail_over": (3, 4, 30),
    "freeze_standby": (3, 5, 40),
    "stop_standby": (1, 5, 30),
    "freeze_standby_and_fail_over": (2, 1, 20),
    "stop_standby_and_fail_over": (4, 1, 20),
    "restart_alone_and_fail_over": (4, 4, 16),
    "cancel_and_fail_over": (4, 2, 14),
}


def plan(seed: int, seconds: float, nodes: list[str], *, clocks: bool = False) -> dict[str, list[Fault]]:
    """Return the faults of each place, one after the other. `clocks`: those of the nodes are turned, too."""
    kinds = NODE_FAULTS | CLOCK_FAULTS if clocks else NODE_FAULTS
    of_servers = _faults(f"{seed} {SERVERS}", SERVER_FAULTS, seconds, gap=(5, 25))
    return {
        **{node: _faults(f"{seed} {node}", kinds, seconds, gap=(3, 40)) for node in nodes},
        SERVERS: [fault for fault in of_servers if fault.at // CYCLE % 3 != WELL],
    }


def _faults(
    seed: str, kinds: dict[str, tuple[int, int, int]], seconds: float, gap: tuple[float, float]
) -> list[Fault]:
    drawn = random.Random(seed)
    calm = CALM if seconds >= CYCLE else SHORT_CALM
    faults: list[Fault] = []
    at = drawn.uniform(0.0, gap[1])
    while at < seconds:
        if at % CYCLE < calm:
            at += calm - at % CYCLE + drawn.uniform(0.0, gap[1] / 2)
        end = min(seconds, at - at % CYCLE + CYCLE)
        (name,) = drawn.choices([*kinds], [weight for weight, _, _ in kinds.values()])
        _, shortest, longest = kinds[name]
        at, lasting = _near_minute(drawn, at, drawn.uniform(shortest, longest))
        if at + shortest < end:
            faults.append(Fault(at, name, min(lasting, end - at)))
        at += lasting + drawn.uniform(*gap)
    return faults


def _near_minute(drawn: random.Random, at: float, lasting: float) -> tuple[float, float]:
    """Return when a fault begins and for how long it lasts: often it begins or ends while fires are decided."""
    minute = (at // 60 + 1) * 60 + drawn.uniform(*NEAR_MINUTE)
    match drawn.randrange(4):
        case 0 if minute > at:
            return minute, lasting
        case 1 | 2 if minute > at + lasting:
            return minute - lasting, lasting
    return at, lasting
