"""A running release: models, and the statements that Django itself writes for them, on a database of its own.

Run as a program, with the database's address on stdin, in a process of its own because Django is configured only once:
it makes the tables, does what an application does, and prints each statement as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys

from mig_kit.postgres import ConnectionInfo

__all__ = ["make_old_release"]


def make_old_release(info: ConnectionInfo) -> dict[str, str]:
    """Make the tables of the release and return its statements: what it does → SQL with values in it."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.hazards.old_models"],
        input=json.dumps(info.params()),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


def main(params: dict[str, str]) -> None:
    """Make the tables, and print each statement."""
    import django
    from django.conf import settings

    places = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}
    database = {name: str(params.get(key, "")) for name, key in places.items()}
    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", **database}},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        USE_TZ=True,
    )
    django.setup()
    from django.db import connection, models, transaction
    from django.db.models import Value
    from django.test.utils import CaptureQueriesContext

    class Brand(models.Model):
        name = models.CharField(max_length=50, unique=True)

        class Meta:
            app_label = "shop"

    class Tag(models.Model):
        word = models.CharField(max_length=20)

        class Meta:
            app_label = "shop"

    class Shoe(models.Model):
        name = models.CharField(max_length=100)
        size = models.IntegerField(null=True)
        price = models.DecimalField(max_digits=8, decimal_places=2, default=0)
        brand = models.ForeignKey(Brand, on_delete=models.CASCADE)
        stock = models.IntegerField(db_default=Value(5))
        note = models.CharField(max_length=20, null=True, db_default=Value("new"))
        twice = models.GeneratedField(
            expression=models.F("price") * 2,
            output_field=models.DecimalField(max_digits=9, decimal_places=2),
            db_persist=True,
        )
        tags = models.ManyToManyField(Tag)

        class Meta:
            app_label = "shop"

    class Seen(models.Model):
        shoe = models.BigIntegerField(primary_key=True)
        name = models.CharField(max_length=100)

        class Meta:
            app_label = "shop"
            managed = False

    with connection.schema_editor() as editor:
        for model in (Brand, Tag, Shoe):
            editor.create_model(model)
    with connection.cursor() as cursor:
        cursor.execute("CREATE VIEW shop_seen AS SELECT id AS shoe, name FROM shop_shoe")
        cursor.execute("CREATE FUNCTION slug(word text) RETURNS text LANGUAGE sql AS 'SELECT lower(word)'")
    brand, tag = Brand.objects.create(name="Acme"), Tag.objects.create(word="new")
    shoe = Shoe.objects.create(name="Boot", size=41, brand=brand)
    shoe.tags.add(tag)
    does = {
        "select": lambda: list(Shoe.objects.all()[:21]),
        "insert": lambda: Shoe.objects.create(name="Slipper", size=38, price="9.90", brand=brand),
        "insert without size": lambda: Shoe.objects.create(name="Slipper", brand=brand),
        "insert a long note": lambda: Shoe.objects.create(name="Slipper", brand=brand, note="nineteen characters"),
        "update": lambda: Shoe.objects.filter(pk=shoe.pk).update(price="11.00"),
        "update to null": lambda: Shoe.objects.filter(pk=shoe.pk).update(size=None),
        "delete": lambda: Shoe.objects.filter(pk=-1)._raw_delete("default"),
        "read the tags": lambda: list(Shoe.tags.through.objects.filter(shoe=shoe)),
        "count the brands": lambda: Brand.objects.count(),
        "upsert a brand": lambda: Brand.objects.bulk_create(
            [Brand(name="Acme")], update_conflicts=True, unique_fields=["name"], update_fields=["name"]
        ),
        "insert a brand": lambda: Brand.objects.create(name="Zenith"),
        "insert a brand with its key": lambda: Brand.objects.create(pk=77, name="Zenith"),
        "read the view": lambda: list(Seen.objects.all()[:21]),
        "call the function": lambda: list(Brand.objects.annotate(s=models.Func("name", function="slug"))[:21]),
    }
    statements = {}
    for what, do in does.items():
        with CaptureQueriesContext(connection) as captured, transaction.atomic():
            do()
            transaction.set_rollback(True)
        (statements[what],) = [
            each["sql"] for each in captured if each["sql"].startswith(("SELECT", "INSERT", "UPDATE", "DELETE"))
        ]
    print(json.dumps(statements))


if __name__ == "__main__":
    main(json.load(sys.stdin))
