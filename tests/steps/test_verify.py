"""Verify: each check held and each failing for real, on a real PostgreSQL 18."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace

import pytest

from mig_kit import errors
from mig_kit.postgres import connect, count_rows
from mig_kit.progress import Progress
from mig_kit.steps.apply import apply
from mig_kit.steps.backup import Backup, backup
from mig_kit.steps.check import Check
from mig_kit.steps.generate import generate
from mig_kit.steps.target import open_target
from mig_kit.steps.verify import Verification, verify
from tests.steps.projects import ANSWERS, Copy, Opened, Template, conflict, empty_migration, sqlite

ALL = [
    "showmigrations: all applied",
    "makemigrations: no changes left",
    "system checks",
    "models import and can be queried",
    "row counts against the backup",
    "admin works",
    "indexes are valid",
]


@pytest.fixture(scope="module")
def migrated(template: Template, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """A project with every change generated and applied, for the whole module."""
    made = template.copy(tmp_path_factory.mktemp("migrated") / "project", "migrated")
    with closing(open_target(made.root)) as target:
        generate(target, answers=ANSWERS)
        apply(target)
        yield Opened(made, target)
    template.server.drop_database("migrated")


@pytest.fixture(scope="module")
def kept(migrated: Opened) -> Backup:
    return backup(migrated.target)


@pytest.fixture
def changed(migrated: Opened) -> Iterator[Callable[[str, str], None]]:
    """Run a statement, and another one after the test that takes it back."""
    undo: list[str] = []

    def change(statement: str, back: str) -> None:
        migrated.project.run(statement)
        undo.insert(0, back)

    yield change
    for back in undo:
        migrated.project.run(back)


def look(opened: Opened, name: str, **choices: object) -> Check:
    return verify(opened.target, **choices).check(name)  # type: ignore[arg-type]


def total_rows(project: Copy) -> int:
    """Count every row of every table."""
    with closing(connect(project.admin)) as connection:
        return sum(count_rows(connection).values())


def test_everything_holds_after_a_good_session(migrated: Opened, kept: Backup) -> None:
    told: list[Progress] = []
    before = total_rows(migrated.project)
    result = verify(migrated.target, backup=kept, queries={"mine": "SELECT 1 = 1"}, progress=told.append)
    assert total_rows(migrated.project) == before
    assert {each.state for each in result.checks} == {"ok"}
    names = [each.name for each in result.checks]
    assert names[:7] == ALL
    assert names[7:] == [
        "query: unanswered messages",
        "query: projects by status",
        "query: comments waiting for approval",
        "query: mine",
    ]
    assert result
    assert repr(result) == "<Verification: all checks hold>"
    assert [each.message for each in told] == names
    assert {each.total for each in told} == {len(names)}
    models = result.models_frame().set_index("model")
    assert list(models.columns) == ["app", "table", "rows", "first pk", "error"]
    rows = migrated.project.run("SELECT count(*) FROM blog_post")[0][0]
    assert models.loc["Post", "rows"] == rows
    assert models.loc["Post", "first pk"] == "1"
    assert set(result.pages_frame()["status"]) == {200}
    assert set(result.rows_frame()["difference"]) == {0}
    assert result.check("admin works").detail == "10 pages answer 200 for a temporary superuser (rolled back)"
    assert migrated.project.run("SELECT count(*) FROM auth_user") == [(0,)]
    assert list(result.queries) == [name.removeprefix("query: ") for name in names[7:]]


def test_each_check_of_the_files_fails_with_its_own_evidence(migrated: Opened) -> None:
    with migrated.project.restored():
        empty_migration(migrated.project, "contact", "0006_later", "0005_message_priority_message_project")
        migrated.project.edit("apps/portfolio/models.py", "max_length=120", "max_length=130")
        migrated.project.edit(
            "apps/blog/admin.py", 'list_display = ["name", "slug"', 'list_display = ["nowhere", "slug"'
        )
        raising = 'raise RuntimeError("boom")'
        migrated.project.edit("apps/blog/models.py", 'return f"{self.name} on {self.post}"', raising)
        migrated.project.edit("apps/blog/admin.py", '["name", "post", ', '["__str__", "post", ')
        result = verify(migrated.target)
    assert result.check(ALL[0]) == Check(
        ALL[0], "failed", "1 not applied: contact.0006_later", "rb.preview(), then rb.apply()"
    )
    assert result.check(ALL[1]) == Check(
        ALL[1], "failed", "model changes without a migration in: portfolio", "rb.review()"
    )
    assert result.check(ALL[2]).detail.startswith("1 error: admin.E108")
    assert result.check("models import and can be queried").state == "ok"
    admin = result.check("admin works")
    assert admin.state == "failed"
    assert "/admin/blog/comment/: RuntimeError: boom" in admin.detail
    assert not result
    assert repr(result) == f"<Verification: failed: {ALL[0]}, {ALL[1]}, {ALL[2]}, admin works>"


def test_a_row_without_a_file_is_a_warning(migrated: Opened, changed: Callable[[str, str], None]) -> None:
    changed(
        "INSERT INTO django_migrations (app, name, applied) VALUES ('blog', '0009_gone', now())",
        "DELETE FROM django_migrations WHERE name = '0009_gone'",
    )
    check = look(migrated, ALL[0])
    assert (check.state, check.detail) == ("warning", "all applied; recorded without a file: blog.0009_gone")
    assert check.hint


def test_conflicting_files_fail_their_checks_and_the_others_are_made(migrated: Opened) -> None:
    """The error of one check ended the whole verification."""
    with migrated.project.restored():
        conflict(migrated.project)
        result = verify(migrated.target)
    states = {each.name: each.state for each in result.checks}
    assert [states[name] for name in ALL[:4]] == ["failed", "failed", "ok", "ok"]
    assert states["admin works"] == "ok"
    assert "0005_left" in result.check(ALL[1]).detail


def test_a_model_whose_column_is_not_there_fails(migrated: Opened, changed: Callable[[str, str], None]) -> None:
    changed(
        "ALTER TABLE portfolio_project RENAME COLUMN live_url TO other",
        "ALTER TABLE portfolio_project RENAME COLUMN other TO live_url",
    )
    result = verify(migrated.target)
    check = result.check(ALL[3])
    assert check.state == "failed"
    assert "portfolio.Project" in check.detail
    assert "live_url" in check.detail
    assert check.hint == "rb.status('portfolio') shows which of its migrations are applied"
    row = result.models_frame().set_index("model").loc["Project"]
    assert "live_url" in row["error"]
    admin = result.check("admin works")
    assert admin.state == "failed"
    assert admin.detail.startswith("/admin/")
    assert admin.hint


def test_a_lost_row_fails_and_names_the_backup(migrated: Opened, kept: Backup) -> None:
    migrated.project.run("CREATE TABLE spare AS SELECT * FROM portfolio_testimonial WHERE id = 1", admin=False)
    migrated.project.run("DELETE FROM portfolio_testimonial WHERE id = 1")
    try:
        result = verify(migrated.target, backup=kept)
    finally:
        migrated.project.run("INSERT INTO portfolio_testimonial SELECT * FROM spare")
        migrated.project.run("DROP TABLE spare")
    check = result.check(ALL[4])
    before = kept.rows["public.portfolio_testimonial"]
    assert (check.state, check.detail) == ("failed", f"public.portfolio_testimonial has {before - 1:,} of {before:,}")
    assert check.hint == f"if that was not meant, the rows are in {kept.path.name}"
    rows = result.rows_frame().set_index("table")
    assert rows.loc["public.portfolio_testimonial", "difference"] == -1
    assert rows["in backup"].isna().sum() == 1


def test_a_table_that_is_gone_fails(migrated: Opened, kept: Backup) -> None:
    check = look(migrated, ALL[4], backup=replace(kept, rows={**kept.rows, "public.old": 7, "public.empty": 0}))
    assert (check.state, check.detail) == ("failed", "public.old is gone, with 7 rows")


def test_a_table_that_was_renamed_is_a_warning(
    migrated: Opened, kept: Backup, changed: Callable[[str, str], None]
) -> None:
    """A renamed model's table was called gone, though not a row was lost."""
    changed("ALTER TABLE django_session RENAME TO sessions", "ALTER TABLE sessions RENAME TO django_session")
    migrated.project.run("INSERT INTO sessions VALUES ('key', 'data', now())")
    changed("SELECT 1", "DELETE FROM sessions")
    known = replace(kept, rows={**kept.rows, "public.django_session": 1})
    check = look(migrated, ALL[4], backup=known)
    assert (check.state, check.detail) == (
        "warning",
        "public.django_session is gone, and public.sessions is new with as many rows: a rename?",
    )


def test_no_backup_is_skipped_not_held(migrated: Opened) -> None:
    result = verify(migrated.target)
    assert result.check(ALL[4]).state == "skipped"
    assert result
    assert repr(result) == "<Verification: no check failed, 1 skipped>"


def test_a_project_without_admin_skips_it(migrated: Opened) -> None:
    with migrated.project.restored():
        migrated.project.edit("config/settings.py", '    "django.contrib.admin",\n', "")
        migrated.project.edit("config/urls.py", "admin.site.urls", "([], 'x', 'y')")
        text = migrated.project.path("config", "urls.py")
        text.write_text(text.read_text().replace("from django.contrib import admin\n", ""))
        for admin in migrated.project.path("apps").glob("*/admin.py"):
            admin.unlink()
        check = look(migrated, "admin works")
    assert (check.state, check.detail) == ("skipped", "django.contrib.admin is not installed")


def test_an_invalid_index_fails_with_the_way_out(migrated: Opened) -> None:
    project = migrated.project
    project.run("CREATE INDEX broken ON blog_post (title)")
    project.run("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'broken'::regclass")
    check = look(migrated, "indexes are valid")
    project.run("DROP INDEX broken")
    assert check == Check(
        "indexes are valid",
        "failed",
        "invalid: public.broken on blog_post",
        "DROP INDEX CONCURRENTLY broken, then create it again CONCURRENTLY",
    )


@pytest.mark.parametrize(
    ("sql", "state", "detail"),
    [
        ("SELECT false AS fine", "failed", "fine = False"),
        ("SELECT 0", "ok", "1 row: ?column? = 0"),
        ("SELECT 'False'", "ok", "1 row: ?column? = False"),
        ("SELECT 1 WHERE false", "ok", "no rows"),
        ("SELECT count(*) AS n, 2 AS m FROM blog_category", "ok", "1 row: n = 8, m = 2"),
        ("SELECT email FROM contact_message LIMIT 1", "ok", "1 row: email = ***"),
        ("DELETE FROM blog_post", "failed", "The query begins with DELETE; a verification query reads: "),
    ],
)
def test_a_query_of_the_users_own(migrated: Opened, sql: str, state: str, detail: str) -> None:
    result = verify(migrated.target, apps=[], queries={"mine": sql})
    check = result.check("query: mine")
    assert check.state == state
    assert check.detail.startswith(detail)


def test_an_app_that_does_not_exist_is_named(migrated: Opened) -> None:
    with pytest.raises(errors.AppNotFound) as caught:
        verify(migrated.target, apps=["blogs"])
    assert caught.value.nearest == ("blog",)


def test_without_postgresql_what_needs_it_is_skipped(project: Copy) -> None:
    sqlite(project)
    with closing(open_target(project.root)) as target:
        result = verify(target)
    states = {each.name: each.state for each in result.checks}
    assert states["indexes are valid"] == "skipped"
    assert states["query: projects by status"] == "skipped"
    assert states[ALL[0]] == "failed"


def test_a_check_that_is_not_there_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        Verification((), (), (), (), {}).check("nothing")
