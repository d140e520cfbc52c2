"""The runbook: a session's steps, its gates and its record, on copies of the demo on a real PostgreSQL 18."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dotenv import dotenv_values

from mig_kit import errors, open_runbook
from mig_kit.record import verify
from mig_kit.runbook import RUN_FOLDER, Choice, Runbook
from tests.steps.projects import ANSWERS, Copy, copies, empty_migration, project, template

__all__ = ["copies", "project", "template"]  # fixtures

TOKEN = "sk_live_5PL4NTED"


@pytest.fixture
def runbook(project: Copy) -> Iterator[Runbook]:
    """A session with its record."""
    with open_runbook(project.root) as opened:
        yield opened


def entries(runbook: Runbook) -> list[tuple[str, dict[str, Any]]]:
    assert runbook.run is not None
    return [(each.kind, dict(each.data)) for each in runbook.run.journal.entries()]


def kinds(runbook: Runbook) -> list[str]:
    return [f"{kind}: {data['step']}" if "step" in data else kind for kind, data in entries(runbook)]


def last(runbook: Runbook) -> dict[str, Any]:
    return entries(runbook)[-1][1]


def test_a_whole_session_is_recorded_in_its_order_without_a_secret(project: Copy) -> None:
    project.set_env(STRIPE_TOKEN=TOKEN)
    password = project.database.password.reveal()
    secret_key = str(dotenv_values(project.root / ".env")["SECRET_KEY"])
    with open_runbook(project.root) as rb:
        assert not rb.success_criteria()
        assert {each.holds for each in rb.success_criteria().criteria} == {None}
        rb.preflight()
        rb.review()
        rb.backup()
        assert rb.success_criteria().criteria[0].holds is False
        rb.generate(ANSWERS)
        rb.preview()
        rb.apply()
        assert rb.success_criteria().criteria[1].holds is None
        rb.verify(queries={"the token": f"SELECT '{TOKEN}' AS t, '{password}' AS p"})
        assert rb.success_criteria()
        finished = rb.finish()
        assert rb.run is not None
        folder, journal = rb.run.path, rb.run.journal.path
        told = kinds(rb)
        facts = dict(entries(rb))
        shown = repr(rb) + repr(rb.target) + repr(rb.target.project) + repr(rb.run) + repr(vars(rb.target))
    steps = ["preflight", "review", "backup", "generate", "preview", "apply", "verify"]
    assert [each for each in told if each.startswith("step")] == [
        f"step {what}: {step}" for step in steps for what in ("started", "finished")
    ]
    assert told[0] == "session opened"
    assert told[-1] == "session finished"
    assert told.count("migration applied") == 3
    inside = told[told.index("step started: apply") : told.index("step finished: apply")]
    assert inside[1] == "apply announced: apply"
    assert inside[-1] == "apply ended: apply"
    assert set(inside[2:-1]) == {"migration announced", "statement", "migration applied"}
    assert facts["session opened"]["database"] == f"default: {project.database.dbname}"
    assert {"project", "server", "stage", "user", "host", "commit", "python", "django"} <= set(facts["session opened"])
    assert facts["session finished"] == {"result": "finished, verified"}
    assert finished.result == "finished, verified"
    assert finished.report.is_file()
    assert (finished.folder, finished.journal, finished.notebook) == (folder, journal, None)
    assert verify(journal) == []
    written = journal.read_text() + finished.report.read_text() + shown
    for secret in (password, secret_key, TOKEN):
        assert secret not in written
    assert {oct(path.stat().st_mode & 0o777) for path in folder.iterdir()} == {"0o600"}


def test_a_step_that_fails_is_recorded_with_its_reason(runbook: Runbook) -> None:
    with pytest.raises(errors.UnansweredQuestions):
        runbook.generate()
    kind, data = entries(runbook)[-1]
    assert (kind, data["step"]) == ("step failed", "generate")
    assert data["error"].startswith("makemigrations asks a question that has no answer yet:")
    assert data["duration_s"] >= 0


def test_a_failed_apply_is_recorded_with_what_was_applied(runbook: Runbook, project: Copy) -> None:
    parent = "0004_category_position_post_status_idx"
    empty_migration(project, "blog", "0005_first", parent)
    operation = f"[migrations.RunSQL(\"SELECT '{TOKEN}'::int\")]"
    project.set_env(STRIPE_TOKEN=TOKEN)
    empty_migration(project, "blog", "0006_second", "0005_first", operation)
    with open_runbook(project.root) as rb:
        with pytest.raises(errors.ApplyFailed) as caught:
            rb.apply()
        assert rb.success_criteria().criteria[2].holds is False
        kind, data = entries(rb)[-1]
        assert rb.run is not None
        journal = rb.run.journal.path.read_text()
    assert (kind, data["applied"]) == ("step failed", ["blog.0005_first"])
    assert TOKEN not in journal
    assert TOKEN not in str(caught.value)
    assert TOKEN not in caught.value.traceback


def test_production_wants_the_name_of_the_database_and_records_the_refusal(project: Copy) -> None:
    name = project.database.dbname
    with open_runbook(project.root, stage="production") as rb:
        for given in (None, "", "portfolio"):
            with pytest.raises(errors.GateClosed) as caught:
                rb.apply(confirm=given)
            assert last(rb)["step"] == "apply"
        assert (caught.value.gate, str(caught.value)) == (
            "name typed",
            "This is production: the name of the database has to be typed, and 'portfolio' was given.\n"
            f"Next: rb.apply(confirm={name!r}), when {project.database.safe} is the one you mean",
        )
        assert rb.success_criteria().criteria[2].holds is None
        assert rb.apply(confirm=name).migrations == ()


def test_a_plan_that_changed_since_the_preview_is_refused_until_it_was_shown(runbook: Runbook, project: Copy) -> None:
    """The refusal forgot the plan that was shown, so running the cell once more applied the other one."""
    parent = "0004_category_position_post_status_idx"
    empty_migration(project, "blog", "0005_first", parent)
    runbook.preview()
    empty_migration(project, "blog", "0006_second", "0005_first")
    for _ in range(2):
        with pytest.raises(errors.GateClosed) as caught:
            runbook.apply()
        assert caught.value.gate == "same plan"
    runbook.preview()
    assert len(runbook.apply().migrations) == 2


def test_a_part_that_was_applied_by_itself_does_not_close_the_gate_for_the_rest(
    runbook: Runbook, project: Copy
) -> None:
    """What was shown before was held against the rest, though the runbook itself had applied the part."""
    empty_migration(project, "blog", "0005_first", "0004_category_position_post_status_idx")
    empty_migration(project, "contact", "0005_first", "0004_subscriber")
    runbook.preview()
    runbook.apply("blog")
    assert [str(each) for each in runbook.apply().migrations] == ["contact.0005_first"]


def test_a_verification_is_void_after_the_next_change(runbook: Runbook, project: Copy) -> None:
    runbook.verify(apps=["blog"])
    assert runbook.success_criteria().criteria[3].holds is True
    empty_migration(project, "blog", "0005_first", "0004_category_position_post_status_idx")
    runbook.apply()
    assert runbook.success_criteria().criteria[3].holds is None


def test_files_can_be_taken_back(runbook: Runbook, project: Copy) -> None:
    with pytest.raises(errors.UsageError) as caught:
        runbook.undo_generate()
    assert str(caught.value) == "This session has generated no files.\nNext: remove others by hand"
    before = project.migrations()
    generated = runbook.generate(json.dumps(ANSWERS))
    assert runbook.generated == generated
    assert runbook.checklist() == generated
    assert len(runbook.undo_generate()) == 3
    assert runbook.generated is None
    assert project.migrations() == before
    assert last(runbook)["summary"] == "3 files removed"
    assert len(last(runbook)["files"]) == 3


def test_without_a_record_nothing_is_kept(project: Copy) -> None:
    with open_runbook(project.root, record=False) as rb:
        assert rb.run is None
        rb.review()
        assert rb.status("blog")["applied"].eq("[X]").all()
        assert len(rb.history()) == len(project.applied())
        assert rb.query("SELECT 1 AS one")["one"][0] == 1
        assert rb.pick() == Choice()
        assert [each.id for each in rb.questions()] == list(ANSWERS)
        assert not rb.backups().size
        with pytest.raises(errors.RecordError) as caught:
            rb.finish()
    assert str(caught.value) == ("This runbook keeps no record.\nNext: open it with record=True, before the first step")
    assert not (project.root / ".mig").exists()


def test_a_run_folder_that_is_named_keeps_the_record(
    project: Copy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "the run"
    folder.mkdir()
    monkeypatch.setenv(RUN_FOLDER, str(folder))
    with open_runbook(project.root) as rb:
        assert rb.run is not None
        assert rb.run.path == folder
    assert (folder / "journal.jsonl").is_file()
    monkeypatch.setenv(RUN_FOLDER, str(tmp_path / "nowhere"))
    with pytest.raises(errors.RecordError):
        open_runbook(project.root)


def test_two_at_once_keep_records_and_workers_of_their_own(project: Copy, copies: Callable[..., Copy]) -> None:
    other = copies("other")
    with open_runbook(project.root) as one, open_runbook(project.root) as two, open_runbook(other.root) as third:
        assert one.run is not None
        assert two.run is not None
        assert one.run.path != two.run.path
        assert len({rb.target.worker.pid for rb in (one, two, third)}) == 3
        one.review()
        third.review()
        assert kinds(one) == ["session opened", "step started: review", "step finished: review"]
        assert kinds(two) == ["session opened"]
        assert third.query("SELECT current_database() AS name")["name"][0] == other.database.dbname


def test_verify_compares_with_the_last_backup_of_an_earlier_session(project: Copy) -> None:
    with open_runbook(project.root, record=False) as rb:
        rb.backup()
    with open_runbook(project.root, record=False) as rb:
        check = rb.verify(apps=["blog"]).check("row counts against the backup")
    assert check.state == "ok"


def test_a_password_that_was_put_right_is_used_by_the_next_step(project: Copy) -> None:
    password = project.database.password.reveal()
    project.set_env(DATABASE_PASSWORD="wrong-one")
    with open_runbook(project.root, record=False) as rb:
        with pytest.raises(errors.WrongPassword) as caught:
            rb.backup()
        assert "wrong-one" not in str(caught.value)
        project.set_env(DATABASE_PASSWORD=password)
        assert rb.backup().rows


def test_an_apply_that_was_left_half_done_is_found_by_the_next_session_and_finished(project: Copy) -> None:
    parent = "0004_category_position_post_status_idx"
    operations = (
        "[migrations.RunSQL('CREATE TABLE made (id int)'), migrations.RunSQL('INSERT INTO elsewhere VALUES (1)')]"
    )
    empty_migration(project, "blog", "0005_parts", parent, operations, atomic="False")
    with open_runbook(project.root) as rb:
        assert rb.left == ""
        with pytest.raises(errors.ApplyFailed):
            rb.apply()
    with open_runbook(project.root, stage="production") as rb:
        assert rb.left.startswith("The apply of 20")
        assert rb.left.endswith(", has not ended: rb.unfinished() shows where it stands.")
        found = rb.unfinished()
        assert found is not None
        assert str(found.way) == "finish the rest"
        project.run("CREATE TABLE elsewhere (id int)")
        project.run("GRANT ALL ON elsewhere TO portfolio")
        with pytest.raises(errors.GateClosed) as caught:
            rb.resume()
        assert caught.value.gate == "name typed"
        assert f"rb.resume(confirm={project.database.dbname!r})" in caught.value.hint
        result = rb.resume(project.database.dbname)
        assert [str(each) for each in result.migrations] == ["blog.0005_parts"]
        assert rb.unfinished() is None
        assert rb.left == ""
        assert kinds(rb)[-1] == "step finished: unfinished"
    assert project.run("SELECT count(*) FROM elsewhere") == [(1,)]
