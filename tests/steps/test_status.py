"""Status, history and query as DataFrames, of a real PostgreSQL 18 (and SQLite where it says so)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pandas
import pytest

from mig_kit import errors
from mig_kit.steps.status import history, query, status
from mig_kit.steps.target import Target, open_target
from tests.steps.projects import Copy, Opened, conflict, empty_migration, sqlite


@pytest.fixture(autouse=True)
def as_it_was(opened: Opened) -> Iterator[None]:
    with opened.project.restored():
        yield


def test_status_is_showmigrations(opened: Opened) -> None:
    empty_migration(opened.project, "blog", "0005_more", "0004_category_position_post_status_idx", atomic="False")
    frame = status(opened.target)
    assert list(frame.columns) == ["app", "migration", "applied", "when (UTC)", "operations", "note"]
    assert isinstance(frame["when (UTC)"].dtype, pandas.DatetimeTZDtype)
    assert str(frame["operations"].dtype) == "Int64"
    blog = frame[frame["app"] == "blog"].reset_index(drop=True)
    assert list(blog["applied"]) == ["[X]", "[X]", "[X]", "[X]", "[ ]"]
    assert blog["when (UTC)"].notna().tolist() == [True] * 4 + [False]
    assert blog["note"].iloc[-1] == "not atomic"
    pandas.testing.assert_frame_equal(status(opened.target, "blog"), blog)


def test_an_app_without_migrations_has_no_rows(opened: Opened) -> None:
    frame = status(opened.target, "staticfiles")
    assert frame.empty
    assert list(frame.columns)[:3] == ["app", "migration", "applied"]


def test_an_app_that_does_not_exist_is_named_also_while_others_conflict(opened: Opened) -> None:
    """With two leaf nodes somewhere the answer was the conflict, not the name that was mistyped."""
    conflict(opened.project)
    with pytest.raises(errors.AppNotFound) as caught:
        status(opened.target, "blgo")
    assert str(caught.value) == "No installed app has the label 'blgo'.\nNext: did you mean 'blog'?"
    notes = dict(status(opened.target, "blog")[["migration", "note"]].itertuples(index=False))
    assert notes["0005_left"] == notes["0005_right"] == "one of several leaf nodes: merge them"


def test_a_row_without_a_file_is_shown_with_its_reason(opened: Opened) -> None:
    opened.project.run(
        "INSERT INTO django_migrations (app, name, applied) "
        "VALUES ('blog', '0009_gone', now()), ('old app', '1', now())"
    )
    try:
        frame = status(opened.target).set_index(["app", "migration"])
        assert frame.loc[("blog", "0009_gone"), "note"] == "recorded, but it has no file"
        assert frame.loc[("old app", "1"), "note"] == "recorded, but the app is not installed"
        assert list(status(opened.target, "old app")["migration"]) == ["1"]
        assert list(history(opened.target)["name"])[-2:] == ["0009_gone", "1"]
    finally:
        opened.project.run("DELETE FROM django_migrations WHERE name IN ('0009_gone', '1')")


def test_a_squashed_migration_says_so(opened: Opened) -> None:
    replaces = "[('blog', '0003_fill_reading_minutes'), ('blog', '0004_category_position_post_status_idx')]"
    empty_migration(opened.project, "blog", "0003_squashed", "0002_post_reading_minutes", replaces=replaces)
    row = status(opened.target, "blog").set_index("migration").loc["0003_squashed"]
    assert (row["applied"], row["note"]) == (
        "[-]",
        "squashes 2; its replaced migrations are applied, itself not recorded: run migrate to record it",
    )


def test_an_app_that_a_router_keeps_elsewhere_says_so(opened: Opened) -> None:
    opened.project.write(
        "config/routers.py",
        "class Elsewhere:\n    def allow_migrate(self, db, app_label, **hints):\n"
        "        return False if app_label == 'blog' else None\n",
    )
    opened.project.edit(
        "config/settings.py", "INSTALLED_APPS", "DATABASE_ROUTERS = ['config.routers.Elsewhere']\nINSTALLED_APPS"
    )
    notes = set(status(opened.target, "blog")["note"])
    assert notes == {"a router keeps this app out of the database"}


def test_history_is_django_migrations_in_its_order(opened: Opened) -> None:
    frame = history(opened.target)
    assert list(frame.columns) == ["id", "app", "name", "applied"]
    assert isinstance(frame["applied"].dtype, pandas.DatetimeTZDtype)
    rows = opened.project.run("SELECT id, app, name FROM django_migrations ORDER BY id")
    assert list(frame[["id", "app", "name"]].itertuples(index=False, name=None)) == rows


def test_an_empty_sqlite_database_has_a_status_and_no_history(project: Copy) -> None:
    sqlite(project)
    with closing(open_target(project.root)) as target:
        assert set(status(target)["applied"]) == {"[ ]"}
        frame = history(target)
        assert frame.empty
        assert isinstance(frame["applied"].dtype, pandas.DatetimeTZDtype)
        with pytest.raises(errors.NotPostgreSQL) as caught:
            query(target, "SELECT 1")
    assert caught.value.message == "The step 'query' needs PostgreSQL, and the database 'default' is sqlite."


def test_a_query_gives_a_frame_with_types(shared: Target) -> None:
    frame = query(shared, "SELECT id, status, created_at, NULL::int AS none FROM blog_post ORDER BY id LIMIT 3")
    assert list(frame.columns) == ["id", "status", "created_at", "none"]
    assert len(frame) == 3
    assert frame["id"].dtype.kind == "i"
    empty = query(shared, "SELECT id FROM blog_post WHERE false")
    assert empty.empty
    assert list(empty.columns) == ["id"]


def test_parameters_are_bound_not_pasted(shared: Target) -> None:
    hostile = "'; DROP TABLE blog_post; --"
    assert query(shared, "SELECT %s AS given", [hostile])["given"][0] == hostile
    assert query(shared, "SELECT %(a)s::int + 1 AS sum", {"a": 2})["sum"][0] == 3


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM blog_comment",
        "WITH gone AS (DELETE FROM blog_comment RETURNING 1) SELECT * FROM gone",
        "SELECT nextval('blog_post_id_seq')",
        "SELECT 1; DELETE FROM blog_comment",
        "COMMIT",
    ],
)
def test_a_query_that_would_write_is_refused(shared: Target, statement: str) -> None:
    before = query(shared, "SELECT count(*) FROM blog_comment").iat[0, 0]
    with pytest.raises(errors.QueryError) as caught:
        query(shared, statement)
    assert caught.value.hint
    assert query(shared, "SELECT count(*) FROM blog_comment").iat[0, 0] == before


def test_a_query_ends_at_its_time_limit(shared: Target) -> None:
    with pytest.raises(errors.QueryError) as caught:
        query(shared, "SELECT pg_sleep(30)", timeout_s=0.1)
    assert caught.value.message.startswith("The query was ended, its limit being 0.1 s")


def test_masked_columns_are_not_shown(shared: Target) -> None:
    frame = query(shared, "SELECT id, email FROM contact_message ORDER BY id LIMIT 2")
    assert list(frame["email"]) == ["***", "***"]
    assert list(frame["id"]) == [1, 2]
    bare = replace(shared, project=replace(shared.project, config=replace(shared.project.config, masked_columns=())))
    assert "@" in query(bare, "SELECT email FROM contact_message LIMIT 1")["email"][0]
