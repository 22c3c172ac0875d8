"""Handing a mail to the machine's own mailer, a sendmail or what goes by its name."""

import os
import signal
import subprocess
import tempfile

from pycrond.alarms import mail_text
from pycrond.alarms.errors import LaterError, NeverError, NoMailerError

TIMEOUT = 60.0  # seconds

# Not EX_NOHOST and EX_UNAVAILABLE: msmtp says so when no name server answers, and of a server's 450.
_NEVER = {os.EX_USAGE, os.EX_DATAERR, os.EX_NOUSER, os.EX_NOPERM}


def send(mailer: str, letter: mail_text.Letter, message: bytes, timeout: float) -> None:
    """Raises UndeliveredError."""
    # Debian's flags, and cronie's -f for a MAILFROM: full name, a lone dot ends nothing, errors by mail.
    command = [mailer, "-FCronDaemon", "-i", "-B8BITMIME", "-oem"]
    if letter.sender:
        command += ["-f", mail_text.addresses(letter.sender)[0]]
    # Its output goes to a file: what it leaves running in the background may keep a pipe open.
    with tempfile.TemporaryFile() as said:
        status = _run([*command, *mail_text.addresses(letter.to)], message, said.fileno(), timeout)
        said.seek(0)
        why = said.read(4096).decode("utf-8", "replace").strip()
    if status == 0:
        return
    text = f"{mailer}: {_ending(status)}{': ' if why else ''}{why}"
    if status == os.EX_CONFIG:
        raise NoMailerError(text)
    raise NeverError(text) if status in _NEVER else LaterError(text)


def _run(command: list[str], message: bytes, said: int, timeout: float) -> int:
    """Its exit status; with its minus a signal's number that ended it."""
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=said, stderr=said, cwd="/", start_new_session=True
        )
    except OSError as error:
        raise NoMailerError(f"{command[0]}: {error.strerror}") from error
    with process:
        try:
            process.communicate(message, timeout=timeout)
        except subprocess.TimeoutExpired as error:
            raise LaterError(f"{command[0]}: not done after {timeout:g} s") from error
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
    return process.returncode


def _ending(status: int) -> str:
    return f"exit status {status}" if status >= 0 else f"killed by signal {-status}"
