"""Applying migrations with the project's own migrate command; on PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mig_kit import errors
from mig_kit.postgres import ConnectionInfo, Server, connect
from mig_kit.project import Worker
from tests.project.projects import Site, make_site
from tests.project.worker.test_graph import chain, keys
from tests.servers import fresh_database

Start = Callable[..., Worker]


def python_migration(site: Site, code: str, *, name: str = "0004_python", more: str = "", app: str = "shop") -> None:
    site.write(
        f"{app}/migrations/{name}.py",
        f"""
from django.db import migrations


def forwards(apps, schema_editor):
    Item = apps.get_model("{app}", "Item")
{code}


class Migration(migrations.Migration):
    {more}
    dependencies = [("{app}", "0003_b")]
    operations = [migrations.RunPython(forwards, migrations.RunPython.noop)]
""",
    )


def run(worker: Worker, **args: Any) -> list[tuple[str, dict[str, Any]]]:
    """Migrate and return the events; the failure, if any, is kept as the last one."""
    events: list[tuple[str, dict[str, Any]]] = []
    try:
        worker.call("migrate", on_event=lambda event, data: events.append((event, data)), **args)
    except errors.MigKitError as exc:
        events.append(("failed", {"error": exc}))
    return events


def test_tells_each_migration_and_statement_in_order(site: Site, start: Start) -> None:
    chain(site)
    python_migration(site, "    for n in range(5):\n        Item.objects.create(title='kept private')")
    events = run(start(site))
    told = [(event, data.get("name") or "") for event, data in events]
    assert told[0] == ("backend", "")
    marks = [each for each in told if each[0] in ("begin", "done")]
    names = ["0001_initial", "0002_a", "0003_b", "0004_python"]
    assert marks == [(event, name) for name in names for event in ("begin", "done")]
    statements = [data["sql"] for event, data in events if event == "statement" and data["name"] == "0002_a"]
    assert [sql for sql in statements if "django_migrations" not in sql] == [
        'ALTER TABLE "shop_item" ADD COLUMN "a" integer NULL'
    ]
    done = {data["name"]: data for event, data in events if event == "done"}
    inserts = [each for each in done["0004_python"]["repeated"] if each["sql"].startswith("INSERT")]
    assert [each["times"] for each in inserts] == [5]
    assert all(data["ms"] >= 0 for data in done.values())
    assert "kept private" not in str(events)  # values are nobody's business


def test_leaves_a_truthful_error_and_what_was_done_before(site: Site, start: Start) -> None:
    chain(site)
    python_migration(site, "    Item.objects.create(title='x')\n    raise ValueError('the third row is odd')")
    worker = start(site)
    events = run(worker)
    failed = events[-1][1]["error"]
    assert isinstance(failed, errors.OperationFailed)
    path = site.folder / "shop" / "migrations" / "0004_python.py"
    assert failed.message == f"ValueError: the third row is odd ({path}, line 7)"
    assert failed.kind == "ValueError"
    assert failed.traceback.startswith("Traceback (most recent call last):")
    assert "raise ValueError('the third row is odd')" in failed.traceback
    assert keys(worker.call("history")) == ["shop.0001_initial", "shop.0002_a", "shop.0003_b"]
    assert worker.call("model_counts", apps=["shop"])[0]["count"] == 0  # the insert was rolled back


def test_tells_what_the_server_said(site: Site, start: Start, database: ConnectionInfo) -> None:
    chain(site)
    with connect(database) as connection:
        connection.execute("CREATE TABLE shop_item (id int)")
    failed = run(start(site))[-1][1]["error"]
    assert failed.kind == "ProgrammingError"
    assert 'relation "shop_item" already exists' in failed.message


def test_refuses_another_plan_than_was_shown(site: Site, start: Start, database: ConnectionInfo) -> None:
    chain(site)
    worker = start(site)
    shown = worker.call("plan")
    worker.call("migrate", app="shop", name="0001")
    with pytest.raises(errors.GateClosed) as caught:
        worker.call("migrate", expected=shown)
    assert caught.value.gate == "same plan"
    assert keys(worker.call("history")) == ["shop.0001_initial"]
    worker.call("migrate", expected=worker.call("plan"))
    assert len(worker.call("history")) == 3


def test_migrates_to_a_prefix_and_back_to_zero(site: Site, start: Start) -> None:
    chain(site)
    worker = start(site)
    worker.call("migrate", app="shop", name="0002")
    assert keys(worker.call("history")) == ["shop.0001_initial", "shop.0002_a"]
    events = run(worker, app="shop", name="zero")
    assert [(data["name"], data["backwards"]) for event, data in events if event == "done"] == [
        ("0002_a", True),
        ("0001_initial", True),
    ]
    assert worker.call("history") == []


@pytest.fixture
def two(tmp_path: Path, server: Server, database: ConnectionInfo) -> Any:
    second = fresh_database(server, database.dbname + "_two")
    site = make_site(tmp_path / "site", database, others={"second": second})
    chain(site)
    yield site
    server.drop_database(second.dbname)


def test_refuses_a_write_to_another_database(two: Site, start: Start) -> None:
    """A RunPython without ``using`` writes to the default database, whichever one is migrated."""
    python_migration(two, "    Item.objects.count()\n    Item.objects.create(title='astray')")
    worker = start(two)
    worker.call("migrate", app="shop", name="0003")
    failed = run(worker, database="second")[-1][1]["error"]
    assert isinstance(failed, errors.GateClosed)
    assert failed.gate == "one database"
    assert failed.message == (
        "A migration of the database 'second' wrote to the database 'default'; that write was refused."
    )
    assert len(worker.call("history", database="second")) == 3
    assert worker.call("model_counts", apps=["shop"])[0]["count"] == 0
    worker.call("migrate", database="second", other_databases=True)
    assert worker.call("model_counts", apps=["shop"])[0]["count"] == 1
    worker.close()


def test_lets_a_migration_use_its_own_database(two: Site, start: Start) -> None:
    python_migration(two, "    Item.objects.using(schema_editor.connection.alias).create(title='right')")
    worker = start(two)
    worker.call("migrate", database="second")
    assert worker.call("model_counts", database="second", apps=["shop"])[0]["count"] == 1
    worker.close()


def test_runs_the_signals_after_migrate(tmp_path: Path, database: ConnectionInfo, start: Start) -> None:
    site = make_site(tmp_path / "site", database, admin=True)
    chain(site)
    worker = start(site)
    printed = worker.call("migrate")["output"]
    assert re.search(r"Applying shop\.0003_b\.\.\.\s*OK", printed)
    with connect(database) as connection:
        rows = connection.execute("SELECT codename FROM auth_permission WHERE codename LIKE '%_item'").fetchall()
    assert sorted(rows) == [("add_item",), ("change_item",), ("delete_item",), ("view_item",)]


def test_stops_for_a_system_check(site: Site, start: Start) -> None:
    chain(site)
    site.models("shop", "class Item(models.Model):\n    title = models.CharField()\n    a = models.IntegerField()\n")
    site.append_settings("STATICFILES_DIRS = 'x'\nSILENCED_SYSTEM_CHECKS = []")
    site.write(
        "shop/models.py",
        (site.folder / "shop" / "models.py").read_text()
        + "\nfrom django.core import checks\n\n\n@checks.register\ndef never(**kwargs):\n"
        "    return [checks.Error('this project is not fit', id='shop.E001')]\n",
    )
    worker = start(site)
    assert [each["id"] for each in worker.call("system_checks")] == ["shop.E001"]
    failed = run(worker)[-1][1]["error"]
    assert failed.kind == "SystemCheckError"
    assert "this project is not fit" in failed.message
    assert worker.call("history") == []


def test_gives_what_python_code_prints_to_the_log_only(site: Site, start: Start) -> None:
    chain(site)
    python_migration(
        site,
        """
    import os, subprocess, sys
    print("printed")
    print("to stderr", file=sys.stderr)
    os.write(1, b"to descriptor 1\\n")
    subprocess.run(["sh", "-c", "echo from a child; echo and its stderr >&2"])
    assert sys.stdin.read() == ""
    sys.exit("leaving")
""",
    )
    worker = start(site)
    with pytest.raises(errors.OperationFailed, match="SystemExit: leaving"):
        worker.call("migrate")
    assert keys(worker.call("history")) == ["shop.0001_initial", "shop.0002_a", "shop.0003_b"]
    running = worker._running
    assert running is not None
    said = running.last_output()
    for words in ("printed", "to stderr", "to descriptor 1", "from a child", "and its stderr"):
        assert words in said
