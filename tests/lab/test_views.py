"""What the views of a real session say."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mig_kit.hazards import Finding, Severity
from mig_kit.lab import views
from mig_kit.lab.html import to_html
from mig_kit.lab.text import to_text
from mig_kit.lab.views.changes import example_answer
from mig_kit.steps.preflight import Preflight
from mig_kit.steps.preview import MigrationSql, OperationSql, SqlPlan
from mig_kit.steps.review import Question, Reason
from mig_kit.steps.unfinished import MigrationStanding, Standing, Unfinished

if TYPE_CHECKING:
    from tests.lab.conftest import Session

RENAME = "rename-field:portfolio.project.link:live_url"


def test_the_card_names_database_stage_and_interpreter_and_no_password(session: Session) -> None:
    text = to_text(views.runbook_view(session.runbook))
    info = session.runbook.target.info
    assert info is not None
    assert info.safe in text
    assert "development" in text
    assert f"Django {session.runbook.target.django}" in text
    assert info.password.reveal() not in text


def test_a_failed_check_stands_out_with_its_next_step(session: Session) -> None:
    checks = list(session["preflight"])
    checks[0] = dataclasses.replace(checks[0], state="failed", hint="mend it")
    text = to_text(views.preflight_view(Preflight(checks)))
    assert text.startswith("Preflight: not ready, 1 check failed")
    assert "Next: mend it" in text


def test_an_open_question_shows_its_id_and_how_to_answer(session: Session) -> None:
    text = to_text(views.changes_view(session["asked"]))
    assert text.startswith("Model changes: 5 operations in blog, contact, portfolio; 1 question to answer")
    assert "not answered" in text
    assert f"    answers = {{\n        {RENAME!r}: True,  # or False" in text


def test_an_answered_question_shows_the_answer(session: Session) -> None:
    text = to_text(views.changes_view(session["changes"]))
    assert text.splitlines()[0] == "Model changes: 5 operations in blog, contact, portfolio"
    assert "not answered" not in text
    assert f"id: {RENAME}" in text


def test_the_review_has_the_diff_and_djangos_own_text_in_full(session: Session) -> None:
    text = to_text(views.changes_view(session["changes"]))
    assert "      -    link = models.URLField(blank=True)" in text
    assert "      +    live_url = models.URLField(blank=True)" in text
    for line in session["changes"].text.splitlines():
        assert line.rstrip() in text


def test_no_changes_detected_says_why(session: Session) -> None:
    unexplained = dataclasses.replace(session["no changes"], reasons=())
    text = to_text(views.changes_view(unexplained))
    assert text.startswith("No changes detected\n")
    assert "no sign was found of a file that is not saved" in text.replace("\n", " ")
    reason = Reason("unsaved-file", "blog", "models.py is open and not saved.", "save the file")
    explained = dataclasses.replace(session["no changes"], reasons=(reason,))
    assert "- models.py is open and not saved. Next: save the file" in to_text(views.changes_view(explained))


def test_how_to_answer_is_python() -> None:
    questions = (
        Question("rename-field:a.b.c:d", "rename-field", "?", ("yes", "no"), False),
        Question("not-null-alteration:a.b.c", "not-null-alteration", "?", ("expression", "ignore"), False),
        Question("auto-now-add:a.b.c", "auto-now-add", "?", ("expression",), False, suggestion="timezone.now"),
    )
    found: dict[str, object] = {}
    exec(example_answer(questions), found)
    assert found["answers"] == {
        "rename-field:a.b.c:d": True,
        "not-null-alteration:a.b.c": "0",
        "auto-now-add:a.b.c": "timezone.now",
    }


def test_a_backup_shows_what_was_checked_where_it_was_restored_and_how_long_it_took(session: Session) -> None:
    backup = session["backup"]
    text = to_text(views.backup_view(backup))
    assert text.startswith(f"Backup complete and verified: {backup.path.name}\n")
    assert "counted in the very snapshot that was dumped" in text
    assert "yes: restored; rows and contents compared with those of its snapshot" in text
    assert all(each.name in text and each.detail in text.replace("\n", " ") for each in backup.verification.checks[:3])
    assert f"restored into  {backup.verification.scratch}" in text
    assert f"{backup.verification.tables} tables, {backup.verification.rows:,} rows" in text
    assert f"took           {backup.verification.duration_s:.1f} s: " in text
    assert all(each.sha256 in text for each in backup.files)


def test_a_backup_that_nobody_restored_is_not_called_proven(session: Session) -> None:
    text = to_text(views.backup_view(dataclasses.replace(session["backup"], verification=None)))
    assert text.startswith(f"Backup complete: {session['backup'].path.name}\n")
    assert "not yet: a backup counts once it was restored, rb.verify_backup()" in text


def test_a_backup_that_did_not_verify_says_why_and_what_was_sampled_and_left_out(session: Session) -> None:
    proof = dataclasses.replace(
        session["backup"].verification,
        verified=False,
        reason="7.dat.gz is missing",
        notes=("Left out, for the server lacks the extension postgis: 1 entries.",),
        sampled=("public.large: the key of every row, and 1 row in 16 by the hash of id",),
        left_out=("EXTENSION - postgis",),
    )
    for text in (
        to_text(views.backup_view(dataclasses.replace(session["backup"], verification=proof))),
        to_text(views.backup_verification_view(proof)),
    ):
        assert "not verified: " in text.splitlines()[0]
        assert "Not verified: 7.dat.gz is missing." in text
        assert "1 large table compared by a sample; all others row by row" in text
        assert "the key of every row, and 1 row in 16 by the hash of id" in text
        assert "Left out: 1 entry of the dump" in text
        assert "EXTENSION - postgis" in text
        assert "Note: Left out, for the server lacks the extension postgis" in text


def test_generated_files_are_shown_whole_with_their_findings_first(session: Session) -> None:
    generated = session["generated"]
    text = to_text(views.generated_view(generated))
    assert text.startswith("Generated: 3 migration files, no findings\n")
    assert all(line.rstrip() in text for each in generated.files for line in each.source.splitlines())
    file = generated.files[0]
    found = Finding("MK111", Severity.ERROR, file.app, file.name, "Remove field x", "The column is dropped.", "back up")
    risky = dataclasses.replace(generated, findings=(found,))
    text = to_text(views.generated_view(risky))
    assert "Generated: 3 migration files, 1 finding" in text
    assert text.index("MK111") < text.index("class Migration")
    assert "Next: back up" in text


def test_nothing_to_do_reads_well(session: Session) -> None:
    assert to_text(views.generated_view(session["nothing generated"])).startswith("Nothing to generate")
    assert to_text(views.sql_view(session["nothing planned"])).startswith("No SQL to show: nothing is pending")
    assert to_text(views.applied_view(session["nothing applied"])).startswith("Nothing to apply: no migration is")


def test_sql_that_cannot_be_known_is_in_plain_sight(session: Session) -> None:
    text = to_text(views.sql_view(session["one"]))  # blog.0003 is a RunPython
    assert "1 not wholly known" in text.splitlines()[0]
    assert "not known here" in text
    assert "What SQL cannot tell about blog.0003_fill_reading_minutes" in text


def test_a_migration_that_is_not_atomic_says_so() -> None:
    operation = OperationSql("AddIndexConcurrently", "Add index", ("CREATE INDEX CONCURRENTLY i ON t (a);",), None)
    plan = SqlPlan((MigrationSql("blog", "0009_i", False, False, True, (operation,), ()),))
    assert "not atomic: each statement stands once it has run" in to_text(views.sql_view(plan))


def test_an_apply_has_a_line_a_migration_and_a_statement_with_its_time(session: Session) -> None:
    applied = session["applied"]
    text = to_text(views.applied_view(applied))
    assert text.startswith("Applied: 3 migrations in ")
    for migration in applied.migrations:
        assert f"{migration} OK, " in text
    assert 'ALTER TABLE "portfolio_project" RENAME COLUMN "link" TO "live_url"' in text
    assert text.count(" ms ") >= sum(len(each.statements) for each in applied.migrations)


def test_a_verification_opens_what_did_not_hold(session: Session) -> None:
    result = session["verification"]
    assert to_text(views.verification_view(result)).startswith("Verification: all checks hold")
    lost = [dataclasses.replace(each, now=1) if each.table == "public.blog_comment" else each for each in result.rows]
    failed = [dataclasses.replace(each, state="failed") if "row" in each.name else each for each in result.checks]
    view = views.verification_view(dataclasses.replace(result, rows=tuple(lost), checks=tuple(failed)))
    assert to_text(view).startswith("Verification: 1 check failed")
    folds = {str(each.summary): each.open for each in view.blocks if hasattr(each, "open")}
    assert [summary for summary, opened in folds.items() if opened] == [
        f"Row counts of {len(lost)} tables, in the backup and now"
    ]


def test_success_criteria_are_a_checklist_with_evidence(session: Session) -> None:
    text = to_text(views.criteria_view(session["criteria"]))
    assert text.startswith("Success criteria: 5 of 5 hold")
    assert text.count("[x]") == 5
    first = dataclasses.replace(session["criteria"].criteria[0], holds=None)
    unseen = dataclasses.replace(session["criteria"], criteria=(first, *session["criteria"].criteria[1:]))
    text = to_text(views.criteria_view(unseen))
    assert text.startswith("Success criteria: 4 of 5 hold")
    assert "not looked at" in text


def test_the_end_says_where_the_record_lies(session: Session) -> None:
    text = to_text(views.finished_view(session["finished"]))
    assert text.startswith("Session finished, verified")
    assert str(session["finished"].report) in text


def test_what_was_left_unfinished_shows_each_migration_and_the_way_on() -> None:
    place = {"app": "blog", "name": "0006_parts", "operation": 1}
    part = MigrationStanding(
        "blog",
        "0006_parts",
        False,
        Standing.PART_DONE,
        "its transaction was committed",
        place,
        None,
        "operation 1 of 3",
    )
    done = MigrationStanding("blog", "0005_a", False, Standing.DONE, "it is recorded in django_migrations")
    began = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
    left = Unfinished("apply", Path("journal.jsonl"), began, "ada@work", (None, None), (done, part))
    text = to_text(views.unfinished_view(left))
    assert text.startswith("The apply of 2026-11-24 08:00 UTC did not end: blog.0006_parts is part-done: ")
    assert "Next: rb.resume(), to finish the rest." in text
    assert "rb.resume(back=True)" in text
    choices = {"again": (place, "it did nothing"), "done": (place, "it did <all>")}
    unclear = dataclasses.replace(part, standing=Standing.UNCLEAR, place=None, choices=choices)
    left = dataclasses.replace(left, migrations=(done, unclear))
    html = to_html(views.unfinished_view(left))
    assert "Nothing tells which of these happened" in html
    assert "it did &lt;all&gt;" in html
    assert "rb.resume(choice=" in html


def test_an_apply_says_what_waited_and_who_was_in_the_way(session: Session) -> None:
    applied = session["applied"]
    first = dataclasses.replace(applied.migrations[0], retries=2, waited_s=1.5, blockers=("process 7 (ada, psql)",))
    waited = dataclasses.replace(applied, migrations=(first, *applied.migrations[1:]), ended=("cancel: process 8",))
    text = to_text(views.applied_view(waited))
    assert "waited 1.5 s for locks, 3 tries" in text
    assert "In the way: 1 session" in text
    assert "process 7 (ada, psql)" in text
    assert "Ended, because they were in the way: cancel: process 8" in text
