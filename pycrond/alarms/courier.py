"""The courier, `python -m pycrond.alarms.courier`: delivers one mail or ping, described by JSON on its input.

A separate program, so that a server that does not answer delays nothing else. It begins as the daemon's user,
reads the files that only this user can read, and becomes the alarm's user. It exits with 0 after a delivery.
Otherwise it prints the reason as one line, and the exit status says whether to try again.
"""

import contextlib
import email.generator  # noqa: F401 -- needed after the change of the user, like `encodings.idna`
import encodings.idna  # noqa: F401 -- for the names of hosts
import json
import os
import sys
import threading
from dataclasses import replace
from typing import Any

from pycrond import clock
from pycrond.alarms import identity
from pycrond.alarms.errors import DeliveryError, PermanentDeliveryError
from pycrond.alarms.job_mail import JobMail
from pycrond.alarms.mail_variables import address_refusal, domain_of, is_utf8
from pycrond.hashing import digest
from pycrond.text import duration, printable

TIME_LIMIT = 90.0  # seconds for the whole delivery
MAIL_TIMEOUT = 60.0  # seconds for a mailer, or for an answer of a server, which may scan for viruses first
PING_TIMEOUT = 10.0  # seconds for an answer

Document = dict[str, Any]


def main() -> int:
    try:
        document: Document = json.load(sys.stdin.buffer)
        if document["kind"] == "ping":
            send_ping(document)
        else:
            send_mail(document)
    except DeliveryError as error:
        _print_reason(str(error))
        return error.status
    except Exception as error:  # noqa: BLE001 -- the daemon reads the reason
        _print_reason(f"a bug in pycrond: {error!r}")
        return os.EX_SOFTWARE
    return 0


def send_ping(document: Document) -> None:
    from pycrond.alarms import mail_output, ping  # noqa: PLC0415 -- not needed for a mail

    size, printed = document.get("output", 0), document.get("bytes", 0)
    output = mail_output.tail(document["spool"], document["run"], size) if printed else ""
    _become_user(document)
    timeout = document.get("timeout", PING_TIMEOUT)
    requests = ping.requests(document, output, max(0, printed - size))
    ping.send(requests, timeout, redirects=document.get("redirects", False))


def send_mail(document: Document) -> None:
    """Send a mail by the mailer, which is the path of a program or the URL of a server.

    A document that is sent again has the same Message-ID, so the recipient recognizes the duplicate.
    """
    from pycrond.alarms import mail_message, mail_output  # noqa: PLC0415 -- not needed for a ping

    contents = JobMail(**document["letter"])
    if refusal := address_refusal(contents.to):
        raise PermanentDeliveryError(f"MAILTO {contents.to!r}: {refusal}")
    if contents.sender and (refusal := address_refusal(contents.sender)):
        # Other crons also send the mail without MAILFROM.
        unused = ("MAILFROM", f"{contents.sender!r} is not used: {refusal}")
        contents = replace(contents, sender=None, facts=(*contents.facts, unused))
    is_marked = is_utf8(contents.content_type)
    output = mail_output.read(document["spool"], document["run"], document["bytes"], is_marked=is_marked)
    stable = {name: value for name, value in document.items() if name != "process"}
    token = digest(json.dumps(stable, sort_keys=True).encode(), 10)
    mailer: str = document["mailer"]
    timeout = document.get("timeout", MAIL_TIMEOUT)
    if "://" in mailer:
        from pycrond.alarms import smtp  # noqa: PLC0415 -- loads much, as does sendmail

        server = smtp.parse_url(mailer, document.get("password_file", ""))
        _become_user(document, has_secret=bool(server.user))
        message = mail_message.build(contents, output, clock.now(), token, domain_of(contents.host))
        smtp.send(server, contents, message, timeout)
    else:
        from pycrond.alarms import sendmail  # noqa: PLC0415

        _become_user(document)
        message = mail_message.build(contents, output, clock.now(), token)
        environment = document.get("process", {}).get("environment")
        sendmail.send(mailer, contents, bytes(message), timeout, environment)


def _become_user(document: Document, *, has_secret: bool = False) -> None:
    """Become the alarm's user for good, and start the time limit.

    With a secret that the user must not get, become a user that does not exist. Nothing is imported after
    this: the user may not be able to read modules. The user can signal this process, but as it has changed
    its uid, the kernel lets only root trace it or read its memory (PR_SET_DUMPABLE).
    """
    ids = document.get("process", {}).get("ids")
    if ids is not None:
        identity.become(*(identity.unused_ids() if has_secret else ids))
    _exit_after(document.get("limit", TIME_LIMIT))


def _exit_after(seconds: float) -> None:
    """Start a time limit in a thread: a name look-up that hangs runs no signal handler of Python."""

    def give_up() -> None:
        _print_reason(f"given up after {duration(seconds)}")
        os._exit(os.EX_TEMPFAIL)

    timer = threading.Timer(seconds, give_up)
    timer.daemon = True
    timer.start()


def _print_reason(reason: str) -> None:
    """Print the reason as one line. If no process reads it, the exit status is enough."""
    line = printable(" ".join(reason.split())[:1000])
    with contextlib.suppress(OSError):
        os.write(1, line.encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main())
