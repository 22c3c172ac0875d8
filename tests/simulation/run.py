"""`make days`: let days pass on a simulated server in which everything happens, and judge them; prints the results.

python -m tests.simulation.run [HOURS] [SEED] [--only EVENTS]
"""

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.simulation.judgement import Judgement
from tests.simulation.server import Server
from tests.support import faketime, rsyslog


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("hours", nargs="?", type=int, default=100)
    parser.add_argument("seed", nargs="?", type=int, default=1)
    parser.add_argument("--only", metavar="EVENTS", help="let only these happen, separated by commas")
    options = parser.parse_args(arguments)
    signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # like Control-C, so that nothing is left behind
    faketime.hide_shared_memory()
    rsyslog.install()
    since = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="days.") as directory, tempfile.TemporaryDirectory() as home:
        Path(directory).chmod(0o755)
        syslogd = rsyslog.Rsyslogd(Path(home))
        syslogd.start()
        server = Server(Path(directory), syslogd, options.seed)
        try:
            server.set_up()
            server.live(options.hours, options.only)
            ended = Judgement(server).judge()
        finally:
            print(*server.happened, sep="\n")
            print(
                f"{server.now:%F %H:%M}: {server.passed.total() / 60:.0f} hours in {time.monotonic() - since:.0f} s"
            )
            server.tear_down()
            syslogd.end()
    print(dict(ended))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
