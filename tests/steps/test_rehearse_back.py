"""The way back of hand-written migrations in a rehearsal: what raises, what is lost, what is not as it was."""

from __future__ import annotations

import pytest

from mig_kit.hazards.assessment import VerdictKind
from mig_kit.hazards.finding import Severity
from mig_kit.steps.rehearse import BackOutcome, Outcome
from tests.steps.rehearsing import Stage, ids, statement

NOOP = "migrations.RunSQL.noop"


def sql(forwards: str, backwards: str | None = None) -> str:
    reverse = NOOP if backwards is None else repr(backwards)
    return f"[migrations.RunSQL({forwards!r}, {reverse})]"


def rows(stage: Stage, table: str) -> int:
    return stage.backup.rows[f"public.{table}"]


def test_removing_a_field_loses_its_values(stage: Stage) -> None:
    projects = rows(stage, "portfolio_project")
    found = stage.one("[migrations.RemoveField('project', 'link')]", "portfolio")
    assert found.reversible
    back = found.way_back
    assert back.outcome is BackOutcome.DONE
    assert back.ok
    assert back.compared
    assert back.identical
    filled = stage.project.run("SELECT count(*) FROM portfolio_project WHERE link IS NOT NULL")[0][0]
    (loss,) = back.lost
    assert (loss.table, loss.column, loss.before) == ("portfolio_project", "link", filled)
    differing = stage.project.run("SELECT count(*) FROM portfolio_project WHERE link <> ''")[0][0]
    assert str(loss) == f"portfolio_project.link: {differing:,} of {projects:,} values lost"
    assert ids(found)["MK525"].message == f"Taken back, it has lost data: {loss}."
    assert ids(found)["MK525"].relation == "portfolio_project"
    assert back.words == f"goes back; {loss}"


def test_deleting_a_model_loses_its_rows(stage: Stage) -> None:
    found = stage.one("[migrations.DeleteModel('Testimonial')]", "portfolio")
    assert found.way_back.identical
    many = rows(stage, "portfolio_testimonial")
    assert [str(each) for each in found.way_back.lost] == [f"portfolio_testimonial: {many:,} of {many:,} rows lost"]


def test_renaming_a_field_loses_nothing(stage: Stage) -> None:
    found = stage.one("[migrations.RenameField('project', 'link', 'live_url')]", "portfolio")
    assert (found.way_back.lost, found.way_back.identical, found.way_back.compared) == ((), True, True)
    assert found.values_changed == ()
    assert "MK525" not in ids(found)


def test_renaming_a_table_loses_nothing(stage: Stage) -> None:
    found = stage.one("[migrations.RenameModel('Testimonial', 'Praise')]", "portfolio")
    assert (found.way_back.lost, found.way_back.identical) == ((), True)


def test_values_that_a_change_of_type_cuts_are_counted_and_lost(stage: Stage) -> None:
    """Django casts a text to a varchar: what does not fit is cut, without an error."""
    found = stage.one("[migrations.AlterField('comment', 'body', models.CharField(max_length=8))]")
    cut = stage.project.run("SELECT count(*) FROM blog_comment WHERE length(body) > 8")[0][0]
    many = rows(stage, "blog_comment")
    assert cut > 1000
    assert [str(each) for each in found.values_changed] == [f"blog_comment.body: {cut:,} of {many:,} values changed"]
    assert [str(each) for each in found.way_back.lost] == [f"blog_comment.body: {cut:,} of {many:,} values lost"]
    finding = ids(found)["MK526"]
    assert finding.severity is Severity.WARNING
    assert finding.message.startswith(f"blog_comment.body: {cut:,} of {many:,} values changed")


def test_data_that_python_fills_in_and_empties_again_is_not_lost(stage: Stage) -> None:
    head = "".join(
        f"\n\ndef {name}(apps, editor):\n    rows = apps.get_model('blog', 'Category').objects\n"
        f"    rows.update(position=models.F('position') {change})\n"
        for name, change in (("fill", "+ 1"), ("empty", "- 1"))
    )
    found = stage.one("[migrations.RunPython(fill, empty)]", head=head)
    many = rows(stage, "blog_category")
    assert [str(each) for each in found.values_changed] == [f"blog_category.position: {many} of {many} values changed"]
    assert (found.way_back.lost, found.way_back.ok) == ((), True)
    assert "MK526" not in ids(found)


def test_a_reverse_that_does_nothing_loses_what_was_overwritten(stage: Stage) -> None:
    found = stage.one(sql("UPDATE blog_category SET name = upper(name)"))
    many = rows(stage, "blog_category")
    assert [str(each) for each in found.way_back.lost] == [f"blog_category.name: {many} of {many} values lost"]


def test_rows_that_are_deleted_do_not_come_back(stage: Stage) -> None:
    found = stage.one(sql("DELETE FROM blog_comment WHERE id % 2 = 0"))
    many = rows(stage, "blog_comment")
    gone = stage.project.run("SELECT count(*) FROM blog_comment WHERE id % 2 = 0")[0][0]
    assert [str(each) for each in found.way_back.lost] == [f"blog_comment: {gone:,} of {many:,} rows lost"]


def test_what_one_way_back_leaves_is_said_of_that_migration_alone(stage: Stage) -> None:
    """A corpus of 157 migrations had one difference said of the 63 before the migration whose reverse left it."""
    with stage.project.restored():
        stage.write("[migrations.AddField('comment', 'first', models.IntegerField(null=True))]")
        stage.write(sql("CREATE INDEX by_email ON blog_comment (email)"))
        first, second = stage.rehearse().migrations
    assert [str(each) for each in second.way_back.schema_changes] == [
        "index by_email USING btree (email) was added to blog_comment"
    ]
    assert first.way_back.schema_changes == ()
    assert second.way_back.again_error.endswith('relation "by_email" already exists')
    assert (first.way_back.again_changes, first.way_back.ok, first.findings) == ((), True, ())


def test_an_irreversible_migration_stops_the_way_back(stage: Stage) -> None:
    with stage.project.restored():
        stage.write("[migrations.AddField('comment', 'first', models.IntegerField(null=True))]")
        stage.write("[migrations.RunSQL('SELECT 1')]")
        stage.write("[migrations.AddField('comment', 'third', models.IntegerField(null=True))]")
        result = stage.rehearse()
        first, second, third = result.migrations
    assert (first.reversible, second.reversible, third.reversible) == (None, False, True)
    assert first.way_back.outcome is BackOutcome.NOT_TRIED
    assert first.way_back.words == "not tried: one after it could not be taken back"
    assert second.way_back.outcome is BackOutcome.IRREVERSIBLE
    assert ids(second)["MK522"].severity is Severity.WARNING
    assert "in blog.0006_more is not reversible" in ids(second)["MK522"].message
    assert third.way_back.again_ms is not None
    assert result.ok  # nothing went wrong: it says itself that it cannot be taken back


def test_a_reverse_that_raises_is_said_with_its_statement(stage: Stage) -> None:
    found = stage.one(sql("ALTER TABLE blog_comment ADD note text", "ALTER TABLE blog_comment DROP nothing"))
    assert found.reversible is False
    assert found.way_back.outcome is BackOutcome.RAISED
    assert not found.way_back.ok
    assert 'column "nothing" of relation "blog_comment" does not exist' in found.way_back.error
    assert found.way_back.statements[-1].error
    finding = ids(found)["MK523"]
    assert (finding.severity, finding.operation) == (Severity.ERROR, "Raw SQL operation")


def test_a_schema_that_is_not_as_it_was_is_said(stage: Stage) -> None:
    found = stage.one(
        sql(
            "ALTER TABLE blog_comment ALTER approved SET DEFAULT true",
            "ALTER TABLE blog_comment ALTER approved DROP NOT NULL, ALTER approved DROP DEFAULT",
        )
    )
    back = found.way_back
    assert [str(each) for each in back.schema_changes] == ["column approved of blog_comment became nullable"]
    assert [str(each) for each in back.again_changes] == ["column approved of blog_comment became nullable"]
    assert (back.identical, back.ok, found.reversible) == (False, False, True)
    assert ids(found)["MK524"].relation == "blog_comment"
    assert ids(found)["MK524"].message == (
        "Taken back, the schema is not as it was: column approved of blog_comment became nullable."
    )


def test_what_does_not_run_again_is_said(stage: Stage) -> None:
    found = stage.one(sql("CREATE TABLE once (id int)"))
    assert found.way_back.again_error.endswith('relation "once" already exists')
    assert not found.way_back.ok


def test_a_failure_forwards_is_a_result(stage: Stage) -> None:
    with stage.project.restored():
        stage.write("[migrations.AddField('comment', 'first', models.IntegerField(null=True))]")
        stage.write("[migrations.RunSQL('CREATE TABLE made (id int)'), migrations.RunSQL('SELECT 1 / 0')]")
        stage.write("[]")
        result = stage.rehearse()
        first, second, third = result.migrations
    assert not result.ok
    assert [each.outcome for each in result.migrations] == [Outcome.DONE, Outcome.FAILED, Outcome.NOT_BEGUN]
    assert "division by zero" in second.error
    assert [each.sql for each in second.statements] == ["CREATE TABLE made (id int)", "SELECT 1 / 0"]
    assert "division by zero" in second.statements[-1].error
    assert (second.lock_safety.kind, second.compatibility.kind) == (VerdictKind.UNKNOWN, VerdictKind.UNKNOWN)
    assert ids(second)["MK521"].severity is Severity.ERROR
    assert ids(second)["MK521"].operation == "Raw SQL operation"
    assert third.lock_safety.reason == "one before it failed on the copy"
    # The one before it was rolled back to, and so its way back can still be tried.
    assert first.way_back.outcome is BackOutcome.DONE
    assert repr(result).endswith(", blog.0006_more failed>")


def test_a_failure_that_leaves_half_of_it_ends_the_rehearsal(stage: Stage) -> None:
    with stage.project.restored():
        stage.write("[migrations.AddField('comment', 'first', models.IntegerField(null=True))]")
        stage.write(
            "[migrations.RunSQL('CREATE TABLE made (id int)'), migrations.RunSQL('SELECT 1 / 0')]", atomic="False"
        )
        first, second = stage.rehearse().migrations
    assert second.outcome is Outcome.FAILED
    assert ids(second)["MK521"].message.endswith(" What it did before that stays done: table made was added.")
    assert first.way_back.outcome is BackOutcome.NOT_TRIED


@pytest.mark.parametrize("backwards", [True, False])
def test_the_way_back_is_left_out_on_request(stage: Stage, backwards: bool) -> None:
    found = stage.one("[migrations.AddField('comment', 'note', models.IntegerField(null=True))]", backwards=backwards)
    assert found.reversible is (True if backwards else None)
    assert found.way_back.outcome is (BackOutcome.DONE if backwards else BackOutcome.NOT_TRIED)


def test_the_way_back_is_measured_as_well(stage: Stage) -> None:
    found = stage.one("[migrations.AddField('comment', 'note', models.IntegerField(null=True))]")
    dropped = found.way_back.statements[0]
    assert dropped.sql == 'ALTER TABLE "blog_comment" DROP COLUMN "note" CASCADE'
    assert {(each.relation, str(each.mode)) for each in dropped.locks} == {("blog_comment", "ACCESS EXCLUSIVE")}
    assert dropped.ms > 0
    assert statement(found, "ALTER TABLE").operation == "Add field note to comment"


def test_a_table_that_two_migrations_change_is_compared_each_time(stage: Stage) -> None:
    with stage.project.restored():
        stage.write(sql("UPDATE blog_category SET name = upper(name)", "UPDATE blog_category SET name = initcap(name)"))
        stage.write("[migrations.RemoveField('category', 'position')]")
        first, second = stage.rehearse().migrations
    assert [each.column for each in second.way_back.lost] == ["position"]
    assert {each.column for each in first.way_back.lost} <= {"name"}


def test_values_are_followed_through_renames(stage: Stage) -> None:
    """What is renamed goes by the name that it has at that point, and by its old one in the backup."""
    with stage.project.restored():
        stage.write("[migrations.RenameField('category', 'name', 'title')]")
        stage.write("[migrations.RenameModel('Category', 'Section')]")
        stage.write(sql("UPDATE blog_section SET title = upper(title), position = position + 1"))
        stage.write("[migrations.RemoveField('section', 'position')]")
        first, second, third, fourth = stage.rehearse().migrations
    many = rows(stage, "blog_category")
    assert [str(each) for each in third.values_changed] == [
        f"blog_section.{column}: {many} of {many} values changed" for column in ("title", "position")
    ]
    # The position was lost by the way back of the last one.
    assert [str(each) for each in third.way_back.lost] == [f"blog_section.title: {many} of {many} values lost"]
    assert [each.column for each in fourth.way_back.lost] == ["position"]
    assert (first.way_back.lost, second.way_back.lost) == ((), ())


def test_what_only_the_way_back_changes_is_lost_by_it(stage: Stage) -> None:
    found = stage.one(sql("SELECT 1", "UPDATE blog_category SET name = upper(name)"))
    many = rows(stage, "blog_category")
    assert [str(each) for each in found.way_back.lost] == [f"blog_category.name: {many} of {many} values lost"]


def test_a_column_that_is_added_costs_no_look_at_the_values(stage: Stage) -> None:
    found = stage.one("[migrations.AddField('comment', 'note', models.IntegerField(null=True))]")
    assert found.way_back.compared
    assert (found.values_changed, found.way_back.lost) == ((), ())
