"""Pings: requests that report a start, a success or a failure to a URL like those of healthchecks.io."""

import http.client
import urllib.error
import urllib.request
from urllib.parse import urlsplit, urlunsplit

from pycrond import __version__
from pycrond.alarms.errors import PermanentDeliveryError, TemporaryDeliveryError
from pycrond.errors import os_reason

_SUFFIXES = {"start": "/start", "success": "", "failure": "/fail"}
_TEMPORARY = {408, 425, 429}  # beside 5xx: timeout, too early, too many requests

# Not urllib's default handlers, which follow a redirect to ftp.
_HANDLERS = (
    urllib.request.ProxyHandler,
    urllib.request.HTTPHandler,
    urllib.request.HTTPSHandler,
    urllib.request.HTTPDefaultErrorHandler,
    urllib.request.HTTPErrorProcessor,
)


def send(url: str, event: str, timeout: float, *, redirects: bool) -> None:
    """Request the URL of an event. Without `redirects` a redirect is an error.

    Raises DeliveryError; its text names only the host: the URL is secret.
    """
    host = "ping"
    try:
        parts = urlsplit(url)
        host = parts.hostname or host
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(url)  # noqa: TRY301 -- like the errors of urllib
        if suffix := _SUFFIXES[event]:
            parts = parts._replace(path=parts.path.rstrip("/") + suffix)
        with _opener(redirects=redirects).open(urlunsplit(parts), timeout=timeout):
            pass
    except urllib.error.HTTPError as error:
        error.close()
        is_temporary = error.code >= 500 or error.code in _TEMPORARY
        kind = TemporaryDeliveryError if is_temporary else PermanentDeliveryError
        note = ", which is not followed (ping-redirects)" if 300 <= error.code < 400 and not redirects else ""
        raise kind(f"{host}: HTTP {error.code} {error.reason}{note}") from error
    except (ValueError, http.client.InvalidURL) as error:
        raise PermanentDeliveryError(f"{host}: invalid URL") from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)  # of URLError: an error or a text
        reason = reason if isinstance(reason, Exception) else error
        raise TemporaryDeliveryError(f"{host}: {os_reason(reason)}") from error


def _opener(*, redirects: bool) -> urllib.request.OpenerDirector:
    opener = urllib.request.OpenerDirector()
    for handler in (*_HANDLERS, *((urllib.request.HTTPRedirectHandler,) if redirects else ())):
        opener.add_handler(handler())
    opener.addheaders = [("User-Agent", f"pycrond/{__version__}")]
    return opener
