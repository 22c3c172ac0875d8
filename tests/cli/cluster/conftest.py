"""A machine of a cluster: a state directory with loaded shared jobs, and rows in a real database."""

import json
import os
import sqlite3
import subprocess
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pycrond.cluster import schema
from pycrond.crontab import parser
from pycrond.jobs.job import make_jobs
from pycrond.ledger.codec import JobRows
from pycrond.ledger.rows import FileRows
from pycrond.ledger.writer import Ledger
from pycrond.scheduler.checkpoint import Checkpoint
from tests.conftest import SCRIPT
from tests.support import command_server, documents
from tests.support.postgres import execute

TEXT = b"""\
#: name=backup on=one timeout=6h
*/30 * * * * tar
#: name=report on=one:db node-loss=rerun
0 * * * * report
#: name=local
* * * * * true
"""
NODE = """
    INSERT INTO pycrond.nodes (name, ledger, machine, instance, beat, token, seen, draining, labels, version, offset_ms,
    digest) VALUES (%s, %s, %s, gen_random_uuid(), 1, gen_random_uuid(), now() - %s, %s, %s, '0.1.0', %s, %s)
"""
CLAIM = """
    INSERT INTO pycrond.claims (job, wall, fold, fire, run, node, ledger, number, state, reason, claimed, started, ended,
    status) VALUES (%s, %s, 0, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
RUN = """
    INSERT INTO runs (key, fire, wall, fold, era, trigger, attempt, state, started_at, ended_at, told)
    VALUES (?, ?, ?, 0, 0, 'schedule', 1, ?, ?, ?, 3)
"""
FIRE = """
    INSERT INTO cluster_fires (key, wall, fold, fire, run, job, told, is_open) VALUES (?, ?, 0, ?, ?, ?, '', 0)
"""
NAME_LEDGER = "INSERT INTO cluster_node (one, ledger) VALUES (1, ?)"
ENDED = frozenset({"claimed", "waiting", "running"})


def ledger_of(node: str) -> str:
    """Return the UUID of a node's ledger."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, node))


class Machine:
    """The node web1, whose daemon ran until a moment ago."""

    def __init__(self, directory: Path, conninfo: str) -> None:
        self.directory = directory
        self.conninfo = conninfo
        now = datetime.now(UTC)
        self.hour = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
        """The beginning of the last full hour; all of its fires are long past."""
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "TZ": "UTC",
            "COLUMNS": "200",
            "PYCROND_STATE_DIR": str(directory),
            "PYCROND_CLUSTER": conninfo,
            "PYCROND_NODE": "web1",
        }
        self._load(now)

    def name_ledger(self, node: str) -> None:
        """Make the ledger that of a node."""
        ledger = sqlite3.connect(self.directory / "ledger")
        with ledger:
            ledger.execute(NAME_LEDGER, (ledger_of(node),))
        ledger.close()

    def _load(self, now: datetime) -> None:
        ledger = Ledger(str(self.directory / "ledger"))
        ledger.begin(1, "0", "b", "", now - timedelta(days=2))
        jobs = make_jobs(parser.parse(TEXT, "/etc/jobs").entries, "me")
        ledger.load([FileRows("/etc/jobs", "", JobRows(jobs, "UTC"))], (), now - timedelta(days=2))
        ledger.close()
        turn = Checkpoint(str(self.directory / "last-turn"))
        turn.write(self.hour + timedelta(minutes=59), (0, 0))
        turn.close()

    def run(self, *words: str, status: int | None = 0, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the command line."""
        environment = self.environment | variables
        done = command_server.run(SCRIPT, words, environment, str(self.directory)) or subprocess.run(
            [SCRIPT, *words],
            env=environment,
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert status in {None, done.returncode}, done.stdout + done.stderr
        documents.check_printed(words, done.stdout)
        return done

    def json(self, *words: str, status: int = 0) -> Any:
        return json.loads(self.run(*words, "--json", status=status).stdout)

    def execute(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        return execute(self.conninfo, statement, *parameters)

    def add_node(
        self,
        name: str,
        *,
        age: float = 1.0,
        draining: bool = False,
        labels: tuple[str, ...] = (),
        offset_ms: int | None = 0,
        digest: str = "aaaa",
    ) -> None:
        """Insert a node whose heartbeat is `age` seconds old."""
        row = (name, ledger_of(name), f"{name}.example", timedelta(seconds=age), draining, [*labels])
        self.execute(NODE, *row, offset_ms, digest)

    def add_claim(
        self,
        job: str,
        fire: datetime,
        node: str = "web1",
        state: str = "succeeded",
        *,
        number: int = 0,
        reason: str = "",
        took: float | None = 20.0,
        status: int | None = None,
    ) -> str:
        """Insert a claim; `took` is None for a fire that did not start. Return the run's UUID."""
        run = str(uuid.uuid4())
        started = None if took is None else fire
        ended = None if state in ENDED else fire + timedelta(seconds=took or 0)
        row = (job, int(fire.timestamp() // 60), fire, run, node, ledger_of(node), number, state, reason)
        self.execute(CLAIM, *row, fire, started, ended, status)
        return run

    def fill_hour(self) -> tuple[str, str, str]:
        """Insert the claims of all shared fires of the last full hour; return the UUIDs of their runs."""
        return (
            self.add_claim("me/backup", self.hour, "web1", number=7, status=0),
            self.add_claim("me/backup", self.hour + timedelta(minutes=30), "web2", number=3, status=0),
            self.add_claim("me/report", self.hour, "web2", number=2, status=0),
        )


def add_run(machine: Machine, key: str, fire: datetime, state: str = "succeeded", *, run: str = "") -> None:
    """Insert a run into the ledger of a machine, with its UUID in the cluster."""
    at = fire.timestamp()
    wall = int(at // 60)
    ledger = sqlite3.connect(machine.directory / "ledger")
    with ledger:
        ledger.execute(RUN, (key, at, wall, state, at, at + 20))
        if run:
            ledger.execute(FIRE, (key, wall, at, run, key))
    ledger.close()


@pytest.fixture
def machine(tmp_path: Path, database: str) -> Iterator[Machine]:
    yield Machine(tmp_path, database)
    execute(database, "UPDATE pycrond.meta SET version = %s", schema.VERSION)


@pytest.fixture
def new_machine(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Machine]:
    """Return a function that makes a machine with another state directory."""
    return lambda conninfo: Machine(tmp_path_factory.mktemp("state"), conninfo)
