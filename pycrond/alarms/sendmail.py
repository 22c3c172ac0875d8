"""Delivery of a mail by the machine's own mailer: sendmail, or a program with its options."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from typing import IO

from pycrond.alarms.errors import MailerConfigError, PermanentDeliveryError, TemporaryDeliveryError
from pycrond.alarms.job_mail import JobMail
from pycrond.alarms.mail_variables import split_addresses
from pycrond.errors import os_reason
from pycrond.text import duration

# Without EX_NOHOST and EX_UNAVAILABLE: msmtp uses them if no name server answers, and for a server's 450.
_PERMANENT = {os.EX_USAGE, os.EX_DATAERR, os.EX_NOUSER, os.EX_NOPERM}


def send(
    mailer: str, mail: JobMail, message: bytes, timeout: float, environment: Mapping[str, str] | None = None
) -> None:
    """Send a message to all recipients; by default with this process's environment. Raises DeliveryError."""
    # Debian's flags, and cronie's -f for a MAILFROM: full name, a lone dot ends nothing, errors by mail.
    command = [mailer, "-FCronDaemon", "-i", "-B8BITMIME", "-oem"]
    if mail.sender:
        command += ["-f", split_addresses(mail.sender)[0]]
    # The mailer prints to a file: a process that it leaves in the background may keep a pipe open.
    with tempfile.TemporaryFile() as printed:
        status = _run([*command, *split_addresses(mail.to)], message, printed, timeout, environment)
        printed.seek(0)
        reason = printed.read(4096).decode("utf-8", "replace").strip()
    if status == 0:
        return
    ending = f"exit status {status}" if status > 0 else f"killed by signal {-status}"
    text = f"{mailer}: {ending}{': ' if reason else ''}{reason}"
    if status == os.EX_CONFIG:
        raise MailerConfigError(text)
    raise (PermanentDeliveryError if status in _PERMANENT else TemporaryDeliveryError)(text)


def _run(
    command: list[str],
    message: bytes,
    printed: IO[bytes],
    timeout: float,
    environment: Mapping[str, str] | None,
) -> int:
    """Run the mailer; return its exit status, or the negative number of the signal that ended it."""
    try:
        process = subprocess.Popen(  # noqa: S603 -- no shell, as the user, to whom the addresses belong
            command,
            stdin=subprocess.PIPE,
            stdout=printed,
            stderr=printed,
            cwd="/",
            env=environment,
            start_new_session=True,
        )
    except OSError as error:
        raise MailerConfigError(f"{command[0]}: {os_reason(error)}") from error
    with process:
        try:
            process.communicate(message, timeout=timeout)
        except subprocess.TimeoutExpired as error:
            raise TemporaryDeliveryError(f"{command[0]}: not done after {duration(timeout)}") from error
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
    return process.returncode
