"""The variables MAILTO, MAILFROM and CONTENT_TYPE of a crontab, split and checked. Pure."""

import re

from pycrond.text import quoted

MAX_HEADER_VALUE = 900  # characters; one line in ASCII, so that a filter matches the whole value
_MAX_ADDRESS = 254  # characters (RFC 5321, 4.5.3.1.3)
_DELIMITERS = "@!:%-.,_+=/"  # Debian's list; cronie's lacks = and /
_UNSAFE = re.compile(rf"[^A-Za-z0-9{re.escape(_DELIMITERS)}]")
_UTF8 = re.compile(r';[ \t]*charset="?utf-?8"?[ \t]*(?:;|$)', re.IGNORECASE)
_CONTENT_TYPE = re.compile(
    r"(?!multipart/|message/)[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+(?:[ \t]*;[ -~]*)?", re.IGNORECASE
)


def split_addresses(text: str, domain: str = "") -> list[str]:
    """Return the addresses of a MAILTO. A name without a domain gets `domain`, unless that is empty."""
    addresses = filter(None, (part.strip(" \t") for part in text.split(",")))
    return [name if "@" in name or not domain else f"{name}@{domain}" for name in addresses]


def address_refusal(text: str) -> str | None:
    """Return the reason why the addresses are not used (cronie and Debian's cron: UNSAFE), or None.

    Unlike in cronie and Debian's cron, each address must begin with a letter or a digit: it is an argument of
    the mailer and must not be an option; and blanks may surround a comma.
    """
    addresses = split_addresses(text)
    if not addresses:
        return "there is no address"
    for address in addresses:
        if unsafe := _UNSAFE.search(address):
            return f"unsafe character {quoted(unsafe[0])} in an address"
        if address[0] in _DELIMITERS:
            return f"an address begins with {quoted(address[0])}"
        if len(address) > _MAX_ADDRESS:
            return f"an address of more than {_MAX_ADDRESS} characters"
    return None


def is_utf8(content_type: str) -> bool:
    """Return True if the output is UTF-8, which is the default without a usable CONTENT_TYPE."""
    return not is_content_type(content_type) or _UTF8.search(content_type) is not None


def is_content_type(text: str) -> bool:
    """Return True for a type of a single part with its parameters (RFC 2045, 5.1), in ASCII."""
    return len(text) <= MAX_HEADER_VALUE and _CONTENT_TYPE.fullmatch(text) is not None


def domain_of(host: str) -> str:
    """Return the host's name reduced to the characters that an address and SMTP's EHLO allow."""
    return re.sub(r"[^A-Za-z0-9.-]", "", host).strip(".-") or "localhost"
