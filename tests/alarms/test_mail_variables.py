"""MAILTO and MAILFROM: addresses that cannot be options or headers."""

import pytest

from pycrond.alarms.mail_variables import address_refusal, domain_of, split_addresses


@pytest.mark.parametrize(
    "text",
    [
        "root",
        "ops@example.org",
        "a.b-c_d+cron@mx1.example.org",
        "a@example.org,b",
        "a@example.org, b",  # cronie and Debian's cron accept no blank
        "a ,\tb,",
        "host!user",
        "user%host@relay",
        "a=b/c@example.org",  # as in Debian's cron, not in cronie
        "7@example.org",
    ],
)
def test_safe_addresses(text: str) -> None:
    assert address_refusal(text) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "there is no address"),
        (" , ", "there is no address"),
        ("-oQ/tmp", "an address begins with '-'"),
        ("a,-oQ/tmp", "an address begins with '-'"),  # each address is a separate argument
        ("@a", "an address begins with '@'"),
        ("a,/etc/passwd", "an address begins with '/'"),
        ("a;reboot", "unsafe character ';' in an address"),
        ("|reboot", "unsafe character '|' in an address"),
        ("a b", "unsafe character ' ' in an address"),
        ("a\nBcc: b", "unsafe character '\\n' in an address"),
        ("a\n", "unsafe character '\\n' in an address"),
        ("A <a@b>", "unsafe character ' ' in an address"),
        ("größe@b", "unsafe character 'ö' in an address"),
        ("\uff41@b", "unsafe character 'ａ' in an address"),  # noqa: RUF001 -- a letter, but not of ASCII
        ("\0", "unsafe character '\\x00' in an address"),
        ("a" * 255, "an address of more than 254 characters"),
    ],
)
def test_unsafe_addresses(text: str, why: str) -> None:
    assert address_refusal(text) == why


def test_bare_names_get_a_domain_for_smtp() -> None:
    assert split_addresses("root, a@b", "web1") == ["root@web1", "a@b"]


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("web1", "web1"),
        ("web1.example.org", "web1.example.org"),
        ("a_b\n", "ab"),
        ("", "localhost"),
        ("é.x", "x"),
    ],
)
def test_domain_of(host: str, domain: str) -> None:
    assert domain_of(host) == domain
