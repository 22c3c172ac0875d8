"""`make month`: let days pass on a server whose state has 20 MB of disk and whose jobs are chatty, and judge them.

python -m tests.simulation.small_disk [DAYS] [--minutes-of-syslogd-away N]

Jobs have the real clock; that of the daemon goes on by a minute as soon as the jobs of the last one have ended. No job
may wait for the disk longer than its own output takes: after each minute the disk takes output again. Ledger and
spools stay inside their limits, and `audit` is clean. No burst is larger than `spool-limit`, so nothing is dropped.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.conftest import Crond, wait_until
from tests.support import faketime

DISK = 20  # MB
LEDGER_LIMIT, SPOOL_LIMIT = 4, 8  # MiB
LOG_ROOM = (1 << 20) + (128 << 10)
"""Bytes of the ledger's log, which is emptied at 1 MiB when nothing is due, and of its shared memory."""
MAX_WAITING = 100_000  # bytes that syslog may not have yet when the next minute begins
SETTLE_TIME = 60.0  # seconds of real time
BEGIN = datetime(2031, 3, 1, 12, 0, tzinfo=UTC)
DAY = 1440  # minutes
CRONTAB = """\
MAILTO=
* * * * * seq 1000
* * * * * echo error >&2; exit 1
*/2 * * * * seq 20000
#: name=limited keep-output=64k keep-runs=50
* * * * * seq 3000
#: name=filed output={directory}/app.log
*/3 * * * * seq 2000
*/10 * * * * head -c 2000000 /dev/zero | tr '\\0' x | fold
5 */6 * * * head -c 5000000 /dev/zero | tr '\\0' y | fold
#: name=forever
@reboot mkfifo {directory}/gate; while read line <{directory}/gate; do seq $line; done
#: overlap=skip retries=1 retry-delay=20s
*/5 * * * * echo try $PYCROND_ATTEMPT; [ $PYCROND_ATTEMPT -gt 1 ]
""" + "".join(f"* * * * * echo {number}\n" for number in range(3))


READER = """
import socket
with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    while True:
        with server.accept()[0] as log:
            while log.recv(1 << 20):
                pass
"""
"""A syslogd that reads; by TCP, as a queue of 11 datagrams needs as many turns of a busy machine's processor."""


class SmallDisk:
    """The server, and the worst of what was seen."""

    def __init__(self, directory: Path) -> None:
        self.crond = Crond(directory)
        self.directory = directory
        self.now = BEGIN
        self.worst: dict[str, float] = {"settle_s": 0.0, "ledger": 0, "spool": 0, "disk": 0, "blocked_s": 0.0}
        self.faults: list[str] = []

    def set_up(self) -> None:
        faketime.unshare_mounts()
        state = self.crond.state
        state.mkdir(mode=0o700)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}m,mode=700", "none", state], check=True)
        self.reader = subprocess.Popen([sys.executable, "-c", READER], stdout=subprocess.PIPE, text=True)
        assert self.reader.stdout
        port = int(self.reader.stdout.readline())
        self.crond.environment |= {
            "PYCROND_SYSLOG": f"tcp://127.0.0.1:{port}",
            "PYCROND_LEDGER_LIMIT": str(LEDGER_LIMIT),
            "PYCROND_SPOOL_LIMIT": str(SPOOL_LIMIT),
        }
        self.crond.write("jobs", CRONTAB.format(directory=self.directory))
        self.crond.at(f"{self.now:%F %T}", wake=False)
        self.crond.run("start")
        wait_until((self.directory / "gate").exists)

    def minute(self, number: int) -> None:
        self.now += timedelta(minutes=1)
        self.crond.at(f"{self.now:%F %T}")
        gate = os.open(self.directory / "gate", os.O_RDWR | os.O_NONBLOCK)
        os.write(gate, b"3000\n")
        self.settle()
        os.close(gate)
        if number % 60 == 0:
            with contextlib.suppress(FileNotFoundError):
                (self.directory / "app.log").rename(self.directory / "app.log.1")
        self.measure()

    def settle(self) -> None:
        """Wait until the jobs of the minute have ended and syslog has read nearly all; measure for how long the disk
        took no output.
        """
        since, blocked, status = time.monotonic(), 0.0, dict[str, Any]()
        while time.monotonic() < since + SETTLE_TIME:
            status = self.crond.status() or {}
            if status["disk"]["trouble"]:
                blocked = time.monotonic() - since
            disk = status["disk"]
            if status["running"] <= 1 and not disk["trouble"] and disk["waiting_bytes"] < MAX_WAITING:
                break
            time.sleep(0.002)
        else:
            self.faults.append(f"{self.now:%F %H:%M}: {status['running']} jobs run, {status['disk']}")
        self._note("settle_s", time.monotonic() - since)
        self._note("blocked_s", blocked)

    def measure(self) -> None:
        state = self.crond.state
        ledger = sum(
            path.stat().st_blocks * 512 for path in state.glob("ledger*") if path.name != "ledger-reserve"
        )
        spool = 0
        for directory, _, names in os.walk(state / "spool"):
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    spool += os.stat(os.path.join(directory, name)).st_blocks * 512
        disk = os.statvfs(state)
        for name, size in (("ledger", ledger), ("spool", spool)):
            self._note(name, size)
        self._note("disk", (disk.f_blocks - disk.f_bavail) * disk.f_bsize)
        if spool > SPOOL_LIMIT << 20:
            self.faults.append(f"{self.now:%F %H:%M}: the spool has {spool} bytes")
        if ledger > (LEDGER_LIMIT << 20) + LOG_ROOM:
            self.faults.append(f"{self.now:%F %H:%M}: the ledger has {ledger} bytes")

    def _note(self, name: str, value: float) -> None:
        self.worst[name] = max(self.worst[name], value)

    def judge(self) -> None:
        done = self.crond.run("audit", status=None)
        print(done.stdout.strip())
        if done.returncode:
            self.faults.append(f"audit: {done.stdout}{done.stderr}")
        if dropped := (self.crond.status() or {})["disk"]["dropped_bytes"]:
            self.faults.append(f"{dropped} bytes of output were dropped")

    def tear_down(self) -> None:
        self.crond.end()
        self.reader.kill()
        self.reader.wait()
        subprocess.run(["umount", "--lazy", str(self.crond.state)], check=True)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("days", nargs="?", type=float, default=31)
    parser.add_argument("--seconds", type=float, default=1e9, help="of real time after which no day begins")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    faketime.hide_shared_memory()
    since, number = time.monotonic(), 0
    with tempfile.TemporaryDirectory(prefix="month.") as directory:
        server = SmallDisk(Path(directory))
        server.set_up()
        try:
            while number < options.days * DAY and time.monotonic() < since + options.seconds:
                number += 1
                server.minute(number)
                if number % (DAY // 4) == 0:
                    elapsed = time.monotonic() - since
                    print(f"{number / DAY:.2f} days in {elapsed:.0f} s: {server.worst}", flush=True)
            server.judge()
        finally:
            server.tear_down()
    print(f"{number / DAY:.2f} days: {server.worst}", *server.faults[:20], sep="\n")
    return bool(server.faults)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
