"""The SQL of migrations, held against sqlmigrate's; on PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mig_kit import errors
from mig_kit.postgres import Server, connect
from mig_kit.project import Worker
from tests.project.projects import Site, make_site
from tests.servers import fresh_database

KEY = '("id", models.BigAutoField(primary_key=True))'
SHELF = f'[{KEY}, ("row", models.IntegerField()), ("name", models.CharField(max_length=20))]'

# One app, a chain of migrations of every kind.
MIGRATIONS = {
    "0001_initial": f"""
initial = True
operations = [migrations.CreateModel("Shelf", {SHELF}, {{"unique_together": {{("row", "name")}}}}),
    migrations.CreateModel("Book", [("id", models.BigAutoField(primary_key=True)),
        ("shelf", models.ForeignKey("shop.shelf", models.CASCADE)), ("title", models.CharField(max_length=90))])]
""",
    "0002_fields": """
operations = [migrations.AddField("book", "pages", models.PositiveIntegerField(default=0)),
    migrations.AddIndex("book", models.Index(fields=["title"], name="book_title_idx")),
    migrations.AlterField("book", "title", models.CharField(max_length=120, unique=True))]
""",
    "0003_python": """
operations = [migrations.RunPython(forwards, migrations.RunPython.noop),
    migrations.RunSQL("UPDATE shop_book SET pages = 1; SELECT 1", "SELECT 2"),
    migrations.AddField("book", "year", models.IntegerField(null=True))]
""",
    "0004_together": """
operations = [migrations.AlterUniqueTogether("shelf", set())]
""",
    "0005_concurrent": """
atomic = False
operations = [AddIndexConcurrently("book", models.Index(fields=["pages"], name="book_pages_idx")),
    migrations.SeparateDatabaseAndState(database_operations=[migrations.RunPython(forwards)])]
""",
    "0006_one_way": """
operations = [migrations.RunSQL("SELECT 3"), migrations.AddField("book", "isbn", models.TextField(null=True)),
    Sneaky()]
""",
}

HEAD = '''
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.migrations.operations.base import Operation


def forwards(apps, schema_editor):
    schema_editor.connection.cursor().execute("CREATE TABLE IF NOT EXISTS left_behind (id int)")


class Sneaky(Operation):
    """An operation of the project's own that runs its statement past the schema editor."""

    reversible = True

    def state_forwards(self, app_label, state):
        pass

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        schema_editor.connection.cursor().execute("CREATE TABLE left_behind (id int)")

    database_backwards = database_forwards

    def describe(self):
        return "Sneak something in"


class Migration(migrations.Migration):
    dependencies = {dependencies}
'''


@pytest.fixture(scope="module")
def library(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Worker]]:
    """A project of six migrations, none applied yet."""
    database = fresh_database(server, "library")
    site = make_site(tmp_path_factory.mktemp("library") / "site", database)
    before: list[tuple[str, str]] = []
    for name, body in MIGRATIONS.items():
        head = HEAD.replace("{dependencies}", repr(before))
        text = head + "\n".join("    " + line for line in body.strip().splitlines()) + "\n"
        site.write(f"shop/migrations/{name}.py", text)
        before = [("shop", name)]
    with site.worker() as worker:
        yield site, worker
    server.drop_database("library")


def statements(migration: dict[str, Any]) -> list[str]:
    return [sql for operation in migration["operations"] for sql in operation["sql"]] + migration["deferred"]


def own(site: Site, *arguments: str) -> list[str]:
    """Return the statements that sqlmigrate prints."""
    lines = site.manage("sqlmigrate", *arguments).splitlines()
    text = "\n".join(line for line in lines if not line.startswith("--") and line not in ("BEGIN;", "COMMIT;"))
    return [line for line in text.splitlines() if line]


@pytest.mark.parametrize("applied", [None, "0001", "0003"])
def test_is_what_sqlmigrate_prints_where_that_is_exact(library: tuple[Site, Worker], applied: str | None) -> None:
    """Forwards the migration that is next, backwards the one that was last."""
    site, worker = library
    names = list(MIGRATIONS)
    if applied:
        worker.call("migrate", app="shop", name=applied)
    following = names[0] if applied is None else names[int(applied)]
    ahead = worker.call("sql")
    assert [each["name"] for each in ahead] == names[int(applied or 0) :]
    assert [each["exact"] for each in ahead] == [True] + [False] * (len(ahead) - 1)
    assert "\n".join(statements(ahead[0])).splitlines() == own(site, "shop", following)
    if applied:
        last = names[int(applied) - 1]
        (back,) = worker.call("sql", migrations=[["shop", last]], backwards=True)
        assert (back["exact"], back["backwards"]) == (True, True)
        assert "\n".join(statements(back)).splitlines() == own(site, "shop", last, "--backwards")


def test_goes_back_over_several_in_one_call(library: tuple[Site, Worker]) -> None:
    worker = library[1]
    worker.call("migrate", app="shop", name="0004")
    back = worker.call("sql", app="shop", name="0001", backwards=True)
    assert [(each["name"], each["backwards"], each["exact"]) for each in back] == [
        ("0004_together", True, True),
        ("0003_python", True, False),
        ("0002_fields", True, False),
    ]
    assert 'DROP COLUMN "year"' in " ".join(statements(back[1]))
    assert 'DROP COLUMN "pages"' in " ".join(statements(back[2]))
    assert any("ADD CONSTRAINT" in each for each in statements(back[0]))
    with pytest.raises(errors.UsageError, match="Going to shop 0006 is not a step backwards"):
        worker.call("sql", app="shop", name="0006", backwards=True)


def test_says_where_sql_is_not_known(library: tuple[Site, Worker]) -> None:
    worker = library[1]
    worker.call("migrate", app="shop", name="0002")
    found = {each["name"]: each for each in worker.call("sql")}
    python, raw, added = found["0003_python"]["operations"]
    assert python["note"].startswith("This operation is Python code, not SQL")
    assert python["sql"] == []
    assert (raw["sql"], raw["note"]) == (["UPDATE shop_book SET pages = 1; SELECT 1;"], None)
    assert added["note"] is None
    # Django looks its constraint's name up; here that works, and it would not on a database without the table.
    assert "the database is not at the state just before it" in found["0004_together"]["operations"][0]["note"]
    concurrent, hidden = found["0005_concurrent"]["operations"]
    assert concurrent["sql"] == ['CREATE INDEX CONCURRENTLY "book_pages_idx" ON "shop_book" ("pages");']
    assert found["0005_concurrent"]["atomic"] is False
    assert hidden["note"].startswith("This operation is Python code, not SQL")
    sneaky = found["0006_one_way"]["operations"][2]
    assert "read-only transaction" in sneaky["note"]
    (one_way,) = worker.call("sql", migrations=[["shop", "0006_one_way"]], backwards=True)
    assert one_way["operations"][-1]["note"] == "This operation cannot be reversed: migrate would stop here."


def test_notes_an_operation_that_looks_for_what_is_not_there_yet(library: tuple[Site, Worker]) -> None:
    worker = library[1]
    worker.call("migrate", app="shop", name="zero")
    found = {each["name"]: each for each in worker.call("sql")}
    note = found["0004_together"]["operations"][0]["note"]
    assert "Found wrong number (0) of constraints" in note
    assert "A rehearsal on a copy shows all of them." in note
    altered = found["0002_fields"]["operations"][2]
    assert altered["sql"]
    assert altered["note"].startswith("Django reads names from the database for this operation")


def test_does_not_call_a_later_operation_on_the_same_model_exact(library: tuple[Site, Worker]) -> None:
    worker = library[1]
    worker.call("migrate", app="shop", name="0001")
    (found,) = worker.call("sql", migrations=[["shop", "0002_fields"]])
    assert found["exact"] is True
    assert [bool(each["note"]) for each in found["operations"]] == [False, False, True]


def test_changes_nothing_in_the_database(library: tuple[Site, Worker], server: Server) -> None:
    """Neither RunPython inside SeparateDatabaseAndState nor an operation that goes past the schema editor runs.

    Django's own sqlmigrate runs both: they say of themselves that they reduce to SQL.
    """
    worker = library[1]
    for name in ("zero", "0004"):
        worker.call("migrate", app="shop", name=name)
        with connect(server.info.with_dbname("library")) as connection:
            connection.execute("DROP TABLE IF EXISTS left_behind")
            before = _objects(connection)
            worker.call("sql")
            worker.call("sql", migrations=[["shop", each] for each in reversed(MIGRATIONS)], backwards=True)
            assert _objects(connection) == before
            idle = connection.execute("SELECT state FROM pg_stat_activity WHERE datname = 'library'").fetchall()
        assert ("idle in transaction",) not in idle


def _objects(connection: Any) -> Any:
    return connection.execute("SELECT relname, xmin::text FROM pg_class WHERE oid > 16000 ORDER BY oid").fetchall()


def test_refuses_what_is_no_migration(library: tuple[Site, Worker]) -> None:
    with pytest.raises(errors.MigrationNotFound, match=re.escape("The app 'shop' has no migration '0007'")):
        library[1].call("sql", migrations=[["shop", "0001"], ["shop", "0007"]])


def test_collects_on_sqlite_too(tmp_path: Path) -> None:
    site = make_site(tmp_path / "site", None)
    site.models("shop", "class Item(models.Model):\n    title = models.CharField(max_length=40)\n")
    with site.worker() as worker:
        worker.call("generate")
        forwards = worker.call("sql")
        assert statements(forwards[0])[0].startswith('CREATE TABLE "shop_item"')
        worker.call("migrate")
        (backwards,) = worker.call("sql", app="shop", name="zero")
        assert statements(backwards) == ['DROP TABLE "shop_item";']
        assert "\n".join(statements(forwards[0])).splitlines() == own(site, "shop", "0001")
