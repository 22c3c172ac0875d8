"""`make chaos ROUNDS=20`: rounds of the attack, each with many faults injected into a daemon; prints the results.

python -m tests.chaos.run [ROUNDS] [FIRST SEED] [FAULTS] [--copies N] [--sweep [FROM]] [--keep DIRECTORY]
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


def one_round(seed: int, options: argparse.Namespace) -> tuple[Counter[str], Counter[str]]:
    """Attack one daemon and judge the result; return how often it was killed in which way, and how its runs ended."""
    rsyslog.install()
    with (
        tempfile.TemporaryDirectory(prefix="chaos.") as directory,
        tempfile.TemporaryDirectory(prefix="rsyslog.") as home,
    ):
        syslogd = rsyslog.Rsyslogd(Path(home))
        syslogd.start()
        chaos = Chaos(Path(directory), syslogd, seed, options.copies, quick=options.sweep is not None)
        chaos.crond.state.mkdir(mode=0o700)
        megabytes = 128 + 16 * options.copies + (options.faults if options.sweep is not None else 0)
        size = f"size={megabytes}m,mode=700"
        mount = ["mount", "-t", "tmpfs", "-o", size, "none", str(chaos.crond.state)]
        mounted = subprocess.run(mount, check=False, stderr=subprocess.DEVNULL).returncode == 0
        print("seed", seed, "clock turned" if chaos.turned else "time leaping", flush=True)
        try:
            chaos.start()
            for number in range(options.faults):
                if options.sweep is None:
                    chaos.inject_fault()
                else:
                    chaos.kill_at_system_call(options.sweep + number)
            ended = chaos.judge()
        except BaseException:
            print(
                f"{chaos.kills.total()} kills, clock {'turned' if chaos.turned else 'leaping'}; faults:",
                *chaos.done,
            )
            crash = chaos.crond.state / "crash"
            print(crash.read_text()[-4000:] if crash.exists() else "no crash")
            if options.keep:
                print(
                    "kept:", *(_copy(Path(name), Path(options.keep, str(seed))) for name in (directory, home))
                )
            raise
        finally:
            chaos.crond.end()
            syslogd.end()
            if mounted:
                subprocess.run(["umount", "--lazy", str(chaos.crond.state)], check=True)
        return chaos.kills, ended


def _copy(directory: Path, target: Path) -> Path:
    """Copy the files of a round, without sockets and FIFOs, and return where they are."""
    copy = target / directory.name
    shutil.copytree(
        directory, copy, ignore=lambda _, names: {"fifo", "log", "clock", *_sockets(names)} & set(names)
    )
    return copy


def _sockets(names: list[str]) -> set[str]:
    return {name for name in names if name.endswith(".sock")}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser()
    for name, default in (("rounds", 10), ("seed", 1), ("faults", 60)):
        parser.add_argument(name, nargs="?", type=int, default=default)
    parser.add_argument("--copies", type=int, default=3, help="number of jobs of each kind")
    parser.add_argument(
        "--sweep",
        nargs="?",
        type=int,
        const=1,
        help="kill at every system call, one after another, from this number on",
    )
    parser.add_argument("--keep", metavar="DIRECTORY", help="copy the files of a failed round to it")
    options = parser.parse_args(arguments)
    signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # like Control-C, so that nothing is left behind
    faketime.hide_shared_memory()
    kills: Counter[str] = Counter()
    failed = []
    for seed in range(options.seed, options.seed + options.rounds):
        since = time.monotonic()
        try:
            killed, ended = one_round(seed, options)
        except Exception:  # noqa: BLE001 -- the next seeds may help to find the cause
            failed.append(seed)
            traceback.print_exc()
            print(f"seed {seed}: failed, {time.monotonic() - since:.0f} s", flush=True)
            continue
        kills += killed
        print(
            f"seed {seed}: {killed.total()} kills {dict(killed)}, runs {dict(ended)}, {time.monotonic() - since:.0f} s;"
            f" in all {kills.total()} kills, failed: {failed}",
            flush=True,
        )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
