"""The view of the database: it gives up a server that is frozen, and knows the server's standbys."""

import pytest

from pycrond.cluster import view, view_connection
from pycrond.errors import PycrondError
from tests.conftest import wait_until
from tests.support.postgres import Postgres, primary, standby

pytestmark = pytest.mark.process


def test_a_frozen_server_is_given_up(
    postgres: Postgres, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view_connection, "TOTAL_TIMEOUT", 1.0)
    with (
        pytest.raises(PycrondError, match=r"^the database has not answered within 1 s$"),
        view.open_view(database) as opened,
    ):
        postgres.freeze()
        try:
            opened.nodes()
        finally:
            postgres.thaw()


def standby_of(conninfo: str) -> str:
    with view.open_view(conninfo) as opened:
        return opened.server().standby


def test_the_standbys_of_a_server(postgres: Postgres, database: str) -> None:
    assert standby_of(database) == "none"
    with primary(fsync=False) as server:
        conninfo = server.conninfo()
        with standby(server, fsync=False):
            assert standby_of(conninfo) == "synchronous"
            server.execute("CREATE ROLE visitor LOGIN")
            assert standby_of(server.conninfo(user="visitor")) == "not readable"
        wait_until(lambda: standby_of(conninfo) == "missing")
