"""The texts that remedies are made of: SQL taken apart, Python put together. No database."""

from __future__ import annotations

import ast
import textwrap
from pathlib import Path
from typing import Any

import pytest

from mig_kit.hazards.plan import PlanMigration, PlanOperation, RawSql
from mig_kit.hazards.remedies import NoRemedy, Remedy, remedy
from mig_kit.hazards.remedies._code import literal
from mig_kit.hazards.remedies._moves import How, Mover
from mig_kit.hazards.remedies._source import parse_source
from mig_kit.hazards.remedies._sql_text import AddedColumn, AlteredTable, default_name, read, split

ADD = 'ALTER TABLE "t" ADD COLUMN '


def column(definition: str) -> AddedColumn:
    found = read(ADD + definition)
    assert isinstance(found, AlteredTable)
    (action,) = found.actions
    assert isinstance(action, AddedColumn)
    return action


def test_takes_a_columns_definition_apart() -> None:
    assert column('"n" integer DEFAULT 0 NOT NULL CHECK ("n" >= 0)') == AddedColumn(
        '"n"', "integer", default="0", not_null=True, check='("n" >= 0)'
    )
    assert column('"p" bigint NULL CONSTRAINT "fk" REFERENCES "p"("id") DEFERRABLE INITIALLY DEFERRED') == AddedColumn(
        '"p"', "bigint", foreign_key='"fk"', references='REFERENCES "p"("id") DEFERRABLE INITIALLY DEFERRED'
    )
    assert column("""v varchar(9) COLLATE "C" DEFAULT 'a; NOT, "x"' NOT NULL UNIQUE""") == AddedColumn(
        "v", "varchar(9)", 'COLLATE "C"', """'a; NOT, "x"'""", not_null=True, unique=True
    )
    assert column('"g" integer GENERATED ALWAYS AS ("n" * 2) STORED').other == 'GENERATED ALWAYS AS ("n" * 2) STORED'
    assert column('"k" uuid DEFAULT (gen_random_uuid()) NOT NULL PRIMARY KEY').primary
    assert column('"a" numeric(10, 2)[] NULL').type == "numeric(10, 2)[]"


def test_splits_at_the_semicolons_that_end_statements() -> None:
    assert split("""A ';' "b;c"; DO $$ x; $$; DO $q$ $$; $q$;\n-- no; end\nB""") == [
        """A ';' "b;c\"""",
        "DO $$ x; $$",
        "DO $q$ $$; $q$",
        "-- no; end\nB",
    ]


@pytest.mark.parametrize("statement", ["SELECT 1", "DROP TABLE t", "CREATE TABLE t (n int)", "VACUUM t", ""])
def test_leaves_other_statements_alone(statement: str) -> None:
    assert read(statement) is None


def test_names_as_postgresql_does() -> None:
    assert default_name('"shop_shoe"', "size", "check") == "shop_shoe_size_check"
    long = default_name('"' + "t" * 60 + '"', "c" * 40, "check")
    assert (len(long), long) == (63, "t" * 28 + "_" + "c" * 28 + "_check")


MOVES = [
    ('CREATE INDEX "i" ON "s"."t" ("n")', ["concurrent"]),
    ('ALTER TABLE "t" ADD CONSTRAINT "k" CHECK ("n" > 0)', ["brief", "scan"]),
    ('ALTER TABLE "t" ADD CONSTRAINT "k" FOREIGN KEY ("n") REFERENCES "p" ("id")', ["brief", "scan"]),
    ('ALTER TABLE "t" ADD CONSTRAINT "k" UNIQUE NULLS NOT DISTINCT ("n")', ["concurrent", "concurrent"]),
    ('ALTER TABLE "t" ALTER COLUMN "n" SET NOT NULL', ["brief", "scan", "brief", "concurrent"]),
    (ADD + '"n" integer DEFAULT 1 NOT NULL', ["brief"]),
    (ADD + '"n" timestamptz DEFAULT now() NOT NULL', ["brief"]),
    (ADD + "\"n\" text DEFAULT 'random()' NOT NULL", ["brief"]),
    (ADD + '"n" float DEFAULT random() NULL', ["brief", "brief", "batches"]),
    ('UPDATE "t" SET "n" = 0 WHERE "n" IS NULL; SET CONSTRAINTS ALL IMMEDIATE', ["batches"]),
    ('ALTER TABLE "t" DROP COLUMN "n" CASCADE', ["brief"]),
    ("VACUUM t", ["concurrent"]),
    ("DROP INDEX CONCURRENTLY i", ["concurrent"]),
]


@pytest.mark.parametrize(("statement", "hows"), MOVES, ids=[each[0][:60] for each in MOVES])
def test_says_how_each_statement_runs(statement: str, hows: list[str]) -> None:
    assert [str(each.how.value) for each in Mover('"id"').moves([statement])] == hows


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ('ALTER TABLE "t" ALTER COLUMN "n" TYPE bigint', "changes its type"),
        ('ALTER TABLE "t" ADD CONSTRAINT "x" EXCLUDE USING gist ("r" WITH &&)', "no way to add EXCLUDE"),
        ('ALTER TABLE "t" ADD CONSTRAINT "x" PRIMARY KEY ("n")', "no way to add PRIMARY KEY"),
        (ADD + '"n" integer GENERATED ALWAYS AS (1) STORED', "rewrites the table"),
        ('UPDATE "t" SET "n" = 0', "no primary key"),
    ],
)
def test_says_why_there_is_no_other_way(statement: str, why: str) -> None:
    with pytest.raises(NoRemedy, match=why):
        Mover(None).moves([statement])


def test_a_default_comes_back_on_the_way_back() -> None:
    moves = Mover(None).moves([ADD + '"n" integer DEFAULT 7 NOT NULL', 'ALTER TABLE "t" ALTER COLUMN "n" DROP DEFAULT'])
    assert moves[1].back == ('ALTER TABLE "t" ALTER COLUMN "n" SET DEFAULT 7',)
    assert [each.how for each in moves] == [How.BRIEF, How.BRIEF]


@pytest.mark.parametrize(
    "value", ["plain", 'with "quotes"', "it's", "back\\slash", "line\nbreak", "ü {} %", "", "x " * 99]
)
def test_a_string_is_what_it_was(value: str) -> None:
    text = literal(value)
    assert ast.literal_eval(f"({text})") == value
    assert all(len(line) < 90 for line in text.split("\n"))


HEAD = "from django.db import migrations, models\n"


def migration_of(tmp_path: Path, body: str, head: str = HEAD, **facts: Any) -> tuple[PlanMigration, PlanOperation]:
    """Return a migration with one RunSQL, as the plan would have it."""
    file = tmp_path / "0007_by_hand.py"
    file.write_text(f"{head}\n\nclass Migration(migrations.Migration):\n{textwrap.indent(body, '    ')}\n")
    sql = ('CREATE INDEX "i" ON "t" ("n")',)
    raw = RawSql(sql, reverse=False, state_operations=0)
    values: dict[str, Any] = {"statements": sql, "raw": raw, "kind": "RunSQL", **facts}
    operation = PlanOperation(
        path="", describe="Raw SQL operation", line=1, known=True, note=None, transaction="migration", reversible=False,
        plain={"django": [5, 2], "table": None, "key": None}, **values,
    )  # fmt: skip
    plain = {"operations": [{"index": 0}]}
    migration = PlanMigration("shop", "0007_by_hand", str(file), True, True, False, None, (operation,), (), plain)
    return migration, operation


def files_of(found: Remedy | None) -> dict[str, str]:
    assert found is not None
    for source in found.files.values():
        compile(source, "", "exec")
    return dict(found.files)


SQL = '\'CREATE INDEX "i" ON "t" ("n")\''


def test_keeps_what_belongs_to_the_class_and_what_the_operations_use(tmp_path: Path) -> None:
    head = (
        '"""By hand."""\nfrom __future__ import annotations\nimport os, sys\nfrom django.conf import settings\n'
        f"{HEAD}from shop.sql import (\n    ONE,\n    TWO,\n)\nNAME = ONE\nUNUSED = TWO\n\n\n"
        "def unused():\n    return sys\n"
    )
    body = (
        "initial = True\ndependencies = [migrations.swappable_dependency(settings.AUTH_USER_MODEL), ('shop', NAME)]\n"
        f"run_before = [('other', '0001_initial')]\noperations = [migrations.RunSQL({SQL}), ]"
    )
    (source,) = files_of(remedy("MK201", *migration_of(tmp_path, body, head))).values()
    assert "from django.conf import settings\n" in source
    assert "from shop.sql import ONE\n" in source
    assert "NAME = ONE" in source
    assert "UNUSED" not in source
    assert "unused" not in source
    assert "import os" not in source
    assert "    initial = True\n" in source
    assert "    dependencies = [migrations.swappable_dependency(settings.AUTH_USER_MODEL), ('shop', NAME)]\n" in source
    assert "    run_before = [('other', '0001_initial')]\n" in source


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (f"{SQL}", "'DROP INDEX CONCURRENTLY IF EXISTS \"i\"'"),
        (f"{SQL}, 'DROP INDEX i'", "'DROP INDEX CONCURRENTLY IF EXISTS \"i\"'"),
        (f"sql={SQL}, reverse_sql='DROP INDEX i'", "'DROP INDEX CONCURRENTLY IF EXISTS \"i\"'"),
    ],
)
def test_a_raw_statement_has_a_way_back(tmp_path: Path, arguments: str, expected: str) -> None:
    found = migration_of(tmp_path, f"operations = [migrations.RunSQL({arguments})]")
    (source,) = files_of(remedy("MK201", *found)).values()
    assert f"            {expected},\n        ),\n    ]\n" in source


def test_a_way_back_that_follows_from_nothing_stays_the_one_that_was_written(tmp_path: Path) -> None:
    statements = ('CREATE INDEX "i" ON "t" ("n")', "COMMENT ON TABLE t IS 'x'")
    body = "operations = [migrations.RunSQL('…', '''\n        DROP INDEX i;\n    ''')]"
    files = files_of(remedy("MK201", *migration_of(tmp_path, body, statements=statements)))
    assert list(files) == ["0007_1_index_for_by_hand", "0007_by_hand"]
    assert "'''\n            DROP INDEX i;\n        '''" in files["0007_by_hand"]
    assert "noop" in files["0007_1_index_for_by_hand"]


@pytest.mark.parametrize(
    ("body", "head"),
    [
        ("operations = make()", HEAD),
        ("operations = [*more]", HEAD),
        ("operations = []\noperations += [1]", HEAD),
        (f"operations = [migrations.RunSQL({SQL})]\nreplaces = [('shop', '0001')]", HEAD),
        (f"operations = [migrations.RunSQL({SQL})]\ndef apply(self): pass", HEAD),
        (f"operations = [migrations.RunSQL({SQL})", HEAD),
        (f"operations = [migrations.RunSQL({SQL}, hints={{'model_name': 'shoe'}})]", HEAD),
    ],
)
def test_what_nobody_can_divide_has_no_remedy(tmp_path: Path, body: str, head: str) -> None:
    assert remedy("MK201", *migration_of(tmp_path, body, head)) is None


def test_a_file_that_is_gone_has_no_remedy(tmp_path: Path) -> None:
    migration, operation = migration_of(tmp_path, f"operations = [migrations.RunSQL({SQL})]")
    Path(migration.file or "").unlink()
    assert remedy("MK201", migration, operation) is None


def test_hostile_names_break_no_text(tmp_path: Path) -> None:
    name = 'i""" \\ \'x'
    statements = (f'CREATE INDEX "{name.replace(chr(34), chr(34) * 2)}" ON "t" ("n")',)
    statements += ('ALTER TABLE "t" ADD CONSTRAINT "a""" CHECK ("b\'\\" > 0)',)
    found = migration_of(tmp_path, f"operations = [migrations.RunSQL({SQL})]", statements=statements)
    files = files_of(remedy("MK201", *found))
    assert len(files) == 3


def test_the_files_sort_as_they_run_and_none_begins_with_the_name_it_replaces(tmp_path: Path) -> None:
    statements = (ADD + '"n" integer NULL CHECK ("n" > 0)', 'CREATE INDEX "i" ON "t" ("n")')
    found = migration_of(tmp_path, f"operations = [migrations.RunSQL({SQL})]", statements=statements)
    names = list(files_of(remedy("MK204", *found)))
    assert names == sorted(names)
    assert names[-1] == "0007_by_hand"
    assert not any(each.startswith("0007_by_hand") for each in names[:-1])


def test_the_code_for_a_hint_is_the_operations_of_every_file(tmp_path: Path) -> None:
    found = remedy("MK201", *migration_of(tmp_path, f"operations = [migrations.RunSQL({SQL})]"))
    assert found is not None
    assert found.code.startswith("# 0007_by_hand.py\natomic = False\noperations = [\n")
    assert "CREATE INDEX CONCURRENTLY" in found.code
    assert repr(found) == "<Remedy for shop.0007_by_hand: 1 files>"


def test_a_source_knows_what_a_text_needs(tmp_path: Path) -> None:
    head = f"{HEAD}A = 1\nB = A\n\n\ndef f(x):\n    B2 = x\n    return B, B2\n"
    migration, _operation = migration_of(tmp_path, "operations = [1]", head)
    source = parse_source(migration, Path(migration.file or "").read_text())
    assert source.needed_by(["f"]) == ["A = 1", "B = A", "def f(x):\n    B2 = x\n    return B, B2"]
    assert source.needed_by(["x"]) == []
