"""System checks and model counts; on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable

from mig_kit.postgres import ConnectionInfo, connect
from mig_kit.project import Worker
from tests.project.projects import Site

Start = Callable[..., Worker]

MODELS = """
class Item(models.Model):
    title = models.CharField(max_length=40)


class Named(Item):
    class Meta:
        proxy = True


class View(models.Model):
    class Meta:
        managed = False
        db_table = "shop_view"


class Permissions(models.Model):
    class Meta:
        managed = False


class Lost(models.Model):
    code = models.CharField(primary_key=True, max_length=4)
"""


def test_counts_models_and_says_which_cannot_be_queried(site: Site, start: Start, database: ConnectionInfo) -> None:
    site.models("shop", MODELS)
    worker = start(site)
    worker.call("generate")
    worker.call("migrate")
    with connect(database) as connection:
        connection.execute("INSERT INTO shop_item (title) VALUES ('secret'), ('other')")
        connection.execute("CREATE VIEW shop_view AS SELECT id FROM shop_item")
        connection.execute("DROP TABLE shop_lost")
    found = {each["model"]: each for each in worker.call("model_counts")}
    assert list(found) == ["Item", "View", "Lost"]  # Permissions has no table and needs none
    assert (found["Item"]["count"], found["Item"]["first"], found["Item"]["error"]) == (2, "1", None)
    assert (found["View"]["count"], found["View"]["first"]) == (2, "1")
    assert found["Lost"]["count"] is None
    assert 'relation "shop_lost" does not exist' in found["Lost"]["error"]
    assert "secret" not in str(found)


def test_lists_the_findings_of_the_system_checks(site: Site, start: Start) -> None:
    site.models("shop", "class Item(models.Model):\n    price = models.DecimalField()\n")
    site.append_settings("SILENCED_SYSTEM_CHECKS = ['security.W002']")
    worker = start(site)
    found = {each["id"]: each for each in worker.call("system_checks")}
    assert found["fields.E130"]["level"] == "error"
    assert found["fields.E130"]["object"] == "shop.Item.price"
    assert found["fields.E130"]["message"] == "DecimalFields must define a 'decimal_places' attribute."
    assert "security.W003" not in found
    deploy = {each["id"] for each in worker.call("system_checks", deploy=True)}
    assert "security.W003" in deploy
    assert "security.W002" not in deploy
