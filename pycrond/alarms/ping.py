"""Telling a URL that a job has begun, done well or failed, as healthchecks.io wants it."""

import http.client
import urllib.error
import urllib.request
from urllib.parse import urlsplit, urlunsplit

from pycrond import __version__
from pycrond.alarms.errors import LaterError, NeverError

_PATHS = {"start": "/start", "success": "", "failure": "/fail"}
_LATER = {408, 425, 429}  # beside 5xx: a timeout, too early, too many

# Not urllib's own set, which also follows a redirect to ftp.
_HANDLERS = (
    urllib.request.ProxyHandler,
    urllib.request.HTTPHandler,
    urllib.request.HTTPSHandler,
    urllib.request.HTTPDefaultErrorHandler,
    urllib.request.HTTPRedirectHandler,
    urllib.request.HTTPErrorProcessor,
)


def target(url: str, event: str) -> str:
    """The URL for an event; a query stays where it is."""
    parts = urlsplit(url)
    return urlunsplit(
        parts._replace(path=parts.path.rstrip("/") + _PATHS[event] if _PATHS[event] else parts.path)
    )


def ping(url: str, event: str, timeout: float) -> None:
    """Raises UndeliveredError. Its text names the host alone: who knows the whole URL can ping it, too."""
    host = "the URL"
    try:
        host = urlsplit(url).hostname or host
        _get(target(url, event), timeout)
    except urllib.error.HTTPError as error:
        error.close()
        kind = LaterError if error.code >= 500 or error.code in _LATER else NeverError
        raise kind(f"{host}: HTTP {error.code} {error.reason}") from error
    except (ValueError, http.client.InvalidURL) as error:
        raise NeverError(f"{host} is not a URL that can be asked for") from error
    except (OSError, http.client.HTTPException) as error:
        raise LaterError(f"{host}: {getattr(error, 'reason', '') or error}") from error


def _get(url: str, timeout: float) -> None:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(url)
    opener = urllib.request.OpenerDirector()
    for handler in _HANDLERS:
        opener.add_handler(handler())
    opener.addheaders = [("User-Agent", f"pycrond/{__version__}")]
    answer = opener.open(url, timeout=timeout)
    assert answer  # noqa: S101 -- None only where no handler knows the scheme
    answer.close()
