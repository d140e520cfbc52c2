"""The graph, the plan and the recorded history; on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mig_kit import errors
from mig_kit.postgres import ConnectionInfo, Server, connect
from mig_kit.project import Worker
from tests.project.projects import Site, make_site
from tests.servers import fresh_database

Start = Callable[..., Worker]

ITEM = "class Item(models.Model):\n    title = models.CharField(max_length=40)\n"
CREATE = """
initial = True
operations = [migrations.CreateModel("Item", [KEY, ("title", models.CharField(max_length=40))])]
"""


def add(name: str, *dependencies: tuple[str, str], more: str = "") -> str:
    return (
        f"dependencies = {list(dependencies)!r}\n{more}\n"
        f'operations = [migrations.AddField("item", "{name}", models.IntegerField(null=True))]\n'
    )


KEY = 'KEY = ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID"))'


def chain(site: Site, app: str = "shop") -> None:
    """Write 0001_initial, 0002_a and 0003_b."""
    fields = "".join(f"    {name} = models.IntegerField(null=True)\n" for name in "ab")
    site.models(app, ITEM + fields)
    site.migration(app, "0001_initial", CREATE, imports=KEY)
    site.migration(app, "0002_a", add("a", (app, "0001_initial")))
    site.migration(app, "0003_b", add("b", (app, "0002_a")))


SQUASHED = """
replaces = [("shop", "0001_initial"), ("shop", "0002_a"), ("shop", "0003_b")]
initial = True
operations = [migrations.CreateModel("Item", [KEY, ("title", models.CharField(max_length=40)),
    ("a", models.IntegerField(null=True)), ("b", models.IntegerField(null=True))])]
"""


def keys(found: Any) -> list[str]:
    return [f"{each['app']}.{each['name']}" for each in found]


def record(database: ConnectionInfo, app: str, name: str) -> None:
    with connect(database) as connection:
        connection.execute("INSERT INTO django_migrations (app, name, applied) VALUES (%s, %s, now())", [app, name])


def forget(database: ConnectionInfo, app: str, name: str) -> None:
    with connect(database) as connection:
        connection.execute("DELETE FROM django_migrations WHERE app = %s AND name = %s", [app, name])


def test_plans_forwards_up_to_and_back(site: Site, start: Start) -> None:
    chain(site)
    worker = start(site)
    assert worker.call("history") == []
    assert keys(worker.call("plan")) == ["shop.0001_initial", "shop.0002_a", "shop.0003_b"]
    assert keys(worker.call("plan", app="shop", name="0002")) == ["shop.0001_initial", "shop.0002_a"]
    worker.call("migrate")
    assert worker.call("plan") == []
    back = worker.call("plan", app="shop", name="0001_initial")
    assert [(each["name"], each["backwards"]) for each in back] == [("0003_b", True), ("0002_a", True)]
    assert len(worker.call("plan", app="shop", name="zero")) == 3
    history = worker.call("history")
    assert keys(history) == ["shop.0001_initial", "shop.0002_a", "shop.0003_b"]
    assert history[0]["applied"].endswith("+00:00")
    nodes = {each["name"]: each for each in worker.call("graph")["nodes"]}
    assert nodes["0003_b"]["applied"] == history[2]["applied"]
    assert (nodes["0003_b"]["leaf"], nodes["0002_a"]["leaf"]) == (True, False)
    assert nodes["0002_a"]["dependencies"] == [["shop", "0001_initial"]]
    assert nodes["0002_a"]["operations"] == ["Add field a to item"]
    assert nodes["0002_a"]["file"] == str(site.folder / "shop" / "migrations" / "0002_a.py")
    assert (nodes["0001_initial"]["initial"], nodes["0002_a"]["initial"]) == (True, False)


@pytest.mark.parametrize(
    ("app", "name", "says"),
    [
        ("shop", "0004", "The app 'shop' has no migration '0004'.\nNext: did you mean '0003_b' or '0002_a'?"),
        ("shop", "0003_c", "The app 'shop' has no migration '0003_c'.\nNext: did you mean '0003_b'"),
        ("shop", "000", "More than one migration of 'shop' begins with '000'.\nNext: did you mean '0001_initial' or"),
        ("shpo", None, "No installed app has the label 'shpo'.\nNext: did you mean 'shop'?"),
        ("bare", None, "The app 'bare' has no migrations.\nNext: make them first"),
        ("bare", "0001", "The app 'bare' has no migrations.\nNext: make them first"),
    ],
)
def test_names_what_is_nearest_to_what_is_not_there(wrong_names: Worker, app: str, name: str | None, says: str) -> None:
    for method in ("plan", "sql", "migrate"):
        with pytest.raises(LookupError) as caught:
            wrong_names.call(method, app=app, name=name)
        assert str(caught.value).startswith(says)


@pytest.fixture(scope="module")
def wrong_names(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Any:
    database = fresh_database(server, "wrong_names")
    site = make_site(tmp_path_factory.mktemp("names") / "site", database, apps=("shop", "bare"))
    chain(site)
    (site.folder / "bare" / "migrations" / "__init__.py").unlink()
    (site.folder / "bare" / "migrations").rmdir()
    site.models("bare", ITEM)
    with site.worker() as worker:
        yield worker
    server.drop_database("wrong_names")


def test_names_the_databases_there_are(wrong_names: Worker) -> None:
    with pytest.raises(errors.DatabaseNotFound) as caught:
        wrong_names.call("graph", database="replica")
    assert str(caught.value) == "The project has no database alias 'replica'.\nNext: choose one of: default"


def test_counts_a_squashed_migration_as_applied_once_its_parts_are(
    site: Site, start: Start, database: ConnectionInfo
) -> None:
    chain(site)
    worker = start(site)
    worker.call("migrate")
    site.migration("shop", "0001_squashed_0003_b", SQUASHED, imports=KEY)
    graph = worker.call("graph")
    assert keys(graph["nodes"]) == ["shop.0001_squashed_0003_b"]
    node = graph["nodes"][0]
    assert node["applied"] is True
    assert node["replaces"] == [["shop", "0001_initial"], ["shop", "0002_a"], ["shop", "0003_b"]]
    assert graph["unknown"] == []
    assert worker.call("plan") == []
    with pytest.raises(errors.MigrationNotFound) as caught:
        worker.call("plan", app="shop", name="0002_a")
    assert str(caught.value) == (
        "shop.0002_a is replaced by the squashed migration 0001_squashed_0003_b.\n"
        "Next: name '0001_squashed_0003_b' instead"
    )
    worker.call("migrate")
    assert keys(worker.call("history"))[-1] == "shop.0001_squashed_0003_b"
    for name in ("0001_initial", "0002_a", "0003_b"):
        (site.folder / "shop" / "migrations" / f"{name}.py").unlink()
    graph = worker.call("graph")
    assert keys(graph["nodes"]) == ["shop.0001_squashed_0003_b"]
    assert graph["nodes"][0]["applied"] == worker.call("history")[-1]["applied"]
    assert graph["unknown"] == []  # the rows of what it replaced are no strangers
    assert worker.call("sql", migrations=[["shop", "0001_squashed_0003_b"]])[0]["operations"]


def test_keeps_to_the_parts_while_a_squashed_migration_is_applied_in_part(site: Site, start: Start) -> None:
    chain(site)
    worker = start(site)
    worker.call("migrate", app="shop", name="0002")
    site.migration("shop", "0001_squashed_0003_b", SQUASHED, imports=KEY)
    graph = worker.call("graph")
    assert [(each["name"], bool(each["applied"])) for each in graph["nodes"]] == [
        ("0001_initial", True),
        ("0002_a", True),
        ("0003_b", False),
    ]
    # `migrate shop 0001_squashed…` goes to the last of its parts then.
    assert keys(worker.call("plan", app="shop", name="0001_squashed_0003_b")) == ["shop.0003_b"]
    assert [each["name"] for each in worker.call("sql", app="shop", name="0001_squashed")] == ["0003_b"]
    worker.call("migrate", app="shop", name="0001_squashed_0003_b")
    assert worker.call("plan") == []


def test_says_when_replaced_files_were_deleted_too_early(site: Site, start: Start) -> None:
    chain(site)
    worker = start(site)
    worker.call("migrate", app="shop", name="0002")
    site.migration("shop", "0001_squashed_0003_b", SQUASHED, imports=KEY)
    for name in ("0001_initial", "0002_a", "0003_b"):
        (site.folder / "shop" / "migrations" / f"{name}.py").unlink()
    site.migration("shop", "0004_more", add("c", ("shop", "0003_b")))
    with pytest.raises(errors.MigrationGraphError, match="depends on one that does not exist"):
        worker.call("graph")


def test_follows_swappable_dependencies_and_run_before(tmp_path: Path, database: ConnectionInfo, start: Start) -> None:
    site = make_site(tmp_path / "site", database, apps=("people", "shop", "zoo"), admin=True)
    site.append_settings('AUTH_USER_MODEL = "people.Person"')
    site.write(
        "people/models.py",
        "from django.contrib.auth.models import AbstractUser\n\n\nclass Person(AbstractUser):\n    pass\n",
    )
    owner = "from django.conf import settings\nfrom django.db import models\n\n\n"
    site.write(
        "shop/models.py",
        owner + "class Item(models.Model):\n    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)\n",
    )
    worker = start(site)
    worker.call("generate")
    site.migration("zoo", "0001_early", 'run_before = [("shop", "0001_initial")]\noperations = []\n')
    graph = {(each["app"], each["name"]): each for each in worker.call("graph")["nodes"]}
    assert graph["shop", "0001_initial"]["dependencies"] == [["people", "0001_initial"], ["zoo", "0001_early"]]
    assert graph["zoo", "0001_early"]["run_before"] == [["shop", "0001_initial"]]
    order = keys(worker.call("plan"))
    assert order.index("people.0001_initial") < order.index("shop.0001_initial")
    assert order.index("zoo.0001_early") < order.index("shop.0001_initial")


def test_says_when_migrations_depend_on_each_other_in_a_circle(site: Site, start: Start) -> None:
    chain(site)
    site.migration("shop", "0002_a", add("a", ("shop", "0003_b")))
    worker = start(site)
    for method in ("graph", "plan", "sql", "model_changes"):
        with pytest.raises(errors.MigrationGraphError) as caught:
            worker.call(method)
        assert caught.value.message.startswith("The migrations depend on each other in a circle: shop.000")


def test_names_a_missing_parent(site: Site, start: Start) -> None:
    chain(site)
    site.migration("shop", "0003_b", add("b", ("shop", "0002_lost")))
    with pytest.raises(errors.MigrationGraphError) as caught:
        start(site).call("graph")
    assert caught.value.message == (
        "A migration depends on one that does not exist: Migration shop.0003_b dependencies reference "
        "nonexistent parent node ('shop', '0002_lost')."
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def broken(:\n", "0003_b.py, line 1, is not valid Python"),
        ("import nowhere_at_all\n", "A migration could not be imported: ModuleNotFoundError: No module named"),
        ("x = 1\n", "A file in a migrations folder is not a migration"),
    ],
)
def test_names_a_migration_file_that_cannot_be_read(site: Site, start: Start, text: str, says: str) -> None:
    chain(site)
    site.write("shop/migrations/0003_b.py", text)
    with pytest.raises(errors.MigrationGraphError) as caught:
        start(site).call("graph")
    assert says in caught.value.message
    assert "0003_b" in caught.value.message


def test_shows_an_inconsistent_history_and_refuses_to_plan_on_it(
    site: Site, start: Start, database: ConnectionInfo
) -> None:
    chain(site)
    worker = start(site)
    worker.call("migrate")
    forget(database, "shop", "0002_a")
    graph = worker.call("graph")
    assert "shop.0003_b is applied before its dependency shop.0002_a" in graph["inconsistent"]
    with pytest.raises(errors.MigrationGraphError, match="The database's history is out of order"):
        worker.call("plan")


def test_lists_rows_without_a_file(site: Site, start: Start, database: ConnectionInfo) -> None:
    chain(site)
    worker = start(site)
    worker.call("migrate")
    record(database, "shop", "0009_lost")
    record(database, "gone", "0001_initial")
    unknown = worker.call("graph")["unknown"]
    assert [(each["app"], each["name"], each["installed"]) for each in unknown] == [
        ("shop", "0009_lost", True),
        ("gone", "0001_initial", False),
    ]


def test_keeps_several_databases_apart(tmp_path: Path, server: Server, database: ConnectionInfo, start: Start) -> None:
    second = fresh_database(server, database.dbname + "_second")
    try:
        site = make_site(tmp_path / "site", database, apps=("shop", "store"), others={"second": second})
        site.write(
            "config/routers.py",
            """
            class Router:
                def allow_migrate(self, db, app_label, **hints):
                    return (db == "second") == (app_label == "store")

                def db_for_read(self, model, **hints):
                    return "second" if model._meta.app_label == "store" else "default"

                db_for_write = db_for_read
            """,
        )
        site.append_settings('DATABASE_ROUTERS = ["config.routers.Router"]')
        for app in ("shop", "store"):
            chain(site, app)
        worker = start(site)
        assert worker.call("describe")["routers"] == ["config.routers.Router"]
        worker.call("migrate", database="second")
        assert worker.call("history") == []
        # Django records every migration in every database it migrates, routed there or not.
        assert len(worker.call("history", database="second")) == 6
        routed = {each["app"]: each["routed"] for each in worker.call("graph", database="second")["nodes"]}
        assert routed == {"shop": False, "store": True}
        with connect(second) as connection:
            tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        assert sorted(tables) == [("django_migrations",), ("store_item",)]
        assert [row["model"] for row in worker.call("model_counts", database="second")] == ["Item"]
        sql = worker.call("sql", migrations=[["store", "0002_a"]])[0]
        assert sql["operations"][0]["sql"] == []
    finally:
        worker.close()
        server.drop_database(second.dbname)


def test_gives_operations_with_the_fields_before_and_after(site: Site, start: Start) -> None:
    chain(site)
    site.migration(
        "shop",
        "0004_longer",
        """
        dependencies = [("shop", "0003_b")]
        operations = [migrations.AlterField("item", "title", models.CharField(max_length=20)),
            migrations.RemoveField("item", "a")]
        """,
    )
    found = start(site).call("operations", migrations=[["shop", "0004"]])[0]
    narrowed, removed = found["operations"]
    assert (narrowed["before"]["max_length"], narrowed["after"]["max_length"]) == (40, 20)
    assert (narrowed["before"]["db_type"], narrowed["model"], narrowed["field"]) == ("varchar(40)", "Item", "title")
    assert (removed["class"], removed["before"]["class"], removed["after"]) == ("RemoveField", "IntegerField", None)
    assert found["dependencies"] == [["shop", "0003_b"]]


def test_works_again_after_the_server_cut_the_connection(site: Site, start: Start, database: ConnectionInfo) -> None:
    chain(site)
    worker = start(site)
    worker.call("graph")
    pid = worker.pid
    with connect(database) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid()"
        )
    assert len(worker.call("graph")["nodes"]) == 3
    assert worker.pid == pid


def test_reports_a_server_that_refuses(tmp_path: Path, database: ConnectionInfo, start: Start) -> None:
    site = make_site(tmp_path / "site", database)
    chain(site)
    site.write(".env", "SITE_SECRET_KEY=x\nSITE_PASSWORD=wrong-password\n")
    worker = start(site)
    assert worker.call("model_changes")["migrations"] == []  # needs no database
    with pytest.raises(errors.OperationFailed) as caught:
        worker.call("graph")
    assert caught.value.kind == "OperationalError"
    assert "password authentication failed" in caught.value.message
    assert "wrong-password" not in caught.value.message + caught.value.traceback
