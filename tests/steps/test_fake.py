"""Fake: records what the schema bears out, and refuses the rest with what is missing. On a real PostgreSQL 18."""

from __future__ import annotations

import subprocess

import pytest

from mig_kit import errors, open_runbook
from mig_kit.postgres.migration_lock import MigrationLock
from mig_kit.steps.apply import apply
from mig_kit.steps.fake import Faked, FakePlan, initial_name, plan_fake, record_fake
from mig_kit.steps.target import Target
from tests.steps.gated import LAST, closed, production
from tests.steps.projects import Copy, empty_migration

POSITION = f"blog.{LAST}"
BACK = 'ALTER TABLE blog_category DROP COLUMN "position"; DROP INDEX post_status_published_idx'


def forget(project: Copy, *labels: str) -> None:
    """Take records out behind everybody's back, as a restore of an old table would."""
    for label in labels:
        app, _dot, name = label.partition(".")
        project.run("DELETE FROM django_migrations WHERE app = %s AND name = %s", app, name)


def words(plan: FakePlan) -> list[str]:
    return [each.words for each in plan.differences]


def test_every_app_of_a_lost_history_can_be_recorded_anew(project: Copy, target: Target) -> None:
    """A comparison that is stricter than what Django and PostgreSQL make of a migration would refuse its own work."""
    leaves: dict[str, str] = {}
    for app, name in project.run("SELECT app, name FROM django_migrations ORDER BY id"):
        leaves[app] = name
    before = project.applied()
    project.run("TRUNCATE django_migrations")
    for app, name in leaves.items():
        shown = plan_fake(target, app, name)
        assert words(shown) == []
        assert record_fake(target, shown)
    assert project.applied() == before
    assert not apply(target)


def test_what_is_missing_in_the_schema_is_named_and_nothing_is_recorded(project: Copy, target: Target) -> None:
    project.run(BACK)
    forget(project, POSITION)
    shown = plan_fake(target, "blog", "0004")
    assert words(shown) == [
        "the column blog_category.position is missing",
        "the check blog_category_position_check (position) of blog_category is missing",
        "the index post_status_published_idx (status, published_at) of blog_post is missing",
    ]
    with pytest.raises(errors.GateClosed) as caught:
        record_fake(target, shown)
    assert caught.value.gate == "schema agrees"
    assert caught.value.message.startswith(
        f"The schema is not as it would be recorded, and nothing was: {POSITION}: the column blog_category.position is "
        f"missing; {POSITION}: the check "
    )
    assert POSITION not in project.applied()
    assert list(shown.to_frame()["record"].unique()) == ["would be written"]


@pytest.mark.parametrize(
    ("by_hand", "said"),
    [
        (
            "ALTER TABLE blog_category ALTER COLUMN position TYPE bigint",
            "the column blog_category.position is bigint, and should be smallint",
        ),
        (
            "ALTER TABLE blog_category ALTER COLUMN position DROP NOT NULL",
            "the column blog_category.position is not NOT NULL",
        ),
        (
            "ALTER TABLE blog_category DROP CONSTRAINT blog_category_position_check",
            "the check blog_category_position_check (position) of blog_category is missing",
        ),
        (
            "DROP INDEX post_status_published_idx; CREATE INDEX post_status_published_idx ON blog_post (status)",
            "the index post_status_published_idx (status, published_at) of blog_post is missing",
        ),
        (
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'post_status_published_idx'::regclass",
            "the index post_status_published_idx of blog_post is not valid",
        ),
        ("ALTER TABLE blog_category RENAME TO elsewhere", "the table blog_category is missing"),
    ],
)
def test_what_is_there_and_another_thing_is_a_difference(
    project: Copy, target: Target, by_hand: str, said: str
) -> None:
    project.run(by_hand)
    forget(project, POSITION)
    assert words(plan_fake(target, "blog", "0004")) == [said]


def test_an_index_under_another_name_will_do(project: Copy, target: Target) -> None:
    project.run("ALTER INDEX post_status_published_idx RENAME TO by_the_dba")
    forget(project, POSITION)
    assert words(plan_fake(target, "blog", "0004")) == []


def test_what_only_running_it_would_tell_is_said(project: Copy, target: Target) -> None:
    operations = (
        "[migrations.RunPython(lambda a, e: None), migrations.RunPython(migrations.RunPython.noop),"
        " migrations.RunSQL('SELECT tidy()')]"
    )
    empty_migration(project, "blog", "0005_code", LAST, operations)
    shown = plan_fake(target, "blog", "0005")
    assert words(shown) == []
    assert len(shown.unknown) == 2
    assert shown.unknown[0] == "blog.0005_code: Raw Python operation: what its code does to rows cannot be looked up"


def test_records_are_taken_out_where_the_schema_is_as_it_was_before(project: Copy, target: Target) -> None:
    shown = plan_fake(target, "blog", "0003")
    assert shown.backwards
    assert words(shown) == [
        "the column blog_category.position is there, and should not be",
        "the check blog_category_position_check of blog_category is there, and should not be",
        "the index post_status_published_idx of blog_post is there, and should not be",
    ]
    project.run(BACK)
    again = plan_fake(target, "blog", "0003")
    assert words(again) == []
    assert [str(each) for each in record_fake(target, again).applied.migrations] == [POSITION]
    assert POSITION not in project.applied()


def test_initial_is_told_apart_from_a_table_that_only_looks_like_it(project: Copy) -> None:
    """Django's own --fake-initial looks at names in part: it takes this table, which has lost two columns, for the one.

    The two are compared on one database.
    """
    project.run("ALTER TABLE contact_subscriber RENAME TO kept")
    project.run("DROP TABLE kept CASCADE; ALTER TABLE contact_message DROP COLUMN subject, DROP COLUMN body")
    forget(project, *(each for each in project.applied() if each.startswith("contact.")))
    with open_runbook(project.root) as rb:
        assert initial_name(rb.target, "contact") == "0001_initial"
        shown = rb.fake_initial("contact")
        assert isinstance(shown, FakePlan)
        assert words(shown) == [
            "the column contact_message.body is missing",
            "the column contact_message.subject is missing",
        ]
        with pytest.raises(errors.GateClosed):
            rb.fake_initial("contact", confirm=project.database.dbname)
        assert "contact.0001_initial" not in project.applied()
        python = rb.target.project.python
    command = [str(python), "manage.py", "migrate", "contact", "0001", "--fake-initial"]
    done = subprocess.run(command, cwd=project.path(), capture_output=True, text=True, check=False)
    assert "Applying contact.0001_initial... FAKED" in done.stdout
    assert "contact.0001_initial" in project.applied()


def test_initial_is_recorded_where_all_of_it_is_there(project: Copy) -> None:
    forget(project, *(each for each in project.applied() if each.startswith("contact.")))
    with open_runbook(project.root) as rb:
        done = rb.fake_initial("contact", confirm=project.database.dbname)
        assert isinstance(done, Faked)
        assert [str(each) for each in done.applied.migrations] == ["contact.0001_initial"]
        assert project.applied() >= {"contact.0001_initial"}
        assert "contact.0002_message_answered_at_message_source" not in project.applied()
        with pytest.raises(errors.UsageError) as caught:
            rb.fake_initial("contact")
        assert caught.value.message == "The initial migrations of contact are recorded already."


def test_a_reason_records_it_all_the_same_and_stays_in_the_record(project: Copy) -> None:
    project.run("ALTER TABLE blog_category ALTER COLUMN position TYPE bigint")
    forget(project, POSITION)
    name = project.database.dbname
    with open_runbook(project.root) as rb:
        shown = rb.fake("blog", "0004")
        assert isinstance(shown, FakePlan)
        assert POSITION not in project.applied()
        with pytest.raises(errors.GateClosed):
            rb.fake("blog", "0004", confirm=name, reason=" ")
        done = rb.fake("blog", "0004", confirm=name, reason="bigint was decided with the team")
        assert isinstance(done, Faked)
        assert done.reason == "bigint was decided with the team"
        assert rb.run is not None
        entries = rb.run.journal.entries()
        finished = rb.finish()
    assert POSITION in project.applied()
    ended = next(each.data for each in reversed(entries) if each.kind == "step finished")
    assert ended["reason"] == "bigint was decided with the team"
    assert ended["differences"] == [f"{POSITION}: the column blog_category.position is bigint, and should be smallint"]
    assert any(each.kind == "migration applied" and each.data.get("fake") for each in entries)
    assert finished.result.endswith("gates overridden: schema agrees")
    assert "bigint was decided with the team" in finished.report.read_text()


def test_nothing_of_the_migration_runs(project: Copy, target: Target) -> None:
    sql = "[migrations.RunSQL('CREATE TABLE made (id int)')]"
    empty_migration(project, "blog", "0005_made", LAST, sql)
    shown = plan_fake(target, "blog", "0005")
    assert words(shown) == ["the table made is missing"]
    record_fake(target, shown, reason="made elsewhere")
    assert "blog.0005_made" in project.applied()
    assert project.run("SELECT to_regclass('made')::text") == [(None,)]


def test_while_another_session_migrates_nothing_is_recorded(project: Copy, target: Target) -> None:
    forget(project, POSITION)
    shown = plan_fake(target, "blog", "0004")
    with (
        MigrationLock.acquire(target.need_postgres("the test"), "apply"),
        pytest.raises(errors.GateClosed) as caught,
    ):
        record_fake(target, shown)
    assert caught.value.gate == "nobody else migrating"
    assert POSITION not in project.applied()


def test_production_asks_for_what_has_a_meaning_for_a_record(project: Copy) -> None:
    forget(project, POSITION)
    name = project.database.dbname
    with production(project) as rb:
        with pytest.raises(errors.GateClosed) as caught:
            rb.fake("blog", "0004", confirm=name)
        assert caught.value.gate == "reviewed"
        shown = rb.fake("blog", "0004")
        assert isinstance(shown, FakePlan)
        assert shown.gates is not None
        assert [each.name for each in shown.gates.gates] == [
            "reviewed",
            "backed up and verified",
            "nobody else migrating",
            "a direct connection",
            "name typed",
            "record writable",
        ]
        assert closed(shown.gates) == {"backed up and verified"}
        rb.override("backed up", "one row of django_migrations")
        assert rb.fake("blog", "0004", confirm=name)
    assert POSITION in project.applied()
