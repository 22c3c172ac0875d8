"""Pings: requests that report a start, a success or a failure to a URL like those of healthchecks.io."""

import contextlib
import errno
import http.client
import re
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from pycrond import __version__
from pycrond.alarms.errors import PermanentDeliveryError, TemporaryDeliveryError
from pycrond.errors import os_reason
from pycrond.jobs.run import State
from pycrond.text import printable

Request = tuple[str, bytes]
"""A URL, and the body of a POST; an empty body means GET."""

_CHECK = re.compile(
    r"/(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[\w-]{22}/[a-z0-9_-]+)/?$", re.IGNORECASE
)
"""The end of the path of a check of healthchecks.io: its UUID, or a ping key and a slug."""
_SUFFIXES = {"start": "/start", "success": "", "failure": "/fail"}
_TEMPORARY = {408, 425, 429}  # besides 5xx: timeout, too early, too many requests

# Not urllib's default handlers, which follow a redirect to ftp.
_HANDLERS = (
    urllib.request.ProxyHandler,
    urllib.request.HTTPHandler,
    urllib.request.HTTPSHandler,
    urllib.request.HTTPDefaultErrorHandler,
    urllib.request.HTTPErrorProcessor,
)


class _RefusedRequestError(PermanentDeliveryError):
    """A request that the server refuses at every attempt."""


def requests(document: Mapping[str, Any], output: str, left_out: int) -> list[Request]:
    """Return the requests of a ping, to be sent in order until the server accepts one.

    `document` has `url`, `event`, in `output` a size, and the facts about a failure. `left_out` is the number
    of bytes before `output`. Raises DeliveryError for an invalid URL.
    """
    try:
        path, url = (
            urlsplit(document["url"]).path,
            _with_suffix(document["url"], _SUFFIXES[document["event"]]),
        )
    except ValueError as error:
        raise PermanentDeliveryError("ping: invalid URL") from error
    if not document.get("output"):
        return [(url, b"")]
    status, is_failure = document.get("exit_status"), document["event"] == "failure"
    # A run that was ended at its timeout may have any exit status.
    has_status = is_failure and document.get("state") == State.FAILED and status and _CHECK.search(path)
    notes = [_ending(document)] if is_failure and not has_status else []
    notes += [f"{left_out} bytes before this are left out"] if left_out else []
    body = ("".join(f"[pycrond: {note}]\n" for note in notes) + output).encode()
    first = [(_with_suffix(document["url"], f"/{status}"), body)] if has_status else []
    return [*first, *([(url, body)] if body else []), (url, b"")]


def _with_suffix(url: str, suffix: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + suffix)) if suffix else url


def _ending(document: Mapping[str, Any]) -> str:
    status, number = document.get("exit_status"), document.get("signal")
    ending = f"signal {number}" if status is None else f"exit status {status}"
    return printable(document.get("reason") or ending)


def send(requests: Sequence[Request], timeout: float, *, redirects: bool) -> None:
    """Send requests until the server accepts one; a server may refuse POST or a path.

    Without `redirects` a redirect is an error. Raises DeliveryError; its text names only the host: the URL is
    secret.
    """
    *others, last = requests
    for request in others:
        with contextlib.suppress(_RefusedRequestError):
            return _send(request, timeout, redirects=redirects)
    return _send(last, timeout, redirects=redirects)


def _send(request: Request, timeout: float, *, redirects: bool) -> None:
    (url, body), host = request, "ping"
    try:
        parts = urlsplit(url)
        host = parts.hostname or host
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(url)  # noqa: TRY301 -- like the errors of urllib
        headers = {"Content-Type": "text/plain; charset=utf-8"} if body else {}
        prepared = urllib.request.Request(url, body or None, headers)  # noqa: S310 -- http or https
        with _opener(redirects=redirects).open(prepared, timeout=timeout):
            pass
    except urllib.error.HTTPError as error:
        error.close()
        refusals = {*range(300, 500)} - _TEMPORARY | ({http.HTTPStatus.NOT_IMPLEMENTED} if body else set())
        kind = _RefusedRequestError if error.code in refusals else TemporaryDeliveryError
        note = ", which is not followed (ping-redirects)" if 300 <= error.code < 400 and not redirects else ""
        raise kind(f"{host}: HTTP {error.code} {error.reason}{note}") from error
    except (ValueError, http.client.InvalidURL) as error:
        raise PermanentDeliveryError(f"{host}: invalid URL") from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)  # of URLError: an error or a text
        reason = reason if isinstance(reason, Exception) else error
        # A server that answers without reading a body, and closes, resets the connection.
        is_refused = body and isinstance(reason, ConnectionError) and reason.errno != errno.ECONNREFUSED
        kind = _RefusedRequestError if is_refused else TemporaryDeliveryError
        raise kind(f"{host}: {os_reason(reason)}") from error


def _opener(*, redirects: bool) -> urllib.request.OpenerDirector:
    opener = urllib.request.OpenerDirector()
    for handler in (*_HANDLERS, *((urllib.request.HTTPRedirectHandler,) if redirects else ())):
        opener.add_handler(handler())
    opener.addheaders = [("User-Agent", f"pycrond/{__version__}")]
    return opener
