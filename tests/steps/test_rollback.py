"""Rollback: what it says is lost is what is lost; nothing irreversible is begun. On a real PostgreSQL 18."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from mig_kit import errors, open_runbook
from mig_kit.steps.apply import apply
from mig_kit.steps.rollback import RollbackPlan, RolledBack, plan_rollback, roll_back, rollback_points
from mig_kit.steps.target import Target, open_target
from tests.steps.gated import LAST, closed, production
from tests.steps.projects import Copy, empty_migration

NOTE = """[
    migrations.CreateModel('Note', [
        ('id', models.BigAutoField(primary_key=True)),
        ('text', models.TextField()),
        ('posts', models.ManyToManyField('blog.Post')),
    ]),
    migrations.AddField('post', 'views', models.IntegerField(default=0)),
    migrations.AddField('post', 'mood', models.CharField(max_length=9, default='it''s')),
    migrations.AddField('post', 'subtitle', models.CharField(max_length=20, null=True)),
    migrations.AddField('post', 'seen', models.DateTimeField(auto_now_add=True)),
]"""
RENAME = """[
    migrations.RenameModel('Note', 'Remark'),
    migrations.RenameField('post', 'subtitle', 'tagline'),
    migrations.RenameField('remark', 'text', 'words'),
]"""
WIDEN = """[
    migrations.AddField('category', 'weight', models.DecimalField(max_digits=6, decimal_places=1, default=0)),
]"""
FINER = """[
    migrations.AlterField('category', 'weight', models.DecimalField(max_digits=8, decimal_places=3, default=0)),
]"""
FILL = """
    INSERT INTO blog_remark (words) SELECT 'n' || g FROM generate_series(1, 7) g;
    INSERT INTO blog_remark_posts (remark_id, post_id)
        SELECT r.id, p.id FROM blog_remark r, blog_post p WHERE p.id <= 3;
    UPDATE blog_post SET views = id WHERE id % 5 = 0;
    UPDATE blog_post SET mood = 'calm' WHERE id % 10 = 0;
    UPDATE blog_post SET tagline = 'tag' || id WHERE id % 4 = 0;
    UPDATE blog_category SET weight = 1.25 WHERE id <= 3;
    UPDATE blog_category SET weight = 2.500 WHERE id > 3;
"""


def chain(project: Copy) -> None:
    """Three migrations of the blog, applied, with data in all that they made."""
    note = NOTE.replace("it''s", "it\\'s")
    empty_migration(project, "blog", "0005_note", LAST, note)
    empty_migration(project, "blog", "0006_rename", "0005_note", RENAME)
    empty_migration(project, "blog", "0007_weight", "0006_rename", WIDEN)
    empty_migration(project, "blog", "0008_finer", "0007_weight", FINER)
    with closing(open_target(project.root)) as target:
        apply(target)
    project.run(FILL)


def rows_of(project: Copy, table: str, column: str) -> dict[int, Any]:
    return dict(project.run(f"SELECT id, {column} FROM {table}"))


def counted(plan: RollbackPlan) -> dict[str, int | None]:
    return {f"{each.table}.{each.column}".rstrip("."): each.lost for each in plan.losses}


def test_what_is_counted_as_lost_is_what_is_lost(project: Copy) -> None:
    """Under the names of now, though the way back renames the table and the column before it drops them."""
    chain(project)
    lasting = {"blog_post.views": "views", "blog_post.mood": "mood", "blog_post.tagline": "tagline"}
    before = {name: rows_of(project, "blog_post", column) for name, column in lasting.items()}
    rows = {table: project.run(f"SELECT count(*) FROM {table}")[0][0] for table in ("blog_remark", "blog_remark_posts")}
    with closing(open_target(project.root)) as target:
        shown = plan_rollback(target, "blog", "0004")
        assert [str(each) for each in shown.migrations] == [
            "blog.0008_finer",
            "blog.0007_weight",
            "blog.0006_rename",
            "blog.0005_note",
        ]
        said = counted(shown)
        frame = shown.to_frame()
        assert isinstance(roll_back(target, shown), RolledBack)
        assert f"blog.{LAST}" in project.applied()
        assert not {"blog.0005_note", "blog.0008_finer"} & project.applied()
        apply(target)
    lost: dict[str, int] = dict(rows)
    for name, column in lasting.items():
        now = rows_of(project, "blog_post", column)
        lost[name] = sum(now[key] != value for key, value in before[name].items())
    lost |= {table: count - project.run(f"SELECT count(*) FROM {table}")[0][0] for table, count in rows.items()}
    assert lost == {
        "blog_remark": 7,
        "blog_remark_posts": 21,
        "blog_post.views": 10,
        "blog_post.mood": 5,
        "blog_post.tagline": 12,
    }
    assert {name: said[name] for name in lost} == lost
    # A default that was made up for the day: each value is another one afterwards.
    assert said["blog_post.seen"] == 50
    # Both of 0008, which rounds 1.250 to one place, and of 0007, which drops what is left.
    weights = [(each.what, each.rows, each.lost) for each in shown.losses if each.column == "weight"]
    assert weights == [
        ("every value is converted to numeric(6, 1)", 8, 3),
        ("the column is dropped", 8, 8),
    ]
    assert list(frame.columns) == ["migration", "table", "column", "what", "rows", "values", "lost", "note"]
    assert frame.set_index("column").loc["tagline", "values"] == 12


def test_looking_changes_nothing_and_takes_no_lock_that_stays(project: Copy, target: Target) -> None:
    before = project.applied()
    shown = plan_rollback(target, "blog", "0003")
    assert project.applied() == before
    assert 'ALTER TABLE "blog_category" DROP COLUMN "position" CASCADE' in shown.sql.text
    assert counted(shown) == {"blog_category.position": 8}
    [loss] = shown.lost
    assert str(loss) == "blog_category.position: 8 values of 8 rows lost"
    locks = "SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation WHERE c.relname = 'blog_category'"
    assert project.run(locks) == [(0,)]


def test_values_that_nobody_set_are_no_loss(project: Copy, target: Target) -> None:
    empty_migration(
        project, "blog", "0005_views", LAST, "[migrations.AddField('post', 'views', models.IntegerField(default=7))]"
    )
    apply(target)
    shown = plan_rollback(target, "blog", "0004")
    [loss] = shown.losses
    assert (loss.rows, loss.values, loss.lost) == (50, 50, 0)
    assert shown.lost == ()
    project.run("UPDATE blog_post SET views = 0 WHERE id <= 6")
    assert counted(plan_rollback(target, "blog", "0004")) == {"blog_post.views": 6}


def test_what_will_not_fit_is_told_before_the_way_back_fails_on_it(project: Copy, target: Target) -> None:
    one = "[migrations.AddField('post', 'motto', models.CharField(max_length=5, null=True))]"
    empty_migration(project, "blog", "0005_motto", LAST, one)
    wide = "[migrations.AlterField('post', 'motto', models.CharField(max_length=50, null=True))]"
    empty_migration(project, "blog", "0006_wide", "0005_motto", wide)
    apply(target)
    project.run("UPDATE blog_post SET motto = 'too long' WHERE id <= 4; UPDATE blog_post SET motto = 'ok' WHERE id = 5")
    shown = plan_rollback(target, "blog", "0005")
    [loss] = shown.fails
    assert loss.fails == "4 values of blog_post.motto do not fit varchar(5)"
    with pytest.raises(errors.ApplyFailed) as caught:
        roll_back(target, shown)
    assert "value too long for type character varying(5)" in caught.value.message
    assert caught.value.message.endswith("Taken back: none. Not begun: none.")
    assert "blog.0006_wide" in project.applied()


def test_a_value_that_cannot_be_converted_is_told_too(project: Copy, target: Target) -> None:
    empty_migration(
        project, "blog", "0005_n", LAST, "[migrations.AddField('post', 'n', models.IntegerField(null=True))]"
    )
    text = "[migrations.AlterField('post', 'n', models.TextField(null=True))]"
    empty_migration(project, "blog", "0006_text", "0005_n", text)
    apply(target)
    project.run("UPDATE blog_post SET n = 'eleven' WHERE id = 1")
    [loss] = plan_rollback(target, "blog", "0005").losses
    assert loss.lost is None
    assert loss.fails == 'blog_post.n: invalid input syntax for type integer: "eleven"'


def test_code_and_sql_that_nobody_can_look_into_is_a_loss_that_is_not_known(project: Copy, target: Target) -> None:
    operations = (
        "[migrations.RunPython(migrations.RunPython.noop, lambda a, e: None),"
        " migrations.RunPython(migrations.RunPython.noop, migrations.RunPython.noop),"
        " migrations.RunSQL(migrations.RunSQL.noop, 'DELETE FROM blog_comment WHERE approved'),"
        " migrations.RunSQL(migrations.RunSQL.noop, 'TRUNCATE contact_message')]"
    )
    empty_migration(project, "blog", "0005_code", LAST, operations)
    apply(target)
    shown = plan_rollback(target, "blog", "0004")
    messages = project.run("SELECT count(*) FROM contact_message")[0][0]
    assert {(each.table, each.lost) for each in shown.losses} == {
        ("?", None),
        ("blog_comment", None),
        ("contact_message", messages),
    }
    unknown = next(each for each in shown.losses if each.table == "?")
    assert unknown.note.startswith("This operation is Python code, not SQL")
    some = next(each for each in shown.losses if each.table == "blog_comment")
    assert some.note == "which rows, only the statement knows: DELETE FROM blog_comment WHERE approved"


IRREVERSIBLE = "[migrations.RunSQL('CREATE TABLE made (id int)')]"


@pytest.fixture
def irreversible(project: Copy) -> Iterator[Target]:
    """Three applied migrations of the blog, of which the middle one cannot be taken back."""
    one = "[migrations.RunSQL('CREATE TABLE one (id int)', 'DROP TABLE one')]"
    empty_migration(project, "blog", "0005_one", LAST, one)
    empty_migration(project, "blog", "0006_made", "0005_one", IRREVERSIBLE)
    three = "[migrations.RunSQL('CREATE TABLE three (id int)', 'DROP TABLE three')]"
    empty_migration(project, "blog", "0007_three", "0006_made", three)
    with closing(open_target(project.root)) as opened:
        apply(opened)
        yield opened


def test_what_is_irreversible_is_refused_before_the_migrations_after_it_are_taken_back(
    project: Copy, irreversible: Target
) -> None:
    shown = plan_rollback(irreversible, "blog", "0004")
    assert [str(each) for each in shown.irreversible] == ["blog.0006_made: Raw SQL operation"]
    before = project.applied()
    with pytest.raises(errors.GateClosed) as caught:
        roll_back(irreversible, shown)
    assert (caught.value.gate, str(caught.value)) == (
        "reversible",
        "blog cannot be taken back to 0004, nothing was run. Irreversible: blog.0006_made: Raw SQL operation.\n"
        "Next: restore a backup from before it: mig-kit restore; or write the way back into the migration "
        "(reverse_code, reverse_sql) when it is known what that is",
    )
    assert project.applied() == before
    assert project.run("SELECT to_regclass('three')::text") == [("three",)]
    # What lies after it can be.
    assert plan_rollback(irreversible, "blog", "0006").irreversible == ()
    assert roll_back(irreversible, plan_rollback(irreversible, "blog", "0006"))
    assert project.run("SELECT to_regclass('three')::text") == [(None,)]


def test_what_is_irreversible_inside_another_operation_is_found(project: Copy, target: Target) -> None:
    """Django asks the outer operation alone, which says yes, and fails half-way."""
    inner = "migrations.SeparateDatabaseAndState(database_operations=[migrations.RunSQL('SELECT 1')])"
    empty_migration(project, "blog", "0005_hidden", LAST, f"[{inner}]")
    apply(target)
    shown = plan_rollback(target, "blog", "0004")
    assert [each.migration for each in shown.irreversible] == ["blog.0005_hidden"]


def test_the_way_back_is_assessed_as_the_way_there_is(project: Copy, target: Target) -> None:
    """Its locks on a table of some size, and the release that runs now, which was written for what is taken back."""
    project.run(
        "INSERT INTO blog_comment (post_id, name, email, body, approved, created_at) SELECT (SELECT min(id) FROM "
        "blog_post), 'R', 'r@example.org', 'w', true, now() FROM generate_series(1, 20000); ANALYZE blog_comment"
    )
    wide = "[migrations.AlterField('comment', 'name', models.TextField())]"
    empty_migration(project, "blog", "0005_wide", LAST, wide)
    new = "[migrations.AddField('comment', 'uid', models.UUIDField(null=True))]"
    empty_migration(project, "blog", "0006_uid", "0005_wide", new)
    apply(target)
    shown = plan_rollback(target, "blog", "0004")
    uid, name = shown.assessment.migrations
    assert (str(uid.lock_safety.kind), str(uid.compatibility.kind)) == ("safe", "unsafe")
    assert uid.compatibility.reason == "column uid of blog_comment is removed"
    assert str(name.lock_safety.kind) == "unsafe"
    points = {(each.id, each.migration, each.old_code) for each in rollback_points(shown)}
    assert points >= {("MK301", "blog.0006_uid", True), ("MK202", "blog.0005_wide", False)}


def test_an_app_goes_to_zero_with_what_depends_on_it(project: Copy, target: Target) -> None:
    empty_migration(project, "contact", "0005_needs", "0004_subscriber")
    path = project.path("apps", "contact", "migrations", "0005_needs.py")
    needed = "[('contact', '0004_subscriber'), ('blog', '0001_initial')]"
    path.write_text(path.read_text().replace("[('contact', '0004_subscriber')]", needed))
    apply(target)
    comments = project.run("SELECT count(*) FROM blog_comment")[0][0]
    shown = plan_rollback(target, "blog", "zero")
    assert "contact.0005_needs" in [str(each) for each in shown.migrations]
    assert counted(shown)["blog_comment"] == comments
    roll_back(target, shown)
    assert not {each for each in project.applied() if each.startswith("blog.")}
    assert "contact.0005_needs" not in project.applied()
    assert "contact.0004_subscriber" in project.applied()
    assert not plan_rollback(target, "blog", "zero")


def test_a_name_that_lies_ahead_is_refused(project: Copy, target: Target) -> None:
    empty_migration(project, "blog", "0005_more", LAST)
    with pytest.raises(errors.UsageError) as caught:
        plan_rollback(target, "blog", "0005")
    assert str(caught.value) == (
        "blog 0005 lies ahead: blog.0005_more is not applied.\nNext: rb.apply('blog', '0005') goes there"
    )
    with pytest.raises(errors.MigrationNotFound):
        plan_rollback(target, "blog", "0099")


def test_a_failure_on_the_way_says_what_was_taken_back(project: Copy, target: Target) -> None:
    failing = "[migrations.RunSQL(migrations.RunSQL.noop, 'SELECT 1 / 0')]"
    empty_migration(project, "blog", "0005_failing", LAST, failing)
    empty_migration(project, "blog", "0006_fine", "0005_failing")
    apply(target)
    with pytest.raises(errors.ApplyFailed) as caught:
        roll_back(target, plan_rollback(target, "blog", "0004"))
    first, second = caught.value.message.splitlines()
    assert first.startswith("blog.0005_failing failed: ")
    assert second == "Taken back: blog.0006_fine. Not begun: none."
    assert "blog.0005_failing" in project.applied()


# In a session


def test_without_the_name_of_the_database_it_only_shows_in_every_stage(project: Copy) -> None:
    name = project.database.dbname
    with open_runbook(project.root) as rb:
        shown = rb.rollback("blog", "0003")
        assert isinstance(shown, RollbackPlan)
        assert f"blog.{LAST}" in project.applied()
        with pytest.raises(errors.GateClosed) as caught:
            rb.rollback("blog", "0003", confirm="another")
        assert (caught.value.gate, caught.value.hint) == (
            "name typed",
            f"rb.rollback('blog', '0003', confirm={name!r}), when {project.database.safe} is the one you mean",
        )
        assert f"blog.{LAST}" in project.applied()
        done = rb.rollback("blog", "0003", confirm=name)
        assert isinstance(done, RolledBack)
        assert [str(each) for each in done.applied.migrations] == [f"blog.{LAST}"]
        assert rb.run is not None
        kinds = [each.kind for each in rb.run.journal.entries()]
        ended = rb.run.journal.entries()[-1].data
    assert f"blog.{LAST}" not in project.applied()
    assert "migration taken back" in kinds
    assert ended["lost"] == ["blog_category.position: 8 values of 8 rows lost"]
    assert ended["migrations"] == [f"blog.{LAST}"]


def test_production_asks_the_same_of_the_way_back(project: Copy) -> None:
    """Each gate by its own step: the rehearsal of the migration was one of its way back, too."""
    views = "[migrations.AddField('post', 'views', models.IntegerField(default=0, null=True))]"
    empty_migration(project, "blog", "0005_views", LAST, views)
    name = project.database.dbname
    with production(project) as rb:
        rb.preview()
        rb.backup()
        assert rb.rehearse().ok
        rb.apply(confirm=name, acknowledge={each.id: "known" for each in rb.gates().points})
    project.run("UPDATE blog_post SET views = 5 WHERE id <= 3")
    with production(project) as rb:
        with pytest.raises(errors.GateClosed) as caught:
            rb.rollback("blog", "0004", confirm=name)
        assert caught.value.gate == "reviewed"
        shown = rb.rollback("blog", "0004")
        assert isinstance(shown, RollbackPlan)
        assert shown.gates is not None
        assert closed(shown.gates) == {"backed up and verified", "hazards answered", "old code considered"}
        assert shown.gates.gate("rehearsed").evidence.startswith(
            "Each way back passed when its migration was rehearsed"
        )
        assert [each.message for each in shown.gates.points if each.id == "data loss"] == [
            "blog_post.views: 3 values of 50 rows lost."
        ]
        rb.backup()
        rb.acknowledge("data loss", "three counts nobody needs")
        assert closed(rb.acknowledge("old code", "the release goes back with it")) == set()
    with production(project) as rb:  # another process finds all of it
        with pytest.raises(errors.GateClosed) as caught:
            rb.rollback("blog", "0004", confirm="blog")
        assert caught.value.gate == "name typed"
        assert rb.rollback("blog", "0004", confirm=name)
    assert "blog.0005_views" not in project.applied()


def test_a_way_back_whose_file_was_edited_since_was_not_rehearsed(project: Copy) -> None:
    views = "[migrations.AddField('post', 'views', models.IntegerField(default=0, null=True))]"
    empty_migration(project, "blog", "0005_views", LAST, views)
    name = project.database.dbname
    with production(project) as rb:
        rb.preview()
        rb.backup()
        rb.rehearse()
        rb.apply(confirm=name, acknowledge={each.id: "known" for each in rb.gates().points})
        project.edit("apps/blog/migrations/0005_views.py", "IntegerField", "BigIntegerField")
        shown = rb.rollback("blog", "0004")
        assert isinstance(shown, RollbackPlan)
        assert shown.gates is not None
        gate = shown.gates.gate("rehearsed")
        assert (gate.evidence, gate.next) == (
            "This plan was never rehearsed.",
            "rb.rehearse_rollback('blog', '0004')",
        )


def test_a_way_back_that_was_never_rehearsed_is_rehearsed_on_a_copy_of_now(project: Copy) -> None:
    """Applied long ago, by other means: the gate could be overridden, and nothing else."""
    name = project.database.dbname
    with production(project) as rb:
        with pytest.raises(errors.BackupError):
            rb.rehearse_rollback("blog", "0002")
        rb.backup()
        shown = rb.rollback("blog", "0002")
        assert isinstance(shown, RollbackPlan)
        assert shown.gates is not None
        assert shown.gates.gate("rehearsed").evidence == "This plan was never rehearsed."
        result = rb.rehearse_rollback("blog", "0002")
        assert [str(each) for each in result.migrations] == [f"blog.{LAST}", "blog.0003_fill_reading_minutes"]
        assert list(result.to_frame()["state"]) == ["taken back", "taken back"]
        assert f"blog.{LAST}" in project.applied()
        shown = rb.rollback("blog", "0002")
        assert isinstance(shown, RollbackPlan)
        assert shown.gates is not None
        assert shown.gates.gate("rehearsed").evidence.startswith(f"Passed on {result.backup} (the way back), by ")
        # Another way back was not, and what is said of a way back is not said of a way there.
        other = rb.rollback("blog", "0003")
        assert isinstance(other, RollbackPlan)
        assert other.gates is not None
        assert other.gates.gate("rehearsed").evidence == "This plan was never rehearsed."
        again = rb.rollback("blog", "0002")
        assert isinstance(again, RollbackPlan)
        assert again.gates is not None
        answers = {each.id: "known" for each in again.gates.points}
        assert rb.rollback("blog", "0002", confirm=name, acknowledge=answers)
        assert "rehearsed" in closed(rb.gates())


def test_a_way_back_that_fails_on_the_copy_opens_nothing(project: Copy) -> None:
    one = "[migrations.AddField('post', 'motto', models.CharField(max_length=5, null=True))]"
    empty_migration(project, "blog", "0005_motto", LAST, one)
    wide = "[migrations.AlterField('post', 'motto', models.CharField(max_length=50, null=True))]"
    empty_migration(project, "blog", "0006_wide", "0005_motto", wide)
    empty_migration(project, "blog", "0007_last", "0006_wide")
    with closing(open_target(project.root)) as target:
        apply(target)
    project.run("UPDATE blog_post SET motto = 'too long' WHERE id = 1")
    with production(project) as rb:
        rb.backup()
        result = rb.rehearse_rollback("blog", "0005")
        assert not result
        assert (result.failed, len(result.migrations)) == ("blog.0006_wide", 1)
        assert "value too long for type character varying(5)" in result.error
        shown = rb.rollback("blog", "0005")
        assert isinstance(shown, RollbackPlan)
        assert shown.gates is not None
        assert shown.gates.gate("rehearsed").evidence.endswith(" and did not pass.")
    assert "blog.0007_last" in project.applied()


def test_an_irreversible_way_is_shown_and_refused_whatever_is_typed(project: Copy) -> None:
    empty_migration(project, "blog", "0005_made", LAST, IRREVERSIBLE)
    with open_runbook(project.root) as rb:
        rb.apply()
        shown = rb.rollback("blog", "0004")
        assert isinstance(shown, RollbackPlan)
        assert shown.irreversible
        with pytest.raises(errors.GateClosed) as caught:
            rb.rollback("blog", "0004", confirm=project.database.dbname)
        assert caught.value.gate == "reversible"
