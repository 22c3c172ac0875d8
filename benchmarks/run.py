"""The figures of pycrond on this machine, on the real clock: `make bench`, about ten minutes.

Every daemon is the bench's own, in a temporary folder, and ended afterwards. Let the machine be idle
meanwhile: a busy one is measured too, and shows.
"""

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable

import commands
import facts
import idle
import punctuality
import survival
from figures import Figure, document, table


def parts(minutes: int) -> dict[str, Callable[[], list[Figure]]]:
    """What can be measured by itself; each waits for so many real minutes where it must."""
    return {
        "recorder": punctuality.cost,
        "one": lambda: punctuality.figures(1, minutes, target=5),
        "hundred": lambda: punctuality.figures(100, minutes, target=100),
        "commands": lambda: commands.figures(rounds=20),
        "survival": survival.figures,
        "idle": lambda: idle.figures(minutes=2),
    }


def main(arguments: list[str]) -> int:
    """Measure, print, write; 1 where a target is missed."""
    wanted = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that daemons are ended
    known = parts(wanted.minutes)
    machine = facts.machine()
    print("".join(f"{name}: {fact}\n" for name, fact in machine.items()))
    measured: list[Figure] = []
    for name in wanted.only or known:
        began = time.monotonic()
        measured += known[name]()
        print(f"measured: {name}, in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    print("\n".join(table(measured)))
    if wanted.json:
        with open(wanted.json, "w", encoding="utf-8") as file:
            json.dump({"machine": machine, "figures": [document(one) for one in measured]}, file, indent=1)
    return 0 if all(one.met for one in measured) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", metavar="FILE", help="write the machine and every value there too")
    parser.add_argument("--minutes", type=int, default=3, metavar="N", help="minutes of due jobs (3)")
    parser.add_argument(
        "--only", action="append", choices=parts(1), help="measure this alone; may be repeated"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
