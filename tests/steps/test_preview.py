"""Preview: the SQL of migrations, against a real PostgreSQL 18."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from mig_kit import errors
from mig_kit.postgres import find_binaries
from mig_kit.steps.apply import apply
from mig_kit.steps.generate import generate
from mig_kit.steps.preview import format_sql, preview
from mig_kit.steps.target import open_target
from tests.steps.projects import ANSWERS, Copy, Opened, empty_migration


@pytest.fixture(autouse=True)
def as_it_was(opened: Opened) -> Iterator[None]:
    with opened.project.restored():
        yield


def test_all_pending_in_the_order_they_would_run(opened: Opened) -> None:
    generate(opened.target, answers=ANSWERS)
    plan = preview(opened.target)
    assert [each.app for each in plan.migrations] == ["blog", "portfolio", "contact"]
    assert repr(plan).startswith("<SqlPlan: 3 migrations, ")
    assert all(each.exact or each.app == "contact" for each in plan.migrations)
    assert 'ALTER TABLE "portfolio_project" RENAME COLUMN "link" TO "live_url";' in plan.text
    assert [each.app for each in preview(opened.target, "blog").migrations] == ["blog"]
    assert [each.app for each in preview(opened.target, "contact").migrations] == ["portfolio", "contact"]
    assert preview(opened.target, "blog").text.startswith("BEGIN;\n-- blog.0005_comment_comment_post_created_idx\n")
    frame = plan.to_frame()
    assert list(frame.columns) == ["migration", "operation", "sql", "note"]
    assert (frame[frame["sql"] == ""]["note"] != "").all()


def test_nothing_pending_is_an_empty_plan(opened: Opened) -> None:
    plan = preview(opened.target)
    assert not plan
    assert (plan.text, repr(plan)) == ("", "<SqlPlan: 0 migrations, 0 statements>")
    assert list(plan.to_frame().columns) == ["migration", "operation", "sql", "note"]


def test_one_by_an_unambiguous_prefix_applied_or_not(opened: Opened) -> None:
    (migration,) = preview(opened.target, "blog", "0002").migrations
    assert migration.name == "0002_post_reading_minutes"
    assert not migration.exact
    assert 'ADD COLUMN "reading_minutes" smallint' in migration.statements[0]


def test_the_way_back_from_one(opened: Opened) -> None:
    (migration,) = preview(opened.target, "blog", "0004", backwards=True).migrations
    assert migration.backwards
    assert migration.exact
    assert "-- blog.0004_category_position_post_status_idx (backwards)" in migration.text
    assert 'DROP INDEX IF EXISTS "post_status_published_idx";' in migration.statements


def test_python_is_said_to_be_unknown_never_left_out(opened: Opened) -> None:
    plan = preview(opened.target, "blog", "0003")
    assert plan.migrations[0].notes == (
        "This operation is Python code, not SQL: what it runs is known only by running it, on a copy.",
    )
    assert "-- NOT KNOWN HERE: This operation is Python code" in plan.text
    assert "not wholly known" in repr(plan)
    assert list(plan.to_frame()["note"]) != [""]


def test_an_irreversible_operation_is_said_to_be_one(opened: Opened) -> None:
    operation = "[migrations.RunSQL('SELECT 1')]"
    empty_migration(opened.project, "blog", "0005_one_way", "0004_category_position_post_status_idx", operation)
    plan = preview(opened.target, "blog", "0005", backwards=True)
    assert plan.migrations[0].notes == ("This operation cannot be reversed: migrate would stop here.",)


def test_what_is_not_atomic_says_so_and_has_no_transaction(opened: Opened) -> None:
    operation = "[migrations.RunSQL('CREATE INDEX CONCURRENTLY x ON blog_post (title)')]"
    empty_migration(
        opened.project, "blog", "0005_index", "0004_category_position_post_status_idx", operation, atomic="False"
    )
    text = preview(opened.target).text
    assert "BEGIN" not in text
    assert "-- not atomic: each statement stands when it has run, whatever comes after" in text


@pytest.mark.parametrize(
    ("app", "name", "said"),
    [
        ("blogg", None, "No installed app has the label 'blogg'.\nNext: did you mean 'blog'?"),
        (
            "blog",
            "0001_initail",
            "The app 'blog' has no migration '0001_initail'.\nNext: did you mean '0001_initial'?",
        ),
        (
            "blog",
            "00",
            "More than one migration of 'blog' begins with '00'.\nNext: did you mean '0001_initial' or "
            "'0002_post_reading_minutes' or '0003_fill_reading_minutes' or '0004_category_position_post_status_idx'?",
        ),
        (None, "0002", "The migration '0002' is named without its app.\nNext: rb.preview('the app', '0002')"),
    ],
)
def test_a_name_that_does_not_exist_is_answered_with_the_nearest(
    opened: Opened, app: str | None, name: str | None, said: str
) -> None:
    with pytest.raises(errors.MigKitError) as caught:
        preview(opened.target, app, name)
    assert str(caught.value) == said


def test_a_way_back_needs_to_know_from_where(opened: Opened) -> None:
    with pytest.raises(errors.UsageError) as caught:
        preview(opened.target, "blog", backwards=True)
    assert str(caught.value) == (
        "A way back needs to know from where.\nNext: name a migration: rb.preview(app, name, backwards=True)"
    )


def test_it_writes_nothing(opened: Opened) -> None:
    generate(opened.target, answers=ANSWERS)
    before = schema(opened.project)
    preview(opened.target)
    preview(opened.target, "blog", "0004", backwards=True)
    assert schema(opened.project) == before


def test_the_text_run_by_hand_makes_the_schema_that_migrate_makes(copies: Callable[..., Copy]) -> None:
    """The SQL is complete here, so psql and migrate must come to the same tables."""
    migrated, by_hand = copies("migrated"), copies("by hand")
    with closing(open_target(migrated.root)) as target:
        generate(target, answers=ANSWERS)
        text = preview(target).text
        apply(target)
    by_hand.run(text, admin=False)
    assert schema(by_hand) == schema(migrated)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE FUNCTION f() RETURNS int AS $$ BEGIN; RETURN 1;  -- two  spaces\nEND $$ LANGUAGE plpgsql;",
        "UPDATE t SET body = $q$a;  b$q$;",
    ],
)
def test_a_dollar_quoted_body_is_left_as_it_is(statement: str) -> None:
    assert format_sql(statement) == statement


def test_a_long_statement_is_broken_into_lines() -> None:
    columns = ", ".join(f"column_{number}" for number in range(20))
    formatted = format_sql(f"SELECT {columns} FROM somewhere WHERE column_1 = 1 AND column_2 = 2;")
    assert formatted.splitlines()[-1].strip() == "AND column_2 = 2;"
    assert format_sql("SELECT 1; SELECT 2;") == "SELECT 1;\nSELECT 2;"
    assert format_sql("SELECT 'a  ;  b';") == "SELECT 'a  ;  b';"


def schema(project: Copy) -> str:
    """The database's schema as pg_dump writes it, columns sorted as they were added."""
    info = project.admin
    where = [f"--host={info.host}", f"--port={info.port}", f"--username={info.user}", f"--dbname={info.dbname}"]
    done = subprocess.run(
        [str(find_binaries(18).tool("pg_dump")), "--schema-only", "--restrict-key=none", *where],
        env={"PGPASSWORD": info.password.reveal()},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout
