"""Remedies for RunPython and RunSQL: the code itself is rewritten, and does the same to the rows.

Rehearsed on copies of a restored backup, on the embedded PostgreSQL 18.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from mig_kit.postgres import Server
from mig_kit.steps.rehearse import Rehearsal
from tests.hazards.remedies_bench import ROWS, Bench, migration
from tests.servers import fresh_database

pytestmark = pytest.mark.slow

UPDATE = '''
def change(apps, schema_editor):
    """Mark what is in stock."""
    Shoe = apps.get_model("shop", "Shoe")
    Shoe.objects.filter(stock__gt=0).update(
        code="in stock",
    )
'''

LOOP = """
SUFFIX = "!"


def named(shoe):
    return shoe.name + SUFFIX


def change(apps, editor):
    Shoe = apps.get_model("shop", "Shoe")
    for shoe in Shoe.objects.using(editor.connection.alias).filter(stock=3):
        shoe.name = named(shoe)
        shoe.save(update_fields=["name"])
"""

DIRECT = '''
def change(apps, schema_editor):
    """Mark what is in stock."""
    Shoe.objects.filter(stock=0).update(code="none")
'''


@pytest.fixture(scope="module")
def bench(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    made = Bench.make(tmp_path_factory.mktemp("code"), fresh_database(server, "code"))
    with closing(made.target):
        yield made
    server.drop_database("code")


def changed(rehearsal: Rehearsal) -> list[str]:
    assert [each.error for each in rehearsal.migrations if each.error] == []
    return [str(each) for migration in rehearsal.migrations for each in migration.values_changed]


def most_rows_at_once(rehearsal: Rehearsal) -> int:
    """Return the most rows that one transaction has changed: they are locked until its end."""
    return max(each.rows_changed for migration in rehearsal.migrations for each in migration.statements)


RUN = "migrations.RunPython(change, migrations.RunPython.noop),"


def test_one_update_goes_in_batches(bench: Bench) -> None:
    source = migration(RUN, functions=UPDATE)
    original, _state = bench.rehearse({"0002_change": source})
    remedy = bench.remedy("MK404", source)
    assert remedy is not None
    assert list(remedy.files) == ["0002_change"]
    assert "atomic = False" in remedy.files["0002_change"]
    rehearsal, _state = bench.rehearse(remedy.files)
    assert changed(rehearsal) == changed(original) != []
    assert most_rows_at_once(original) > 10_000 > most_rows_at_once(rehearsal) > 1


def test_a_loop_goes_in_batches_with_all_that_it_uses(bench: Bench) -> None:
    source = migration(RUN, functions=LOOP)
    remedy = bench.remedy("MK404", source)
    assert remedy is not None
    text = remedy.files["0002_change"]
    assert "for batch in in_ranges(Shoe, editor.connection.alias):" in text
    assert "for shoe in batch.filter(stock=3):" in text
    assert 'SUFFIX = "!"' in text
    assert "uuid" not in text
    original, _state = bench.rehearse({"0002_change": source})
    rehearsal, _state = bench.rehearse(remedy.files)
    assert changed(rehearsal) == changed(original) == [f"shop_shoe.name: {ROWS // 7:,} of {ROWS:,} values changed"]


def test_what_takes_a_person_to_divide_is_left_alone(bench: Bench) -> None:
    functions = """
def change(apps, schema_editor):
    Shoe = apps.get_model("shop", "Shoe")
    count = Shoe.objects.update(stock=1)
    print(count)
"""
    assert bench.remedy("MK404", migration(RUN, functions=functions)) is None


def test_a_query_says_which_database_it_means(bench: Bench) -> None:
    source = migration(RUN, functions=UPDATE)
    remedy = bench.remedy("MK403", source)
    assert remedy is not None
    assert "Shoe.objects.using(schema_editor.connection.alias).filter(" in remedy.files["0002_change"]
    assert bench.plan(remedy.files["0002_change"]).wanted[0].operations[0].python.without_using == ()  # type: ignore[union-attr]
    assert changed(bench.rehearse(remedy.files)[0]) == changed(bench.rehearse({"0002_change": source})[0])


def test_a_model_is_taken_from_the_migrations_own_state(bench: Bench) -> None:
    (bench.folder / "site" / "shop" / "models.py").write_text(
        "from django.db import models\n\n\nclass Shoe(models.Model):\n    stock = models.IntegerField()\n"
        "    code = models.TextField()\n"
    )
    try:
        source = migration(RUN, functions=DIRECT, imports="from shop.models import Shoe\n")
        remedy = bench.remedy("MK402", source)
        assert remedy is not None
        text = remedy.files["0002_change"]
        assert '    """Mark what is in stock."""\n    Shoe = apps.get_model("shop", "Shoe")\n    Shoe.objects' in text
        assert "shop.models" not in text
        found = bench.plan(text).wanted[0].operations[0].python
        assert found is not None
        assert found.direct_models == ()
        assert changed(bench.rehearse(remedy.files)[0]) != []
    finally:
        (bench.folder / "site" / "shop" / "models.py").write_text("")


@pytest.mark.parametrize("written", ["change", "code=change,", "change, atomic=True"])
def test_code_without_a_way_back_gets_one(bench: Bench, written: str) -> None:
    source = migration(f"migrations.RunPython({written}),", functions=UPDATE)
    assert bench.rehearse({"0002_change": source})[0].migrations[0].reversible is False
    remedy = bench.remedy("MK401", source)
    assert remedy is not None
    assert bench.rehearse(remedy.files)[0].migrations[0].reversible is True


def test_a_raw_update_goes_in_batches(bench: Bench) -> None:
    statement = "UPDATE shop_shoe SET code = '100 % {new}' WHERE stock > 0"
    source = migration(f'migrations.RunSQL("{statement}", migrations.RunSQL.noop),')
    remedy = bench.remedy("MK220", source)
    assert remedy is not None
    original, _state = bench.rehearse({"0002_change": source})
    rehearsal, _state = bench.rehearse(remedy.files)
    assert changed(rehearsal) == changed(original) != []
    assert most_rows_at_once(original) > 10_000 > most_rows_at_once(rehearsal) > 1


def test_what_refuses_to_run_in_a_transaction_gets_a_file_without_one(bench: Bench) -> None:
    source = migration(
        """migrations.AddField("Shoe", "note", models.TextField(default="")),
        migrations.RunSQL("CREATE INDEX CONCURRENTLY by_hand ON shop_shoe (name)", "DROP INDEX by_hand"),"""
    )
    original, _state = bench.rehearse({"0002_change": source})
    assert "cannot run inside a transaction block" in original.migrations[0].error
    remedy = bench.remedy("MK215", source, "RunSQL")
    assert remedy is not None
    assert list(remedy.files) == ["0002_1_rest_for_change", "0002_change"]
    rehearsal, _state = bench.rehearse(remedy.files)
    assert [each.error for each in rehearsal.migrations] == ["", ""]


def test_what_a_failed_build_has_left_is_dropped_and_a_valid_index_is_not(bench: Bench) -> None:
    concurrently = "from django.contrib.postgres.operations import AddIndexConcurrently\n"
    source = migration(
        'AddIndexConcurrently("Shoe", models.Index(fields=["name"], name="by_name")),',
        "    atomic = False\n",
        imports=concurrently,
    )
    remedy = bench.remedy("MK216", source)
    assert remedy is not None
    leftover = """migrations.RunSQL(["CREATE INDEX by_name ON shop_shoe (name)",
            "UPDATE pg_index SET indisvalid = {} WHERE indexrelid = 'by_name'::regclass"]),"""
    invalid = migration(leftover.format("false"))
    files = {"0002_before": invalid}
    after = {name: text.replace('"0001_initial"', '"0002_before"') for name, text in remedy.files.items()}
    rehearsal, _state = bench.rehearse({**files, **after}, backwards=False)
    assert [each.error for each in rehearsal.migrations] == ["", ""]
    assert rehearsal.schema is not None
    assert rehearsal.schema.relations["shop_shoe"].indexes["by_name"].valid
    original = {"0002_change": source.replace('"0001_initial"', '"0002_before"')}
    rehearsal, _state = bench.rehearse({**files, **original}, backwards=False)
    assert "already exists" in rehearsal.migrations[1].error
    valid = {"0002_before": migration(leftover.format("true"))}
    rehearsal, _state = bench.rehearse({**valid, **after}, backwards=False)
    assert "already exists" in rehearsal.migrations[1].error


def test_statistics_are_gathered_right_after_a_change_of_type(bench: Bench) -> None:
    source = migration('migrations.AlterField("Shoe", "code", models.CharField(max_length=40)),')
    remedy = bench.remedy("MK211", source)
    assert remedy is not None
    rehearsal, _state = bench.rehearse(remedy.files)
    assert rehearsal.migrations[1].statements[0].sql == 'ANALYZE "shop_shoe" ("code")'


def test_a_migration_that_is_not_written_out_has_no_remedy(bench: Bench) -> None:
    built = migration("").replace(
        "operations = [\n\n    ]",
        'operations = [migrations.AddIndex("Shoe", models.Index(fields=[n], name=n + "_idx")) for n in ("name",)]',
    )
    assert bench.remedy("MK201", built) is None
    assert bench.remedy("MK999", built) is None
