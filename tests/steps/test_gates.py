"""Gates: closed at first, each opened by its own step; what is out of date opens nothing. On a real PostgreSQL 18."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from mig_kit import errors, open_runbook
from mig_kit.postgres.migration_lock import MigrationLock
from mig_kit.runbook import Runbook
from mig_kit.steps.apply import apply
from mig_kit.steps.gates import Gates, GateState
from mig_kit.steps.plan_hash import hash_plan
from mig_kit.steps.target import Target, open_target
from tests.poolers import pgbouncer
from tests.steps.gated import FIRST, LAST, SECOND, Ready, closed, pending, prepare, production, ready
from tests.steps.projects import Copy, empty_migration, sqlite

__all__ = ["ready"]  # a fixture

PLAN = {"reviewed", "backed up and verified", "rehearsed", "hazards answered", "old code considered"}
NAMES = [
    "reviewed",
    "backed up and verified",
    "rehearsed",
    "hazards answered",
    "old code considered",
    "nobody else migrating",
    "a direct connection",
    "name typed",
    "record writable",
]
MORE = "[migrations.RunSQL('CREATE TABLE more (id int)', 'DROP TABLE more')]"


def columns(project: Copy) -> set[str]:
    rows = project.run("SELECT column_name FROM information_schema.columns WHERE table_name = 'blog_post'")
    return {row[0] for row in rows}


def evidence(gates: Gates, name: str) -> str:
    return gates.gate(name).evidence


def migrate(project: Copy, *names: str) -> None:
    """Apply by other means than a runbook."""
    with closing(open_target(project.root)) as target:
        apply(target, *names)


def test_each_gate_is_closed_at_first_and_opened_by_its_own_step_and_then_apply_runs(project: Copy) -> None:
    pending(project)
    name = project.database.dbname
    with production(project) as rb:
        first = rb.gates()
        assert [each.name for each in first.gates] == NAMES
        assert all(each.required for each in first.gates)
        assert closed(first) == PLAN
        assert evidence(first, "reviewed") == f"Nobody was shown what {FIRST}, {SECOND} would run."
        assert evidence(first, "backed up and verified") == "There is no backup of this database."
        assert evidence(first, "rehearsed") == "This plan was never rehearsed."
        assert first.gate("reviewed").next == "rb.preview()"
        assert first.gate("name typed").next.startswith(f"rb.apply(confirm={name!r}), when ")

        rb.preview()
        assert closed(rb.gates()) == PLAN - {"reviewed"}
        made = rb.backup(verify=False)
        unproved = rb.gates().gate("backed up and verified")
        assert unproved.evidence == (
            f"The newest, {made.path.name}, does not count: it was never restored and compared."
        )
        assert unproved.next == "rb.verify_backup()"
        assert rb.verify_backup()
        assert closed(rb.gates()) == PLAN - {"reviewed", "backed up and verified"}
        rehearsal = rb.rehearse()
        asked = rb.gates()
        assert (rehearsal.ok, rehearsal.plan_hash) == (True, asked.plan.sha256)
        assert closed(asked) == {"hazards answered", "old code considered"}
        assert evidence(asked, "rehearsed").startswith(f"Passed on {made.path.name} (full), by ")
        assert {each.migration for each in asked.points} == {SECOND}
        rb.acknowledge("old code", "the old release is stopped meanwhile")
        assert closed(rb.gates()) == {"hazards answered"}
        for point in asked.points:
            if not point.old_code:
                rb.acknowledge(point.id, "fifty rows", migration=SECOND)
        last = rb.gates(confirm=name)
        assert last
        assert {str(each.state) for each in last.gates} == {"open"}
        assert last.gate("backed up and verified").when == made.started
        with pytest.raises(errors.GateClosed) as caught:
            rb.apply()
        assert caught.value.gate == "name typed"
        assert [str(each) for each in rb.apply(confirm=name).migrations] == [FIRST, SECOND]
        assert rb.gates_passed is not None
        assert rb.gates_passed.overridden == ()
        # With nothing pending there is nothing to ask for but the session's own gates.
        assert closed(rb.gates()) == set()
        assert rb.run is not None
        entries = [each for each in rb.run.journal.entries() if each.kind == "step finished"]
    kept = next(each.data for each in reversed(entries) if each.data["step"] == "apply")
    assert set(kept["gates"]) == set(NAMES)
    assert kept["gates"]["old code considered"].startswith("open: Acknowledged: ")


def test_a_closed_gate_stops_apply_before_anything_runs(project: Copy) -> None:
    empty_migration(project, "blog", "0005_more", LAST, MORE)
    before = project.applied()
    with production(project) as rb:
        with pytest.raises(errors.GateClosed) as caught:
            rb.apply(confirm=project.database.dbname)
        assert (caught.value.gate, str(caught.value)) == (
            "reviewed",
            "The gate 'reviewed' is closed: Nobody was shown what blog.0005_more would run. Closed as well: backed up "
            "and verified, rehearsed.\nNext: rb.preview()",
        )
        assert rb.run is not None
        last = rb.run.journal.entries()[-1]
    assert (last.kind, last.data["step"]) == ("step failed", "apply")
    assert last.data["gates"]["rehearsed"] == "closed: This plan was never rehearsed."
    assert project.applied() == before
    assert project.run("SELECT to_regclass('more')::text") == [(None,)]


# What is out of date


@contextmanager
def asked(ready: Ready) -> Iterator[Runbook]:
    """A new session, as another process has it; the files are put back afterwards."""
    with ready.project.restored(), production(ready.project) as rb:
        yield rb


def test_another_process_finds_what_was_established(ready: Ready) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mig_kit", "gates", "--stage", "production", "--json", "--project", ready.project.root],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    document = json.loads(done.stdout)
    assert {each["name"]: each["state"] for each in document["gates"]} == {
        name: "closed" if name == "name typed" else "open" for name in NAMES
    }
    assert all(point["reason"].startswith("we know of ") for point in document["points"])
    assert (done.returncode, document["ok"]) == (1, False)


def test_a_file_edited_after_the_rehearsal_closes_what_was_said_of_it(ready: Ready) -> None:
    with asked(ready) as rb:
        ready.project.edit("apps/blog/migrations/0006_views.py", "default=0", "default=1")
        found = rb.gates()
        assert closed(found) == {"reviewed", "rehearsed", "hazards answered", "old code considered"}
        assert evidence(found, "reviewed") == (
            f"What was shown of {SECOND} is not what it is now: the file, or the SQL from it, was changed."
        )
        assert evidence(found, "rehearsed") == (
            f"{SECOND} was changed after the rehearsal: the file, or the SQL from it, is another one."
        )
        ready.project.edit("apps/blog/migrations/0006_views.py", "default=1", "default=0")
        assert closed(rb.gates()) == set()


def test_code_of_a_migration_in_another_file_is_part_of_it(project: Copy) -> None:
    project.write("apps/blog/work.py", "def fill(apps, schema_editor):\n    pass\n")
    path = empty_migration(project, "blog", "0005_code", LAST, "[migrations.RunPython(work.fill, work.fill)]")
    path.write_text("from apps.blog import work\n" + path.read_text())
    with production(project) as rb:
        rb.preview()
        assert "reviewed" not in closed(rb.gates())
        project.edit("apps/blog/work.py", "pass", "raise SystemExit")
        assert "reviewed" in closed(rb.gates())


def test_other_sql_from_the_same_file_is_another_plan(project: Copy) -> None:
    """A field of the project's own: its type is told by the code as it is now, not by the migration."""
    project.write(
        "apps/blog/fields.py",
        "from django.db import models\n\n\nclass Short(models.CharField):\n    def db_type(self, connection):\n"
        "        return 'varchar(20)'\n",
    )
    field = "[migrations.AddField('post', 'short', fields.Short(max_length=9, null=True))]"
    path = empty_migration(project, "blog", "0005_short", LAST, field)
    path.write_text("from apps.blog import fields\n" + path.read_text())
    with production(project) as rb:
        rb.preview()
        assert "reviewed" not in closed(rb.gates())
        project.edit("apps/blog/fields.py", "varchar(20)", "varchar(10)")
        assert "reviewed" in closed(rb.gates())


def test_a_default_that_is_made_up_anew_each_time_is_the_same_plan(project: Copy) -> None:
    made_up = "models.UUIDField(default=uuid.uuid4)"
    now = "models.DateTimeField(auto_now_add=True)"
    path = empty_migration(
        project,
        "blog",
        "0005_new",
        LAST,
        f"[migrations.AddField('post', 'key', {made_up}), migrations.AddField('post', 'seen', {now})]",
    )
    path.write_text("import uuid\n" + path.read_text())
    with closing(open_target(project.root)) as target:
        first, second = hash_plan(target), hash_plan(target)
    assert first == second
    assert first.sha256 == second.sha256


def test_another_plan_needs_its_own_look_and_its_own_rehearsal(ready: Ready) -> None:
    with asked(ready) as rb:
        empty_migration(ready.project, "blog", "0007_more", "0006_views", MORE)
        found = rb.gates()
        assert {"reviewed", "rehearsed"} <= closed(found)
        assert evidence(found, "reviewed") == "Nobody was shown what blog.0007_more would run."
        # A part of what was shown was shown, and was not rehearsed by itself.
        part = rb.gates("blog", "0005")
        assert (closed(part), evidence(part, "rehearsed")) == ({"rehearsed"}, "This plan was never rehearsed.")


def test_a_backup_from_before_an_applied_migration_does_not_count(project: Copy) -> None:
    pending(project)
    with production(project) as rb:
        prepare(rb)
        assert closed(rb.gates()) == set()
        migrate(project, "blog", "0005")
        found = rb.gates()
        assert {"backed up and verified", "rehearsed"} <= closed(found)
        newest = rb.backups()["backup"][0]
        assert re.fullmatch(
            rf"The newest, {newest}, does not count: {FIRST} was applied after it, at [\d-]+ [\d:]+ UTC\.",
            evidence(found, "backed up and verified"),
        )
        assert found.gate("backed up and verified").next == "rb.backup()"


def test_a_backup_from_before_a_change_by_hand_does_not_count(ready: Ready) -> None:
    with asked(ready) as rb:
        ready.project.run("ALTER TABLE contact_message ADD COLUMN by_hand int")
        try:
            found = rb.gates()
            assert closed(found) == {"backed up and verified", "rehearsed"}
            assert evidence(found, "backed up and verified").endswith(
                "does not count: the schema was changed since: contact_message."
            )
            assert evidence(found, "rehearsed").endswith(", which does not count any more.")
        finally:
            ready.project.run("ALTER TABLE contact_message DROP COLUMN by_hand")
        assert closed(rb.gates()) == set()


def test_rows_that_came_since_the_backup_are_no_matter(ready: Ready) -> None:
    with asked(ready) as rb:
        ready.project.run("INSERT INTO blog_category (name, slug, position) VALUES ('Later', 'later', 9)")
        assert closed(rb.gates()) == set()
        ready.project.run("DELETE FROM blog_category WHERE slug = 'later'")


def test_a_backup_that_is_too_old_does_not_count(ready: Ready) -> None:
    config = ready.project.root / "mig_kit.toml"
    text = config.read_text()
    try:
        config.write_text(text + "\n[gates]\nbackup_hours = 0.0001\n")
        with asked(ready) as rb:
            found = rb.gates()
    finally:
        config.write_text(text)
    assert closed(found) == {"backed up and verified", "rehearsed"}
    assert re.search(
        r"does not count: it is 0\.\d h old, and 0\.0001 h is the oldest that counts\.$",
        evidence(found, "backed up and verified"),
    )


def test_a_backup_that_lost_a_file_does_not_count(ready: Ready) -> None:
    [path] = [each for each in ready.project.backups.iterdir() if each.is_dir()]
    part = next(each for each in path.rglob("*") if each.is_file() and each.name.endswith((".gz", ".zst", ".dat")))
    aside = part.rename(ready.root / part.name)
    try:
        with asked(ready) as rb:
            assert evidence(rb.gates(), "backed up and verified").endswith("its files are not those of its manifest.")
    finally:
        aside.rename(part)


def test_what_was_said_of_one_database_says_nothing_of_another(ready: Ready, copies: Callable[..., Copy]) -> None:
    """A copy with the very same migrations, of which nobody has said anything."""
    other = copies("other").database.dbname
    mine = ready.project.database.dbname
    try:
        ready.project.set_env(DATABASE_NAME=other)
        with production(ready.project) as rb:
            found = rb.gates()
    finally:
        ready.project.set_env(DATABASE_NAME=mine)
    assert closed(found) == PLAN
    assert evidence(found, "backed up and verified") == "There is no backup of this database."


def test_a_file_of_facts_that_was_changed_opens_nothing(ready: Ready) -> None:
    path = ready.project.root / ".mig" / "gates.jsonl"
    assert oct(path.stat().st_mode & 0o777) == "0o600"
    text = path.read_text()
    try:
        path.write_text(text.replace('"passed":true', '"passed":false', 1))
        with asked(ready) as rb:
            found = rb.gates()
    finally:
        path.write_text(text)
    assert {"reviewed", "rehearsed", "hazards answered", "old code considered"} <= closed(found)
    assert re.fullmatch(
        rf"Line \d+ of the journal was changed after it was written\. Nothing in {path} counts; move it away\.",
        evidence(found, "rehearsed"),
    )


def test_a_rehearsal_that_did_not_pass_opens_nothing(project: Copy) -> None:
    empty_migration(project, "blog", "0005_fails", LAST, "[migrations.RunSQL('SELECT 1/0', migrations.RunSQL.noop)]")
    with production(project) as rb:
        made = rb.backup()
        assert not rb.rehearse().ok
        found = rb.gates()
        assert evidence(found, "rehearsed") == f"This plan was rehearsed on {made.path.name} and did not pass."
        assert "rehearsed" in closed(found)


def test_a_file_edited_between_the_gates_and_the_run_stops_it(project: Copy) -> None:
    """The gates were looked at, the plan was the same by its names, and other code ran."""
    from mig_kit.runbook._gated import _only

    empty_migration(project, "blog", "0005_more", LAST, MORE)
    with closing(open_target(project.root)) as target:
        plan = hash_plan(target)
        project.edit("apps/blog/migrations/0005_more.py", "CREATE TABLE more", "CREATE TABLE other")
        with pytest.raises(errors.MigKitError) as caught:
            apply(target, on_event=_only(plan))
    assert "blog.0005_more is another one than the gates were opened for: its file was changed since." in str(
        caught.value
    )
    assert project.run("SELECT to_regclass('other')::text") == [(None,)]


def test_the_rest_of_a_plan_that_stopped_counts_with_what_it_was_begun_with(project: Copy) -> None:
    """The first migration made the backup too old for the last, so a lock that was not to be had cost an hour."""
    pending(project)
    note = "[migrations.AddField('message', 'note', models.TextField(null=True))]"
    empty_migration(project, "contact", "0005_note", "0004_subscriber", note)
    name = project.database.dbname
    with production(project) as rb:
        prepare(rb)
        with closing(rb.target.connect("the test")) as blocker, blocker.transaction():
            blocker.execute("LOCK TABLE contact_message IN ACCESS SHARE MODE")
            with pytest.raises(errors.ApplyFailed) as caught:
                rb.apply(confirm=name, lock_timeout_s=0.1, give_up_after_s=0.5)
        assert caught.value.applied == (FIRST, SECOND)
    with production(project) as rb:
        found = rb.gates()
        assert closed(found) == set()
        assert evidence(found, "rehearsed").endswith("It is the rest of that plan, whose beginning is done.")
        assert evidence(found, "backed up and verified").endswith(
            "(the plan that was begun with it has changed the schema since)."
        )
        # Anything else that is applied meanwhile ends that.
        empty_migration(project, "portfolio", "0005_other", "0004_project_status_started_idx")
        migrate(project, "portfolio")
        assert {"backed up and verified", "rehearsed"} <= closed(rb.gates())
        project.run("DELETE FROM django_migrations WHERE name = '0005_other'")
        project.path("apps", "portfolio", "migrations", "0005_other.py").unlink()
        assert [str(each) for each in rb.apply(confirm=name).migrations] == ["contact.0005_note"]


# Reasons


def test_an_override_takes_a_reason_is_recorded_and_holds_for_one_plan_in_one_session(project: Copy) -> None:
    empty_migration(project, "blog", "0005_more", LAST, MORE)
    name = project.database.dbname
    with production(project) as rb:
        rb.preview()
        for empty in ("", "  ", "…"):
            with pytest.raises(errors.UsageError, match="There is no reason"):
                rb.override("rehearsed", empty)
        gate = rb.override("rehearsed", "the copy does not fit this machine").gate("rehearsed")
        assert (gate.state, gate.required, gate.refuses) == (GateState.OVERRIDDEN, True, False)
        assert (gate.evidence, gate.reason) == ("This plan was never rehearsed.", "the copy does not fit this machine")
        rb.override("backed up", "the provider's snapshot of 12:00")  # the beginning of a name will do
        assert closed(rb.gates()) == set()
        with production(project) as other:
            assert closed(other.gates()) == {"backed up and verified", "rehearsed"}
        with project.restored():
            empty_migration(project, "blog", "0006_other", "0005_more")
            assert {"backed up and verified", "rehearsed"} <= closed(rb.gates())
        assert len(rb.apply(confirm=name).migrations) == 1
        assert rb.gates_passed is not None
        assert [each.name for each in rb.gates_passed.overridden] == ["backed up and verified", "rehearsed"]
        finished = rb.finish()
        assert rb.run is not None
        entries = rb.run.journal.entries()
    assert [each.data["gate"] for each in entries if each.kind == "gate overridden"] == [
        "rehearsed",
        "backed up and verified",
    ]
    done = next(each.data for each in entries if each.kind == "step finished" and each.data["step"] == "apply")
    assert done["overridden"] == {
        "backed up and verified": "the provider's snapshot of 12:00",
        "rehearsed": "the copy does not fit this machine",
    }
    assert finished.result == "finished without verification; gates overridden: backed up and verified, rehearsed"
    report = finished.report.read_text()
    assert "gates overridden: backed up and verified, rehearsed" in report
    assert "the copy does not fit this machine" in report


@pytest.mark.parametrize("name", ["nobody else migrating", "a direct connection", "name typed", "record writable"])
def test_what_no_reason_makes_safe_cannot_be_overridden(ready: Ready, name: str) -> None:
    with asked(ready) as rb:
        with pytest.raises(errors.UsageError) as caught:
            rb.override(name, "because")
        assert caught.value.message.startswith(f"The gate {name!r} cannot be overridden: ")


def test_a_gate_that_does_not_exist_is_answered_with_those_that_do(ready: Ready) -> None:
    with asked(ready) as rb, pytest.raises(errors.UsageError) as caught:
        rb.override("backup", "because")
    assert str(caught.value) == (
        "There is no gate 'backup'.\nNext: choose one of: reviewed, backed up and verified, rehearsed, hazards "
        "answered, old code considered"
    )


def test_an_acknowledgement_names_what_is_asked_and_answers_no_more_than_that(project: Copy) -> None:
    pending(project)
    with production(project) as rb:
        with pytest.raises(errors.UsageError, match="There is no reason"):
            rb.acknowledge("old code", " ")
        with pytest.raises(errors.UsageError) as caught:
            rb.acknowledge("MK999", "because")
        assert caught.value.message == "Nothing that is to be answered has the id 'MK999'."
        assert SECOND in caught.value.hint
        with pytest.raises(errors.UsageError) as caught:
            rb.acknowledge("old code", "because", migration=FIRST)
        assert caught.value.message == f"Nothing of {FIRST} that is to be answered has the id 'old code'."
        before = {each.key for each in rb.gates().points}
        after = rb.acknowledge("old code", "we stop it")
        assert {each.key for each in after.points} == before
        assert {bool(each.reason) for each in after.points if each.old_code} == {True}
        assert {bool(each.reason) for each in after.points if not each.old_code} == {False}
        assert "old code considered" not in closed(after)
        frame = after.points_frame()
        assert set(frame["acknowledged"]) == {"we stop it", ""}


def test_a_reason_may_be_given_with_the_apply_itself(project: Copy) -> None:
    pending(project)
    with production(project, "staging") as rb:
        rb.preview()
        answers = {f"{each.id} in {SECOND}": "small" for each in rb.gates().points if not each.old_code}
        rb.apply(acknowledge=answers)
    assert {FIRST, SECOND} <= project.applied()


# The database and the session


def test_who_else_migrates_closes_the_gate(ready: Ready) -> None:
    with asked(ready) as rb:
        with MigrationLock.acquire(rb.target.need_postgres("the test"), "a rehearsal of this test"):
            found = rb.gates()
            assert closed(found) == {"nobody else migrating"}
            assert "(a rehearsal of this test) since " in evidence(found, "nobody else migrating")
            with pytest.raises(errors.GateClosed) as caught:
                rb.apply(confirm=ready.project.database.dbname)
            assert caught.value.gate == "nobody else migrating"
        assert closed(rb.gates()) == set()
    assert FIRST not in ready.project.applied()


def test_a_pooler_in_transaction_mode_closes_the_gate(ready: Ready) -> None:
    mine = ready.project.database
    with pgbouncer(mine, "transaction") as pooled:
        try:
            ready.project.set_env(DATABASE_HOST=pooled.host, DATABASE_PORT=str(pooled.port))
            with asked(ready) as rb:
                gate = rb.gates().gate("a direct connection")
        finally:
            ready.project.set_env(DATABASE_HOST=mine.host, DATABASE_PORT=str(mine.port))
    assert gate.state is GateState.CLOSED
    assert f"{pooled.port} is a pooler in transaction mode: " in gate.evidence
    assert "add an alias to DATABASES" in gate.next


def test_without_a_record_nothing_is_applied_in_production(ready: Ready) -> None:
    with open_runbook(ready.project.root, stage="production", record=False) as rb:
        found = rb.gates()
        assert evidence(found, "record writable") == "This runbook keeps no record."
        assert found.gate("record writable").refuses
        # It sees nothing of what others kept either: it was asked to keep to itself.
        assert "reviewed" in closed(found)


def test_a_record_that_was_changed_closes_the_gate(ready: Ready) -> None:
    with asked(ready) as rb:
        assert rb.run is not None
        path = rb.run.journal.path
        rb.gates()
        path.write_text(path.read_text().replace("session opened", "session 0pened"))
        assert evidence(rb.gates(), "record writable") == "Line 1 of the journal was changed after it was written."


def test_the_stage_says_which_gates_are_required_and_all_are_shown(ready: Ready) -> None:
    required: dict[str, set[str]] = {}
    for stage in ("development", "staging", "production"):
        with open_runbook(ready.project.root, stage=stage, record=False) as rb:
            found = rb.gates()
            assert [each.name for each in found.gates] == NAMES
            required[stage] = {each.name for each in found.gates if each.required}
            assert bool(found) is (stage == "development")
    assert required == {
        "development": set(),
        "staging": {"reviewed", "hazards answered", "nobody else migrating", "a direct connection", "record writable"},
        "production": set(NAMES),
    }


def test_the_frame_has_each_gate_with_its_evidence_and_what_opens_it(ready: Ready) -> None:
    with asked(ready) as rb:
        frame = rb.gates().to_frame()
    assert list(frame.columns) == ["gate", "state", "required", "evidence", "when (UTC)", "next step", "reason"]
    assert list(frame["gate"]) == NAMES
    assert frame["required"].all()
    row: dict[str, Any] = frame.set_index("gate").loc["name typed"].to_dict()
    assert (row["state"], row["evidence"]) == (
        "closed",
        "This is production: the name of the database has to be typed, and no name was given.",
    )
    assert row["next step"].startswith("rb.apply(confirm=")


def test_without_postgresql_the_gates_that_are_about_it_are_left_out(project: Copy) -> None:
    sqlite(project)
    with production(project) as rb:
        found = rb.gates()
        assert [each.name for each in found.gates] == ["reviewed", "name typed", "record writable"]
        assert closed(found) == {"reviewed"}
        rb.preview()
        assert closed(rb.gates()) == set()
        with pytest.raises(errors.GateClosed) as caught:
            rb.apply()
        assert caught.value.gate == "name typed"
        assert rb.apply(confirm="default")


def test_a_plan_is_named_by_its_order_and_its_direction(target: Target, project: Copy) -> None:
    empty_migration(project, "blog", "0005_more", LAST, MORE)
    forwards = hash_plan(target)
    assert [str(each) for each in forwards.migrations] == ["blog.0005_more"]
    back = hash_plan(target, "blog", "0003")
    assert (back.backwards, forwards.backwards) == (True, False)
    assert back.sha256 != forwards.sha256
