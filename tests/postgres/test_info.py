"""ConnectionInfo; no database needed."""

from __future__ import annotations

from typing import Any

import pytest

from mig_kit.errors import DatabaseError, NotPostgreSQL, UsageError
from mig_kit.postgres import ConnectionInfo
from mig_kit.secret import Secret

DJANGO: dict[str, Any] = {
    "ENGINE": "django.db.backends.postgresql",
    "NAME": "portfolio",
    "USER": "app",
    "PASSWORD": "s3cr:et",
    "HOST": "db.example.org",
    "PORT": "5433",
    "OPTIONS": {"sslmode": "require", "pool": True, "server_side_binding": True, "isolation_level": 3},
}


def test_reads_djangos_settings_and_keeps_only_libpqs_options() -> None:
    info = ConnectionInfo.from_django(DJANGO)
    assert (info.host, info.port, info.dbname, info.user) == ("db.example.org", 5433, "portfolio", "app")
    assert info.password.reveal() == "s3cr:et"
    assert dict(info.options) == {"sslmode": "require"}
    assert info.params() == {
        "host": "db.example.org",
        "port": 5433,
        "dbname": "portfolio",
        "user": "app",
        "password": "s3cr:et",
        "sslmode": "require",
        "client_encoding": "UTF8",
    }


def test_shows_no_password_anywhere_in_text() -> None:
    info = ConnectionInfo.from_django({**DJANGO, "OPTIONS": {"sslpassword": "key-secret"}})
    assert info.safe == "postgresql://app@db.example.org:5433/portfolio"
    assert repr(info) == "<ConnectionInfo postgresql://app@db.example.org:5433/portfolio>"
    assert "s3cr" not in f"{info!r}{info}{info.safe}{info.address}"
    assert "key-secret" not in f"{info!r}{info}{info.safe}"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"NAME": None}, "postgres"),
        ({"NAME": "", "OPTIONS": {"service": "shop"}}, ""),
        ({"NAME": "named", "OPTIONS": {"dbname": "in options"}}, "in options"),
    ],
)
def test_finds_the_database_name_where_django_does(settings: dict[str, Any], expected: str) -> None:
    assert ConnectionInfo.from_django(settings).dbname == expected


def test_turns_assume_role_into_a_setting_that_pg_dump_takes_too() -> None:
    options = {"assume_role": "the owner", "options": "-c a=b"}
    info = ConnectionInfo.from_django({"NAME": "x", "OPTIONS": options})
    assert info.options["options"] == "-c a=b -c role=the\\ owner"


@pytest.mark.parametrize("engine", ["django.db.backends.sqlite3", "django.db.backends.mysql", "mssql"])
def test_refuses_another_kind_of_database(engine: str) -> None:
    with pytest.raises(NotPostgreSQL) as caught:
        ConnectionInfo.from_django({"ENGINE": engine, "NAME": "shop"})
    assert caught.value.message == f"The database 'shop' is of {engine}, not PostgreSQL."


def test_takes_a_wrapped_postgresql_engine() -> None:
    info = ConnectionInfo.from_django({**DJANGO, "ENGINE": "django.contrib.gis.db.backends.postgis"})
    assert info.port == 5433


def test_refuses_a_port_that_is_no_number() -> None:
    with pytest.raises(DatabaseError, match="The port 'abc' is not a number between 1 and 65535"):
        ConnectionInfo.from_django({**DJANGO, "PORT": "abc"})


def test_leaves_several_ports_to_libpq() -> None:
    info = ConnectionInfo.from_django({**DJANGO, "HOST": "a,b", "PORT": "5432,5433"})
    assert info.port is None
    assert info.params()["port"] == "5432,5433"


@pytest.mark.parametrize(
    ("info", "safe"),
    [
        (ConnectionInfo(), "postgresql:///"),
        (ConnectionInfo("::1", 5432, "ä b", "o'neil@x"), "postgresql://o%27neil%40x@[::1]:5432/ä%20b"),
        (ConnectionInfo("/run/pg", 5433, "d"), "postgresql://:5433/d?host=/run/pg"),
        (ConnectionInfo(options={"service": "shop"}), "postgresql:///?service=shop"),
    ],
)
def test_shows_each_kind_of_address(info: ConnectionInfo, safe: str) -> None:
    assert info.safe == safe


@pytest.mark.parametrize(
    ("info", "local"),
    [
        (ConnectionInfo(), True),
        (ConnectionInfo("/run/postgresql"), True),
        (ConnectionInfo("127.0.0.1"), True),
        (ConnectionInfo("db.example.org"), False),
        (ConnectionInfo("localhost,db.example.org"), False),
        (ConnectionInfo("localhost", options={"hostaddr": "10.0.0.1"}), False),
        (ConnectionInfo(options={"service": "shop"}), False),
    ],
)
def test_knows_what_is_surely_local(info: ConnectionInfo, local: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGHOST", raising=False)
    assert info.is_local is local


def test_goes_to_another_database_with_the_same_account() -> None:
    info = ConnectionInfo("h", 1, "a", "u", Secret("p"), {"sslmode": "require"})
    assert info.with_dbname("b") == ConnectionInfo("h", 1, "b", "u", Secret("p"), {"sslmode": "require"})
    assert hash(info) != hash(info.with_dbname("b"))


def test_reads_an_address_as_libpq_does() -> None:
    info = ConnectionInfo.from_url("postgresql://me:s3cret@db.example.org:5433/shop?sslmode=require")
    assert (info.host, info.port, info.dbname, info.user) == ("db.example.org", 5433, "shop", "me")
    assert info.password.reveal() == "s3cret"
    assert info.options == {"sslmode": "require"}
    assert ConnectionInfo.from_url("postgresql://db.example.org").dbname == "postgres"
    assert ConnectionInfo.from_url("host=/run/postgresql dbname=a").host == "/run/postgresql"
    assert ConnectionInfo.from_url("postgresql://a:1,b:2/x").options == {"port": "1,2"}


@pytest.mark.parametrize("text", ["", "shop", "postgresql://me:s3cret@[", "mysql://me:s3cret@host/x", "a=b s3cret"])
def test_what_is_no_address_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        ConnectionInfo.from_url(text)
    assert str(caught.value) == (
        "That is no address of a PostgreSQL server.\nNext: write postgresql://user@host:port/database"
    )
    assert caught.value.__context__ is None
