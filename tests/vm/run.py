"""`make vm`: build a machine, boot it, install the package over Debian's cron, run the trials, and report.

It needs root, mmdebstrap and qemu; the machine has no network. Its files stay in dist/vm.
"""

import argparse
import sys
from pathlib import Path

from pycrond import __version__
from tests.support.trials import Result, run_trial
from tests.vm.image import Image
from tests.vm.machine import Machine
from tests.vm.trials import Trials
from tools import deb

ROOT = Path(__file__).parents[2]
REQUIRED = {"boot", "record_under_cron", "install"}
"""Trials that the others need."""


def run(trials: Trials, selected: list[str]) -> list[Result]:
    """Run the trials and print a line for each."""
    results: list[Result] = []
    for title, trial in trials.all():
        name = getattr(trial, "__name__", "")
        if selected and name not in REQUIRED and not any(word in title for word in selected):
            continue
        results.append(run_trial(title, trial))
        if not results[-1].passed and name in REQUIRED:
            break
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trials", nargs="*", help="only trials whose titles contain one of these words")
    parser.add_argument(
        "--directory", type=Path, default=ROOT / "dist/vm", help="where the machine's files are"
    )
    parser.add_argument("--suite", default="bookworm", help="the name of Debian's release")
    options = parser.parse_args()
    versions = (f"{__version__}-1", f"{__version__}-2")
    image = Image(options.directory, options.suite)
    image.build([deb.build(options.directory, version) for version in versions])
    machine = Machine(image)
    try:
        results = run(Trials(machine, versions), options.trials)
    finally:
        machine.close()
    failed = sum(not result.passed for result in results)
    seconds = sum(result.seconds for result in results)
    print(f"{options.suite}: {len(results)} trials, {failed} failed, {seconds:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
