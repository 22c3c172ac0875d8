from hashlib import blake2b

import pytest

from pycrond.crontab.parser import parse
from pycrond.jobs.job import make_jobs


def keys(text: str, user: str = "me", *, system: bool = False) -> list[str]:
    return [job.key for job in make_jobs(parse(text.encode(), "f", system=system).entries, user)]


def digits(*parts: str) -> str:
    return blake2b("\0".join(parts).encode(), digest_size=6).hexdigest()


def test_a_key_is_made_from_what_the_entry_says() -> None:
    assert keys("*/5  * * * *   echo hi\n") == [f"me/{digits('me', '*/5 * * * *', 'echo hi')}"]
    assert keys("@daily x\n") == [f"me/{digits('me', '@daily', 'x')}"]


def test_a_name_is_a_key() -> None:
    assert keys("#: name=backup\n@daily x\n") == ["me/backup"]


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ("@daily x\n@hourly y\n", "@hourly y\n@daily x\n", "moved"),
        ("5 5 * * * x\n", "\n# c\n  5\t5  * * *  x\n", "re-indented"),
        ("@daily x\n", "A=b\nPYCROND_TIMEOUT=5m\n@daily x\n", "what surrounds it"),
        ("@daily x\n", "#: timeout=5m\n@daily x\n", "options are no part of it"),
        ("@daily x\n", "@daily -n x\n", "nor are flags"),
    ],
)
def test_keys_stay(before: str, after: str, why: str) -> None:
    assert sorted(keys(before)) == sorted(keys(after)), why


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        ("@daily x\n", "@daily y\n", "the command"),
        ("@daily x\n", "0 0 * * * x\n", "the schedule's text"),
        ("@daily x\n", "@daily x%input\n", "the standard input"),
    ],
)
def test_keys_differ(first: str, second: str, why: str) -> None:
    assert keys(first) != keys(second), why
    assert keys(first) != keys(first, "you")


def test_exact_duplicates_are_counted() -> None:
    key = f"me/{digits('me', '@daily', 'x')}"
    assert keys("@daily x\n" * 3 + "@daily y\n")[:3] == [key, f"{key}-2", f"{key}-3"]


def test_a_second_entry_with_the_same_name_gets_a_hash() -> None:
    text = "#: name=a\n@daily x\n#: name=a\n@daily y\n#: name=a\n@daily y\n"
    key = f"me/{digits('me', '@daily', 'y')}"
    assert keys(text) == ["me/a", key, f"{key}-2"]


def test_a_name_that_looks_like_a_hash() -> None:
    key = digits("me", "@daily", "x")
    assert keys(f"#: name={key}\n@daily y\n@daily x\n") == [f"me/{key}", f"me/{key}-2"]


def test_the_user_column_is_the_user() -> None:
    (job,) = make_jobs(parse(b"@daily bob x\n", "f", system=True).entries, "root")
    assert (job.user, job.key) == ("bob", f"bob/{digits('bob', '@daily', 'x')}")
    assert keys("#: name=a\n@daily bob x\n#: name=a\n@daily eve x\n", system=True) == ["bob/a", "eve/a"]


def test_bytes_that_are_not_utf8() -> None:
    (job,) = make_jobs(parse(b"@daily \xff\n", "f").entries, "me")
    assert job.key == "me/" + blake2b(b"me\0@daily\0\xff", digest_size=6).hexdigest()
