"""Ctrl-C, as a real signal to a real process, in the middle of a step (embedded PostgreSQL 18)."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from mig_kit.demo import Demo
from mig_kit.postgres import connect
from tests.cli.commands import Cli, interrupt, running

SLOW = """
from django.db import migrations, models

class Migration(migrations.Migration):
    dependencies = [("contact", "0004_subscriber")]
    operations = [
        migrations.AddField("subscriber", "slow", models.TextField(null=True)),
        migrations.RunSQL("SELECT pg_sleep(120)"),
    ]
"""


def until(condition: Callable[[], Any], what: str, seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.1)
    pytest.fail(f"waited {seconds:.0f} s for {what}")


@pytest.fixture
def database(demo: Demo) -> Any:
    with connect(demo.database) as connection:
        yield connection


def sessions(database: psycopg.Connection[Any], like: str) -> int:
    sql = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE %s AND state = 'active' AND pid <> pg_backend_pid()"
    row = database.execute(sql, [like]).fetchone()
    return int(row[0])


def columns(database: psycopg.Connection[Any]) -> list[str]:
    sql = "SELECT column_name FROM information_schema.columns WHERE table_name = 'contact_subscriber'"
    return [row[0] for row in database.execute(sql).fetchall()]


@pytest.mark.parametrize(("number", "code"), [(2, 130), (15, 143)], ids=["SIGINT", "SIGTERM"])
def test_an_interrupted_apply_is_rolled_back_and_says_where_it_stands(
    copy: Path, database: psycopg.Connection[Any], number: int, code: int
) -> None:
    (copy / "backend" / "apps" / "contact" / "migrations" / "0005_slow.py").write_text(SLOW)
    with running("apply", "contact", "--project", copy) as process:
        until(lambda: sessions(database, "SELECT pg_sleep(120)%"), "the slow statement")
        ended = interrupt(process, number=number)
    assert (ended.code, ended.out) == (code, "")
    assert ended.err.splitlines()[-1] == (
        "contact.0005_slow failed: it was interrupted. Applied: none. Not begun: none."
    )
    assert sessions(database, "SELECT pg_sleep(120)%") == 0
    assert "slow" not in columns(database)
    applied = database.execute("SELECT count(*) FROM django_migrations WHERE name = '0005_slow'").fetchone()
    assert applied == (0,)


def test_an_interrupted_backup_leaves_nothing(
    copy: Path, demo: Demo, database: psycopg.Connection[Any], cli: Cli
) -> None:
    with connect(demo.database, autocommit=False) as blocker:
        blocker.execute("LOCK TABLE contact_message IN ACCESS EXCLUSIVE MODE")  # the dump waits for it
        with running("backup", "--project", copy) as process:
            waiting = "SELECT 1 FROM pg_locks WHERE NOT granted"
            until(lambda: database.execute(waiting).fetchone(), "the dump to wait")
            ended = interrupt(process)
        blocker.rollback()
    assert (ended.code, ended.out) == (130, "")
    assert ended.err == "Interrupted: no backup was made, and nothing of it was left.\n"
    assert list(copy.glob(".tmp/backups/*")) + list(copy.glob(".tmp/backups/.*")) == []
    assert cli("backup", "--list", "--json", "--project", copy).document["backups"] == []


def test_an_interrupted_query_says_so_as_json(copy: Path, database: psycopg.Connection[Any]) -> None:
    with running("query", "SELECT pg_sleep(120)", "--json", "--project", copy) as process:
        until(lambda: sessions(database, "SELECT pg_sleep(120)%"), "the query")
        ended = interrupt(process)
    assert ended.code == 130
    assert ended.error == {
        "kind": "Interrupted",
        "message": "Interrupted; nothing was changed.",
        "hint": "",
        "exit_code": 130,
    }
    until(lambda: sessions(database, "SELECT pg_sleep(120)%") == 0, "the query to end on the server", 10)
