"""The hosts of a connection string, and their look-up."""

import pytest
from psycopg import OperationalError
from psycopg.conninfo import conninfo_to_dict

from pycrond.cluster.database_hosts import DEFAULTS, Hosts, conninfo_of, name_of, refusal
from pycrond.cluster.dns_lookup import Lookup
from tests.conftest import wait_until


@pytest.mark.parametrize(
    ("conninfo", "expected"),
    [
        ("dbname=x", [()]),  # libpq has the host from PGHOST, or a socket's directory
        ("host=a,b port=1,2", [("a", None, "1"), ("b", None, "2")]),
        ("host=a,b port=1", [("a", None, "1"), ("b", None, "1")]),
        ("postgresql://u@a:1,b/x", [("a", None, "1"), ("b", None, None)]),
        ("host=a,b hostaddr=10.0.0.1,10.0.0.2", [("a", "10.0.0.1", None), ("b", "10.0.0.2", None)]),
        ("hostaddr=10.0.0.1", [(None, "10.0.0.1", None)]),
    ],
)
def test_hosts_are_tried_in_turn(conninfo: str, expected: list[tuple[str | None, ...]]) -> None:
    hosts = Hosts(conninfo, "one")
    for host in expected:
        given = hosts.next()
        assert tuple(given.get(name) for name in ("host", "hostaddr", "port") if host) == host
        assert given["application_name"] == "pycrond one"
        assert given["target_session_attrs"] == "read-write"
    assert not hosts.has_untried


def test_the_host_that_answered_is_the_first() -> None:
    hosts = Hosts("host=a,b,c", "one")
    assert [hosts.next()["host"], hosts.has_untried, hosts.next()["host"]] == ["a", True, "b"]
    hosts.succeeded()
    assert [hosts.next()["host"] for _ in range(3)] == ["b", "c", "a"]
    assert [hosts.has_untried, hosts.rounds, hosts.next() and hosts.rounds] == [False, 0, 1]


def test_given_parameters_are_kept() -> None:
    host = Hosts("host=a keepalives_idle=60 target_session_attrs=any application_name=x", "one").next()
    assert host == {
        **DEFAULTS,
        "host": "a",
        "keepalives_idle": "60",
        "target_session_attrs": "any",
        "application_name": "x",
        "client_encoding": "UTF8",
    }
    assert Hosts("service=mine", "one").next().keys() == {"service", "application_name", "client_encoding"}


@pytest.mark.parametrize(
    ("conninfo", "reason"),
    [
        ("postgresql://u:se?cret@db/x?sslmod=x", 'invalid URI query parameter: "sslmod"'),
        ("host=db password='se cret' foo=x", 'invalid connection option "foo"'),
        ("password=se cret", 'missing "=" after "*****" in connection info string'),
    ],
)
def test_the_word_that_is_wrong_is_named_and_no_password(conninfo: str, reason: str) -> None:
    assert refusal(conninfo) == f"the setting `cluster` is not a connection string of PostgreSQL: {reason}"


def test_addresses() -> None:
    host = {"host": "db", "port": "1"}
    given = conninfo_to_dict(conninfo_of(host, ["10.0.0.1", "10.0.0.2", "10.0.0.3"], 4))
    assert given == {"host": "db,db,db", "port": "1,1,1", "hostaddr": "10.0.0.2,10.0.0.3,10.0.0.1"}
    assert conninfo_to_dict(conninfo_of(host, [])) == host


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ({"host": "db.example"}, "db.example"),
        ({"host": "/run/postgresql"}, ""),
        ({"host": "10.0.0.1"}, ""),
        ({"host": "::1"}, ""),
        ({"host": "db.example", "hostaddr": "10.0.0.1"}, ""),
        ({}, ""),
    ],
)
def test_names_are_looked_up(host: dict[str, str], name: str) -> None:
    assert name_of(host) == name


def test_a_look_up() -> None:
    lookup = Lookup()
    results: list[list[str]] = []

    def take(name: str) -> bool:
        results.extend([found] if (found := lookup.result(name)) else [])
        return bool(results)

    lookup.begin("localhost")
    wait_until(lambda: take("localhost"))
    assert set(results[0]) <= {"127.0.0.1", "::1"}
    assert lookup.result("localhost") is None
    results.clear()
    lookup.begin("nothing.invalid")
    with pytest.raises(OperationalError, match=r"cannot look nothing\.invalid up: "):
        wait_until(lambda: take("nothing.invalid"))
    lookup.close()
