"""How PostgreSQL's programs get a password: the embedded PostgreSQL 18 with passwords that need escaping."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from mig_kit.errors import DatabaseError
from mig_kit.postgres import ConnectionInfo, connect, find_binaries
from mig_kit.postgres.credentials import tool_connection
from mig_kit.secret import Secret


@pytest.mark.parametrize("password", ["pl41n-one", r"a:b\c d'e\"", "pässwörd €", " sp4ces "])
def test_a_program_gets_in_with_any_password_and_shows_it_nowhere(
    database: ConnectionInfo, password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "a wrong one in the environment")
    with connect(database) as conn:
        conn.execute("DROP ROLE IF EXISTS tool")
        quoted = password.replace("'", "''")
        conn.execute(f"CREATE ROLE tool LOGIN SUPERUSER PASSWORD '{quoted}'".encode())
    try:
        with tool_connection(replace(database, user="tool", password=Secret(password))) as (
            conninfo,
            environment,
        ):
            assert password not in conninfo
            assert not any(password in value for name, value in environment.items() if name.startswith("PG"))
            path = Path(environment["PGPASSFILE"])
            assert path.stat().st_mode & 0o777 == 0o600
            subprocess.run(
                [find_binaries(18).tool("pg_dump"), "--no-password", f"--dbname={conninfo}"],
                env=environment,
                check=True,
                capture_output=True,
            )
        assert not path.parent.exists()
    finally:
        with connect(database) as conn:
            conn.execute("DROP ROLE tool")


def test_keeps_a_keys_password_out_of_the_process_list() -> None:
    info = ConnectionInfo("h", 1, "d", "u", options={"sslpassword": "key-secret", "sslmode": "require"})
    with tool_connection(info) as (conninfo, environment):
        assert "key-secret" not in conninfo
        assert "service=mig_kit" in conninfo
        assert Path(environment["PGSERVICEFILE"]).read_text() == "[mig_kit]\nsslpassword=key-secret\n"


def test_leaves_the_users_own_password_sources_alone_when_no_password_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PGPASSWORD", "from outside")
    with tool_connection(ConnectionInfo("h", 1, "d", "u")) as (conninfo, environment):
        assert environment["PGPASSWORD"] == os.environ["PGPASSWORD"]
        assert "PGPASSFILE" not in set(environment) - set(os.environ)
        assert "password" not in conninfo


def test_refuses_a_password_that_no_file_can_hold() -> None:
    with (
        pytest.raises(DatabaseError, match="holds a line break"),
        tool_connection(ConnectionInfo(password=Secret("a\nb"))),
    ):
        pass
