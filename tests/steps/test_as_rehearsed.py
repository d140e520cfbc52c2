"""An apply held to its rehearsal: to the time it took there, and to what it made of the schema; on PostgreSQL 18."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mig_kit import errors, open_runbook
from mig_kit.progress import ProgressCallback
from mig_kit.runbook import Quiet, Runbook
from tests.steps.projects import Copy, empty_migration

LAST = "0004_category_position_post_status_idx"
CHANGES_ITS_MIND = """[
    migrations.AddField('category', 'note', models.CharField(max_length=20, default='')),
    migrations.RunPython(code, migrations.RunPython.noop),
]"""
CODE = """
import os
from django.db import migrations, models


def code(apps, editor):
    if editor.connection.settings_dict['NAME'] == NAME:
        editor.execute('ALTER TABLE blog_category ALTER COLUMN note TYPE varchar(30)')
        editor.execute('CREATE TABLE of_somebody_else (id int)')

"""


def rehearsed(project: Copy) -> Runbook:
    rb = open_runbook(project.root)
    rb.backup()
    assert rb.rehearse().ok
    return rb


def test_what_goes_as_rehearsed_is_applied_with_the_time_it_took_there(project: Copy) -> None:
    empty_migration(
        project, "blog", "0005_note", LAST, "[migrations.AddField('category', 'note', models.IntegerField(null=True))]"
    )
    told: list[str] = []

    class Kept(Quiet):
        """What is told while something runs."""

        @contextmanager
        def progress(self, step: str) -> Iterator[ProgressCallback]:
            yield lambda progress: told.append(progress.message)

    with rehearsed(project) as rb:
        rb.interaction = Kept()
        result = rb.apply()
    assert [str(each) for each in result.migrations] == ["blog.0005_note"]
    assert any(each.startswith("blog.0005_note … (rehearsed in 0.") for each in told)


def test_another_schema_than_was_rehearsed_stops_what_comes_after(project: Copy) -> None:
    path = empty_migration(project, "blog", "0005_note", LAST, CHANGES_ITS_MIND)
    text = path.read_text().replace("from django.db import migrations, models\n", CODE)
    path.write_text(text.replace("== NAME", f"== {project.database.dbname!r}"))
    empty_migration(project, "blog", "0006_after", "0005_note", "[migrations.RunSQL('CREATE TABLE after (id int)')]")
    with rehearsed(project) as rb, pytest.raises(errors.ApplyFailed) as caught:
        rb.apply()
    assert caught.value.message.startswith(
        "blog.0005_note failed: it ran, and the database is not as it should be: when it was rehearsed, "
    )
    assert "character varying(30)" in caught.value.message
    assert "of_somebody_else" not in caught.value.message
    assert (caught.value.applied, caught.value.not_applied) == (("blog.0005_note",), ("blog.0006_after",))
