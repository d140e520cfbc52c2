"""Run folders: no database needed."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest

from mig_kit.errors import RecordError
from mig_kit.record import RunFolder


def test_makes_a_private_folder_named_by_time_and_purpose(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path, "portfolio")
    assert run.path.parent == tmp_path / ".mig" / "runs"
    assert re.fullmatch(r"\d{8}T\d{6}Z-portfolio", run.name)
    assert stat.S_IMODE(run.path.stat().st_mode) == 0o700
    assert (tmp_path / ".mig" / ".gitignore").read_text() == "*\n"
    assert run.notebook_path == run.path / "notebook.ipynb"
    assert run.report_path == run.path / "report.html"
    run.journal.append("session opened")
    assert RunFolder.open(run.path).journal.entries() == run.journal.entries()


def test_two_runs_never_share_a_folder(tmp_path: Path) -> None:
    runs = [RunFolder.create(tmp_path, "portfolio") for _ in range(5)]
    assert len({run.path for run in runs}) == 5
    assert {run.path for run in RunFolder.existing(tmp_path)} == {run.path for run in runs}


@pytest.mark.parametrize("name", ["", "..", "a/../../b", "größe 'x'", "x" * 500, "語" * 200, "a\0b", "caf\udce9"])
def test_any_name_makes_a_folder_inside(tmp_path: Path, name: str) -> None:
    run = RunFolder.create(tmp_path, name)
    assert run.path.is_dir()
    assert run.path.resolve().parent == (tmp_path / ".mig" / "runs").resolve()


def test_leaves_a_gitignore_that_somebody_changed(tmp_path: Path) -> None:
    (tmp_path / ".mig").mkdir()
    (tmp_path / ".mig" / ".gitignore").write_text("tmp\n")
    RunFolder.create(tmp_path, "x")
    assert (tmp_path / ".mig" / ".gitignore").read_text() == "tmp\n"


def test_names_the_folder_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(RecordError) as caught:
        RunFolder.create(tmp_path / "gone", "x")
    assert caught.value.message == f"There is no folder {str(tmp_path / 'gone')!r} to keep the record in."
    with pytest.raises(RecordError, match="There is no run at"):
        RunFolder.open(tmp_path / "gone")


def test_a_place_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / ".mig").write_text("a file where the folder should be")
    with pytest.raises(RecordError, match="could not be made"):
        RunFolder.create(tmp_path, "x")


def test_no_runs_is_no_error(tmp_path: Path) -> None:
    assert RunFolder.existing(tmp_path) == ()
