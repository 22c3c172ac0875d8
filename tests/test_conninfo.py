"""Passwords in connection strings, which are never shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycrond.conninfo import HIDDEN, check, has_password, without_password


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "postgresql://u:secret@h1,h2:5433/db?sslmode=require",
            "postgresql://u:*****@h1,h2:5433/db?sslmode=require",
        ),
        ("postgres://u:secret@h", "postgres://u:*****@h"),
        ("postgresql://:secret@h/db", "postgresql://:*****@h/db"),
        ("postgresql://h/db?user=u&password=secret&x=y", "postgresql://h/db?user=u&password=*****&x=y"),
        ("postgresql://h/db?sslpassword=secret", "postgresql://h/db?sslpassword=*****"),
        ("postgresql://h/db?pass%77ord=secret", "postgresql://h/db?pass%77ord=*****"),
        # A password with characters that must be escaped.
        ("postgresql://u:se/cret@h/db", "postgresql://u:*****@h/db"),
        ("postgresql://u:sec@ret@h/db", "postgresql://u:*****@h/db"),
        ("postgresql://u:se?cret@h/db", "postgresql://u:*****@h/db"),
        ("host=h password=secret user=u", "host=h password=***** user=u"),
        ("host=h password = secret", "host=h password = *****"),
        (r"password='se \'cret'  host=h", "password=*****  host=h"),
        (r"password=se\ cret host=h", "password=***** host=h"),
        (
            "host=h sslpassword=secret oauth_client_secret=secret",
            "host=h sslpassword=***** oauth_client_secret=*****",
        ),
        ("secret", "*****"),
        ("host=h password='secret", "*****"),
    ],
)
def test_a_password_is_hidden(text: str, shown: str) -> None:
    assert without_password(text) == shown
    assert has_password(text)
    assert without_password(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        *("postgresql://u@h/db", "postgresql://", "postgresql://u:@h/db", "postgresql://[::1]:5432,h:1/db"),
        *("postgresql:///db?user=a@b&passfile=/f", "postgresql://h:1/db?target_session_attrs=read-write"),
        *(
            "service=cron",
            "host='/run/pg' passfile=/f dbname=db",
            "password=",
            "password='' host=h",
            "",
            " host=h ",
        ),
    ],
)
def test_without_a_password_all_is_shown(text: str) -> None:
    assert without_password(text) == text
    check(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("jobs", "neither a URL"),
        ("http://u:secret@h", "neither a URL"),
        ("host=h secret", "neither a URL"),
        ("host=h\npassword=secret", "one line"),
        ("host='h", "neither a URL"),
        ("postgresql://u:secret/1@h/db", "must be written as %2F"),
        ("postgresql://u:sec/ret:1@h/db", "must be written as %2F"),
        ("postgresql://u:1@secret@h/db", "must be written as %2F"),
    ],
)
def test_errors_do_not_contain_the_text(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        check(text)
    assert "secret" not in str(error.value)


@given(st.text("abc/:@?&=%'\\\\ .", max_size=8).map(lambda text: f"QZ{text}QZ"))
def test_no_password_of_a_url_is_shown(password: str) -> None:
    """This includes passwords with characters that have another meaning for libpq."""
    shown = without_password(f"postgresql://u:{password}@h1,h2/db?x=y")
    assert "QZ" not in shown
    assert HIDDEN in shown


@given(st.text("abc/:@?&=%'\\\\ .", max_size=8).map(lambda text: f"QZ{text}QZ"))
def test_no_password_in_words_is_shown(password: str) -> None:
    escaped = password.replace("\\", "\\\\").replace("'", "\\'")
    assert without_password(f"host=h password='{escaped}' user=u") == "host=h password=***** user=u"


@pytest.mark.parametrize(
    "text",
    [
        *(
            "postgresql://u:a?b@h/db",
            "postgresql://h:1,[::1]:2/db?user=a@b",
            "postgresql://u:p@h/db?user=a@b",
        ),
        *("postgresql://u:%40%2F@h/db", "postgresql://u:p@h?user=a@b", "postgresql://h,[::1]:1/db?user=%40b"),
    ],
)
def test_what_libpq_reads_without_an_error_is_accepted(text: str) -> None:
    check(text)


@pytest.mark.parametrize(
    "text", ["postgresql://u:se%cret@h/d", "postgresql://u:a%@h", "postgresql://u:%00@h/d"]
)
def test_a_percent_sign_of_which_libpq_would_print_what_follows_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a % must be written as %25"):
        check(text)
