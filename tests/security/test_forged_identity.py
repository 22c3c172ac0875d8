"""A user's processes claim to be runs of other users: neither the keeper nor a new daemon believes them."""

import os
from pathlib import Path

import pytest

from pycrond.host import procfs
from tests.conftest import wait_until
from tests.support import proc
from tests.support.system import System

pytestmark = [pytest.mark.daemon, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
SPOOL = "var/spool/cron/crontabs"
FORGE = """
import os, sys, time

run, directory, kind, *process = sys.argv[1:]
if process:  # a running run's pid and start: a whole line that says that it has ended with status 0
    values = {"PYCROND_RUN": [f"x\\n{process[0]}:{process[1]} 0 0.0 1 {time.time():.6f}\\ny"]}
elif kind == "long":  # together they are longer than a message can be
    values = {"PYCROND_RUN": ["9" * 120_000, "8" * 120_000]}
else:
    values = {"PYCROND_RUN": [run, f"{run}\\n{run} 1 1", f" {run}", f"{run} 1", "-1", "x"],
              "PYCROND_JOB": ["root/backup", "root/\\x1b[31m"],
              "PYCROND_FIRE_TIME": ["x", "9999-99-99T00:00:00Z"]}
stopped = os.path.join(directory, "stop")
code = f"import os, time\\nwhile not os.path.exists({stopped!r}): time.sleep(0.05)"
for name, forged in values.items():
    for value in forged:
        if os.fork() == 0:
            os.setsid()
            identity = {"PYCROND_RUN": run, "PYCROND_ATTEMPT": "1", "PYCROND_JOB": "games/backup",
                        "PYCROND_STATE_DIR": os.environ["PYCROND_STATE_DIR"],
                        "PYCROND_FIRE_TIME": "2026-01-01T00:00:00Z", name: value}
            null = os.open(os.devnull, os.O_RDWR)
            for number in (0, 1, 2):
                os.dup2(null, number)
            os.execve(sys.executable, [sys.executable, "-c", code], identity)
os.close(os.open(os.path.join(directory, "forged"), os.O_CREAT | os.O_WRONLY))
"""


def begin(system: System, shared: Path, kind: str) -> int:
    """Let the user nobody leave processes behind that claim to be the next run; then start that run, a backup
    of the user games, and let nobody forge its end; return its number.
    """
    program = shared / "forge.py"
    program.write_text(FORGE)
    wait = f"while [ ! -e {shared}/go ]; do sleep 0.05; done"
    system.write(f"{SPOOL}/games", f"HOME=/\n#: name=backup overlap=skip\n0 0 1 1 * {wait}; exit 3\n")
    forge = f"/usr/bin/python3 {program} 2 {shared} {kind}"
    later = f"#: name=later\n0 0 1 1 * {forge} $(cat {shared}/process)\n"
    system.write(f"{SPOOL}/nobody", f"HOME=/\n@reboot {forge}\n{later}")
    system.crond.run("start")
    wait_until((shared / "forged").exists)
    system.crond.run("run", "games/backup")
    wait_until(lambda: [row.pid for row in system.crond.runs() if row.id == 2] != [None])
    (backup,) = [row for row in system.crond.runs() if row.id == 2]
    assert (backup.key, backup.state) == ("games/backup", "running")
    assert backup.pid
    (shared / "process").write_text(f"{backup.pid} {procfs.start_ticks(backup.pid)}\n")
    (shared / "forged").unlink()
    system.crond.run("run", "nobody/later")
    wait_until((shared / "forged").exists)
    return backup.id


def state_of(system: System, run: int) -> str:
    return next(row.state for row in system.crond.runs() if row.id == run)


@pytest.mark.parametrize("kind", ["lines", "long"])
def test_a_forged_run_number_does_not_end_anothers_run(system: System, shared: Path, kind: str) -> None:
    run = begin(system, shared, kind)
    keeper = system.crond.keeper
    system.crond.crash()
    (shared / "stop").touch()  # the forgers end with status 0
    before = proc.cpu_seconds(keeper)
    for _ in range(10):
        system.crond.run("status")
    assert proc.cpu_seconds(keeper) - before < 0.5, (
        "the keeper does not try again and again to send what is too long"
    )
    assert state_of(system, run) == "running"
    done = system.crond.run("run", "games/backup", status=None)
    assert f"run {run} still runs" in done.stdout + done.stderr
    (shared / "go").touch()
    wait_until(lambda: state_of(system, run) == "failed")
    assert next(row.exit_status for row in system.crond.runs() if row.id == run) == 3


def test_processes_are_not_believed_after_the_ledger_is_lost(system: System, shared: Path) -> None:
    run = begin(system, shared, "lines")
    system.crond.run("stop")
    (system.crond.state / "ledger").write_bytes(b"damaged" * 10_000)
    for name in ("ledger-wal", "ledger-shm"):
        (system.crond.state / name).unlink(missing_ok=True)
    system.crond.run("start")
    keys = [row.key for row in system.crond.runs()]
    assert not [key for key in keys if key.startswith("root/")]
    rows = [row for row in system.crond.runs() if row.key == "games/backup"]
    assert [(row.id, row.state) for row in rows] == [(run, "running")], "the real run alone is adopted"
    (shared / "go").touch()
    (shared / "stop").touch()
    wait_until(lambda: state_of(system, run) != "running")
    assert state_of(system, run) in {"failed", "unknown"}
