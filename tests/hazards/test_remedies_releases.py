"""Remedies for the running release: it can live with what is written now, and all of it ends in the same schema.

Rehearsed on copies of a restored backup, on the embedded PostgreSQL 18.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import pytest

from mig_kit.hazards.assessment import VerdictKind
from mig_kit.postgres import Server
from mig_kit.postgres.schema import schema_changes
from tests.hazards.remedies_bench import Bench, migration
from tests.servers import fresh_database

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Case:
    """A migration's operations, and the finding about what the running release runs into."""

    id: str
    operations: str
    now: tuple[str, ...]
    """What this release's files change, in sentences."""
    warns: bool = False

    def __str__(self) -> str:
        return f"{self.id}-{self.operations[11:70]}"


CASES = [
    Case("MK301", 'migrations.RemoveField("Shoe", "code"),', ("column code of shop_shoe became nullable",)),
    Case("MK301", 'migrations.RemoveField("Shoe", "size"),', ()),
    Case("MK301", 'migrations.RemoveField("Review", "shoe"),',
         ("column shoe_id of shop_review became nullable", "constraint {fk} was removed from shop_review")),
    Case("MK303", 'migrations.DeleteModel("Review"),', ("constraint {fk} was removed from shop_review",)),
    Case("MK305", 'migrations.RemoveField("Shoe", "brands"),',
         ("constraint {m2m} was removed from shop_shoe_brands", "constraint {m2m} was removed from shop_shoe_brands")),
    Case("MK306", 'migrations.AddField("Shoe", "color", models.TextField(default="red")),',
         ("column color text DEFAULT 'red'::text NOT NULL was added to shop_shoe",)),
    Case("MK306", 'migrations.AddField("Shoe", "made", models.DateTimeField(default=timezone.now)),', ("column made",)),
    Case("MK307", 'migrations.AlterField("Shoe", "rank", models.IntegerField()),', ()),
    Case("MK308", 'migrations.AlterField("Shoe", "hint", models.TextField(null=True)),', (), warns=True),
    Case("MK309", 'migrations.AlterField("Shoe", "maker", models.BigIntegerField()),', ()),
    Case("MK312", """migrations.AddConstraint("Shoe", models.CheckConstraint(
            condition=models.Q(stock__gte=0), name="not_less")),""", (), warns=True),
    Case("MK312", 'migrations.AlterUniqueTogether("Shoe", {("name", "code")}),', (), warns=True),
]  # fmt: skip


@pytest.fixture(scope="module")
def bench(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    made = Bench.make(tmp_path_factory.mktemp("releases"), fresh_database(server, "releases"))
    with closing(made.target):
        yield made
    server.drop_database("releases")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_running_release_goes_on_until_the_next_one(bench: Bench, case: Case) -> None:
    source = migration(case.operations)
    original, state = bench.rehearse({"0002_change": source}, backwards=False)
    remedy = bench.remedy(case.id, source)
    assert remedy is not None
    assert list(remedy.files)[-1] == "0002_change"
    assert remedy.later
    assert "next release" in remedy.notes[0]
    now, new_state = bench.rehearse(remedy.files)
    assert [each.compatibility.kind for each in now.migrations] == [VerdictKind.SAFE] * len(now.migrations)
    assert case.id not in {each.id for each in now.findings}
    assert case.id in {each.id for each in original.findings}
    assert new_state == state
    changed = [str(change) for each in now.migrations for change in each.schema_changes]
    assert len(changed) == len(case.now)
    for sentence, expected in zip(changed, case.now, strict=True):
        first, _, last = expected.partition("{fk}" if "{fk}" in expected else "{m2m}")
        assert sentence.startswith(first)
        assert sentence.endswith(last)
    both, _state = bench.rehearse({**remedy.files, **remedy.later})
    assert [each.error for each in both.migrations if each.error] == []
    assert original.schema is not None
    assert both.schema is not None
    assert [str(each) for each in schema_changes(original.schema, both.schema) if each.matters] == []
    unsafe = original.migrations[0].compatibility.kind is VerdictKind.UNSAFE
    assert unsafe is not case.warns


def test_what_takes_another_change_of_the_models_has_no_remedy(bench: Bench) -> None:
    rename = migration('migrations.RenameField("Shoe", "size", "length"),')
    assert bench.remedy("MK302", rename) is None
    assert bench.remedy("MK304", migration('migrations.RenameModel("Shoe", "Boot"),')) is None
    assert bench.remedy("MK306", migration('migrations.AddField("Shoe", "x", models.TextField(null=True)),')) is None
