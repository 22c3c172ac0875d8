"""The database: a primary whose commits wait for a standby, which takes its place when it dies."""

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from pycrond.cluster import schema
from tests.conftest import alive, children, wait_until
from tests.support.postgres import Postgres, execute

STANDBY = "standby"
DATABASE = "cluster"
CANCEL = """
    SELECT CASE WHEN random() < 0.5 THEN pg_cancel_backend(pid) ELSE pg_terminate_backend(pid) END
    FROM pg_stat_activity WHERE wait_event = 'SyncRep'
"""


class Servers:
    """Two servers, of which one is the primary."""

    def __init__(self, directories: tuple[Path, Path], *, fsync: bool = False) -> None:
        """The directories are those of the user that runs servers."""
        self.both = [Postgres(directory, fsync=fsync) for directory in directories]
        self._primary = 0
        self.failovers = 0

    @property
    def primary(self) -> Postgres:
        return self.both[self._primary]

    @property
    def standby(self) -> Postgres:
        return self.both[1 - self._primary]

    def start(self) -> None:
        """Start both, and create the cluster's tables."""
        self.primary.init()
        self.primary.start()
        self.primary.execute(f"CREATE DATABASE {DATABASE}")
        with psycopg.connect(self.primary.conninfo(DATABASE), autocommit=True) as connection:
            schema.migrate(connection, "chaos", "UTC")
        self._attach()

    def end(self) -> None:
        for server in self.both:
            _kill(server)

    def execute(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        return execute(self.primary.conninfo(DATABASE), statement, *parameters)

    def _attach(self) -> None:
        """Make the second server a standby of the first, for which commits wait."""
        shutil.rmtree(self.standby.data, ignore_errors=True)
        self.standby.copy_from(self.primary, STANDBY)
        self.standby.start()
        self.primary.set_synchronous(STANDBY)

    def _fail_over(self) -> None:
        """Promote the standby, which goes on alone until another one is attached."""
        self.standby.promote()
        self._primary = 1 - self._primary
        self.failovers += 1
        self.primary.set_synchronous("")
        self._attach()

    # Faults. Each ends with both servers in order.

    def power_off(self, seconds: float) -> None:
        """The primary dies at once; the standby is promoted a little later."""
        _kill(self.primary)
        time.sleep(min(seconds, 10.0) / 2)
        self._fail_over()

    def crash(self, seconds: float) -> None:
        """The primary ends all its connections and dies."""
        self.primary.stop(signal.SIGQUIT)
        time.sleep(min(seconds, 10.0) / 2)
        self._fail_over()

    def shut_down(self, seconds: float) -> None:
        """The primary ends in order, and tells its clients."""
        self.primary.stop(signal.SIGINT)
        time.sleep(min(seconds, 10.0) / 2)
        self._fail_over()

    def restart(self, seconds: float) -> None:
        """The primary crashes and comes back."""
        self.primary.stop(signal.SIGQUIT)
        time.sleep(min(seconds, 20.0))
        self.primary.start()

    def freeze(self, seconds: float) -> None:
        """The primary is silent for some time."""
        self.primary.freeze()
        time.sleep(seconds)
        self.primary.thaw()

    def freeze_and_fail_over(self, seconds: float) -> None:
        """The primary is silent, the standby promoted; the old one comes back for a moment before it is killed."""
        old = self.primary
        old.freeze()
        time.sleep(seconds / 2)
        self.standby.promote()
        old.thaw()
        time.sleep(min(seconds / 2, 10.0))
        _kill(old)
        self._primary = 1 - self._primary
        self.failovers += 1
        self.primary.set_synchronous("")
        self._attach()

    def freeze_standby(self, seconds: float) -> None:
        """Commits hang."""
        self.standby.freeze()
        time.sleep(seconds)
        self.standby.thaw()

    def stop_standby(self, seconds: float) -> None:
        """Commits hang, until the standby has started again."""
        self.standby.stop(signal.SIGQUIT)
        time.sleep(seconds)
        self.standby.start()

    def freeze_standby_and_fail_over(self, seconds: float) -> None:
        """Commits hang; then the primary dies. The standby still receives what it was sent meanwhile."""
        self.standby.freeze()
        time.sleep(seconds)
        _kill(self.primary)
        self.standby.thaw()
        self._fail_over()

    def stop_standby_and_fail_over(self, seconds: float) -> None:
        """Commits hang; then the primary dies with all that it has not confirmed."""
        self.standby.stop(signal.SIGQUIT)
        time.sleep(seconds)
        _kill(self.primary)
        self.standby.start()
        self._fail_over()

    def restart_alone_and_fail_over(self, seconds: float) -> None:
        """Commits hang; the primary crashes and comes back with rows that it has not confirmed, and then dies."""
        self.standby.stop(signal.SIGQUIT)
        time.sleep(seconds / 3)
        self.primary.stop(signal.SIGQUIT)
        self.primary.start()
        time.sleep(seconds * 2 / 3)
        _kill(self.primary)
        self.standby.start()
        self._fail_over()

    def cancel_and_fail_over(self, seconds: float) -> None:
        """Commits hang; an administrator cancels their waits, and then the primary dies."""
        self.standby.stop(signal.SIGQUIT)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(0.3)
            self.primary.execute(CANCEL)
        _kill(self.primary)
        self.standby.start()
        self._fail_over()

    @property
    def faults(self) -> dict[str, Callable[[float], None]]:
        acts = (
            *(self.power_off, self.crash, self.shut_down, self.restart, self.freeze),
            *(self.freeze_and_fail_over, self.freeze_standby, self.stop_standby),
            *(self.freeze_standby_and_fail_over, self.stop_standby_and_fail_over),
            *(self.restart_alone_and_fail_over, self.cancel_and_fail_over),
        )
        return {act.__name__: act for act in acts}


def _kill(server: Postgres) -> None:
    """End a server and its children, frozen or not, without a word to anybody."""
    if server._process is None or server._process.poll() is not None:
        return
    pids = [*children(server.pid), server.pid]
    for pid in [server.pid, *pids]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    server._process.wait(60)
    wait_until(lambda: not any(map(alive, pids)))
