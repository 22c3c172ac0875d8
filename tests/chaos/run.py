"""`make chaos ROUNDS=20`: long rounds of the attack, each a daemon's life of 60 blows; prints what was done.

python -m tests.chaos.run [ROUNDS] [FIRST SEED] [BLOWS]
"""

import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

from tests import rsyslog
from tests.chaos.driver import Chaos


def one_round(seed: int, blows: int, *, sweep: bool) -> Counter[str]:
    """A life and its judgement; what it died of."""
    rsyslog._install()
    with (
        tempfile.TemporaryDirectory(prefix="chaos.") as folder,
        tempfile.TemporaryDirectory(prefix="rsyslog.") as home,
    ):
        syslogd = rsyslog.Rsyslogd(Path(home))
        syslogd.start()
        chaos = Chaos(Path(folder), syslogd, seed)
        chaos.crond.state.mkdir(mode=0o700)
        mount = ["mount", "-t", "tmpfs", "-o", "size=64m,mode=700", "none", str(chaos.crond.state)]
        mounted = subprocess.run(mount, check=False, stderr=subprocess.DEVNULL).returncode == 0
        try:
            chaos.start()
            for number in range(1, blows + 1):
                if sweep:
                    chaos.kill_at_system_call(number)
                else:
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
            if mounted:
                subprocess.run(["umount", "--lazy", str(chaos.crond.state)], check=True)
        return chaos.kills


def main(arguments: list[str]) -> int:
    sweep = "sweep" in arguments
    numbers = [int(word) for word in arguments if word != "sweep"]
    rounds, first, blows = (*numbers, *(10, 1, 60)[len(numbers) :])
    kills: Counter[str] = Counter()
    wrong = []
    since = time.monotonic()
    for seed in range(first, first + rounds):
        try:
            kills += one_round(seed, blows, sweep=sweep)
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
