"""Records a real session of pycrond in a terminal of its own, as docs/pictures/session.svg.

    .venv/bin/python docs/record.py

The commands run in an empty directory, on a terminal of 96 columns; what they print is kept with its colours.
Only the name of the directory is replaced, by ~/crons.
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
SECOND = 56  # of the minute, so that one begins meanwhile
SECOND = 56  # of the minute, so that one begins meanwhile
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
    """Record, and put the picture in place."""
    home = Path(tempfile.mkdtemp(prefix="pycrond-record."))
    try:
        time.sleep((SECOND - time.time()) % 60)
        time.sleep((SECOND - time.time()) % 60)
        (home / "crontabs").mkdir()
        (home / "crontabs" / "mine").write_text(CRONTAB)
        try:
            said = [(command, run(command, home)) for command in SESSION]
        finally:
            run("pycrond stop --kill-jobs", home)
        PICTURE.parent.mkdir(exist_ok=True)
        PICTURE.write_text(drawn([(command, text.replace(str(home), "~/crons")) for command, text in said]))
    finally:
        shutil.rmtree(home)
    print(f"{PICTURE} written")


def run(command: str, home: Path) -> str:
    """What a shell command prints on a terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    kept = {name: os.environ[name] for name in ("LANG", "USER", "LOGNAME") if name in os.environ}
    places = {"STATE_DIR": "state", "RUNTIME_DIR": "run", "PIDFILE": "pid", "CRONTABS": "crontabs"}
    variables = kept | {f"PYCROND_{name}": str(home / place) for name, place in places.items()}
    variables |= {
        "PATH": f"{PROGRAM.parent}:{os.environ['PATH']}",
        "HOME": str(home),
        "TERM": "xterm-256color",
    }
    process = subprocess.Popen(
        ["/bin/sh", "-c", command], cwd=home, env=variables, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    text = b""
    os.set_blocking(ours, False)
    while process.poll() is None:
        text += _read(ours)
        time.sleep(0.01)
    text += _read(ours)
    os.close(ours)
    return text.decode().replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except (BlockingIOError, OSError):  # nothing now, or nobody on the other side
        return b""


def drawn(said: list[tuple[str, str]]) -> str:
    """The session as SVG that names no other place."""
    console = Console(record=True, width=COLUMNS, file=open(os.devnull, "w"), force_terminal=True)  # noqa: SIM115
    for command, text in said:
        console.print(Text.assemble(("$ ", "dim"), (command, "bold")))
        console.print(Text.from_ansi(text.rstrip("\n")))
    picture = console.export_svg(title="pycrond", theme=MONOKAI, unique_id="session")
    picture = re.sub(
        r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL
    )  # the fonts of the reader's machine
    return picture.replace("Fira Code, monospace", "ui-monospace, Menlo, Consolas, monospace")


if __name__ == "__main__":
    main()
