"""Rehearsals with less than all of the data: the tables that are touched, or samples; on PostgreSQL 18."""

from __future__ import annotations

import pytest

from mig_kit import errors
from mig_kit.hazards.assessment import VerdictKind
from mig_kit.steps._rehearsal_data import Limits, choose_data
from mig_kit.steps.rehearse import BackOutcome, Outcome, Rehearsal, RehearsalMode
from tests.steps.rehearsing import Stage, ids, statement

LINK = "[migrations.RemoveField('project', 'link')]"
INDEX = "[migrations.AddIndex('comment', models.Index(fields=['email'], name='by_email'))]"


def size(stage: Stage, *tables: str) -> int:
    return sum(stage.backup.sizes[f"public.{table}"] for table in tables)


def rehearse(stage: Stage, operations: str, app: str = "blog", head: str = "", **options: object) -> Rehearsal:
    with stage.project.restored():
        stage.write(operations, app, head=head)
        return stage.rehearse(**options)


def test_what_does_not_fit_is_left_out_where_nothing_touches_it(stage: Stage) -> None:
    limit = sum(stage.backup.sizes.values()) - size(stage, "blog_comment") // 2
    result = rehearse(stage, LINK, "portfolio", limit_bytes=limit)
    assert result.mode is RehearsalMode.AFFECTED
    # Touched: the projects. They are referred to by testimonials, and by the tables of two many-to-many relations.
    assert result.mode_words.startswith("every row of 7 tables was there, those that the plan touches and their ")
    assert result.mode_words.endswith(" and no row of the other 14")
    assert any(
        note.startswith("Restored without their rows: ") and "public.blog_comment" in note for note in result.notes
    )
    (found,) = result.migrations
    assert (found.lock_safety.kind, found.way_back.outcome) == (VerdictKind.SAFE, BackOutcome.DONE)
    assert found.way_back.lost[0].before == stage.backup.rows["public.portfolio_project"]
    assert statement(found, "ALTER TABLE").unknown == ""
    again = rehearse(stage, LINK, "portfolio", limit_bytes=limit)
    assert again.template_reused


def test_what_turns_out_to_be_read_is_added(stage: Stage) -> None:
    """Nothing tells beforehand which tables such code reads."""
    head = (
        "\n\ndef run(apps, editor):\n    name = 'contact' + '_message'\n"
        "    editor.execute(f'SELECT count(*) FROM {name}')\n"
    )
    result = rehearse(stage, "[migrations.RunPython(run)]", head=head, mode="affected tables")
    (found,) = result.migrations
    read = statement(found, "SELECT count(*)")
    assert read.unknown == ""
    assert read.tables == ("contact_message",)
    assert found.lock_safety.kind is VerdictKind.SAFE
    notes = next(note for note in result.notes if note.startswith("Restored without their rows"))
    assert "public.contact_message" not in notes


def test_what_is_needed_and_does_not_fit_is_unknown(stage: Stage) -> None:
    operations = (
        "[migrations.RunSQL('UPDATE portfolio_project SET client = (SELECT count(*) FROM blog_comment)',"
        " migrations.RunSQL.noop)]"
    )
    result = rehearse(
        stage, operations, "portfolio", mode="affected tables", limit_bytes=size(stage, "blog_comment") // 2
    )
    (found,) = result.migrations
    updated = statement(found, "UPDATE")
    assert updated.unknown == "it needs rows that are not in this copy: those of blog_comment"
    assert updated.assessed.evidence == "unknown"
    assert found.lock_safety.kind is VerdictKind.UNKNOWN
    assert found.lock_safety.reason == updated.unknown
    assert ids(found)["MK532"].message == f"{updated.sql}: {updated.unknown}."


def test_samples_are_measured_twice_and_extrapolated(stage: Stage) -> None:
    every = stage.backup.rows["public.blog_comment"]
    result = rehearse(stage, INDEX, mode="samples")
    assert result.mode is RehearsalMode.SAMPLES
    assert result.mode_words.startswith(
        "samples were there, once of a quarter of the size (1 row in 5 of blog_comment), and no row of "
    )
    (found,) = result.migrations
    built = statement(found, "CREATE INDEX")
    many = built.extrapolated
    assert many is not None
    assert many.rows == every
    assert [rows for rows, _ in many.measured] == [(every + 19) // 20, (every + 4) // 5]
    (small, few_ms), (large, many_ms) = many.measured
    assert many_ms == built.ms
    assert many.ms is not None
    assert many.ms == pytest.approx(many_ms + max(0.0, many_ms - few_ms) / (large - small) * (every - large))
    # The verdict is about the table as it is, not about the sample of it.
    assert found.lock_safety.kind is VerdictKind.UNSAFE
    assert found.extrapolated_ms is not None
    assert found.extrapolated_ms >= found.ms
    assert found.way_back.outcome is BackOutcome.DONE
    recorded = statement(found, "INSERT INTO")
    assert recorded.extrapolated is None


def test_rows_that_python_saves_are_extrapolated_by_their_number(stage: Stage) -> None:
    head = (
        "\n\ndef run(apps, editor):\n    Comment = apps.get_model('blog', 'Comment')\n"
        "    for each in Comment.objects.all():\n        each.save()\n"
    )
    (found,) = rehearse(stage, "[migrations.RunPython(run)]", head=head, mode="samples").migrations
    saved = statement(found, "UPDATE")
    many = saved.extrapolated
    assert many is not None
    assert saved.times == many.measured[1][0]
    assert many.ms is not None
    assert many.ms > 2 * saved.ms


def test_a_failure_on_a_sample_may_be_the_samples(stage: Stage) -> None:
    head = (
        "\n\ndef run(apps, editor):\n    if apps.get_model('blog', 'Comment').objects.count() < 10000:\n"
        "        raise ValueError('too few')\n"
    )
    (found,) = rehearse(stage, "[migrations.RunPython(run)]", head=head, mode="samples").migrations
    assert found.outcome is Outcome.FAILED
    assert (found.lock_safety.kind, found.lock_safety.evidence) == (VerdictKind.UNKNOWN, "unknown")
    failed = ids(found)["MK521"]
    assert failed.evidence == "unknown"
    assert failed.message.endswith("That may be for want of the rows that were left out of this copy.")


def test_a_lack_of_rows_makes_times_unknown(stage: Stage) -> None:
    operations = (
        "[migrations.RunSQL('UPDATE blog_comment SET name = (SELECT count(*) FROM contact_message)',"
        " migrations.RunSQL.noop)]"
    )
    (found,) = rehearse(stage, operations, mode="samples").migrations
    updated = statement(found, "UPDATE")
    assert updated.extrapolated is not None
    assert updated.extrapolated.ms is None
    assert updated.extrapolated.reason == "it needs rows that are not in this copy: those of contact_message"
    assert found.extrapolated_ms is None


def test_the_disk_has_to_hold_the_template_the_copy_and_a_rewrite() -> None:
    gigabyte = 1 << 30
    assert Limits(None, None).allow(1000 * gigabyte, gigabyte)
    assert Limits(None, 4 * gigabyte).allow(gigabyte, gigabyte)
    assert not Limits(None, 3 * gigabyte).allow(gigabyte, gigabyte)
    assert Limits(None, 3 * gigabyte).allow(gigabyte, gigabyte, copies=1)  # the template is there already
    assert not Limits(gigabyte - 1, None).allow(gigabyte, 0)


def test_a_disk_that_is_too_small_decides_the_mode(stage: Stage) -> None:
    largest = size(stage, "blog_comment")
    with stage.project.restored():
        stage.write(LINK, "portfolio")

        def mode(free: int) -> RehearsalMode:
            return choose_data(stage.target, stage.backup, Limits(None, free), app=None, name=None).mode

        assert mode(10 * largest + (50 << 20)) is RehearsalMode.FULL
        assert mode(largest + (25 << 20)) is RehearsalMode.AFFECTED
        assert mode(1 << 20) is RehearsalMode.SAMPLES


def test_an_unknown_mode_is_refused(stage: Stage) -> None:
    with pytest.raises(errors.UsageError) as caught:
        stage.rehearse(mode="half")
    assert str(caught.value) == "'half' is no way to rehearse.\nNext: choose one of: full, affected tables, samples"
