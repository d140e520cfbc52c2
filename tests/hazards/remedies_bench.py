"""A shop with rows, and rehearsals of a migration of it: as it stands, and as a remedy has it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mig_kit.hazards.plan import Plan, PlanOperation, plan_of
from mig_kit.hazards.remedies import Remedy
from mig_kit.postgres import ConnectionInfo, connect
from mig_kit.project import Worker
from mig_kit.steps.backup import Backup, backup
from mig_kit.steps.rehearse import Rehearsal, rehearse
from mig_kit.steps.target import Target, open_target
from tests.project.projects import make_site

__all__ = ["HEAD", "ROWS", "Bench", "migration"]

# More than what counts as small.
ROWS = 12_000

HEAD = """import uuid

from django.db import migrations, models
from django.db.models.functions import Upper
from django.utils import timezone
"""

_INITIAL = """
class Migration(migrations.Migration):
    initial = True
    operations = [
        migrations.CreateModel("Brand", [
            ("id", models.BigAutoField(primary_key=True)),
            ("name", models.CharField(max_length=40)),
        ]),
        migrations.CreateModel("Shoe", [
            ("id", models.BigAutoField(primary_key=True)),
            ("name", models.CharField(max_length=40)),
            ("size", models.IntegerField(null=True)),
            ("stock", models.IntegerField(default=1)),
            ("code", models.CharField(max_length=20)),
            ("maker", models.BigIntegerField(null=True)),
            ("rating", models.IntegerField(null=True, db_index=True)),
            ("serial", models.IntegerField(null=True, unique=True)),
            ("weight", models.PositiveIntegerField(null=True)),
            ("grade", models.CharField(max_length=10, default="a")),
            ("rank", models.IntegerField(db_default=3)),
            ("hint", models.TextField(null=True, db_default="none")),
            ("brands", models.ManyToManyField("shop.Brand")),
        ]),
        migrations.AddIndex("Shoe", models.Index(Upper("grade"), name="upper_grade")),
        migrations.AddConstraint("Shoe", models.CheckConstraint(condition=~models.Q(grade=""), name="graded")),
        migrations.CreateModel("Odd", [
            ("id", models.BigAutoField(primary_key=True)),
            ("size", models.IntegerField(null=True, db_column="die {größe}")),
        ], options={"db_table": "odd table {x}"}),
        migrations.CreateModel("Review", [
            ("id", models.BigAutoField(primary_key=True)),
            ("shoe", models.ForeignKey("shop.Shoe", models.CASCADE)),
        ]),
    ]
"""

_ROWS = f"""
    INSERT INTO shop_brand (name) SELECT 'brand ' || g FROM generate_series(1, {ROWS}) g;
    INSERT INTO "odd table {{x}}" ("die {{größe}}") SELECT g FROM generate_series(1, {ROWS}) g;
    INSERT INTO shop_shoe (name, size, stock, code, maker, rating, serial, weight, grade)
        SELECT 'shoe ' || g, CASE WHEN g % 3 > 0 THEN 36 + g % 10 END, g % 7, 'c' || g, 1 + g % {ROWS}, g % 5, g, g % 9,
               'b'
        FROM generate_series(1, {ROWS}) g;
"""


def migration(operations: str, more: str = "", functions: str = "", imports: str = "") -> str:
    """Return the text of the shop's second migration."""
    return (
        f"{HEAD}{imports}\n\n{functions}\n\nclass Migration(migrations.Migration):\n{more}"
        f'    dependencies = [("shop", "0001_initial")]\n\n    operations = [\n{operations}\n    ]\n'
    )


@dataclass
class Bench:
    """The project, its target, a verified backup, and a folder for each set of migrations that is tried."""

    folder: Path
    target: Target
    backup: Backup
    tried: int = 0

    @classmethod
    def make(cls, folder: Path, database: ConnectionInfo) -> Bench:
        site = make_site(folder / "site", database)
        site.write("shop/migrations/0001_initial.py", HEAD + "\n" + _INITIAL)
        with closing(connect(database)) as conn, Worker(site.project) as worker:
            worker.call("migrate")
            conn.execute(_ROWS)
            conn.execute("ANALYZE")
        target = open_target(site.folder, python=site.python)
        return cls(folder, target, backup(target))

    def with_files(self, files: Mapping[str, str]) -> Target:
        """Return the target with these migrations after the first one; its worker is the caller's to close."""
        self.tried += 1
        place = self.folder / f"migrations_{self.tried}"
        shutil.copytree(self.folder / "site" / "shop" / "migrations", place)
        for name, source in files.items():
            (place / f"{name}.py").write_text(source)
        return replace(self.target, worker=Worker(self.target.project, migrations={"shop": str(place)}))

    def plan(self, source: str) -> Plan:
        """Return what the check knows of a second migration."""
        with closing(self.with_files({"0002_change": source})) as target:
            return plan_of(target.ask("replay", app="shop", name="0002_change"))

    def rehearse(self, files: Mapping[str, str], **options: Any) -> tuple[Rehearsal, str]:
        """Run these migrations on a copy, forwards, backwards and forwards; return what makemigrations says, too."""
        with closing(self.with_files(files)) as target:
            left = target.ask("model_changes", apps=["shop"], answers={})["migrations"]
            # The models are empty: what makemigrations would remove is all that the migrations have made.
            state = sorted(str(operation) for each in left for operation in each["operations"])
            return rehearse(target, backup=self.backup, **options), "\n".join(state)

    def remedy(self, id: str, source: str, kind: str | None = None) -> Remedy | None:
        """Return the remedy for a finding about the migration's first operation, or the first of that kind."""
        from mig_kit.hazards.remedies import remedy

        (found,) = self.plan(source).wanted
        operation = next(each for each in found.operations if kind in (None, each.kind))
        assert isinstance(operation, PlanOperation)
        return remedy(id, found, operation)
