"""Hashes for names, not for secrets."""

try:
    # hashlib would load OpenSSL: 3.6 MB more for a daemon of 20 MB.
    from _blake2 import blake2b
except ImportError:
    from hashlib import blake2b


def digest(data: bytes, size: int = 16) -> str:
    """Return a BLAKE2b hash of `size` bytes as hexadecimal digits."""
    return str(blake2b(data, digest_size=size).hexdigest())


def digest_words(*words: str | bytes, size: int = 16) -> str:
    """Return the digest of the words, joined by NUL bytes. Text is encoded like a path."""
    encoded = (word if isinstance(word, bytes) else word.encode("utf-8", "surrogateescape") for word in words)
    return digest(b"\0".join(encoded), size)


def draw_below(limit: int, *words: str, size: int = 8) -> int:
    """Return a number from 0 to `limit` - 1 from a digest of `size` bytes; equal words give equal numbers."""
    return int(digest_words(*words, size=size), 16) % limit
