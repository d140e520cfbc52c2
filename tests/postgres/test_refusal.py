"""Why a connection was refused, by the embedded PostgreSQL 18 and by a 15 that speaks German."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from mig_kit.errors import DatabaseError, DatabaseNotFound, ServerUnreachable, WrongPassword
from mig_kit.postgres import ConnectionInfo, Server, connect, postmaster
from mig_kit.secret import Secret
from tests.servers import pg_server


@pytest.fixture(scope="module")
def german(server15: Server) -> Iterator[Server]:
    """A server that speaks German: Debian's packages bring the words, C.UTF-8 lets LANGUAGE choose them."""
    with pytest.MonkeyPatch.context() as patch, pg_server(15) as server:
        server.stop()
        plain = postmaster.environment()
        patch.setattr(postmaster, "environment", lambda: {**plain, "LC_ALL": "C.UTF-8", "LANGUAGE": "de"})
        with (server.cluster / "postgresql.auto.conf").open("a") as file:
            file.write("lc_messages = 'C.UTF-8'\n")
        server.start()
        with connect(server.info) as conn, pytest.raises(psycopg.Error) as caught:
            conn.execute("SELECT * FROM nowhere")
        if "existiert nicht" not in str(caught.value):
            pytest.skip("this PostgreSQL 15 has no German messages")
        yield server


@pytest.fixture(params=["trace", "text"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to the reason: the protocol trace, and English text where there is none."""
    if request.param == "text":
        monkeypatch.delattr(os, "memfd_create", raising=False)
    return str(request.param)


def rewrite_hba(server: Server, text: str) -> None:
    path = server.cluster / "pg_hba.conf"
    path.write_text(text)
    with connect(server.info) as conn:
        conn.execute("SELECT pg_reload_conf()")


@pytest.mark.usefixtures("way")
def test_a_wrong_password_is_named_as_that(server: Server) -> None:
    info = replace(server.info, password=Secret("nope"))
    with pytest.raises(WrongPassword) as caught:
        connect(info)
    assert caught.value.message == (
        f"The server at 127.0.0.1:{info.port} refuses the user 'postgres' or their password."
    )
    hint = "check USER and PASSWORD in the project's DATABASES, or in the .env file it reads"
    assert caught.value.hint == hint


def test_a_missing_password_is_named_as_that(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGPASSWORD", raising=False)
    monkeypatch.setenv("PGPASSFILE", "/nonexistent")
    with pytest.raises(WrongPassword) as caught:
        connect(replace(server.info, password=Secret()))
    assert caught.value.message == (
        f"The server at 127.0.0.1:{server.info.port} asks for the password of the user 'postgres', and none was given."
    )


@pytest.mark.usefixtures("way")
def test_a_database_that_is_not_there_is_named(server: Server) -> None:
    with pytest.raises(DatabaseNotFound) as caught:
        connect(server.info.with_dbname("no such ä"))
    assert caught.value.message == f"The server at 127.0.0.1:{server.info.port} has no database 'no such ä'."


def test_a_server_that_is_down_is_unreachable() -> None:
    port = postmaster.free_port()
    with pytest.raises(ServerUnreachable) as caught:
        connect(ConnectionInfo("127.0.0.1", port, "x", "y"))
    assert caught.value.message == f"No PostgreSQL server answers at 127.0.0.1:{port}: Connection refused."
    assert caught.value.hint == "start the server, or check HOST and PORT in the project's DATABASES"


def test_a_missing_socket_is_unreachable(tmp_path: Path) -> None:
    with pytest.raises(ServerUnreachable, match="No such file or directory"):
        connect(ConnectionInfo(str(tmp_path), 5432, "x", "y"))


def test_a_host_that_no_name_server_knows_is_unreachable() -> None:
    with pytest.raises(ServerUnreachable, match=r"answers at nowhere\.invalid:5432"):
        connect(ConnectionInfo("nowhere.invalid", None, "x", "y"), connect_timeout=5)


def test_a_server_that_says_nothing_is_unreachable_after_the_timeout() -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        info = ConnectionInfo("127.0.0.1", mute.getsockname()[1], "x", "y")
        with pytest.raises(ServerUnreachable, match="no answer within 2 s"):
            connect(info, connect_timeout=2)


def test_an_option_libpq_does_not_take_is_named(server: Server) -> None:
    with pytest.raises(DatabaseError, match='invalid sslmode value: "sometimes"'):
        connect(replace(server.info, options={"sslmode": "sometimes"}))


def test_a_server_without_ssl_is_named_when_ssl_is_demanded(server: Server) -> None:
    with pytest.raises(DatabaseError) as caught:
        connect(replace(server.info, options={"sslmode": "require"}))
    assert type(caught.value) is DatabaseError
    assert "server does not support SSL, but SSL was required" in caught.value.message


@pytest.mark.usefixtures("way")
def test_a_rejection_by_pg_hba_is_passed_on_and_not_called_a_wrong_password(server: Server) -> None:
    before = (server.cluster / "pg_hba.conf").read_text()
    try:
        rewrite_hba(server, "host template1 all 127.0.0.1/32 reject\n" + before)
        with pytest.raises(DatabaseError) as caught:
            connect(server.info.with_dbname("template1"))
    finally:
        rewrite_hba(server, before)
    assert type(caught.value) is DatabaseError
    assert "pg_hba.conf rejects connection" in caught.value.message
    assert "pg_hba.conf" in caught.value.hint


@pytest.mark.usefixtures("way")
def test_an_unknown_role_where_no_password_is_asked_is_a_refused_user(server: Server) -> None:
    before = (server.cluster / "pg_hba.conf").read_text()
    try:
        rewrite_hba(server, "host template1 all 127.0.0.1/32 trust\n" + before)
        with pytest.raises(WrongPassword, match='role "stranger" does not exist'):
            connect(replace(server.info, user="stranger", dbname="template1"))
    finally:
        rewrite_hba(server, before)


def test_no_right_to_connect_keeps_the_servers_words(server: Server, database: ConnectionInfo) -> None:
    with connect(database) as conn:
        conn.execute(f'REVOKE CONNECT ON DATABASE "{database.dbname}" FROM public')
        conn.execute("CREATE ROLE guest LOGIN PASSWORD 'guest'")
    try:
        with pytest.raises(DatabaseError) as caught:
            connect(replace(database, user="guest", password=Secret("guest")))
    finally:
        with connect(database) as conn:
            conn.execute("DROP ROLE guest")
    assert type(caught.value) is DatabaseError
    assert "permission denied for database" in caught.value.message
    assert caught.value.hint == "grant the user CONNECT on the database, or use another user"


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="the SQLSTATE is only to be had on Linux")
def test_understands_a_german_server(german: Server) -> None:
    with pytest.raises(WrongPassword):
        connect(replace(german.info, password=Secret("falsch")))
    with pytest.raises(DatabaseNotFound):
        connect(german.info.with_dbname("nichts"))
    before = (german.cluster / "pg_hba.conf").read_text()
    rewrite_hba(german, "host template1 all 127.0.0.1/32 reject\n" + before)
    with pytest.raises(DatabaseError) as caught:
        connect(german.info.with_dbname("template1"))
    assert type(caught.value) is DatabaseError
    assert re.search("pg_hba.conf lehnt .* ab", caught.value.message)


def test_a_server_that_demands_ssl_is_quoted(ssl_server: Server) -> None:
    with pytest.raises(DatabaseError) as caught:
        connect(replace(ssl_server.info, options={"sslmode": "disable"}))
    assert type(caught.value) is DatabaseError
    assert "no encryption" in caught.value.message
    with connect(ssl_server.info) as conn:
        assert conn.pgconn.ssl_in_use


def test_a_certificate_that_cannot_be_verified_is_not_a_server_that_is_down(ssl_server: Server) -> None:
    options = {"sslmode": "verify-full", "sslrootcert": "/nonexistent/root.crt"}
    with pytest.raises(DatabaseError) as caught:
        connect(replace(ssl_server.info, options=options))
    assert type(caught.value) is DatabaseError
    assert "root certificate file" in caught.value.message
