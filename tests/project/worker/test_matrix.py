"""The worker in every Python and Django that pair, on PostgreSQL 18, and in the oldest and the newest on 15."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mig_kit import errors
from mig_kit.postgres import ConnectionInfo
from tests.project.projects import Site, make_site
from tests.servers import fresh_database
from tests.venvs import MATRIX, Pair, venv

CASES = [(pair, 18) for pair in MATRIX] + [(MATRIX[0], 15), (MATRIX[-1], 15)]

BEFORE = """
class Maker(models.Model):
    name = models.CharField(max_length=40)


class Item(models.Model):
    title = models.CharField(max_length=40)
    maker = models.ForeignKey(Maker, models.CASCADE)
"""

AFTER = """
class Maker(models.Model):
    name = models.CharField(max_length=60)


class Item(models.Model):
    name = models.CharField(max_length=40)
    maker = models.ForeignKey(Maker, models.CASCADE)
    price = models.PositiveIntegerField()
    made = models.DateTimeField(auto_now_add=True)
"""

ANSWERS = {
    "rename-field:shop.item.title:name": True,
    "not-null-addition:shop.item.price": "5",
    "auto-now-add:shop.item.made": "timezone.now",
}


@pytest.fixture
def own_database(request: pytest.FixtureRequest) -> Iterator[ConnectionInfo]:
    server = request.getfixturevalue(f"server{request.node.callspec.params['major']}")
    yield fresh_database(server, "matrix")
    server.drop_database("matrix")


@pytest.mark.matrix
@pytest.mark.parametrize(("pair", "major"), CASES, ids=lambda value: str(value))
def test_goes_the_whole_way(pair: Pair, major: int, own_database: ConnectionInfo, tmp_path: Path) -> None:
    python = venv(pair.python, pair.packages)
    site = make_site(tmp_path / "site", own_database, admin=True, python=python)
    site.models("shop", BEFORE)
    site.write(
        "shop/admin.py", "from django.contrib import admin\n\nfrom .models import Item\n\nadmin.site.register(Item)\n"
    )
    with site.worker() as worker:
        described = worker.call("describe")
        assert described["python"].startswith(pair.python)
        assert described["django"].startswith(pair.django)
        assert described["databases"]["default"]["vendor"] == "postgresql"
        worker.call("generate")
        worker.call("migrate")
        site.models("shop", AFTER)

        changes = worker.call("model_changes")
        assert changes["open"] == [each["id"] for each in changes["questions"]]
        assert set(changes["open"]) == set(ANSWERS)
        assert "Rename field title on item to name" in changes["text"]
        assert [each["model"] for each in changes["models"]] == ["Item", "Maker"]
        with pytest.raises(errors.UnansweredQuestions):
            worker.call("generate")
        (made,) = worker.call("generate", answers=ANSWERS, name="second")["files"]
        assert made["name"] == "0002_second"

        (step,) = worker.call("plan")
        assert step == {"app": "shop", "name": "0002_second", "backwards": False}
        operations = worker.call("operations", migrations=[["shop", "0002"]])[0]["operations"]
        assert {each["symbol"] for each in operations} == {"+", "~"}
        (forwards,) = worker.call("sql")
        assert forwards["exact"] is True
        assert statements(forwards) == own_sql(site, "shop", "0002")

        events: list[str] = []
        worker.call("migrate", expected=[step], on_event=lambda event, data: events.append(event))
        assert (events[0], events[1], events[-1]) == ("backend", "begin", "done")
        assert events.count("statement") >= 4
        (backwards,) = worker.call("sql", app="shop", name="0001", backwards=True)
        assert 'ALTER TABLE "shop_item" RENAME COLUMN "name" TO "title";' in statements(backwards)
        assert worker.call("model_changes")["text"] == "No changes detected\n"
        assert worker.call("explain_no_changes")

        assert worker.call("system_checks") == []
        counts = {each["model"]: (each["count"], each["error"]) for each in worker.call("model_counts", apps=["shop"])}
        assert counts == {"Maker": (0, None), "Item": (0, None)}
        pages = {each["what"]: each["status"] for each in worker.call("admin_pages", apps=["shop"])["pages"]}
        assert pages == {"index": 200, "shop.Item": 200}
        graph = worker.call("graph")
        assert not [each for each in graph["nodes"] if not each["applied"]]
        assert worker.call("history")[-1]["name"] == "0002_second"
        assert worker.starts == 2  # once for the edit of the models, never for its own files


def statements(migration: dict[str, Any]) -> list[str]:
    text = [sql for operation in migration["operations"] for sql in operation["sql"]] + migration["deferred"]
    return without_time("\n".join(text)).splitlines()


def own_sql(site: Site, *arguments: str) -> list[str]:
    lines = without_time(site.manage("sqlmigrate", *arguments)).splitlines()
    return [line for line in lines if line and not line.startswith("--") and line not in ("BEGIN;", "COMMIT;")]


def without_time(text: str) -> str:
    """Leave out the time that timezone.now gives anew each time."""
    return re.sub(r"'[^']*'::timestamptz", "now", text)
