"""Record a session of pycrond on a terminal, as docs/pictures/session.svg.

    .venv/bin/python docs/record.py

The commands run in an empty directory, on a terminal of 96 columns; their output keeps its colours. Only the
name of the directory is replaced, by ~/crons.
"""

import fcntl
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

PROGRAM = Path(sys.executable).parent / "pycrond"
PICTURE = Path(__file__).parent / "pictures" / "session.svg"
COLUMNS, ROWS = 96, 50
START_SECOND = 56  # of a minute, so that the next one begins during the session
CRONTAB = """\
#: name=nightly-backup timeout=30m overlap=skip missed=once
15 2 * * *       echo copying /srv; sleep 1; echo "backup host: connection refused"; exit 12
#: name=disk-report
0 7 * * mon-fri  df -h / | tail -n 1
#: name=heartbeat
* * * * *        echo "load $(cut -d' ' -f1-3 /proc/loadavg)"
"""
SESSION = (
    "pycrond start",
    "pycrond run --wait nightly-backup",
    "pycrond run --wait disk-report",
    "pycrond list",
    "echo '61 * * * * rotate' >> crontabs/mine; pycrond reload",
    "kill -9 $(cat pid); sleep 2; pycrond status | head -n 1",
    "pycrond history",
    "pycrond audit",
)


def main() -> None:
    """Record the session and write the picture."""
    home = Path(tempfile.mkdtemp(prefix="pycrond-record."))
    try:
        time.sleep((START_SECOND - time.time()) % 60)
        (home / "crontabs").mkdir()
        (home / "crontabs" / "mine").write_text(CRONTAB)
        try:
            outputs = [(command, run(command, home)) for command in SESSION]
        finally:
            run("pycrond stop --kill-jobs", home)
        PICTURE.parent.mkdir(exist_ok=True)
        PICTURE.write_text(draw([(command, text.replace(str(home), "~/crons")) for command, text in outputs]))
    finally:
        shutil.rmtree(home)
    print(f"{PICTURE} written")


def run(command: str, home: Path) -> str:
    """Run a shell command on a terminal of its own and return its output."""
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    kept = {name: os.environ[name] for name in ("LANG", "USER", "LOGNAME") if name in os.environ}
    names = {"STATE_DIR": "state", "RUNTIME_DIR": "run", "PIDFILE": "pid", "CRONTABS": "crontabs"}
    variables = kept | {f"PYCROND_{name}": str(home / file) for name, file in names.items()}
    variables |= {
        "PATH": f"{PROGRAM.parent}:{os.environ['PATH']}",
        "HOME": str(home),
        "TERM": "xterm-256color",
    }
    process = subprocess.Popen(
        ["/bin/sh", "-c", command], cwd=home, env=variables, stdin=terminal, stdout=terminal, stderr=terminal
    )
    os.close(terminal)
    text = b""
    os.set_blocking(controller, False)
    while process.poll() is None:
        text += _read(controller)
        time.sleep(0.01)
    text += _read(controller)
    os.close(controller)
    return text.decode().replace("\r\n", "\n")


def _read(controller: int) -> bytes:
    try:
        return os.read(controller, 1 << 16)
    except OSError:  # nothing to read now, or no process has the terminal open
        return b""


def draw(outputs: list[tuple[str, str]]) -> str:
    """Return the session as an SVG that refers to no other file."""
    console = Console(record=True, width=COLUMNS, file=open(os.devnull, "w"), force_terminal=True)  # noqa: SIM115
    for command, text in outputs:
        console.print(Text.assemble(("$ ", "dim"), (command, "bold")))
        console.print(Text.from_ansi(text.rstrip("\n")))
    picture = console.export_svg(title="pycrond", theme=MONOKAI, unique_id="session")
    picture = re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL)  # fonts of the reader's machine
    return picture.replace("Fira Code, monospace", "ui-monospace, Menlo, Consolas, monospace")


if __name__ == "__main__":
    main()
