"""`make chaos ROUNDS=20`: long rounds of the attack, each a daemon's life of 60 blows; prints what was done.

python -m tests.chaos.run [ROUNDS] [FIRST SEED] [BLOWS]
"""

import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

from tests import rsyslog
from tests.chaos.driver import Chaos


def one_round(seed: int, blows: int) -> Counter[str]:
    """A life and its judgement; what it died of."""
    rsyslog._install()
    with (
        tempfile.TemporaryDirectory(prefix="chaos.") as folder,
        tempfile.TemporaryDirectory(prefix="rsyslog.") as home,
    ):
        syslogd = rsyslog.Rsyslogd(Path(home))
        syslogd.start()
        chaos = Chaos(Path(folder), syslogd, seed)
        try:
            chaos.start()
            for _ in range(blows):
                chaos.blow()
            chaos.judge()
        except BaseException:
            print("blows:", *chaos.done)
            crash = chaos.crond.state / "crash"
            print(crash.read_text()[-4000:] if crash.exists() else "no crash")
            raise
        finally:
            chaos.crond.end()
            syslogd.end()
        return chaos.kills


def main(arguments: list[str]) -> int:
    rounds, first, blows = (*map(int, arguments), *(10, 1, 60)[len(arguments) :])
    kills: Counter[str] = Counter()
    wrong = []
    since = time.monotonic()
    for seed in range(first, first + rounds):
        try:
            kills += one_round(seed, blows)
        except Exception:  # noqa: BLE001 -- the next seed may tell more
            wrong.append(seed)
            traceback.print_exc()
        print(
            f"seed {seed}: {kills.total()} kills {dict(kills)}, wrong: {wrong}, {time.monotonic() - since:.0f} s",
            flush=True,
        )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
