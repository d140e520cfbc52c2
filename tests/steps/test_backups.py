"""The list of backups, made of real ones of a PostgreSQL 18 and of what else may lie there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace

import pandas
import pytest

from mig_kit.steps.backup import backup
from mig_kit.steps.backups import backups, latest_backup
from tests.steps.projects import Opened


@pytest.fixture(autouse=True)
def clean(opened: Opened) -> Iterator[None]:
    yield
    shutil.rmtree(opened.project.root / ".tmp", ignore_errors=True)


def test_no_folder_is_an_empty_frame_with_its_columns(opened: Opened) -> None:
    frame = backups(opened.target)
    assert frame.empty
    assert list(frame.columns) == ["backup", "when (UTC)", "bytes", "files", "rows", "method", "verified"]
    assert isinstance(frame["when (UTC)"].dtype, pandas.DatetimeTZDtype)
    assert latest_backup(opened.target) is None


def test_files_of_other_makers_are_listed_with_what_can_be_seen(opened: Opened) -> None:
    folder = opened.project.backups
    folder.mkdir(parents=True)
    (folder / "by hand.sql").write_text("x" * 10)
    (folder / ".hidden").write_text("x")
    (folder / "gone").symlink_to(folder / "nowhere")
    (folder / "copies").mkdir()
    (folder / "copies" / "one").write_text("xx")
    frame = backups(opened.target).set_index("backup")
    assert set(frame.index) == {"by hand.sql", "copies"}
    assert tuple(frame.loc["by hand.sql", ["bytes", "files", "method", "verified"]]) == (
        10,
        1,
        "unknown",
        "no: it has no manifest",
    )
    assert frame.loc["copies", "bytes"] == 2
    assert frame["rows"].isna().all()


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"schema": 1}', '{"schema": 2}', '{"schema": 1, "started": 5, "files": 3}'],
)
def test_a_damaged_manifest_is_said_so_and_hides_nothing(text: str, opened: Opened) -> None:
    """A manifest that lacked a key raised KeyError, and no backup could be listed."""
    folder = opened.project.backups / "old"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(text)
    frame = backups(opened.target)
    assert list(frame["verified"]) == ["no: its manifest cannot be read"]
    assert latest_backup(opened.target) is None


def test_one_that_lost_a_file_does_not_count(opened: Opened) -> None:
    older, newer = backup(opened.target), backup(opened.target)
    next(path for path in newer.path.iterdir() if path.name.endswith(".gz")).unlink()
    state = dict(backups(opened.target)[["backup", "verified"]].itertuples(index=False))
    assert state == {
        older.path.name: "no: not restored yet",
        newer.path.name: "no: its files are not those of its manifest",
    }
    assert latest_backup(opened.target) == older


def test_the_newest_comes_first(opened: Opened) -> None:
    older, newer = backup(opened.target), backup(opened.target)
    frame = backups(opened.target)
    assert list(frame["backup"]) == [newer.path.name, older.path.name]
    assert list(frame["verified"]) == ["no: not restored yet"] * 2
    assert frame["rows"].iloc[0] == sum(newer.rows.values())


def test_the_latest_is_this_databases_whoever_made_it(opened: Opened) -> None:
    mine = backup(opened.target)
    assert opened.target.info is not None
    other = replace(opened.target, info=opened.target.info.with_dbname("pristine"))
    later = backup(other)
    assert latest_backup(opened.target) == mine
    assert latest_backup(other) == later
    somebody = replace(opened.target, info=replace(opened.target.info, user="somebody"))
    assert latest_backup(somebody) == mine
    elsewhere = replace(opened.target, info=replace(opened.target.info, host="db.example.org"))
    assert latest_backup(elsewhere) is None


def test_the_time_is_that_of_the_snapshot_not_of_the_file(opened: Opened) -> None:
    made = backup(opened.target)
    os.utime(made.path, (0, 0))
    assert backups(opened.target)["when (UTC)"].iloc[0] == pandas.Timestamp(made.started)
