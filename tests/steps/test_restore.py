"""Backups of the demo restored into databases of the user's, on a real PostgreSQL 18."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace

import pytest

from mig_kit.errors import BackupError, DatabaseNotFound
from mig_kit.postgres import ConnectionInfo, connect
from mig_kit.postgres.emptiness import first_object
from mig_kit.steps.backup import backup
from mig_kit.steps.restore import restore_backup
from tests.steps.projects import Copy, Opened
from tests.steps.test_verify_backup import SCRIPTS, dumping_script


@pytest.fixture(autouse=True)
def clean(opened: Opened) -> Iterator[None]:
    yield
    shutil.rmtree(opened.project.root / ".tmp", ignore_errors=True)


@pytest.fixture
def empty(opened: Opened) -> Iterator[ConnectionInfo]:
    opened.project.run("CREATE DATABASE empty OWNER portfolio")
    yield opened.project.database.with_dbname("empty")
    opened.project.run("DROP DATABASE empty WITH (FORCE)")


def test_says_where_it_is_and_that_what_came_out_is_what_went_in(opened: Opened, empty: ConnectionInfo) -> None:
    made = backup(opened.target)
    result = restore_backup(opened.target, made.path, "empty")
    assert result
    assert result.into == empty.safe
    assert result.tables == len(made.digests)
    assert [(each.name, each.state) for each in result.checks] == [
        ("every file as it was written", "ok"),
        ("rows and contents as in the source", "ok"),
    ]
    assert list(result.to_frame()["state"]) == ["ok", "ok"]


@pytest.mark.parametrize("form", SCRIPTS)
def test_a_backup_by_script_is_compared_by_its_counts(opened: Opened, empty: ConnectionInfo, form: str) -> None:
    made = backup(opened.target, script=dumping_script(opened.project, *SCRIPTS[form]))
    result = restore_backup(opened.target, made.path, empty)
    assert result
    assert result.checks[1].detail.endswith("what is in the rows was not compared")


def test_without_a_manifest_it_is_restored_and_not_compared(opened: Opened, empty: ConnectionInfo) -> None:
    path = backup(opened.target).path
    (path / "manifest.json").unlink()
    result = restore_backup(opened.target, path, empty)
    assert result
    assert [each.state for each in result.checks] == ["skipped", "skipped"]


def test_a_changed_manifest_or_file_is_refused_before_anything_is_restored(
    opened: Opened, empty: ConnectionInfo
) -> None:
    path = backup(opened.target).path
    (path / "extra").write_text("")
    with pytest.raises(BackupError, match="is not as it was written: extra was not there"):
        restore_backup(opened.target, path, empty)
    (path / "extra").unlink()
    manifest = path / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"database": "', '"database": "x'))
    with pytest.raises(BackupError) as caught:
        restore_backup(opened.target, path, empty)
    assert caught.value.message == f"The manifest of {path.name} was changed after it was written."
    with closing(connect(empty)) as conn:
        assert first_object(conn) is None


def test_the_database_that_it_is_of_is_refused_by_whatever_address(opened: Opened, copies: Callable[..., Copy]) -> None:
    other = copies("other")
    target = replace(opened.target, info=other.database)
    made = backup(target)
    address = replace(other.database, host="localhost")
    with pytest.raises(BackupError) as caught:
        restore_backup(opened.target, made.path, address)
    assert caught.value.message == (
        f"The database {address.dbname!r} at {address.address} is the one that the backup was made of."
    )
    with pytest.raises(BackupError) as caught:
        restore_backup(target, made.path, address)
    assert caught.value.message == f"The database {address.dbname!r} at {address.address} is the project's own."


def test_a_database_that_is_not_there_is_named(opened: Opened) -> None:
    with pytest.raises(DatabaseNotFound):
        restore_backup(opened.target, backup(opened.target).path, "nowhere")
