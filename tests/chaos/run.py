"""`make chaos ROUNDS=20`: long rounds of the attack, each a daemon's life of many blows; prints what was done.

python -m tests.chaos.run [ROUNDS] [FIRST SEED] [BLOWS] [--copies OF EACH KIND OF JOB] [--sweep [FROM]] [--keep FOLDER]
"""

import argparse
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

from tests.chaos.driver import Chaos
from tests.support import faketime, rsyslog


def one_round(seed: int, wanted: argparse.Namespace) -> tuple[Counter[str], Counter[str]]:
    """A life and its judgement; what it died of, and how its runs ended."""
    rsyslog.install()
    with (
        tempfile.TemporaryDirectory(prefix="chaos.") as folder,
        tempfile.TemporaryDirectory(prefix="rsyslog.") as home,
    ):
        syslogd = rsyslog.Rsyslogd(Path(home))
        syslogd.start()
        chaos = Chaos(Path(folder), syslogd, seed, wanted.copies, quick=wanted.sweep is not None)
        chaos.crond.state.mkdir(mode=0o700)
        megabytes = 128 + 16 * wanted.copies + (wanted.blows if wanted.sweep is not None else 0)
        options = f"size={megabytes}m,mode=700"
        mount = ["mount", "-t", "tmpfs", "-o", options, "none", str(chaos.crond.state)]
        mounted = subprocess.run(mount, check=False, stderr=subprocess.DEVNULL).returncode == 0
        print("seed", seed, "clock turned" if chaos.turned else "time leaping", flush=True)
        try:
            chaos.start()
            for number in range(wanted.blows):
                if wanted.sweep is None:
                    chaos.blow()
                else:
                    chaos.kill_at_system_call(wanted.sweep + number)
            ended = chaos.judge()
        except BaseException:
            print(
                f"{chaos.kills.total()} kills, clock {'turned' if chaos.turned else 'leaping'}; blows:",
                *chaos.done,
            )
            crash = chaos.crond.state / "crash"
            print(crash.read_text()[-4000:] if crash.exists() else "no crash")
            if wanted.keep:
                print("kept:", *(_kept(Path(each), Path(wanted.keep, str(seed))) for each in (folder, home)))
            raise
        finally:
            chaos.crond.end()
            syslogd.end()
            if mounted:
                subprocess.run(["umount", "--lazy", str(chaos.crond.state)], check=True)
        return chaos.kills, ended


def _kept(folder: Path, place: Path) -> Path:
    """A copy of what files there are, for people to look at."""
    kept = place / folder.name
    shutil.copytree(
        folder, kept, ignore=lambda _, names: {"fifo", "log", "clock", *_sockets(names)} & set(names)
    )
    return kept


def _sockets(names: list[str]) -> set[str]:
    return {name for name in names if name.endswith(".sock")}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser()
    for name, default in (("rounds", 10), ("seed", 1), ("blows", 60)):
        parser.add_argument(name, nargs="?", type=int, default=default)
    parser.add_argument("--copies", type=int, default=3, help="of each kind of job")
    parser.add_argument(
        "--sweep", nargs="?", type=int, const=1, help="kill at every system call from this one on"
    )
    parser.add_argument("--keep", help="where the files of a round that goes wrong are copied to")
    wanted = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Control-C: nothing is left behind
    faketime.hide_shared_memory()
    kills: Counter[str] = Counter()
    wrong = []
    for seed in range(wanted.seed, wanted.seed + wanted.rounds):
        since = time.monotonic()
        try:
            died, ended = one_round(seed, wanted)
        except Exception:  # noqa: BLE001 -- the next seed may tell more
            wrong.append(seed)
            traceback.print_exc()
            print(f"seed {seed}: wrong, {time.monotonic() - since:.0f} s", flush=True)
            continue
        kills += died
        print(
            f"seed {seed}: {died.total()} kills {dict(died)}, runs {dict(ended)}, {time.monotonic() - since:.0f} s;"
            f" in all {kills.total()} kills, wrong: {wrong}",
            flush=True,
        )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
