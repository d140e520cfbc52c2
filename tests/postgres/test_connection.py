"""connect, against the embedded PostgreSQL 18."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mig_kit.errors import MigKitError, WrongPassword
from mig_kit.postgres import ConnectionInfo, Server, connect, server_version
from mig_kit.secret import Secret


def test_connects_and_names_itself(database: ConnectionInfo) -> None:
    with connect(database, application_name="mig_kit verify") as conn:
        row = conn.execute("SELECT current_database(), current_setting('application_name')").fetchone()
        assert row == (database.dbname, "mig_kit verify")
        assert conn.autocommit


def test_tells_the_servers_version(server: Server) -> None:
    with connect(server.info) as conn:
        assert server_version(conn) == server.binaries.version


def test_takes_on_the_assumed_role(database: ConnectionInfo) -> None:
    with connect(database) as conn:
        conn.execute('CREATE ROLE "the owner"')
    assumed = replace(database, options={"options": "-c role=the\\ owner"})
    with connect(assumed) as conn:
        assert conn.execute("SELECT current_user").fetchone() == ("the owner",)
    with connect(database) as conn:
        conn.execute('DROP ROLE "the owner"')


def test_an_error_leads_to_nothing_that_knows_the_password(database: ConnectionInfo) -> None:
    """psycopg's exception keeps the connection's parameters, so it must not hang on ours as its cause."""
    wrong = replace(database, password=Secret("hunter2"))
    with pytest.raises(WrongPassword) as caught:
        connect(wrong)
    error: BaseException | None = caught.value
    while error is not None:
        assert isinstance(error, MigKitError)
        assert "hunter2" not in f"{error}{vars(error)}"
        error = error.__cause__ or error.__context__
