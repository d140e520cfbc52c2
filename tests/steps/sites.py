"""A small project on a database of its own, opened as a target: for tests that apply again and again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

from mig_kit.postgres import ConnectionInfo, connect
from mig_kit.project import Worker
from mig_kit.steps.target import Target, open_target
from tests.project.projects import Site

__all__ = ["ITEM", "add_field", "ask", "columns", "held", "open_site", "recorded", "shop"]

ITEM = """
class Item(models.Model):
    title = models.CharField(max_length=40)
"""

_INITIAL = """
initial = True
operations = [
    migrations.CreateModel("Item", [
        ("id", models.BigAutoField(primary_key=True)),
        ("title", models.CharField(max_length=40)),
    ]),
]
"""


def shop(site: Site, database: ConnectionInfo, rows: int = 50) -> Site:
    """Give a site one table with rows, applied by Django itself."""
    site.models("shop", ITEM)
    site.migration("shop", "0001_initial", _INITIAL)
    with closing(connect(database)) as conn, Worker(site.project) as worker:
        worker.call("migrate")
        conn.execute("INSERT INTO shop_item (title) SELECT 'title ' || g FROM generate_series(1, %s) g", [rows])
    return site


def add_field(site: Site, name: str = "0002_a", field: str = "a", parent: str = "0001_initial", more: str = "") -> None:
    """Write a migration that adds a nullable column; ``more``: further operations as Python text."""
    site.migration(
        "shop",
        name,
        f'dependencies = [("shop", {parent!r})]\n'
        f'operations = [migrations.AddField("Item", {field!r}, models.IntegerField(null=True)), {more}]',
    )


def open_site(site: Site) -> Target:
    """Return the site as a target."""
    return open_target(site.folder, python=site.python)


@contextmanager
def held(
    database: ConnectionInfo, statement: str, seconds: float, name: str = "a long report"
) -> Iterator[Callable[[], None]]:
    """Hold what a statement locks, in a transaction, for some time from now on; gives what ends it before."""
    with closing(connect(database, application_name=name)) as conn:
        conn.execute("BEGIN")
        conn.execute(statement.encode())
        timer = threading.Timer(seconds, lambda: conn.close())
        timer.start()
        try:
            yield conn.close
        finally:
            timer.cancel()


def ask(database: ConnectionInfo, statement: str) -> list[tuple[Any, ...]]:
    """Return the rows that a statement gives, now."""
    with closing(connect(database)) as conn:
        cursor = conn.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def columns(database: ConnectionInfo, table: str = "shop_item") -> set[str]:
    """Return a table's columns."""
    found = f"SELECT attname FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped"
    return {row[0] for row in ask(database, found)}


def recorded(database: ConnectionInfo) -> set[str]:
    """Return the names of the shop's recorded migrations."""
    return {row[0] for row in ask(database, "SELECT name FROM django_migrations WHERE app = 'shop'")}
