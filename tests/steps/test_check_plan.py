"""The check as a step: which database it looks at, what it does without one, and what the configuration changes.

On copies of the demo, PostgreSQL 18. The verdicts themselves are tested case by case in ``tests/hazards/plans``.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import jsonschema
import pytest

import mig_kit.hazards
from mig_kit import errors
from mig_kit.hazards.assessment import Assessment
from mig_kit.hazards.finding import Severity
from mig_kit.postgres import connect
from mig_kit.record import RunFolder
from mig_kit.runbook import Runbook
from mig_kit.steps.check_plan import check_plan
from mig_kit.steps.preview import preview
from mig_kit.steps.target import open_target
from tests.steps.projects import Copy, Opened, Template, empty_migration, sqlite
from tests.venvs import venv

SCHEMA = json.loads((Path(mig_kit.hazards.__file__).parent / "assessment.schema.json").read_text("utf-8"))
LEAF = "0004_category_position_post_status_idx"
INDEX = '[migrations.AddIndex("Comment", models.Index(fields=["name"], name="comment_name_ix"))]'
ROWS = (
    "INSERT INTO blog_comment (name, email, body, approved, created_at, post_id) "
    "SELECT 'n' || g, 'e', 'b', true, now(), (SELECT min(id) FROM blog_post) FROM generate_series(1, 12000) g"
)


@pytest.fixture(scope="module", autouse=True)
def many_comments(opened: Opened) -> None:
    opened.project.run(ROWS)
    opened.project.run("ANALYZE")


@pytest.fixture(autouse=True)
def as_it_was(opened: Opened) -> Iterator[None]:
    with opened.project.restored():
        yield


def ids(found: Assessment) -> dict[str, str]:
    return {each.id: str(each.severity) for each in found.findings}


def write_index(project: Copy) -> None:
    empty_migration(project, "blog", "0005_index", LEAF, INDEX)


def test_looks_at_the_database_and_says_at_which(opened: Opened) -> None:
    write_index(opened.project)
    found = check_plan(opened.target)
    (migration,) = found.migrations
    assert str(migration) == "blog.0005_index"
    assert str(migration.lock_safety) == (
        "unsafe: blog_comment gets an index built while SHARE on it keeps writes waiting (catalog)"
    )
    assert ids(found) == {"MK201": "warning"}
    info = opened.target.info
    assert info is not None
    assert found.notes == (f"Looked at {info.safe}: sizes are those of its tables.",)
    assert repr(found) == "<Assessment: 1 migrations, 1 not lock-safe, 1 findings>"
    jsonschema.validate(found.as_json(), SCHEMA)


def test_nothing_pending_is_nothing_to_say(opened: Opened) -> None:
    found = check_plan(opened.target)
    assert (found.migrations, found.findings) == ((), ())
    jsonschema.validate(found.as_json(), SCHEMA)


def test_without_a_database_each_migration_of_the_project_counts_as_the_next_one(opened: Opened) -> None:
    write_index(opened.project)
    found = check_plan(opened.target, ask_database=False)
    assert len(found.migrations) == 13
    assert {each.app for each in found.migrations} == {"blog", "contact", "portfolio"}
    assert str(found.of("blog", "0005_index").lock_safety).endswith("(rule)")  # type: ignore[union-attr]
    assert {each.severity for each in found.findings if each.id == "MK201"} == {Severity.WARNING}
    assert found.notes == ("Nothing tells which migrations are applied: each counts as the next one, by itself.",)
    (alone,) = check_plan(opened.target, "blog", "0005", ask_database=False).migrations
    assert ids(Assessment("", "", (alone,))) == {"MK201": "warning"}
    assert len(check_plan(opened.target, "blog", ask_database=False).migrations) == 5
    jsonschema.validate(found.as_json(), SCHEMA)


def test_a_database_that_cannot_be_reached_is_told_and_done_without(project: Copy) -> None:
    write_index(project)
    project.set_env(DATABASE_PORT="1")
    with closing(open_target(project.root)) as target:
        found = check_plan(target, "blog", "0005")
    assert found.notes[0].endswith("The verdicts follow from the migrations alone, for tables of any size.")
    assert "refused" in found.notes[0] or "1" in found.notes[0]
    assert str(found.migrations[0].lock_safety).endswith("(rule)")


def test_does_not_wait_behind_a_lock(opened: Opened) -> None:
    write_index(opened.project)
    with closing(connect(opened.project.admin)) as other:
        other.execute("BEGIN; LOCK blog_comment")
        found = check_plan(opened.target)
        other.execute("ROLLBACK")
    assert "could not be read (canceling statement due to lock timeout)" in found.notes[0]
    assert str(found.migrations[0].lock_safety).endswith("(rule)")


def test_asks_as_little_for_thirty_operations_as_for_one(project: Copy, template: Template) -> None:
    project.run(f"ALTER DATABASE {project.database.dbname} SET log_statement = 'all'")
    counts = []
    with closing(open_target(project.root)) as target:
        for number in (1, 30):
            fields = ", ".join(
                f'migrations.AddField("Comment", "f{n}", models.PositiveIntegerField(null=True, db_index=True))'
                for n in range(number)
            )
            empty_migration(project, "blog", "0005_fields", LEAF, f"[{fields}]")
            start = template.server.log.stat().st_size
            (found,) = check_plan(target).migrations
            assert len(found.statements) == 2 * number
            with template.server.log.open() as log:
                log.seek(start)
                counts.append(sum("statement: " in line or "execute " in line for line in log))
    assert counts[0] == counts[1] > 0


def test_a_name_that_the_database_has_otherwise_is_the_databases(opened: Opened) -> None:
    empty_migration(opened.project, "blog", "0005_less", LEAF, '[migrations.RemoveField("Comment", "post")]')
    (name,) = opened.project.run(
        "SELECT conname FROM pg_constraint WHERE conrelid = 'blog_comment'::regclass AND contype = 'f'"
    )[0]
    opened.project.run(f'ALTER TABLE blog_comment RENAME CONSTRAINT "{name}" TO "By Hand"')
    try:
        (migration,) = check_plan(opened.target).migrations
    finally:
        opened.project.run(f'ALTER TABLE blog_comment RENAME CONSTRAINT "By Hand" TO "{name}"')
    assert [each.sql for each in migration.statements][:2] == [
        'SET CONSTRAINTS "By Hand" IMMEDIATE',
        'ALTER TABLE "blog_comment" DROP CONSTRAINT "By Hand"',
    ]
    assert {lock.relation for lock in migration.statements[1].locks} == {"blog_comment", "blog_post"}
    assert "MK208" not in {each.id for each in migration.findings if each.severity is not Severity.INFO}


def test_of_an_applied_migration_the_database_gives_the_sizes(opened: Opened) -> None:
    (found,) = check_plan(opened.target, "blog", "0002").migrations
    (finding,) = [each for each in found.findings if each.id == "MK204"]
    assert (finding.severity, finding.relation) == (Severity.INFO, "blog_post")
    assert "rows, " in finding.message


def test_verdicts_for_tables_of_any_size_when_the_configuration_asks(opened: Opened) -> None:
    operations = '[migrations.AddField("Category", "n", models.PositiveIntegerField(null=True))]'
    empty_migration(opened.project, "blog", "0005_small", LEAF, operations)
    assert ids(check_plan(opened.target)) == {"MK204": "info"}
    configured(opened, "[check]\nassume_large = true\n", lambda found: ids(found) == {"MK204": "error"})
    configured(
        opened,
        "[check]\nassume_large = true\n",
        lambda found: "The configuration asks for verdicts for tables of any size." in found.notes,
    )


def configured(opened: Opened, text: str, holds: Callable[[Assessment], bool]) -> Assessment:
    """Check with more in the configuration, in a target of its own."""
    path = opened.project.root / "mig_kit.toml"
    before = path.read_text()
    path.write_text(f"{before}\n{text}")
    try:
        with closing(open_target(opened.project.root)) as target:
            found = check_plan(target)
    finally:
        path.write_text(before)
    assert holds(found), found
    return found


def test_mk501_an_ignored_finding_keeps_its_reason_and_an_unused_rule_is_told(opened: Opened) -> None:
    write_index(opened.project)
    rules = """
        [check]
        ignore = [
            { id = "MK201", migration = "blog.0005*", relation = "blog_comm*", reason = "nobody comments at night" },
            { id = "MK202", migration = "blog.0005*", reason = "old" },
        ]
    """
    found = configured(opened, rules, lambda found: found.hazards == ())
    finding, unused = found.findings
    assert (finding.severity, finding.ignored) == (Severity.INFO, "nobody comments at night")
    assert finding.as_json()["message"].endswith(" Ignored: nobody comments at night")
    assert str(found.migrations[0].lock_safety.kind) == "unsafe"
    assert (unused.id, unused.severity) == ("MK501", Severity.INFO)
    assert unused.message == "The ignore rule MK202 blog.0005* fits no finding of this plan (old)."
    jsonschema.validate(found.as_json(), SCHEMA)


def test_mk403_weighs_more_where_there_are_several_databases(opened: Opened) -> None:
    opened.project.write(
        "apps/blog/migrations/0005_code.py",
        "from django.db import migrations\n\n\ndef code(apps, schema_editor):\n"
        '    apps.get_model("blog", "Comment").objects.filter(pk=0).count()\n\n\n'
        f'class Migration(migrations.Migration):\n    dependencies = [("blog", "{LEAF}")]\n'
        "    operations = [migrations.RunPython(code, migrations.RunPython.noop)]\n",
    )
    with closing(open_target(opened.project.root)) as target:
        assert ids(check_plan(target)) == {"MK403": "info"}
    settings = opened.project.path("config", "settings.py")
    settings.write_text(
        settings.read_text() + "\nDATABASES['other'] = {**DATABASES['default'], 'NAME': 'somewhere_else'}\n"
    )
    with closing(open_target(opened.project.root)) as target:
        assert ids(check_plan(target)) == {"MK403": "warning"}


def test_mk413_raw_sql_gets_a_second_opinion_or_a_note(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    operations = '[migrations.RunSQL("CREATE INDEX x ON blog_comment (name)", migrations.RunSQL.noop)]'
    empty_migration(opened.project, "blog", "0005_raw", LEAF, operations)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    without = check_plan(opened.target)
    assert ids(without) == {"MK201": "warning"}
    assert without.notes[-1] == (
        "The raw SQL got no second opinion: squawk is not installed (pip install 'mig-kit[squawk]')."
    )
    program = venv("{}.{}".format(*sys.version_info[:2]), ("squawk-cli>=2",)).parent
    monkeypatch.setenv("PATH", os.pathsep.join((str(program), "/usr/bin", "/bin")))
    found = check_plan(opened.target)
    assert ids(found) == {"MK201": "warning", "MK413": "info"}
    (opinion,) = [each for each in found.findings if each.id == "MK413"]
    assert opinion.message.startswith("Squawk (require-concurrent-index-creation): ")
    assert len(found.notes) == 1


def test_the_preview_carries_what_each_statement_locks_and_does(opened: Opened) -> None:
    operations = (
        '[migrations.AddField("Comment", "post2", models.ForeignKey("blog.Post", models.CASCADE, null=True, '
        'related_name="+")), migrations.RunPython(migrations.RunPython.noop)]'
    )
    empty_migration(opened.project, "blog", "0005_key", LEAF, operations)
    plan = preview(opened.target, hazards=True)
    assert plan.assessment is not None
    (migration,) = plan.migrations
    (added,) = migration.operations[0].assessed
    assert added is not None
    assert {(lock.relation, str(lock.mode)) for lock in added.locks} == {
        ("blog_comment", "ACCESS EXCLUSIVE"),
        ("blog_post", "SHARE ROW EXCLUSIVE"),
    }
    (index,) = migration.deferred_assessed
    assert index is not None
    assert [str(work) for work in index.work] == ["index build:blog_comment", "scan:blog_comment"]
    assert migration.operations[1].assessed == ()
    assert {each.id for each in plan.assessment.findings} == {"MK201", "MK214"}
    assert preview(opened.target).assessment is None
    assert preview(opened.target, "blog", "0004", backwards=True, hazards=True).assessment is None


def test_the_journal_keeps_what_was_told(opened: Opened) -> None:
    write_index(opened.project)
    run = RunFolder.create(opened.project.root, "check")
    rb = Runbook(opened.target, run=run)
    told = rb.check()
    rb.preview()
    entries = [json.loads(line) for line in run.journal.path.read_text("utf-8").splitlines()]
    kept = [each for each in entries if "assessment" in json.dumps(each)]
    assert len(kept) == 2
    assert all('"MK201"' in json.dumps(each) for each in kept)
    assert "1 migrations, 1 hazards" in json.dumps(kept[0])
    assert told.hazards


def test_a_hazard_comes_with_the_code_to_write_instead(opened: Opened) -> None:
    write_index(opened.project)
    (finding,) = check_plan(opened.target).hazards
    assert "AddIndexConcurrently(" in finding.code
    assert "atomic = False" in finding.code
    assert finding.as_json()["hint"] == f"{finding.hint}\n\n{finding.code}"


def test_refuses_what_it_cannot_mean(opened: Opened, project: Copy) -> None:
    with pytest.raises(errors.UsageError, match="named without its app"):
        check_plan(opened.target, None, "0002")
    with pytest.raises(errors.MigrationNotFound):
        check_plan(opened.target, "blog", "0099")
    with pytest.raises(errors.AppNotFound):
        check_plan(opened.target, "blgo", ask_database=False)
    sqlite(project)
    with closing(open_target(project.root)) as target, pytest.raises(errors.NotPostgreSQL):
        check_plan(target)
