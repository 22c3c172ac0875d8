"""Hashes for names, not for secrets."""

try:
    # hashlib would bring OpenSSL with it: 3.6 MB of a daemon that has 20.
    from _blake2 import blake2b
except ImportError:
    from hashlib import blake2b


def digest(data: bytes, size: int = 16) -> str:
    """So many bytes' worth of BLAKE2b, as hexadecimal digits: two a byte."""
    return str(blake2b(data, digest_size=size).hexdigest())
