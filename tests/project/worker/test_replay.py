"""The replay: what each operation would run, told from the project's state; on PostgreSQL 18, and with no server."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mig_kit import errors
from mig_kit.postgres import ConnectionInfo, connect
from mig_kit.project import Worker
from tests.project.projects import Site, make_site

FIRST = """
operations = [
    migrations.CreateModel("Maker", [("id", models.AutoField(primary_key=True)),
                                     ("name", models.CharField(max_length=40, unique=True))]),
    migrations.CreateModel("Item", [("id", models.AutoField(primary_key=True)),
                                    ("title", models.CharField(max_length=40, db_index=True)),
                                    ("price", models.PositiveIntegerField()),
                                    ("maker", models.ForeignKey("shop.Maker", models.CASCADE))],
                           options={"unique_together": {("title", "maker")}}),
    migrations.CreateModel("Cheap", fields=[], options={"proxy": True}, bases=("shop.item",)),
    migrations.CreateModel("Legacy", [("id", models.AutoField(primary_key=True))], options={"managed": False}),
]
"""


def migration(site: Site, name: str, operations: str, *, after: str = "0001_first", more: str = "") -> None:
    body = f'dependencies = [("shop", {after!r})]\n{more}operations = [{operations}]'
    site.migration("shop", name, body, imports="from django.contrib.postgres import operations as pg")


def wanted(answer: dict[str, Any]) -> dict[str, Any]:
    (found,) = [each for each in answer["migrations"] if each["wanted"]]
    return found


def sql(migration: dict[str, Any]) -> list[str]:
    held_back = [each["sql"] for each in migration["deferred"]]
    return [text for operation in migration["operations"] for text in operation["sql"]] + held_back


@pytest.fixture
def shop(site: Site) -> Site:
    """A project at its first migration, which is applied."""
    site.migration("shop", "0001_first", FIRST)
    site.manage("migrate")
    return site


def test_the_tables_are_as_the_database_has_them(
    shop: Site, start: Callable[..., Worker], database: ConnectionInfo
) -> None:
    migration(shop, "0002_second", "")
    tables = {each["label"]: each for each in start(shop).call("replay", app="shop", name="0002")["tables"]}
    assert set(tables) == {"shop_maker", "shop_item"}
    with connect(database) as connection:
        constraints = connection.execute(
            "SELECT conname, contype FROM pg_constraint WHERE conrelid = 'shop_item'::regclass"
        ).fetchall()
        indexes = connection.execute(
            "SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = 'shop_item'::regclass"
        ).fetchall()
    item = tables["shop_item"]
    assert {each["name"] for each in item["checks"]} == {name for name, kind in constraints if kind == "c"}
    assert {each["name"] for each in item["foreign_keys"]} == {name for name, kind in constraints if kind == "f"}
    assert {each["name"] for each in item["indexes"]} == {row[0] for row in indexes}
    assert [(each["name"], each["type"], each["not_null"], each["identity"]) for each in item["columns"]] == [
        ("id", "integer", True, True),
        ("title", "varchar(40)", True, False),
        ("price", "integer", True, False),
        ("maker_id", "integer", True, False),
    ]


def test_needs_no_server_at_all(start: Callable[..., Worker], tmp_path: Path, database: ConnectionInfo) -> None:
    alone = make_site(tmp_path / "alone", replace(database, port=type(database.port)(1)))
    alone.migration("shop", "0001_first", FIRST)
    operations = """
        migrations.AlterUniqueTogether("Item", set()), migrations.RemoveField("Item", "maker"),
        migrations.AlterField("Maker", "id", models.BigAutoField(primary_key=True)),
        migrations.RenameModel("Item", "I"),
    """
    migration(alone, "0002_second", operations)
    answer = start(alone).call("replay", ask_database=False)
    assert [(each["name"], each["wanted"], each["applied"]) for each in answer["migrations"]] == [
        ("0001_first", True, False),
        ("0002_second", True, False),
    ]
    assert answer["history_known"] is False
    texts = sql(answer["migrations"][1])
    assert 'ALTER TABLE "shop_item" DROP COLUMN "maker_id" CASCADE;' in texts
    assert any("DROP CONSTRAINT" in text and "_uniq" in text for text in texts)
    with pytest.raises(errors.OperationFailed):
        start(alone).call("replay")


def test_a_pending_one_brings_what_has_to_run_before_it(shop: Site, start: Callable[..., Worker]) -> None:
    migration(shop, "0002_second", 'migrations.AddField("Item", "n", models.IntegerField(null=True))')
    migration(shop, "0002_beside", 'migrations.DeleteModel("Item")')
    migration(shop, "0003_third", 'migrations.RenameField("Item", "n", "m")', after="0002_second")
    answer = start(shop).call("replay", app="shop", name="0003")
    assert [(each["name"], each["wanted"]) for each in answer["migrations"]] == [
        ("0002_second", False),
        ("0003_third", True),
    ]
    assert sql(wanted(answer)) == ['ALTER TABLE "shop_item" RENAME COLUMN "n" TO "m";']


def test_proxies_and_unmanaged_models_have_no_sql(shop: Site, start: Callable[..., Worker]) -> None:
    operations = """
        migrations.AddField("Legacy", "n", models.IntegerField(null=True)), migrations.DeleteModel("Legacy"),
        migrations.CreateModel("Old", fields=[], options={"proxy": True}, bases=("shop.item",)),
        migrations.DeleteModel("Cheap"),
    """
    migration(shop, "0002_second", operations)
    assert sql(wanted(start(shop).call("replay", app="shop", name="0002"))) == []


def test_names_that_hang_on_the_history_are_told_as_guesses(shop: Site, start: Callable[..., Worker]) -> None:
    migration(shop, "0002_second", 'migrations.RemoveField("Item", "maker"), migrations.RemoveField("Item", "price")')
    found = wanted(start(shop).call("replay", app="shop", name="0002"))
    key, check = (operation["guesses"] for operation in found["operations"])
    assert [(each["table"], each["columns"], bool(each["foreign_key"])) for each in key] == [
        ("shop_item", ["maker_id"], True)
    ]
    assert check == []


def test_says_what_it_cannot_know(shop: Site, start: Callable[..., Worker]) -> None:
    shop.write(
        "shop/own.py",
        """
        from django.contrib.postgres.operations import CreateExtension
        from django.db import migrations


        class Quiet(migrations.AddField):
            pass


        class Loud(migrations.RunSQL):
            def database_forwards(self, app_label, schema_editor, from_state, to_state):
                with schema_editor.connection.cursor() as cursor:
                    cursor.execute("SELECT 1")


        class OneWay(migrations.RunSQL):
            def database_forwards(self, app_label, schema_editor, from_state, to_state):
                schema_editor.execute("SELECT 1")


        class Elsewhere(OneWay):
            def database_forwards(self, app_label, schema_editor, from_state, to_state):
                from django.db import connection

                connection.ensure_connection()
        """,
    )
    operations = """
        own.Quiet("Item", "n", models.IntegerField(null=True)), own.Loud("SELECT 2", ""), own.OneWay("SELECT 3", ""),
        own.Elsewhere("SELECT 4"), migrations.RemoveIndex("Item", "none"), own.CreateExtension("citext"),
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunPython(print), migrations.RunSQL("SELECT 5", "")],
            state_operations=[migrations.RemoveField("Item", "n")]),
    """
    body = f'dependencies = [("shop", "0001_first")]\noperations = [{operations}]'
    shop.migration("shop", "0002_second", body, imports="from shop import own")
    found = wanted(start(shop).call("replay", app="shop", name="0002"))
    told = [(each["class"], each["known"], bool(each["note"]), len(each["sql"])) for each in found["operations"]]
    assert told == [
        ("Quiet", True, False, 1),
        ("Loud", False, True, 0),
        ("OneWay", False, False, 1),
        ("Elsewhere", False, True, 0),
        ("RemoveIndex", True, True, 0),
        ("CreateExtension", True, False, 1),
        ("RunPython", True, False, 0),
        ("RunSQL", True, False, 1),
    ]
    assert [each["within"] is not None for each in found["operations"]] == [False] * 6 + [True] * 2
    assert found["operations"][6]["python"]["unknown"] == "its source cannot be read"
    assert found["reversible"] is False


def test_tells_line_transaction_and_way_back_of_each_operation(shop: Site, start: Callable[..., Worker]) -> None:
    shop.write(
        "shop/migrations/0002_second.py",
        """
        from django.contrib.postgres.operations import AddIndexConcurrently
        from django.db import migrations, models


        def fill(apps, schema_editor):
            pass


        class Migration(migrations.Migration):
            atomic = False
            dependencies = [("shop", "0001_first")]
            operations = [
                AddIndexConcurrently("Item", models.Index(fields=["price"], name="price_ix")),
                migrations.RunPython(fill, atomic=True),
                migrations.RunSQL("SELECT 1"),
            ]
        """,
    )
    found = wanted(start(shop).call("replay", app="shop", name="0002"))
    assert [(each["line"], each["transaction"], each["reversible"]) for each in found["operations"]] == [
        (13, None, True),
        (14, "own", False),
        (15, None, False),
    ]
    assert (found["atomic"], found["reversible"]) == (False, False)
    assert found["file"].endswith("0002_second.py")
    assert found["operations"][0]["sql"] == ['CREATE INDEX CONCURRENTLY "price_ix" ON "shop_item" ("price");']


def test_a_squashed_migration_stands_for_what_it_replaces(shop: Site, start: Callable[..., Worker]) -> None:
    shop.migration("shop", "0001_squashed", f'replaces = [("shop", "0001_first"), ("shop", "0002_gone")]\n{FIRST}')
    migration(shop, "0002_gone", "")
    migration(shop, "0003_third", 'migrations.RemoveField("Item", "price")', after="0001_squashed")
    answer = start(shop).call("replay", app="shop")
    assert [each["name"] for each in answer["migrations"]] == ["0002_gone", "0003_third"]
    alone = start(shop).call("replay", ask_database=False)
    assert [each["name"] for each in alone["migrations"]] == ["0001_squashed", "0003_third"]


CHAIN = (
    """
    migrations.DeleteModel("Cheap"),
    migrations.CreateModel("Big", [("maker_ptr", models.OneToOneField("shop.Maker", models.CASCADE, primary_key=True,
        parent_link=True, serialize=False, auto_created=True)), ("n", models.IntegerField())], bases=("shop.maker",)),
    migrations.CreateModel("Tag", [("id", models.AutoField(primary_key=True)),
                                   ("items", models.ManyToManyField("shop.Item", related_name="tags"))]),
    """,
    """
    migrations.AddField("Item", "parent", models.ForeignKey("shop.Item", models.CASCADE, null=True)),
    migrations.AddField("Tag", "owner", models.ForeignKey("shop.Big", models.SET_NULL, null=True)),
    """,
    """migrations.AlterField("Maker", "id", models.BigAutoField(primary_key=True)),""",
    """
    migrations.RenameModel("Item", "Thing"), migrations.RenameField("Thing", "maker", "made_by"),
    migrations.AlterUniqueTogether("Thing", {("title", "made_by"), ("title", "price")}),
    """,
    """
    migrations.AlterField("Thing", "id", models.BigAutoField(primary_key=True)),
    """,
    """
    migrations.RemoveField("Tag", "items"), migrations.AlterField("Maker", "name", models.TextField(unique=True)),
    migrations.AlterField("Tag", "owner", models.OneToOneField("shop.Big", models.CASCADE, null=True)),
    migrations.DeleteModel("Thing"), migrations.AlterModelTable("Tag", "labels"),
    """,
)


def without_history(text: str) -> str:
    """Leave out names that hang on what was done before (a renamed table, a changed key): those are told as guesses."""
    return re.sub(r'"shop_(item|thing)_\w+"', '"a name"', re.sub(r'_fk_\w+"', '_fk"', text))


def test_a_chain_replayed_at_once_is_what_django_writes_step_by_step(shop: Site, start: Callable[..., Worker]) -> None:
    """Django writes each with the database at the state before it; the replay has the first one's alone."""
    names = [f"000{number}_step" for number in range(2, 2 + len(CHAIN))]
    for number, (name, operations) in enumerate(zip(names, CHAIN, strict=True)):
        migration(shop, name, operations, after=names[number - 1] if number else "0001_first")
    worker = start(shop)
    at_once = {each["name"]: sql(each) for each in worker.call("replay", app="shop")["migrations"]}
    assert list(at_once) == names
    for name in names:
        (step,) = worker.call("sql", migrations=[["shop", name]])
        written = [text for operation in step["operations"] for text in operation["sql"]] + step["deferred"]
        tables = at_once[name]
        if "RenameModel" not in [
            operation["class"] for operation in step["operations"]
        ]:  # there Django looks under a name that the database has not yet
            assert sorted(map(without_history, tables)) == sorted(map(without_history, written)), name
        shop.manage("migrate", "shop", name)


def test_models_that_are_swapped_out_have_no_table(shop: Site, start: Callable[..., Worker]) -> None:
    shop.append_settings("SHOP_CARD = 'shop.Maker'")
    operations = """
        migrations.CreateModel(
            "Card", [("id", models.AutoField(primary_key=True))], options={"swappable": "SHOP_CARD"}),
        migrations.AddField("Card", "n", models.IntegerField(null=True)),
    """
    migration(shop, "0002_second", operations)
    assert sql(wanted(start(shop).call("replay", app="shop", name="0002"))) == []


def test_refuses_a_database_of_another_kind(tmp_path: Path, start: Callable[..., Worker]) -> None:
    other = make_site(tmp_path / "other", None)
    with pytest.raises(errors.NotPostgreSQL, match="is sqlite"):
        start(other).call("replay")
