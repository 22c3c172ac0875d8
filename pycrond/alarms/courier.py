"""The courier, `python -m pycrond.alarms.courier`: delivers one mail or ping, described by JSON on its input.

A program of its own, for a server that does not answer must hold nobody up. It exits with 0 when it has
delivered; else a line on standard output says why not, and the status whether to try again.
"""

import contextlib
import json
import os
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pycrond import clock
from pycrond.alarms import mail_text
from pycrond.alarms.errors import NeverError, UndeliveredError
from pycrond.hashing import digest
from pycrond.output import spool
from pycrond.text import visible

OVERALL = 90.0  # seconds after which the courier gives up, whatever it waits for

Document = dict[str, Any]


def main() -> int:
    try:
        document: Document = json.load(sys.stdin.buffer)
        _give_up_after(document.get("limit", OVERALL))
        if document["kind"] == "ping":
            ping(document)
        else:
            mail(document)
    except UndeliveredError as failure:
        _say(str(failure))
        return failure.status
    except Exception as error:  # noqa: BLE001 -- whoever started us shall hear of it
        _say(f"a bug in pycrond: {error!r}")
        return os.EX_SOFTWARE
    return 0


def ping(document: Document) -> None:
    from pycrond.alarms import ping as http_ping  # noqa: PLC0415 -- a mail needs none of it

    http_ping.ping(document["url"], document["event"], document.get("timeout", 10.0))


def mail(document: Document) -> None:
    """By the mailer, a program's path or a server's URL. The same document makes the same Message-ID.

    So a mail that is sent again, for nobody knew that it had gone, is seen to be the same.
    """
    letter = _letter(document["letter"])
    if refusal := mail_text.address_refusal(letter.to):
        raise NeverError(f"MAILTO {letter.to!r}: {refusal}")
    if letter.sender and (refusal := mail_text.address_refusal(letter.sender)):
        # As in cron: no reason to keep the mail back.
        unused = ("MAILFROM", f"{letter.sender!r} is not used: {refusal}")
        letter = replace(letter, sender=None, facts=(*letter.facts, unused))
    output = _output(document["spool"], document["run"], document["bytes"])
    token = digest(json.dumps(document, sort_keys=True).encode(), 10)
    mailer: str = document["mailer"]
    if "://" in mailer:
        from pycrond.alarms import smtp  # noqa: PLC0415 -- brings much with it, as does the other

        server = smtp.server(mailer, document.get("password_file", ""))
        timeout = document.get("timeout", smtp.TIMEOUT)
        smtp.send(server, letter, output, clock.now(), token, timeout=timeout)
    else:
        from pycrond.alarms import sendmail  # noqa: PLC0415

        message = mail_text.message(letter, output, clock.now(), token)
        sendmail.send(mailer, letter, message, document.get("timeout", sendmail.TIMEOUT))


def _letter(fields: Document) -> mail_text.Letter:
    given = {
        name: tuple((key, value) for key, value in fields.get(name, ())) for name in ("facts", "environment")
    }
    return mail_text.Letter(**{**fields, **given, "fire": datetime.fromtimestamp(fields["fire"], UTC)})


def _output(directory: str, run: int, size: int) -> bytes:
    """What is kept of a run's first bytes."""
    first = spool.first_offset(directory, run)
    first = size if first is None else min(first, size)
    size = min(size, max(first, spool.Spool(directory, run).size))
    kept = mail_text.excerpt(
        size - first, lambda start, most: spool.read(directory, run, first + start, most)
    )
    return (b"[pycrond: %d bytes before this are no longer kept]\n" % first if first else b"") + kept


def _give_up_after(seconds: float) -> None:
    """A thread and not an alarm: a look-up of a name that hangs runs no signal handler of Python's."""

    def give_up() -> None:
        _say(f"given up after {seconds:g} s")
        os._exit(os.EX_TEMPFAIL)

    timer = threading.Timer(seconds, give_up)
    timer.daemon = True
    timer.start()


def _say(why: str) -> None:
    """One line, whatever a server has said; where nobody listens the exit status says enough."""
    line = visible(" ".join(why.split())[:1000].encode("utf-8", "surrogateescape"))
    with contextlib.suppress(OSError):
        os.write(1, line.encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main())
