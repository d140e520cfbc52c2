"""What an isolated worker tells of a run, and what it holds to; on PostgreSQL 18, and the matrix on 15 as well."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mig_kit import errors
from mig_kit.postgres import ConnectionInfo, Server, connect
from mig_kit.postgres.observe import FULL_SQL, SETTLE_SQL, TOUCHED_SQL, Snapshot
from mig_kit.project import Worker
from tests.project.projects import Site, make_site
from tests.servers import fresh_database
from tests.venvs import MATRIX, Pair, venv

Start = Callable[..., Worker]
Events = list[tuple[str, dict[str, Any]]]
QUERIES = {"whole": FULL_SQL, "touched": TOUCHED_SQL, "settle": SETTLE_SQL}
MODELS = "class Item(models.Model):\n    title = models.CharField(max_length=40)\n"


@pytest.fixture
def copy(server: Server) -> Iterator[ConnectionInfo]:
    """The database that stands for the copy."""
    yield fresh_database(server, "the_copy")
    server.drop_database("the_copy")


def isolation(copy: ConnectionInfo, **more: Any) -> dict[str, Any]:
    server = {"host": copy.host, "port": copy.port, "user": copy.user, "password": copy.password.reveal()}
    return {"server": server, "databases": [copy.dbname], "aliases": {"default": copy.dbname}, **more}


def run(worker: Worker, **args: Any) -> Events:
    """Rehearse and return the events; a failure is kept as the last one."""
    events: Events = []

    def take(event: str, data: dict[str, Any]) -> dict[str, Any]:
        events.append((event, data))
        return {}

    try:
        worker.call("rehearse", on_event=take, queries=QUERIES, **args)
    except errors.MigKitError as exc:
        events.append(("failed", {"error": exc}))
    return events


def names(events: Events) -> list[str]:
    return [event for event, _data in events]


def tables(info: ConnectionInfo) -> set[str]:
    with connect(info) as conn:
        return {row[0] for row in conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}


def chain(site: Site) -> None:
    site.models("shop", MODELS)
    site.manage("makemigrations")
    site.migration(
        "shop",
        "0002_more",
        "dependencies = [('shop', '0001_initial')]\n"
        "operations = [migrations.AddField('item', 'size', models.IntegerField(null=True))]",
    )


def test_without_isolation_nothing_is_rehearsed(site: Site, start: Start) -> None:
    with pytest.raises(errors.UsageError) as caught:
        start(site).call("rehearse", queries=QUERIES)
    assert caught.value.message == "This process is not isolated: it could reach the real database."


def test_the_copy_alone_is_migrated_with_each_statement_told(
    site: Site, start: Start, copy: ConnectionInfo, database: ConnectionInfo
) -> None:
    chain(site)
    events = run(start(site, isolation=isolation(copy)))
    assert names(events)[0] == "backend"
    assert "look" in names(events)[: names(events).index("statement")]
    begun = [data["name"] for event, data in events if event == "begin"]
    assert begun == ["0001_initial", "0002_more"]
    added = next(data for event, data in events if event == "statement" and "ADD COLUMN" in data["sql"])
    assert added["operation"] == {"operation": "Add field size to item", "python": False, "deferred": False}
    assert (added["how"], added["error"]) == ("transaction", "")
    look = Snapshot.parse(added["look"])
    held = {state.name: state.modes for state in look.relations.values()}
    assert "AccessExclusiveLock" in held["shop_item"]
    ended = [data for event, data in events if event == "ended" and data["transaction"] == added["transaction"]]
    assert [each["ok"] for each in ended] == [True]
    assert ended[0]["at"] >= added["at"] + added["ms"]
    done = [data for event, data in events if event == "done"]
    assert all(each["ms"] > 0 for each in done)
    assert "shop_item" in tables(copy)
    assert tables(database) == set()


def test_backwards_and_forwards_again_in_one_process(site: Site, start: Start, copy: ConnectionInfo) -> None:
    chain(site)
    worker = start(site, isolation=isolation(copy))
    run(worker)
    back = run(worker, way="backwards", plan=[["shop", "0001_initial"], ["shop", "0002_more"]])
    assert [(data["name"], data["backwards"]) for event, data in back if event == "begin"] == [
        ("0002_more", True),
        ("0001_initial", True),
    ]
    assert "shop_item" not in tables(copy)
    again = run(worker, app="shop")
    assert [data["name"] for event, data in again if event == "done"] == ["0001_initial", "0002_more"]
    assert worker.starts == 1


def test_a_loop_takes_a_look_at_first_and_at_the_end(site: Site, start: Start, copy: ConnectionInfo) -> None:
    chain(site)
    site.migration(
        "shop",
        "0003_code",
        "dependencies = [('shop', '0002_more')]\noperations = [migrations.RunPython(fill, migrations.RunPython.noop)]",
        imports="\n\ndef fill(apps, editor):\n    Item = apps.get_model('shop', 'Item')\n"
        "    for n in range(500):\n        Item.objects.create(title=f'kept private {n}')\n",
    )
    events = run(start(site, isolation=isolation(copy)))
    inserted = [data for event, data in events if event == "statement" and 'INTO "shop_item"' in data["sql"]]
    assert len(inserted) == 1
    repeated = [data for event, data in events if event == "repeated"]
    (only,) = [each for each in repeated if any(one["n"] == inserted[0]["n"] for one in each["statements"])]
    (fact,) = only["statements"]
    assert fact["times"] == 499
    assert only["look"] is not None
    assert "kept private" not in repr(events)


def test_a_failing_statement_is_told_with_its_error(site: Site, start: Start, copy: ConnectionInfo) -> None:
    chain(site)
    site.migration(
        "shop",
        "0003_wrong",
        "dependencies = [('shop', '0002_more')]\noperations = [migrations.RunSQL('SELECT nothing')]",
    )
    events = run(start(site, isolation=isolation(copy)))
    failed = [data for event, data in events if event == "statement" and data["error"]]
    assert [each["sql"] for each in failed] == ["SELECT nothing"]
    assert 'column "nothing" does not exist' in failed[0]["error"]
    assert events[-1][0] == "failed"
    assert [data["ok"] for event, data in events if event == "ended"][-1] is False


def test_interrupted_work_is_rolled_back_and_the_next_run_is_told_anew(
    site: Site, start: Start, copy: ConnectionInfo
) -> None:
    chain(site)
    worker = start(site, isolation=isolation(copy))

    def stop(event: str, data: dict[str, Any]) -> dict[str, Any]:
        if event == "statement" and "ADD COLUMN" in data["sql"]:
            raise KeyboardInterrupt
        return {}

    with pytest.raises(KeyboardInterrupt):
        worker.call("rehearse", on_event=stop, queries=QUERIES)
    with connect(copy) as conn:
        assert conn.execute("SELECT name FROM django_migrations WHERE app = 'shop'").fetchall() == [("0001_initial",)]
    events = run(worker)
    assert [data["name"] for event, data in events if event == "begin"] == ["0002_more"]


def test_settings_that_connect_while_they_load_are_told(site: Site, start: Start, copy: ConnectionInfo) -> None:
    site.append_settings(
        """
        import psycopg
        psycopg.connect(host="127.0.0.1", port=1, dbname="production")
        """
    )
    with pytest.raises(errors.SettingsError) as caught:
        start(site, isolation=isolation(copy)).call("describe")
    assert "The rehearsal refused a connection by psycopg" in caught.value.message


def test_passwords_are_blotted_out_wherever_the_settings_keep_them(
    site: Site, start: Start, copy: ConnectionInfo
) -> None:
    site.append_settings(
        """
        DATABASES["default"]["PASSWORD"] = "the real secret"
        URL = "postgresql://me:the real secret@db.example.org/production"
        KEPT = {"deep": [{"in": ("here", "the real secret")}], "port": 5432}
        os.environ["DATABASE_URL"] = URL
        os.environ["PGSERVICE"] = "production"
        """
    )
    site.write(
        "shop/migrations/0001_look.py",
        """
        import json, os
        from django.conf import settings
        from django.db import migrations


        def look(apps, editor):
            from config import settings as module
            found = [repr(vars(module)), repr(settings.URL), repr(settings.KEPT), json.dumps(dict(os.environ))]
            assert not any("the real secret" in each for each in found), found
            assert settings.KEPT["port"] == 5432
            assert "PGSERVICE" not in os.environ
            assert os.environ["PGDATABASE"] == "the_copy"


        class Migration(migrations.Migration):
            operations = [migrations.RunPython(look)]
        """,
    )
    events = run(start(site, isolation=isolation(copy)))
    assert events[-1][0] != "failed", events[-1]


def test_a_backend_that_finds_its_own_way_is_led_to_the_copy(site: Site, start: Start, copy: ConnectionInfo) -> None:
    """One that fetches a token, say, gives host and password itself, whatever the settings hold."""
    chain(site)
    site.write("tokens/__init__.py", "")
    site.write(
        "tokens/base.py",
        """
        from django.db.backends.postgresql import base


        class DatabaseWrapper(base.DatabaseWrapper):
            def get_connection_params(self):
                return dict(super().get_connection_params(), host="db.example.org", password="a token")
        """,
    )
    site.append_settings('DATABASES["default"]["ENGINE"] = "tokens"')
    events = run(start(site, isolation=isolation(copy)))
    assert events[-1][0] != "failed", events[-1]
    assert "shop_item" in tables(copy)


CASES = [(MATRIX[0], 15), (MATRIX[2], 18), (MATRIX[-1], 18)]


@pytest.mark.matrix
@pytest.mark.parametrize(("pair", "major"), CASES, ids=lambda value: str(value))
def test_in_old_and_new_pythons_and_djangos(
    pair: Pair, major: int, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    server: Server = request.getfixturevalue(f"server{major}")
    copy, database = fresh_database(server, "the_copy"), fresh_database(server, "the_real_one")
    try:
        site = make_site(tmp_path / "site", database, python=venv(pair.python, pair.packages))
        chain(site)
        with site.worker(isolation=isolation(copy)) as worker:
            events = run(worker)
            assert names(events)[-1] != "failed", events[-1]
            assert [data["name"] for event, data in events if event == "done"] == ["0001_initial", "0002_more"]
            back = run(worker, way="backwards", plan=[["shop", "0001_initial"], ["shop", "0002_more"]])
            assert names(back)[-1] != "failed", back[-1]
        assert "shop_item" not in tables(copy)
        assert tables(database) == set()
    finally:
        server.drop_database("the_copy")
        server.drop_database("the_real_one")
