"""A plan with every kind of migration in it, and databases before and after it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psycopg import sql

from mig_kit.postgres import ConnectionInfo, Server, connect
from mig_kit.postgres.schema import Schema, read_schema, schema_changes
from mig_kit.record import Journal
from tests.project.projects import Site, make_site
from tests.steps.sites import open_site, shop

__all__ = ["Plan", "Stand", "every_kind"]

ATOMIC = """
dependencies = [("shop", "0001_initial")]
operations = [
    migrations.AddField("Item", "price", models.IntegerField(default=3)),
    migrations.RunSQL("UPDATE shop_item SET price = id", migrations.RunSQL.noop),
]
"""

DEFERRED = """
dependencies = [("shop", "0002_atomic")]
operations = [
    migrations.CreateModel("Part", [
        ("id", models.BigAutoField(primary_key=True)),
        ("item", models.ForeignKey("shop.item", models.CASCADE)),
        ("name", models.CharField(max_length=10, db_index=True)),
    ]),
    migrations.AddField("Item", "parent", models.ForeignKey("shop.item", models.CASCADE, null=True)),
]
"""

PARTS = """
atomic = False
dependencies = [("shop", "0003_deferred")]
operations = [
    migrations.AddField("Item", "code", models.IntegerField(db_index=True, default=7)),
    migrations.RunSQL(
        ["CREATE TABLE log (id int)", "INSERT INTO log SELECT count(*) FROM log", "CREATE INDEX log_id ON log (id)"],
        ["DROP INDEX log_id", "DROP TABLE log"],
    ),
    migrations.RunPython(fill, migrations.RunPython.noop),
    migrations.AlterField("Item", "title", models.CharField(max_length=60, unique=True)),
]
"""

CONCURRENTLY = """
atomic = False
dependencies = [("shop", "0004_parts")]
operations = [
    AddIndexConcurrently("Item", models.Index(fields=["title", "code"], name="item_title_code")),
    migrations.RunSQL(
        ["CREATE INDEX CONCURRENTLY item_price ON shop_item (price)", "INSERT INTO log VALUES (2)"],
        ["DELETE FROM log WHERE id = 2", "DROP INDEX CONCURRENTLY item_price"],
    ),
]
"""

FILL = """

def fill(apps, editor):
    Item = apps.get_model("shop", "Item")
    for item in Item.objects.using(editor.connection.alias).order_by("id"):
        Item.objects.using(editor.connection.alias).filter(id=item.id).update(code=item.id)
"""
ALONE = "from django.contrib.postgres.operations import AddIndexConcurrently"

_TABLES = ("shop_item", "shop_part", "log")


@dataclass(frozen=True)
class Stand:
    """State how a database stands: its schema, what is recorded, what the tables hold."""

    schema: Schema
    recorded: tuple[tuple[str, str], ...]
    rows: dict[str, list[tuple[Any, ...]]]

    @classmethod
    def of(cls, info: ConnectionInfo) -> Stand:
        with closing(connect(info)) as conn:
            recorded = conn.execute("SELECT app, name FROM django_migrations ORDER BY app, name, id").fetchall()
            rows = {}
            for table in _TABLES:
                if conn.execute("SELECT to_regclass(%s) IS NOT NULL", (table,)).fetchone() == (True,):
                    rows[table] = sorted(conn.execute(f"SELECT to_jsonb(t)::text FROM {table} t".encode()).fetchall())
            return cls(read_schema(conn), tuple(recorded), rows)

    def differences(self, other: Stand) -> list[str]:
        """Say in what another one differs; nothing when both are the same."""
        found = [str(each) for each in schema_changes(self.schema, other.schema)]
        if self.recorded != other.recorded:
            found.append(f"recorded: {self.recorded} and {other.recorded}")
        found += [f"rows of {table}" for table in _TABLES if self.rows.get(table) != other.rows.get(table)]
        return found


@dataclass
class Plan:
    """A site whose database can be put to before and after the plan, and what those look like."""

    site: Site
    server: Server
    database: ConnectionInfo
    before: Stand
    after: Stand

    def reset(self, *, applied: bool) -> None:
        """Put the database back to before the plan, or to after it, and forget every journal."""
        copy_database(self.server, f"{self.database.dbname}_{'after' if applied else 'before'}", self.database.dbname)
        for path in self.runs.glob("*/*"):
            path.unlink()

    @property
    def runs(self) -> Path:
        return self.site.folder / ".mig" / "runs"

    def journal(self, name: str) -> Journal:
        """Return a journal where a later session finds it."""
        folder = self.runs / name
        folder.mkdir(parents=True, exist_ok=True)
        return Journal(folder / "journal.jsonl")


def copy_database(server: Server, source: str, name: str) -> ConnectionInfo:
    server.drop_database(name)
    with closing(connect(server.info)) as conn:
        conn.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(source)))
        # PostgreSQL logs a sequence's numbers in advance, and forgets in a copy that it has to: a crash right after it
        # would give them out again.
        conn.execute("CHECKPOINT")
    return server.info.with_dbname(name)


@contextlib.contextmanager
def every_kind(folder: Path, server: Server, name: str) -> Iterator[Plan]:
    """Make a site with an atomic migration, one with deferred SQL, one in parts and one with CONCURRENTLY."""
    server.drop_database(name)
    database = server.create_database(name)
    site = shop(make_site(folder, database), database, rows=20)
    site.migration("shop", "0002_atomic", ATOMIC)
    site.migration("shop", "0003_deferred", DEFERRED)
    site.migration("shop", "0004_parts", PARTS, imports=FILL)
    site.migration("shop", "0005_concurrently", CONCURRENTLY, imports=ALONE)
    before = Stand.of(copy_database(server, name, f"{name}_before"))
    with closing(open_site(site)) as target:
        target.ask("migrate")
    after = Stand.of(copy_database(server, name, f"{name}_after"))
    try:
        yield Plan(site, server, database, before, after)
    finally:
        for each in (name, f"{name}_before", f"{name}_after"):
            server.drop_database(each)
