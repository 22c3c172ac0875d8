"""Connection strings of libpq, in both of its forms, and the passwords in them. Pure.

This module checks a string only as far as needed to find its passwords; libpq reports all other errors.
"""

import re

HIDDEN = "*****"
"""The text that replaces a password."""

_SCHEME = re.compile(r"postgres(?:ql)?://")
_WORD = re.compile(
    r"[ \t]*(?P<name>[A-Za-z_]\w*)[ \t]*=[ \t]*"
    r"(?P<value>'(?:[^'\\]|\\.)*'|(?:[^\s'\\]|\\.)(?:[^\s\\]|\\.)*|)(?:[ \t]+|\Z)"
)
_HOST = re.compile(r"(?:\[[^]]*\]|[^:]*)(?::[0-9]*)?")
"""A host and its port, in a URL."""
_BAD_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})|%00")
"""An invalid escape: libpq's error message for it would contain a part of the password."""
_SECRET = re.compile(r"password|secret|scram_\w+_key", re.IGNORECASE)
"""Matches a part of the name of each parameter with a secret value; does not match `passfile`."""


def check(text: str) -> None:
    """Raise ValueError if the text is not a connection string; the message does not contain the text."""
    if not text.isprintable():
        raise ValueError("it must be one line, without control characters")
    scheme = _SCHEME.match(text)
    if scheme and _BAD_PERCENT.search(text):
        raise ValueError("a % must be written as %25, and %00 is not allowed")
    if scheme and not _has_clear_password(text[scheme.end() :]):
        raise ValueError(
            "in a user's name or password, the characters / and @ must be written as %2F and %40"
        )
    if not scheme and _words(text) is None:
        raise ValueError(
            "it is neither a URL such as postgresql://user@host/database nor words such as host="
        )


def without_password(text: str) -> str:
    """Return a connection string with `HIDDEN` for each password, and for more if its end is not clear."""
    scheme = _SCHEME.match(text)
    if scheme:
        return scheme[0] + _hide_in_url(text[scheme.end() :])
    words = _words(text)
    if words is None:
        return HIDDEN
    for match in reversed(words):
        if _SECRET.search(match["name"]) and match["value"] not in {"", "''"}:
            text = text[: match.start("value")] + HIDDEN + text[match.end("value") :]
    return text


def has_password(text: str) -> bool:
    """Return whether `without_password` hides something."""
    return without_password(text) != text


def _words(text: str) -> list[re.Match[str]] | None:
    """Return the words (`name=value`) of a connection string that is not a URL; None if it has other text."""
    words, at = list[re.Match[str]](), 0
    text = text.rstrip(" \t")
    while at < len(text):
        match = _WORD.match(text, at)
        if not match:
            return None
        words.append(match)
        at = match.end()
    return words


def _has_clear_password(text: str) -> bool:
    """Return False if libpq reads a part of a URL's password as a host or port: its errors contain these."""
    authority, _, rest = text.partition("/")
    _, at, hosts = authority.partition("@")
    if at or "@" not in rest:
        return "@" not in hosts.partition("?")[0]
    return all(_HOST.fullmatch(host) for host in authority.split(","))


def _hide_in_url(text: str) -> str:
    """Hide the passwords of a URL without its scheme.

    For libpq, a password ends at the first `@`, `/` or `?`: these characters must be escaped in it. If they
    are not, all text up to the last `@` is hidden.
    """
    head, at, rest = text.rpartition("@")
    user, colon, password = head.partition(":")
    if password and "@" not in user:
        text = f"{user}{colon}{HIDDEN}{at}{rest}"
    start, mark, query = text.partition("?")
    return start + mark + "&".join(map(_hide_in_parameter, query.split("&")))


def _hide_in_parameter(text: str) -> str:
    name, _, value = text.partition("=")
    return f"{name}={HIDDEN}" if value and ("%" in name or _SECRET.search(name)) else text
