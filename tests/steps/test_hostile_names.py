"""A project whose folder, database, app, model, table, column and index need quotes, on a real PostgreSQL 18."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from mig_kit.steps.apply import apply
from mig_kit.steps.backup import backup
from mig_kit.steps.backups import backups
from mig_kit.steps.generate import generate, undo
from mig_kit.steps.preflight import preflight
from mig_kit.steps.preview import preview
from mig_kit.steps.review import review
from mig_kit.steps.status import history, query, status
from mig_kit.steps.target import open_target
from mig_kit.steps.verify import verify
from tests.steps.projects import ANSWERS, Copy

MODELS = """
from django.db import models


class Größe(models.Model):
    wert = models.IntegerField(db_column="the value; ü")
    名前 = models.TextField(db_column="it's", default="x")

    class Meta:
        db_table = "Größe of it's things; --"
        indexes = [models.Index(fields=["wert"], name="index of größe")]
"""
# Django itself does not escape a double quote in a table's name.
TABLE = '"Größe of it\'s things; --"'
ADMIN = "from django.contrib import admin\nfrom .models import Größe\nadmin.site.register(Größe)\n"


def test_every_step_goes_through(copies: Callable[..., Copy]) -> None:
    project = copies('a "folder" with spaces & ü', name='it\'s a "Datenbank" ü')
    project.write("apps/läden/__init__.py", "")
    project.write("apps/läden/models.py", MODELS)
    project.write("apps/läden/admin.py", ADMIN)
    project.write("apps/läden/migrations/__init__.py", "")
    project.edit("config/settings.py", '"apps.contact",', '"apps.contact", "apps.läden",')
    with closing(open_target(project.root)) as target:
        assert preflight(target)
        changes = review(target, apps=["läden"], answers=ANSWERS)
        assert [each.model for each in changes.models] == ["Größe"]
        generated = generate(target, apps=["läden"], answers=ANSWERS)
        assert generated.findings == ()
        plan = preview(target, "läden")
        assert """CREATE TABLE "Größe of it's things; --" """ in plan.text
        applied = apply(target, "läden")
        assert [str(each) for each in applied.migrations] == ["läden.0001_initial"]
        project.run(f"""INSERT INTO {TABLE} ("the value; ü", "it's") VALUES (1, 'a')""")
        kept = backup(target)
        assert kept.rows["public.Größe of it's things; --"] == 1
        assert list(backups(target)["backup"]) == [kept.path.name]
        result = verify(target, apps=["läden"], backup=kept)
        assert result.check("models import and can be queried").detail == "1 model, 1 row"
        assert result.check("admin works").state == "ok"
        assert result.check("row counts against the backup").state == "ok"
        assert list(status(target, "läden")["applied"]) == ["[X]"]
        assert "läden" in set(history(target)["app"])
        select = f"""SELECT "it's", "the value; ü" AS "a ""b" FROM {TABLE} WHERE "it's" = %s"""
        frame = query(target, select, ["a"])
        assert list(frame.columns) == ["it's", 'a "b']
        project.run(f"DROP TABLE {TABLE}")
        project.run("DELETE FROM django_migrations WHERE app = 'läden'")
        assert undo(target, generated)
