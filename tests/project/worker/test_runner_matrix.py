"""The runner with the oldest Django and psycopg2, and with the newest, on PostgreSQL 18 and 15."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mig_kit import errors
from mig_kit.postgres import ConnectionInfo, connect
from tests.project.projects import make_site
from tests.project.worker.test_graph import KEY, SQUASHED, chain
from tests.project.worker.test_runner import CHILD, FILL, INITIAL, ITEM, PARTS, ask, columns, held, migrate, of
from tests.servers import fresh_database
from tests.venvs import MATRIX, Pair, venv

CASES = [(MATRIX[0], 18), (MATRIX[0], 15), (MATRIX[-1], 18)]


@pytest.fixture
def own_database(request: pytest.FixtureRequest) -> Iterator[ConnectionInfo]:
    server = request.getfixturevalue(f"server{request.node.callspec.params['major']}")
    yield fresh_database(server, "runner_matrix")
    server.drop_database("runner_matrix")


@pytest.mark.matrix
@pytest.mark.parametrize(("pair", "major"), CASES, ids=lambda value: str(value))
def test_waits_shortly_and_goes_part_by_part(
    pair: Pair, major: int, own_database: ConnectionInfo, tmp_path: Path
) -> None:
    site = make_site(tmp_path / "site", own_database, python=venv(pair.python, pair.packages))
    site.append_settings("DATABASES['default']['OPTIONS'] = {'options': '-c statement_timeout=300'}")
    site.models("shop", ITEM)
    site.migration("shop", "0001_initial", INITIAL)
    site.migration("shop", "0002_child", CHILD)
    with site.worker() as worker:
        migrate(worker)
        rows = ask(
            own_database,
            "SELECT (SELECT xmin::text FROM django_migrations WHERE name = '0002_child'), array_agg(xmin::text) "
            "FROM pg_class WHERE relname LIKE 'shop_child%'",
        )
        assert set(rows[0][1]) == {rows[0][0]}
        with closing(connect(own_database)) as conn:
            conn.execute("INSERT INTO shop_item (title) SELECT 'title ' || g FROM generate_series(1, 50) g")
        site.migration("shop", "0003_parts", PARTS.replace("0001_initial", "0002_child"), imports=FILL)
        worker.call("plan")
        with held(own_database, "LOCK TABLE shop_item", 1.0):
            events = migrate(worker, lock_timeout=0.1)
        assert of(events, "retry")
        assert [each["operation"] for each in of(events, "operation done")] == [0, 1, 2, 3, 4]
        assert ask(own_database, "SELECT count(*) FROM shop_item WHERE code = id") == [(50,)]
        back = migrate(worker, app="shop", name="0001")
        assert [each["name"] for each in of(back, "done")] == ["0003_parts", "0002_child"]
        assert columns(own_database) & {"id", "title", "code"} == {"id", "title"}

        def stop(event: str, data: dict[str, Any]) -> None:
            if event == "operation done" and data["operation"] == 2:
                raise errors.RecordError("stopped here")

        with pytest.raises(errors.RecordError):
            worker.call("migrate", on_event=stop)
        place = {"app": "shop", "name": "0003_parts", "operation": 3}
        migrate(worker, resume=place)
        assert ask(own_database, "SELECT count(*) FROM shop_item WHERE code = id") == [(50,)]
        site.migration("shop", "0004_late", 'dependencies = [("shop", "0003_parts")]\n' + LATE)
        with pytest.raises(errors.OperationFailed, match=r"A statement may run for 0\.3 s on this connection"):
            migrate(worker)


LATE = 'operations = [migrations.RunSQL("SELECT pg_sleep(5)")]'


@pytest.mark.matrix
@pytest.mark.parametrize(("pair", "major"), CASES[1:], ids=lambda value: str(value))
def test_records_a_squashed_migration_as_django_does(
    pair: Pair, major: int, own_database: ConnectionInfo, tmp_path: Path
) -> None:
    site = make_site(tmp_path / "site", own_database, python=venv(pair.python, pair.packages))
    chain(site)
    site.migration("shop", "0001_squashed_0003", SQUASHED, imports=KEY)
    rows = "SELECT name FROM django_migrations WHERE app = 'shop' ORDER BY name"
    site.manage("migrate")
    theirs = ask(own_database, rows)
    site.manage("migrate", "shop", "zero")
    with site.worker() as worker:
        migrate(worker)
        assert ask(own_database, rows) == theirs
        assert len(theirs) == 4
        migrate(worker, app="shop", name="zero")
        assert ask(own_database, rows) == []
