"""Migrations that wait for locks and give them back, and one record a transaction; on PostgreSQL 18."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from mig_kit import errors
from mig_kit.postgres import ConnectionInfo, connect
from mig_kit.project import Worker
from tests.project.projects import Site

Start = Callable[..., Worker]
Events = list[tuple[str, dict[str, Any]]]

ITEM = """
class Item(models.Model):
    title = models.CharField(max_length=40)
"""

INITIAL = """
initial = True
operations = [
    migrations.CreateModel("Item", [
        ("id", models.BigAutoField(primary_key=True)),
        ("title", models.CharField(max_length=40)),
    ]),
]
"""

PARTS = """
atomic = False
dependencies = [("shop", "0001_initial")]
operations = [
    migrations.AddField("Item", "code", models.IntegerField(db_index=True, default=7)),
    AddIndexConcurrently("Item", models.Index(fields=["title"], name="item_title")),
    migrations.RunSQL(
        ["CREATE TABLE left_one (id int)", "CREATE INDEX CONCURRENTLY left_one_id ON left_one (id)",
         "INSERT INTO left_one VALUES (1)"],
        ["DROP TABLE left_one"],
    ),
    migrations.RunPython(fill, migrations.RunPython.noop),
    migrations.AlterField("Item", "title", models.CharField(max_length=60, unique=True)),
]
"""

FILL = """
from django.contrib.postgres.operations import AddIndexConcurrently


def fill(apps, editor):
    Item = apps.get_model("shop", "Item")
    for item in Item.objects.using(editor.connection.alias).order_by("id"):
        Item.objects.using(editor.connection.alias).filter(id=item.id).update(code=item.id)
"""


@pytest.fixture
def shop(site: Site, start: Start, database: ConnectionInfo) -> Site:
    """One table with rows, and its worker warm."""
    site.models("shop", ITEM)
    site.migration("shop", "0001_initial", INITIAL)
    with site.worker() as worker:
        worker.call("migrate")
    with closing(connect(database)) as conn:
        conn.execute("INSERT INTO shop_item (title) SELECT 'title ' || g FROM generate_series(1, 50) g")
    return site


def migrate(worker: Worker, **args: Any) -> Events:
    events: Events = []
    worker.call("migrate", on_event=lambda event, data: events.append((event, data)), timeout=60, **args)
    return events


def of(events: Events, name: str) -> list[dict[str, Any]]:
    return [data for event, data in events if event == name]


@contextmanager
def held(database: ConnectionInfo, statement: str, seconds: float) -> Iterator[None]:
    """Hold what a statement locks, in a transaction, for some time from now on."""
    with closing(connect(database)) as conn:
        conn.execute("BEGIN")
        conn.execute(statement.encode())
        timer = threading.Timer(seconds, lambda: conn.execute("ROLLBACK"))
        timer.start()
        yield
        timer.join()


def columns(database: ConnectionInfo, table: str = "shop_item") -> set[str]:
    return {row[0] for row in ask(database, f"SELECT attname FROM pg_attribute WHERE attrelid = '{table}'::regclass")}


def ask(database: ConnectionInfo, statement: str) -> list[tuple[Any, ...]]:
    with closing(connect(database)) as conn:
        return conn.execute(statement.encode()).fetchall()


def test_an_atomic_migration_gets_its_lock_without_queueing_for_long(
    shop: Site, start: Start, database: ConnectionInfo
) -> None:
    shop.migration(
        "shop",
        "0002_more",
        'dependencies = [("shop", "0001_initial")]\n'
        'operations = [migrations.AddField("Item", "a", models.IntegerField(null=True))]',
    )
    worker = start(shop)
    worker.call("plan")
    longest = 0.0
    done = threading.Event()

    def read() -> None:
        nonlocal longest
        with closing(connect(database)) as conn:
            while not done.is_set():
                began = time.monotonic()
                conn.execute("SELECT count(*) FROM shop_item")
                longest = max(longest, time.monotonic() - began)

    reader = threading.Thread(target=read)
    with held(database, "SELECT count(*) FROM shop_item", 2.0):
        reader.start()
        events = migrate(worker, lock_timeout=0.2)
    done.set()
    reader.join()
    retries = of(events, "retry")
    assert len(retries) >= 2
    assert {(each["what"], each["sqlstate"], each["name"]) for each in retries} == {("migration", "55P03", "0002_more")}
    assert longest < 0.4
    assert "a" in columns(database)
    told = [each["sql"] for each in of(events, "statement")]
    assert [sql for sql in told if sql.startswith("ALTER")] == ['ALTER TABLE "shop_item" ADD COLUMN "a" integer NULL']


def test_it_gives_up_with_what_it_tried(shop: Site, start: Start, database: ConnectionInfo) -> None:
    shop.migration(
        "shop",
        "0002_more",
        'dependencies = [("shop", "0001_initial")]\n'
        'operations = [migrations.AddField("Item", "a", models.IntegerField(null=True))]',
    )
    worker = start(shop)
    with held(database, "SELECT count(*) FROM shop_item", 3.0), pytest.raises(errors.OperationFailed) as caught:
        migrate(worker, lock_timeout=0.1, give_up_after=1.0)
    assert caught.value.kind == "LockNotAvailable"
    assert caught.value.message.startswith("the lock was not to be had: ")
    assert "a" not in columns(database)
    migrate(worker)
    assert "a" in columns(database)


@pytest.mark.parametrize("attempt", ["once", "with a retry"])
def test_a_migration_that_is_not_atomic_goes_part_by_part_and_back(
    shop: Site, start: Start, database: ConnectionInfo, attempt: str
) -> None:
    shop.migration("shop", "0002_parts", PARTS, imports=FILL)
    worker = start(shop)
    worker.call("plan")
    statement = "LOCK TABLE shop_item" if attempt == "with a retry" else "SELECT 1"
    with held(database, statement, 0.5):
        events = migrate(worker, lock_timeout=0.1)
    assert [(each["operation"], each["way"]) for each in of(events, "operation") if not each.get("tries")][-5:] == [
        (0, "transaction"),
        (1, "statements"),
        (2, "statements"),
        (3, "python"),
        (4, "transaction"),
    ]
    assert [each["operation"] for each in of(events, "operation done")] == [0, 1, 2, 3, 4]
    assert bool(of(events, "retry")) == (attempt == "with a retry")
    begun = [(each["operation"], each["index"], each["concurrent"]) for each in of(events, "statement begins")]
    assert begun == [(1, 0, True), (2, 0, False), (2, 1, True), (2, 2, False)]
    assert ask(database, "SELECT count(*) FROM left_one") == [(1,)]
    assert ask(database, "SELECT count(*) FROM shop_item WHERE code = id") == [(50,)]
    assert ask(database, "SELECT relname FROM pg_index JOIN pg_class ON oid = indexrelid WHERE NOT indisvalid") == []
    indexes = {row[0] for row in ask(database, "SELECT indexdef FROM pg_indexes WHERE tablename = 'shop_item'")}
    assert any("(code)" in each for each in indexes)
    back = migrate(worker, app="shop", name="0001")
    assert [each["operation"] for each in of(back, "operation done")] == [0, 1, 2, 3, 4]
    assert columns(database) & {"id", "title", "code"} == {"id", "title"}
    assert ask(database, "SELECT to_regclass('left_one') IS NULL") == [(True,)]
    assert [row[0] for row in ask(database, "SELECT name FROM django_migrations")] == ["0001_initial"]


CHILD = """
dependencies = [("shop", "0001_initial")]
operations = [
    migrations.CreateModel("Child", [
        ("id", models.BigAutoField(primary_key=True)),
        ("item", models.ForeignKey("shop.item", models.CASCADE)),
    ]),
]
"""


def test_deferred_sql_and_the_record_are_one_transaction(shop: Site, start: Start, database: ConnectionInfo) -> None:
    """Django commits the table, its index and its foreign key first: killed then, a rerun fails for ever."""
    shop.migration("shop", "0002_child", CHILD)
    migrate(start(shop))
    rows = ask(
        database,
        "SELECT (SELECT xmin::text FROM django_migrations WHERE name = '0002_child'), array_agg(xmin::text) "
        "FROM pg_class WHERE relname LIKE 'shop_child%'",
    )
    assert set(rows[0][1]) == {rows[0][0]}
    assert len(rows[0][1]) >= 4


def test_a_step_back_and_its_record_are_one_transaction(shop: Site, start: Start, database: ConnectionInfo) -> None:
    """Django takes the record out after the commit: killed in between, the rerun fails for ever."""
    shop.migration("shop", "0002_child", CHILD)
    worker = start(shop)
    migrate(worker)
    with closing(connect(database)) as conn:
        conn.execute(
            "CREATE FUNCTION never() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not now'; END $$; "
            "CREATE TRIGGER never BEFORE DELETE ON django_migrations EXECUTE FUNCTION never()"
        )
    with pytest.raises(errors.OperationFailed, match="not now"):
        migrate(worker, app="shop", name="0001")
    assert columns(database, "shop_child") >= {"id", "item_id"}
    with closing(connect(database)) as conn:
        conn.execute("DROP TRIGGER never ON django_migrations")
    migrate(worker, app="shop", name="0001")
    assert ask(database, "SELECT to_regclass('shop_child') IS NULL") == [(True,)]


INDEX = """
atomic = False
dependencies = [("shop", "0001_initial")]
operations = [AddIndexConcurrently("Item", models.Index(fields=["title"], name="item_title"))]
"""
IMPORT = "from django.contrib.postgres.operations import AddIndexConcurrently"


def test_an_invalid_leftover_is_dropped_and_built_again(shop: Site, start: Start, database: ConnectionInfo) -> None:
    """A rerun by hand fails with "already exists"; with IF NOT EXISTS it succeeds, and the index stays invalid."""
    shop.migration("shop", "0002_index", INDEX, imports=IMPORT)
    with closing(connect(database)) as conn:
        conn.execute("CREATE INDEX item_title ON shop_item (title)")
        conn.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'item_title'::regclass")
    events = migrate(start(shop))
    assert [each["index"] for each in of(events, "leftover")] == ["item_title"]
    assert ask(database, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'item_title'::regclass") == [(True,)]


def test_an_index_that_cannot_be_built_leaves_nothing_behind(
    shop: Site, start: Start, database: ConnectionInfo
) -> None:
    unique = "migrations.RunSQL('CREATE UNIQUE INDEX CONCURRENTLY same ON shop_item ((title IS NULL))')"
    shop.migration(
        "shop", "0002_index", f'atomic = False\ndependencies = [("shop", "0001_initial")]\noperations = [{unique}]'
    )
    with pytest.raises(errors.OperationFailed) as caught:
        migrate(start(shop))
    assert "could not create unique index" in caught.value.message
    assert caught.value.message.endswith("The index 'same', left invalid by that, was dropped again.")
    assert ask(database, "SELECT to_regclass('same') IS NULL") == [(True,)]


def test_a_concurrent_build_has_no_lock_timeout(shop: Site, start: Start, database: ConnectionInfo) -> None:
    """A snapshot on an unrelated table timed it out, and left an invalid index."""
    shop.migration("shop", "0002_index", INDEX, imports=IMPORT)
    worker = start(shop)
    worker.call("plan")
    with closing(connect(database)) as conn:
        conn.execute(f'ALTER DATABASE "{database.dbname}" SET lock_timeout = 200'.encode())
        conn.execute(f'ALTER DATABASE "{database.dbname}" SET statement_timeout = 400'.encode())
    with held(database, "UPDATE django_migrations SET name = name", 1.5):
        events = migrate(worker, lock_timeout=0.1)
    assert not of(events, "retry")
    assert ask(database, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'item_title'::regclass") == [(True,)]


def test_a_second_worker_is_refused_while_one_works(shop: Site, start: Start, database: ConnectionInfo) -> None:
    with closing(connect(database)) as conn:
        conn.execute("SELECT pg_advisory_lock(7, 8)")
        with pytest.raises(errors.GateClosed) as caught:
            migrate(start(shop), fence=[7, 8])
        assert caught.value.gate == "nobody else migrating"
        conn.execute("SELECT pg_advisory_unlock(7, 8)")
        worker = start(shop)
        migrate(worker, fence=[7, 8])
        assert conn.execute("SELECT pg_try_advisory_lock(7, 8)").fetchone() == (True,)


def test_nothing_goes_on_before_what_was_announced_is_taken_in(
    shop: Site, start: Start, database: ConnectionInfo
) -> None:
    """What could not be written down must not happen: the callback's error came while the work went on."""
    shop.migration("shop", "0002_parts", PARTS, imports=FILL)
    worker = start(shop)
    for refused, seen in (("begin", set()), ("operation", set()), ("operation done", {"code"})):

        def full(event: str, data: dict[str, Any], refused: str = refused) -> None:
            if event == refused:
                time.sleep(0.3)
                raise errors.RecordError("the journal is full")

        with pytest.raises(errors.RecordError):
            worker.call("migrate", on_event=full, timeout=60)
        assert columns(database) & {"code"} == seen
    assert [row[0] for row in ask(database, "SELECT name FROM django_migrations")] == ["0001_initial"]
