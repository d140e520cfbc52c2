"""Apply: real migrations on a real PostgreSQL 18, also failing and interrupted ones."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing

import pytest

from mig_kit import errors
from mig_kit.progress import Progress
from mig_kit.steps.apply import PlannedMigration, apply, plan
from mig_kit.steps.target import Target, open_target
from tests.steps.projects import Copy, Opened, empty_migration

LAST = "0004_category_position_post_status_idx"
BROKEN = "[migrations.RunSQL('CREATE TABLE made (id int)'), migrations.RunSQL('SELECT 1 / 0')]"


def table(name: str) -> str:
    return f"[migrations.RunSQL('CREATE TABLE {name} (id int)', 'DROP TABLE {name}')]"


def three(project: Copy, second: str = "[]", **attributes: str) -> None:
    """Three migrations of the blog, of which the second is the one that a test is about."""
    empty_migration(project, "blog", "0005_first", LAST, table("first"))
    empty_migration(project, "blog", "0006_second", "0005_first", second, **attributes)
    empty_migration(project, "blog", "0007_third", "0006_second", table("third"))


def tables(project: Copy) -> set[str]:
    return {row[0] for row in project.run("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}


def test_all_pending_with_each_statement_and_its_time(project: Copy, target: Target) -> None:
    three(project, table("second"))
    empty_migration(project, "contact", "0005_more", "0004_subscriber", table("more"))
    told: list[Progress] = []
    events: list[str] = []
    result = apply(target, progress=told.append, on_event=lambda event, _data: events.append(event))
    assert [str(each) for each in result.migrations] == [
        "blog.0005_first",
        "blog.0006_second",
        "blog.0007_third",
        "contact.0005_more",
    ]
    assert set(map(str, result.migrations)) <= project.applied()
    assert {"first", "second", "third", "more"} <= tables(project)
    assert "Applying blog.0005_first... OK" in result.output
    frame = result.to_frame()
    assert list(frame.columns) == ["migration", "ms", "times", "statement"]
    assert "CREATE TABLE first (id int)" in set(frame["statement"])
    assert (frame["ms"] > 0).all()
    lines = [each.message for each in told if each.lasting]
    assert any(line.endswith("CREATE TABLE second (id int)") for line in lines)
    assert any(line.startswith("blog.0005_first: OK (") for line in lines)
    assert (told[-1].done, told[-1].total, told[-1].unit) == (4, 4, "migrations")
    assert events[:3] == ["backend", "begin", "statement"]
    assert repr(result).startswith("<Applied: 4 migrations in ")

    again = apply(target)
    assert not again
    assert again.migrations == ()
    assert again.to_frame().empty


def test_up_to_one_and_no_further(project: Copy, target: Target) -> None:
    three(project, table("second"))
    assert plan(target, "blog", "0006") == (
        PlannedMigration("blog", "0005_first"),
        PlannedMigration("blog", "0006_second"),
    )
    apply(target, "blog", "0006")
    assert not {"blog.0007_third"} & project.applied()
    apply(target, "blog")
    assert {"blog.0007_third"} <= project.applied()


def test_a_failure_says_what_was_applied_what_failed_and_what_was_not_begun(project: Copy, target: Target) -> None:
    three(project, BROKEN)
    with pytest.raises(errors.ApplyFailed) as caught:
        apply(target)
    first, second = caught.value.message.splitlines()
    assert first.startswith("blog.0006_second failed: ")
    assert "division by zero" in first
    assert second == "Applied: blog.0005_first. Not begun: blog.0007_third."
    assert caught.value.applied == ("blog.0005_first",)
    assert caught.value.failed == "blog.0006_second"
    assert caught.value.not_applied == ("blog.0007_third",)
    assert "rb.apply() again" in caught.value.hint
    assert "Traceback" in caught.value.traceback
    assert "made" not in tables(project)
    assert "blog.0005_first" in project.applied()
    assert "blog.0006_second" not in project.applied()


def test_a_failure_that_is_not_atomic_says_that_its_first_half_stays(project: Copy, target: Target) -> None:
    three(project, BROKEN, atomic="False")
    with pytest.raises(errors.ApplyFailed) as caught:
        apply(target)
    assert caught.value.message.endswith("blog.0006_second is not atomic: what it did before it failed stays done.")
    assert "made" in tables(project)


def test_a_connection_that_is_lost_is_told_by_what_the_database_recorded(project: Copy, target: Target) -> None:
    """It came as a bare "server closed the connection", without a word on what had been applied."""
    three(project, "[migrations.RunSQL('SELECT pg_terminate_backend(pg_backend_pid())')]")
    with pytest.raises(errors.ApplyFailed) as caught:
        apply(target)
    assert (caught.value.applied, caught.value.failed) == (("blog.0005_first",), "blog.0006_second")


def test_what_a_listener_raises_stops_the_migration(project: Copy, target: Target) -> None:
    """A journal that could not be written was an error, and the migration went on unrecorded behind it."""
    three(project, "[migrations.RunSQL('CREATE TABLE second (id int)'), migrations.RunSQL('SELECT pg_sleep(60)')]")

    def full(event: str, data: dict[str, object]) -> None:
        if event == "statement" and data["name"] == "0006_second":
            raise errors.RecordError("the journal is full")

    with pytest.raises(errors.ApplyFailed) as caught:
        apply(target, on_event=full)
    assert caught.value.message.startswith("blog.0006_second failed: the journal is full\nApplied: blog.0005_first.")
    assert "second" not in tables(project)
    assert "blog.0006_second" not in project.applied()


INTERRUPTED = """
import sys
from mig_kit import errors
from mig_kit.steps.apply import apply
from mig_kit.steps.target import open_target
target = open_target(sys.argv[1])
try:
    apply(target, progress=lambda progress: print(progress.message, flush=True))
except errors.ApplyFailed as exc:
    print("FAILED", exc, flush=True)
target.close()
"""


def test_ctrl_c_rolls_back_and_tells_the_truth(project: Copy) -> None:
    three(project, "[migrations.RunSQL('CREATE TABLE second (id int)'), migrations.RunSQL('SELECT pg_sleep(60)')]")
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(project.root)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "CREATE TABLE second" in line:
            break
    asleep = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(60)%' AND state = 'active'"
    wait_until(lambda: project.run(asleep) == [(1,)])
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, _err = process.communicate(timeout=60)
    assert time.monotonic() - began < 15
    assert out.strip() == (
        "FAILED blog.0006_second failed: it was interrupted.\n"
        "Applied: blog.0005_first. Not begun: blog.0007_third.\n"
        "Next: look at rb.status(), then run rb.apply() again: it goes on where this stopped"
    )
    assert "second" not in tables(project)
    assert project.run(asleep) == [(0,)]
    assert "blog.0005_first" in project.applied()


def test_a_way_back_is_refused_with_the_way_to_look_at_it(opened: Opened) -> None:
    with pytest.raises(errors.UsageError) as caught:
        apply(opened.target, "blog", "0003")
    assert str(caught.value) == (
        f"blog 0003 lies before what is applied: that would take back blog.{LAST}.\n"
        f"Next: look at the way back: rb.preview('blog', '{LAST}', backwards=True)"
    )
    with pytest.raises(errors.UsageError):
        apply(opened.target, "blog", "zero")
    assert f"blog.{LAST}" in opened.project.applied()


def test_a_name_without_its_app_is_refused_before_it_applies_everything(opened: Opened) -> None:
    """The name was passed over: every pending migration ran."""
    with pytest.raises(errors.UsageError) as caught:
        apply(opened.target, name="0005_first")
    assert caught.value.message == "The migration '0005_first' is named without its app."


def test_another_plan_than_was_shown_is_refused_and_nothing_runs(opened: Opened) -> None:
    with opened.project.restored():
        three(opened.project)
        shown = plan(opened.target)
        empty_migration(opened.project, "contact", "0005_more", "0004_subscriber", table("more"))
        with pytest.raises(errors.GateClosed) as caught:
            apply(opened.target, expected=shown)
        assert caught.value.gate == "same plan"
        assert caught.value.hint == "run the preview again, then apply"
        assert "blog.0005_first" not in opened.project.applied()


def test_a_write_to_another_database_is_refused(project: Copy, copies: Callable[..., Copy]) -> None:
    other = copies("other")
    settings = project.path("config", "settings.py")
    settings.write_text(
        settings.read_text() + f"\nDATABASES['other'] = {{**DATABASES['default'], 'NAME': {other.database.dbname!r}}}\n"
    )
    three(project)
    project.write(
        "apps/blog/migrations/0006_second.py",
        "from django.db import migrations\n\n\ndef run(apps, editor):\n"
        "    apps.get_model('blog', 'Category').objects.using('other').update(position=9)\n\n\n"
        "class Migration(migrations.Migration):\n    dependencies = [('blog', '0005_first')]\n"
        "    operations = [migrations.RunPython(run)]\n",
    )
    with closing(open_target(project.root)) as target:
        with pytest.raises(errors.ApplyFailed) as caught:
            apply(target)
        assert caught.value.message.startswith(
            "blog.0006_second failed: A migration of the database 'default' wrote to the database 'other'; "
            "that write was refused.\nApplied: blog.0005_first. Not begun: blog.0007_third."
        )
        assert other.run("SELECT count(*) FROM blog_category WHERE position = 9") == [(0,)]
        assert apply(target, other_databases=True)
    assert other.run("SELECT count(*) FROM blog_category WHERE position <> 9") == [(0,)]


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
