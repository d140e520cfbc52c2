"""A project whose migrations are cases: one base, and beside one another every case that could come after it.

Three models have the same fields: ``Big`` (12,000 rows), ``Small`` (50) and ``Empty``; their parents are alike. A case
is written for a placeholder and made for each of them, and for a model that the same migration creates.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from psycopg import sql

from mig_kit.postgres import ConnectionInfo, Server, connect
from mig_kit.steps.target import Target, open_target
from tests.hazards.plans.cases import CASES, Case
from tests.project.projects import Site, make_site
from tests.servers import fresh_database

__all__ = ["MODELS", "CaseSite", "case_site", "copy_database"]

Version = tuple[int, int]

ROWS = 12_000
MODELS = ("Big", "Small", "Empty", "Fresh")

FIELDS = """
("id", models.BigAutoField(primary_key=True)),
("code", models.CharField(max_length=20, db_index=True)),
("title", models.CharField(max_length=100)),
("email", models.CharField(max_length=50, unique=True)),
("state", models.CharField(max_length=10)),
("note", models.TextField(null=True)),
("amount", models.DecimalField(max_digits=8, decimal_places=2)),
("qty", models.IntegerField(null=True)),
("rank", models.IntegerField()),
("size", models.PositiveIntegerField()),
("made", models.DateTimeField(null=True)),
("owner", models.ForeignKey("shop.{owner}", models.CASCADE)),
("helper", models.ForeignKey("shop.{owner}", models.CASCADE, null=True, db_constraint=False, related_name="+")),
"""

OPTIONS = """
"unique_together": {("owner", "code")},
"indexes": [
    models.Index(functions.Lower("state"), name="{lower}_state_lower"),
    models.Index(fields=["title"], name="{lower}_title_part", condition=models.Q(qty__gt=0)),
    models.Index(fields=["amount"], name="{lower}_amount_ix"),
],
"constraints": [
    models.CheckConstraint({check}=models.Q(rank__gte=0), name="{lower}_rank_ck"),
    models.UniqueConstraint(fields=["code", "email"], name="{lower}_code_email_uq"),
],
"""

OWNER = """
("id", models.AutoField(primary_key=True)),
("name", models.CharField(max_length=40)),
("slug", models.SlugField(unique=True)),
"""

IMPORTS = (
    "import uuid\n\nimport django\nfrom django.contrib.postgres import operations as pg\n"
    "from django.db.models import functions\n\nfrom shop import custom, data"
)

FILL = """
INSERT INTO shop_{owner} (name, slug) SELECT 'n' || g, 's' || g FROM generate_series(1, {rows}) g;
INSERT INTO shop_{table} (code, title, email, state, note, amount, qty, rank, size, made, owner_id, helper_id)
SELECT 'c' || g, 't' || g, 'e' || g, 'new', 'x', 1.5, nullif(g % 7, 0), g % 5, 3, now(), 1 + g % {rows}, 1 + g % {rows}
FROM generate_series(1, {rows}) g;
INSERT INTO shop_{table}_peers (from_{table}_id, to_{table}_id) SELECT g, g FROM generate_series(1, {rows}) g;
"""

DATA = '''
def by_row(apps, schema_editor):
    Big = apps.get_model("shop", "Big")
    for big in Big.objects.using(schema_editor.connection.alias).all():
        big.rank = 1
        big.save()


def at_once(apps, schema_editor):
    Big = apps.get_model("shop", "Big")
    Big.objects.using(schema_editor.connection.alias).filter(qty__isnull=True).update(qty=0)


def direct(apps, schema_editor):
    from shop.models import Big

    Big.objects.filter(pk=0).count()


def batched(apps, schema_editor):
    rows = apps.get_model("shop", "Big")._default_manager.db_manager(schema_editor.connection.alias)
    last = 0
    while last < 100:
        rows.filter(pk__gt=last, pk__lte=last + 10).update(qty=0)
        last += 10


def stamp():
    return "x"


made = {}
exec("def hidden(apps, schema_editor):\\n    pass", made)
hidden = made["hidden"]


class Sound:
    """No operation of Django's."""
'''


def create(model: str, owner: str, check: str) -> str:
    """Return the CreateModel of one of the models that are alike."""
    lower = model.lower()
    fields = FIELDS.replace("{owner}", owner) + f'("peers", models.ManyToManyField("shop.{model}")),\n'
    options = OPTIONS.replace("{lower}", lower).replace("{check}", check)
    return f'migrations.CreateModel("{model}", fields=[{fields}], options={{{options}}}),\n'


def own_django() -> Version:
    """Return the Django of these tests."""
    import django

    return django.VERSION[:2]


def create_owner(model: str) -> str:
    return f'migrations.CreateModel("{model}", fields=[{OWNER}]),\n'


def check_argument(django: Version) -> str:
    """Django 5.1 renamed CheckConstraint's argument."""
    return "condition" if django >= (5, 1) else "check"


def write_base(site: Site, django: Version) -> None:
    """Write the migration that all cases come after."""
    check = check_argument(django)
    base = "".join(create_owner(f"{model}Owner") for model in MODELS[:3])
    base += "".join(create(model, f"{model}Owner", check) for model in MODELS[:3])
    base += 'migrations.CreateModel("Alias", fields=[], options={"proxy": True}, bases=("shop.big",)),\n'
    base += (
        'migrations.CreateModel("Elsewhere", fields=[("id", models.AutoField(primary_key=True))], '
        'options={"managed": False}),\n'
    )
    site.migration("shop", "0001_base", f"initial = True\noperations = [\n{base}]", imports=IMPORTS)


def write_cases(site: Site, django: Version) -> None:
    """Write every case that this Django knows for every model, one beside another."""
    check = check_argument(django)
    for case in CASES:
        if django < case.since:
            continue
        for model in MODELS:
            if model not in case.models:
                continue
            lower = model.lower()
            before = create_owner("FreshOwner") + create("Fresh", "FreshOwner", check) if model == "Fresh" else ""
            text = case.operations.replace("{M}", model).replace("{m}", lower).replace("{check}", check)
            body = 'dependencies = [("shop", "0001_base")]\n'
            body += "" if case.atomic else "atomic = False\n"
            site.migration("shop", case.migration(model), f"{body}operations = [\n{before}{text}\n]", imports=IMPORTS)


@dataclass
class CaseSite:
    """The project, opened, on a database at its base."""

    site: Site
    target: Target
    database: ConnectionInfo
    server: Server

    def fresh(self) -> ConnectionInfo:
        """Return a new copy of the database as it was made."""
        return copy_database(self.server, f"{self.database.dbname}_kept", f"{self.database.dbname}_copy")

    def names(self, case: Case, model: str) -> dict[str, str]:
        """What the placeholders of an expectation stand for."""
        return {"t": f"shop_{model.lower()}", "o": f"shop_{model.lower()}owner"}


@contextmanager
def case_site(
    folder: Path, server: Server, name: str = "cases", *, python: Path | None = None, django: Version | None = None
) -> Iterator[CaseSite]:
    """Make the project, bring its database to the base and fill it; another like it, that nobody uses, is kept."""
    version = django or own_django()
    database = fresh_database(server, name)
    site = make_site(folder, database, python=python)
    site.models(
        "shop",
        "class Big(models.Model):\n    code = models.CharField(max_length=20)\n",
    )
    site.write("shop/data.py", DATA)
    site.write("shop/custom.py", CUSTOM)
    write_base(site, version)
    site.manage("migrate", "shop")
    write_cases(site, version)
    with closing(connect(database)) as connection:
        for model, rows in (("big", ROWS), ("small", 50)):
            connection.execute(FILL.format(table=model, owner=f"{model}owner", rows=rows).encode())
        for statement in BY_HAND:
            connection.execute(statement.encode())
        connection.execute("ANALYZE")
    copy_database(server, name, f"{name}_kept")
    with closing(open_target(folder, python=site.python)) as target:
        yield CaseSite(site, target, database, server)
    for each in (name, f"{name}_kept"):
        server.drop_database(each)


def copy_database(server: Server, name: str, copy: str) -> ConnectionInfo:
    """Make a copy of a database that nobody is connected to."""
    server.drop_database(copy)
    with closing(connect(server.info)) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(copy), sql.Identifier(name)))
    return server.info.with_dbname(copy)


CUSTOM = '''
from django.db.migrations.operations.base import Operation


class Ping(Operation):
    """Somebody's own operation."""

    reversible = True

    def state_forwards(self, app_label, state):
        pass

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        schema_editor.execute("SELECT 1")

    def describe(self):
        return "Ping"


class Asks(Ping):
    """It asks the database."""

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        with schema_editor.connection.cursor() as cursor:
            cursor.execute("SELECT 1")
'''

# What no migration tells of.
BY_HAND = (
    "CREATE VIEW big_view AS SELECT qty FROM shop_big",
    "CREATE INDEX big_by_hand ON shop_big (rank) WHERE note IS NOT NULL",
    "ALTER TABLE shop_big ADD CONSTRAINT big_made_set CHECK (made IS NOT NULL)",
)
