"""Remedies for locks, on a table with 12,000 rows: the original is rehearsed and is not safe, the remedy is.

Each rehearsal is the product's own, on copies of a restored backup on the embedded PostgreSQL 18: forwards, backwards
and forwards again. Both ways end in the same schema, and in the same state of the project.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import pytest

from mig_kit.hazards.assessment import VerdictKind
from mig_kit.postgres import Server
from mig_kit.postgres.schema import schema_changes
from mig_kit.steps.rehearse import Rehearsal
from tests.hazards.remedies_bench import Bench, migration
from tests.servers import fresh_database

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Case:
    """A migration's operations, the finding whose remedy is tried, how many files it has, and more of the file."""

    id: str
    operations: str
    files: int
    kind: str | None = None
    functions: str = ""
    imports: str = ""

    @property
    def source(self) -> str:
        return migration(self.operations, functions=self.functions, imports=self.imports)

    def __str__(self) -> str:
        return f"{self.id}-{self.operations[11:70]}"


FILL = """
def fill(apps, schema_editor):
    apps.get_model("shop", "Shoe").objects.using(schema_editor.connection.alias).filter(code="").update(code="none")
"""

CASES = [
    Case("MK201", 'migrations.AddIndex("Shoe", models.Index(fields=["name"], name="shoe_name_idx")),', 1),
    Case("MK201", 'migrations.AlterField("Shoe", "code", models.CharField(max_length=20, db_index=True)),', 2),
    Case("MK201", 'migrations.AlterField("Shoe", "stock", models.IntegerField(default=1, db_index=True)),', 1),
    Case("MK201", """migrations.AddConstraint("Shoe", models.UniqueConstraint(
            fields=["code"], condition=models.Q(stock__gt=0), name="in_stock")),""", 1),
    Case("MK201", 'migrations.RunSQL("CREATE INDEX by_hand ON shop_shoe (maker)", "DROP INDEX by_hand"),', 1),
    Case("MK201", """migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL("CREATE INDEX shoe_name_idx ON shop_shoe (name)")],
            state_operations=[migrations.AddIndex("Shoe", models.Index(fields=["name"], name="shoe_name_idx"))],
        ),""", 1),
    Case("MK202", 'migrations.AlterField("Shoe", "size", models.BigIntegerField(null=True)),', 3),
    Case("MK202", 'migrations.AlterField("Shoe", "stock", models.BigIntegerField(default=1)),', 7),
    Case("MK202", 'migrations.AlterField("Shoe", "rating", models.BigIntegerField(null=True, db_index=True)),', 4),
    Case("MK202", 'migrations.AlterField("Shoe", "serial", models.BigIntegerField(null=True, unique=True)),', 4),
    Case("MK202", 'migrations.AlterField("Shoe", "weight", models.PositiveBigIntegerField(null=True)),', 5),
    Case("MK203", 'migrations.AlterField("Shoe", "size", models.IntegerField(default=0)),', 6),
    Case("MK203", 'migrations.AlterField("Shoe", "maker", models.BigIntegerField()),', 4),
    Case("MK204", 'migrations.AddField("Shoe", "sold", models.PositiveIntegerField(null=True)),', 2),
    Case("MK204", 'migrations.AddField("Shoe", "sold", models.PositiveIntegerField(default=0)),', 3),
    Case("MK205", """migrations.AddField("Shoe", "brand", models.ForeignKey(
            "shop.Brand", models.CASCADE, default=1, related_name="+")),""", 4),
    Case("MK206", """migrations.AddConstraint("Shoe", models.CheckConstraint(
            condition=models.Q(stock__gte=0), name="not_less_than_none")),""", 2),
    Case("MK207", 'migrations.AddConstraint("Shoe", models.UniqueConstraint(fields=["code"], name="one_code")),', 2),
    Case("MK207", """migrations.AddConstraint("Shoe", models.UniqueConstraint(
            fields=["name", "code"], name="one_each", deferrable=models.Deferrable.DEFERRED)),""", 2),
    Case("MK207", 'migrations.AlterUniqueTogether("Shoe", {("name", "code")}),', 2),
    Case("MK207", 'migrations.AddField("Shoe", "ean", models.CharField(max_length=13, null=True, unique=True)),', 4),
    Case("MK201", """migrations.AddField("Shoe", "brand", models.ForeignKey(
            "shop.Brand", models.CASCADE, null=True, related_name="+")),""", 2),
    Case("MK214", """migrations.AddField("Shoe", "brand", models.ForeignKey(
            "shop.Brand", models.CASCADE, null=True, related_name="+")),""", 2),
    Case("MK201", 'migrations.AddIndex("Odd", models.Index(fields=["size"], name="größen {x}")),', 1),
    Case("MK203", 'migrations.AlterField("Odd", "size", models.IntegerField(default=0, db_column="die {größe}")),', 6),
    Case("MK209", 'migrations.AlterField("Shoe", "grade", models.CharField(max_length=20, default="a")),', 10),
    Case("MK210", 'migrations.AlterField("Shoe", "grade", models.CharField(max_length=20, default="a")),', 10),
    Case("MK213", """migrations.AddField("Shoe", "key", models.UUIDField(
            db_default=models.Func(function="gen_random_uuid"))),""", 6),
    Case("MK214", """migrations.AddField("Shoe", "note", models.TextField(default="")),
        migrations.RunPython(fill, migrations.RunPython.noop),""", 2, "RunPython", FILL),
    Case("MK405", """migrations.AddField("Shoe", "note", models.TextField(default="")),
        migrations.RunPython(fill, migrations.RunPython.noop),""", 2, "RunPython", FILL),
    Case("MK214", """migrations.AlterField("Shoe", "name", models.CharField(max_length=80)),
        migrations.AddIndex("Brand", models.Index(fields=["name"], name="brand_name_idx")),""", 2),
    Case("MK407", 'migrations.AddField("Shoe", "key", models.UUIDField(default=uuid.uuid4, unique=True)),', 9),
]  # fmt: skip

# These go back another way than they came, and meet the schema as it was before the first file only.
ON_THE_WAY = ("MK202", "MK209", "MK210")


@pytest.fixture(scope="module")
def bench(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("remedies")
    made = Bench.make(folder, fresh_database(server, "remedies"))
    with closing(made.target):
        yield made
    server.drop_database("remedies")


def safe(rehearsal: Rehearsal) -> list[str]:
    """Return what is not lock-safe, or failed."""
    return [
        f"{each}: {each.lock_safety} {each.error}"
        for each in rehearsal.migrations
        if each.lock_safety.kind is not VerdictKind.SAFE
    ]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_original_is_not_safe_and_the_remedy_is(bench: Bench, case: Case) -> None:
    original, state = bench.rehearse({"0002_change": case.source}, backwards=False)
    remedy = bench.remedy(case.id, case.source, case.kind)
    assert remedy is not None
    assert list(remedy.files)[-1] == "0002_change"
    assert len(remedy.files) == case.files
    rehearsal, new_state = bench.rehearse(remedy.files)
    assert safe(rehearsal) == []
    assert [each.way_back.again_error for each in rehearsal.migrations if each.way_back.again_error] == []
    if case.id in ON_THE_WAY:
        assert rehearsal.migrations[0].way_back.ok, rehearsal.migrations[0].way_back.words
    else:
        assert [f"{each}: {each.way_back.words}" for each in rehearsal.migrations if not each.way_back.ok] == []
    assert new_state == state
    if case.id == "MK407":  # the same value for every row cannot be unique
        assert "could not create unique index" in original.migrations[0].error
        return
    assert original.migrations[0].lock_safety.kind is VerdictKind.UNSAFE
    assert original.schema is not None
    assert rehearsal.schema is not None
    differences = [each for each in schema_changes(original.schema, rehearsal.schema) if each.matters]
    assert differences == []
