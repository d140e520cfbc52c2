"""What is told of a RunPython from its source; a project on SQLite would do, but the replay is PostgreSQL's alone."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Any

import pytest

from mig_kit.project import Worker
from tests.project.projects import Site

MODELS = """
class Item(models.Model):
    n = models.IntegerField(null=True)
"""
FIRST = """
initial = True
operations = [migrations.CreateModel("Item", [("id", models.BigAutoField(primary_key=True)),
                                              ("n", models.IntegerField(null=True))])]
"""
HELPER = """
from shop.models import Item


def through_a_helper(apps, schema_editor):
    Item.objects.update(n=1)


def no_model(apps, schema_editor):
    return 1
"""

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "a loop that saves": (
        """
        def code(apps, schema_editor):
            Item = apps.get_model("shop", "Item")
            for item in Item.objects.using(schema_editor.connection.alias).filter(n=None):
                item.n = 1
                item.save(update_fields=["n"])
        """,
        {"whole": ["loaded whole", "save, a row at a time"]},
    ),
    "in chunks": (
        """
        def code(apps, schema_editor):
            items = apps.get_model("shop.Item").objects.using(schema_editor.connection.alias)
            for item in items.all().iterator(chunk_size=500):
                print(item.n)
        """,
        {"whole": ["read in chunks"]},
    ),
    "one update": (
        """
        def code(apps, schema_editor):
            db = schema_editor.connection.alias
            apps.get_model(app_label="shop", model_name="Item").objects.db_manager(db).filter(n=None).update(n=1)
        """,
        {"whole": ["update"]},
    ),
    "one delete": (
        """
        def code(apps, schema_editor):
            Item = apps.get_model("shop", "Item")
            Item.objects.using(schema_editor.connection.alias).all().delete()
        """,
        {"whole": ["delete"]},
    ),
    "batches": (
        """
        def code(apps, schema_editor):
            Item = apps.get_model("shop", "Item")
            rows = Item._default_manager.using(schema_editor.connection.alias)
            for start in range(0, 100, 10):
                rows.filter(pk__gte=start, pk__lt=start + 10).update(n=1)
        """,
        {"whole": ["update"], "batched": [True]},
    ),
    "no database named": (
        """
        def code(apps, schema_editor):
            Item = apps.get_model("shop", "Item")
            Item.objects.create(n=1)
            Item.objects.using("default").create(n=2)
        """,
        {"without_using": 1},
    ),
    "a model of now, imported inside": (
        """
        def code(apps, schema_editor):
            from shop.models import Item

            Item.objects.using(schema_editor.connection.alias).first()
        """,
        {"direct": ["shop.Item"]},
    ),
    "a model of now, by its module": (
        """
        import shop.models as current


        def code(apps, schema_editor):
            current.Item.objects.using(schema_editor.connection.alias).first()
        """,
        {"direct": ["shop.Item"]},
    ),
    "a model of now, from the registry of now": (
        """
        from django.apps import apps as registry


        def code(apps, schema_editor):
            registry.get_model("shop", "Item").objects.using(schema_editor.connection.alias).first()
        """,
        {"direct": ["shop.Item"]},
    ),
    "a model of now, in a helper": (
        """
        from shop.helper import through_a_helper as code
        """,
        {"direct": ["shop.Item"], "whole": ["update"], "without_using": 1},
    ),
    "a helper that is called": (
        """
        from shop.helper import no_model, through_a_helper


        def code(apps, schema_editor):
            no_model(apps, schema_editor)
            through_a_helper(apps, schema_editor)
        """,
        {"direct": ["shop.Item"], "whole": ["update"], "without_using": 1},
    ),
    "the parameter shadows": (
        """
        from shop.models import Item as Now


        def code(apps, schema_editor, Now=None):
            Item = apps.get_model("shop", "Item")
            Item.objects.using(schema_editor.connection.alias).first()
        """,
        {},
    ),
    "a lambda": (
        """
        code = lambda apps, schema_editor: apps.get_model("shop", "Item").objects.all().update(n=1)
        """,
        {"whole": ["update"], "without_using": 1},
    ),
    "a partial": (
        """
        from functools import partial


        def work(apps, schema_editor, value):
            Item = apps.get_model("shop", "Item")
            Item.objects.using(schema_editor.connection.alias).update(n=value)


        code = partial(work, value=1)
        """,
        {"whole": ["update"]},
    ),
    "a callable object": (
        """
        class Work:
            def __call__(self, apps, schema_editor):
                apps.get_model("shop", "Item").objects.update(n=1)


        code = Work()
        """,
        {"whole": ["update"], "without_using": 1},
    ),
    "statements of its own": (
        """
        def code(apps, schema_editor):
            schema_editor.execute("SELECT 1")
        """,
        {"raw_sql": True},
    ),
    "no source": (
        """
        space = {}
        exec("def code(apps, schema_editor):\\n    pass", space)
        code = space["code"]
        """,
        {"unknown": "its source cannot be read"},
    ),
    "a builtin": ("code = print", {"unknown": "its source cannot be read"}),
    "nothing": ("code = migrations.RunPython.noop", {"noop": True}),
}


@pytest.mark.parametrize(("source", "expected"), CASES.values(), ids=CASES)
def test_tells(source: str, expected: dict[str, Any], site: Site, start: Callable[..., Worker]) -> None:
    site.models("shop", MODELS)
    site.write("shop/helper.py", HELPER)
    site.migration("shop", "0001_first", FIRST)
    body = 'dependencies = [("shop", "0001_first")]\noperations = [migrations.RunPython(code)]'
    site.migration("shop", "0002_second", body, imports="\n\n" + textwrap.dedent(source))
    answer = start(site).call("replay", app="shop", name="0002", ask_database=False)
    facts = answer["migrations"][-1]["operations"][0]["python"]
    told = {
        "direct": sorted({each["model"] for each in facts["direct_models"]}),
        "whole": [each["what"] for each in facts["whole"]],
        "without_using": len(facts["without_using"]),
        "raw_sql": facts["raw_sql"],
        "unknown": facts["unknown"],
        "noop": facts["noop"],
        "batched": [each["batched"] for each in facts["whole"] if each["batched"]],
    }
    nothing = {
        "direct": [],
        "whole": [],
        "without_using": 0,
        "raw_sql": False,
        "unknown": None,
        "noop": False,
        "batched": [],
    }
    assert told == {**nothing, **expected}
    assert {each["table"] for each in facts["whole"]} <= {"shop_item"}
    assert facts["reverse"] is False
