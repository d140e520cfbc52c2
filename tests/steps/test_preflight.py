"""Preflight, each check in each of its states, against a real PostgreSQL 18 (and SQLite where it says so)."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from mig_kit.steps.check import Check
from mig_kit.steps.preflight import preflight
from mig_kit.steps.target import Target, open_target
from tests.steps.projects import Copy, Opened, conflict, sqlite

Alter = Callable[[str, str], None]


def look(target: Target, name: str) -> Check:
    return next(each for each in preflight(target) if each.name == name)


def states(target: Target) -> dict[str, str]:
    return {each.name: each.state for each in preflight(target)}


def test_a_demo_is_ready(shared: Target) -> None:
    result = preflight(shared)
    assert states(shared) == {
        "the project's interpreter": "ok",
        "settings": "ok",
        "credentials in .env": "ok",
        "PostgreSQL is reachable": "ok",
        "the server takes writes": "ok",
        "the role may migrate": "ok",
        "pg_dump fits the server": "ok",
        "disk for a backup": "ok",
        "the project's backup script": "ok",
        "migrations form a graph": "ok",
    }
    assert result
    assert repr(result) == "<Preflight: ready>"
    assert list(result.to_frame().columns) == ["check", "state", "detail", "next step"]


def test_a_server_that_is_down_fails_one_check_and_skips_those_that_ask_it(project: Copy) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    project.set_env(DATABASE_PORT=str(port))
    with closing(open_target(project.root)) as target:
        found = states(target)
        assert not preflight(target)
        detail = look(target, "PostgreSQL is reachable").detail
    assert found["PostgreSQL is reachable"] == "failed"
    assert {found[name] for name in ("the server takes writes", "the role may migrate", "disk for a backup")} == {
        "skipped"
    }
    assert found["pg_dump fits the server"] == "skipped"
    assert found["migrations form a graph"] == "failed"
    assert f"No PostgreSQL server answers at 127.0.0.1:{port}" in detail


def test_a_wrong_password_is_named_and_putting_it_right_is_noticed(project: Copy) -> None:
    """The credentials were read once, at the opening: mending .env did not help before the runbook was opened anew."""
    password = project.database.password.reveal()
    project.set_env(DATABASE_PASSWORD="wrong-one")
    with closing(open_target(project.root)) as target:
        check = look(target, "PostgreSQL is reachable")
        assert check.state == "failed"
        assert "refuses the user 'portfolio' or their password" in check.detail
        assert "wrong-one" not in str(list(preflight(target)))
        project.set_env(DATABASE_PASSWORD=password)
        target.refresh()
        assert preflight(target)


@pytest.fixture
def altered(opened: Opened) -> Iterator[Alter]:
    """Change the database by one statement, with {} for its name; undo it with another after the test."""
    undo = []
    name = opened.project.database.dbname

    def alter(change: str, back: str) -> None:
        undo.append(back)
        opened.project.run(change.format(name))

    yield alter
    for back in undo:
        opened.project.run(back.format(name))


def test_a_role_whose_transactions_are_read_only_fails(opened: Opened, altered: Alter) -> None:
    altered(
        "ALTER DATABASE {} SET default_transaction_read_only = on",
        "SET transaction_read_only = off; ALTER DATABASE {} RESET ALL",
    )
    check = look(opened.target, "the server takes writes")
    assert (check.state, check.detail) == ("failed", "default_transaction_read_only is on")
    assert check.hint


def test_a_role_without_create_fails_with_the_grant_it_needs(opened: Opened, altered: Alter) -> None:
    altered("ALTER SCHEMA public OWNER TO postgres", "ALTER SCHEMA public OWNER TO pg_database_owner")
    assert look(opened.target, "the role may migrate") == Check(
        "the role may migrate",
        "failed",
        "portfolio may not create in the schema public",
        "GRANT CREATE ON SCHEMA public TO portfolio",
    )


def test_tables_that_belong_to_another_role_are_a_warning(opened: Opened, altered: Alter) -> None:
    altered("ALTER TABLE blog_post OWNER TO postgres", "ALTER TABLE blog_post OWNER TO portfolio")
    check = look(opened.target, "the role may migrate")
    assert (check.state, check.detail) == ("warning", "portfolio does not own 1 of the tables: blog_post")


def test_a_schema_with_a_name_that_needs_quotes_is_looked_at(opened: Opened, altered: Alter) -> None:
    """`current_schema()::regnamespace` reads the name as SQL, so a quoted one raised a syntax error."""
    altered('ALTER SCHEMA public RENAME TO "My Schema ü"', 'ALTER SCHEMA "My Schema ü" RENAME TO public')
    altered('ALTER DATABASE {} SET search_path = "My Schema ü"', "ALTER DATABASE {} RESET ALL")
    check = look(opened.target, "the role may migrate")
    assert check.detail == 'portfolio may create in "My Schema ü", and owns every table there'


def test_a_role_without_any_schema_fails(opened: Opened, altered: Alter) -> None:
    altered("ALTER DATABASE {} SET search_path = nowhere", "ALTER DATABASE {} RESET ALL")
    check = look(opened.target, "the role may migrate")
    assert (check.state, check.detail) == ("failed", "'portfolio' has no schema to create in")


def test_an_env_file_that_others_may_read_is_a_warning_with_the_command(opened: Opened) -> None:
    env = opened.project.root / ".env"
    env.chmod(0o644)
    check = look(opened.target, "credentials in .env")
    env.chmod(0o600)
    assert (check.state, check.hint) == ("warning", f"chmod 600 {env}")
    assert check.detail == f"{env} can be read by others (mode 644)"


def test_a_pg_dump_that_is_too_old_fails(opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pg_dump", "postgres"):
        tool = tmp_path / name
        tool.write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) 12.3'\n")
        tool.chmod(0o755)
    monkeypatch.setenv("MIG_KIT_PG_BIN", str(tmp_path))
    check = look(opened.target, "pg_dump fits the server")
    assert check.state == "failed"
    assert "12" in check.detail
    assert str(tmp_path) in check.detail
    assert check.hint


def test_a_project_without_a_script_of_its_own_is_told_what_happens_instead(opened: Opened) -> None:
    script = opened.project.root / "execution" / "backup_database.py"
    aside = script.rename(script.with_suffix(".aside"))
    check = look(opened.target, "the project's backup script")
    aside.rename(script)
    assert (check.state, check.detail) == ("skipped", "none: rb.backup() uses pg_dump itself")


def test_conflicting_leaf_nodes_fail(opened: Opened) -> None:
    files = conflict(opened.project)
    check = look(opened.target, "migrations form a graph")
    assert (check.state, check.detail) == ("failed", "several leaf nodes: blog: 0005_left, 0005_right")
    for each in files:
        each.unlink()


def test_an_sqlite_project_skips_what_needs_postgresql(project: Copy) -> None:
    sqlite(project)
    with closing(open_target(project.root)) as target:
        check = look(target, "PostgreSQL is reachable")
        assert preflight(target)
    assert (check.state, check.detail) == ("skipped", "the database 'default' is sqlite")
    assert check.hint


def test_debug_on_in_production_is_a_warning(opened: Opened) -> None:
    check = look(replace(opened.target, stage="production"), "settings")
    assert (check.state, check.hint) == ("warning", "are these the production settings?")
