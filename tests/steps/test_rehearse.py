"""Rehearsals of hand-written migrations: what each statement locked and did, on a restored copy in PostgreSQL 18."""

from __future__ import annotations

import pytest

from mig_kit import errors
from mig_kit.hazards.assessment import VerdictKind
from mig_kit.hazards.finding import Severity
from mig_kit.hazards.locks import Blocks, LockMode
from mig_kit.steps.rehearse import Observed, Outcome, RehearsalMode
from tests.steps.rehearsing import ROWS, Stage, ids, lock, statement

ADD = "[migrations.AddField('comment', 'note', models.CharField(max_length=20, null=True))]"
POSTGRES = "from django.contrib.postgres.operations import AddIndexConcurrently\n"


def python(body: str, reverse: str = "migrations.RunPython.noop") -> tuple[str, str]:
    """Return (head, operations) of a migration that runs this code."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return f"\n\ndef run(apps, editor):\n{lines}", f"[migrations.RunPython(run, {reverse})]"


def test_adding_a_column_is_a_short_lock_and_no_work(stage: Stage) -> None:
    found = stage.one(ADD)
    assert (found.outcome, found.error, found.reversible) == (Outcome.DONE, "", True)
    added = statement(found, "ALTER TABLE")
    assert added.sql == 'ALTER TABLE "blog_comment" ADD COLUMN "note" varchar(20) NULL'
    assert added.operation == "Add field note to comment"
    assert lock(added, "blog_comment") == {"ACCESS EXCLUSIVE"}
    assert added.work == ()
    assert added.observed is Observed.IN_TRANSACTION
    assert 0 < added.ms < found.ms
    assert found.lock_safety.kind is VerdictKind.SAFE
    assert found.compatibility.kind is VerdictKind.SAFE
    assert found.verdict == "lock safety: safe (measured); old code: safe (measured)"
    assert [str(each) for each in found.schema_changes] == [
        "column note character varying(20) was added to blog_comment"
    ]
    assert found.findings == ()
    recorded = statement(found, 'INSERT INTO "django_migrations"')
    assert recorded.operation == "recording it in django_migrations"
    assert recorded.transaction == added.transaction


def test_an_index_on_a_large_table_keeps_writes_waiting(stage: Stage) -> None:
    found = stage.one("[migrations.AddIndex('comment', models.Index(fields=['email'], name='by_email'))]")
    built = statement(found, "CREATE INDEX")
    assert lock(built, "blog_comment") == {"SHARE"}
    assert [str(each) for each in built.work] == ["index build:blog_comment", "scan:blog_comment"]
    assert built.seen.built == (("by_email", "blog_comment"),)
    assert built.seen.growth_bytes > 100_000
    assert built.seen.wal_bytes > 0
    assert found.lock_safety.kind is VerdictKind.UNSAFE
    assert found.lock_safety.evidence == "measured"
    finding = ids(found)["MK511"]
    assert (finding.relation, finding.lock, finding.blocks) == ("blog_comment", LockMode.SHARE, Blocks.WRITES)
    assert str(finding.work) == "index build:blog_comment"
    assert finding.severity is Severity.ERROR
    assert finding.operation == "Create index by_email on field(s) email of model comment"
    assert finding.message.startswith("blog_comment gets an index built (")
    assert " while SHARE on it keeps writes waiting; held for " in finding.message


def test_a_change_of_type_rewrites_the_table_and_its_indexes(stage: Stage) -> None:
    found = stage.one(
        "[migrations.RunSQL('ALTER TABLE blog_comment ALTER approved TYPE int USING approved::int',"
        " 'ALTER TABLE blog_comment ALTER approved TYPE bool USING approved::bool')]"
    )
    changed = statement(found, "ALTER TABLE")
    assert {str(each) for each in changed.work} == {
        "index build:blog_comment",
        "rewrite:blog_comment",
        "scan:blog_comment",
    }
    assert changed.seen.rewritten == ("blog_comment",)
    assert ("blog_comment_pkey", "blog_comment") in changed.seen.rebuilt
    assert found.lock_safety.kind is VerdictKind.UNSAFE
    assert ids(found)["MK511"].blocks is Blocks.READS_AND_WRITES


def test_the_same_on_a_small_table_is_safe(stage: Stage) -> None:
    found = stage.one(
        "[migrations.RunSQL('ALTER TABLE blog_category ALTER position TYPE int', migrations.RunSQL.noop)]"
    )
    assert "rewrite:blog_category" in {str(each) for each in statement(found, "ALTER TABLE").work}
    assert found.lock_safety.kind is VerdictKind.SAFE


def test_concurrently_is_watched_from_a_second_connection(stage: Stage) -> None:
    found = stage.one(
        "[AddIndexConcurrently('comment', models.Index(fields=['email'], name='by_email'))]",
        head=POSTGRES,
        atomic="False",
    )
    built = statement(found, "CREATE INDEX CONCURRENTLY")
    assert built.observed is Observed.SECOND_CONNECTION
    assert built.transaction is None
    assert lock(built, "blog_comment") == {"SHARE UPDATE EXCLUSIVE"}
    assert built.seen.built == (("by_email", "blog_comment"),)
    assert "index build:blog_comment" in {str(each) for each in built.work}
    (held,) = [each for each in built.locks if each.relation == "blog_comment"]
    assert built.began_ms <= held.taken_ms <= held.taken_ms + held.held_ms <= built.began_ms + built.ms + 20
    assert held.held_ms > 1
    assert (found.lock_safety.kind, found.reversible) == (VerdictKind.SAFE, True)
    dropped = found.way_back.statements[0]
    assert dropped.sql.startswith("DROP INDEX CONCURRENTLY")
    assert dropped.observed is Observed.SECOND_CONNECTION


def test_what_is_over_before_it_is_seen_has_the_locks_of_its_kind(stage: Stage) -> None:
    found = stage.one("[migrations.RunSQL('VACUUM blog_category', migrations.RunSQL.noop)]", atomic="False")
    vacuum = statement(found, "VACUUM")
    assert vacuum.observed is Observed.SECOND_CONNECTION
    assert lock(vacuum, "blog_category") == {"SHARE UPDATE EXCLUSIVE"}


def test_statements_without_a_transaction_get_one_of_their_own(stage: Stage) -> None:
    found = stage.one(
        "[migrations.AddField('comment', 'note', models.CharField(max_length=20, null=True)),"
        " migrations.AddIndex('comment', models.Index(fields=['email'], name='by_email'))]",
        atomic="False",
    )
    added, built = statement(found, "ALTER TABLE"), statement(found, "CREATE INDEX")
    assert (added.observed, built.observed) == (Observed.OWN_TRANSACTION, Observed.OWN_TRANSACTION)
    assert added.transaction != built.transaction
    assert lock(added, "blog_comment") == {"ACCESS EXCLUSIVE"}
    # The first lock is gone before the second statement: not it keeps reads waiting while the index is built.
    assert [(each.lock, each.blocks) for each in found.findings] == [(LockMode.SHARE, Blocks.WRITES)]
    assert found.atomic is False


def test_a_lock_is_held_until_the_transaction_commits(stage: Stage) -> None:
    found = stage.one(
        "[migrations.AddField('comment', 'note', models.CharField(max_length=20, null=True)),"
        " migrations.RunSQL('SELECT pg_sleep(0.3)', migrations.RunSQL.noop)]"
    )
    added, slept = statement(found, "ALTER TABLE"), statement(found, "SELECT pg_sleep")
    (held,) = added.locks
    assert held.held_ms > 300 > added.ms
    assert slept.ms > 300
    assert added.began_ms == held.taken_ms < slept.began_ms
    assert slept.locks == ()


def test_a_lock_held_across_the_work_of_another_statement_is_unsafe(stage: Stage) -> None:
    found = stage.one(
        "[migrations.AddField('comment', 'note', models.CharField(max_length=20, null=True)),"
        " migrations.RunSQL('UPDATE blog_comment SET note = name', migrations.RunSQL.noop)]"
    )
    updated = statement(found, "UPDATE")
    assert "change rows:blog_comment" in {str(each) for each in updated.work}
    assert updated.rows_changed == stage.backup.rows["public.blog_comment"] >= ROWS
    assert found.lock_safety.kind is VerdictKind.UNSAFE
    messages = [each.message for each in found.findings if each.id == "MK511"]
    assert any(
        message.startswith("blog_comment has rows changed (")
        and "while ACCESS EXCLUSIVE on it keeps reads and writes waiting, taken by “ALTER TABLE" in message
        for message in messages
    )


def test_python_that_saves_row_by_row_is_counted_and_looked_at_once(stage: Stage) -> None:
    head, operations = python(
        "Comment = apps.get_model('blog', 'Comment')\n"
        "for each in Comment.objects.order_by('id')[:2000]:\n"
        "    each.name = each.name.upper()\n"
        "    each.save()\n"
    )
    found = stage.one(operations, head=head)
    saved = statement(found, 'UPDATE "blog_comment"')
    assert saved.times == 2000
    assert saved.python
    assert saved.operation == "Raw Python operation"
    assert [(each.relation, each.updated) for each in saved.seen.rows] == [("blog_comment", 2000)]
    assert lock(saved, "blog_comment") == {"ROW EXCLUSIVE"}
    assert "READER" not in saved.sql
    read = statement(found, 'SELECT "blog_comment"')
    assert read.times == 1
    assert found.values_changed[0].column == "name"
    assert found.lock_safety.kind is VerdictKind.SAFE


def test_loops_of_several_statements_are_told_apart(stage: Stage) -> None:
    head, operations = python(
        "Category = apps.get_model('blog', 'Category')\n"
        "for number in range(50):\n"
        "    made, _ = Category.objects.get_or_create(name=f'C{number}', defaults={'slug': f'c{number}'})\n"
        "    made.position = number\n"
        "    made.save()\n"
        "Category.objects.filter(name__startswith='C', position__gt=40).delete()\n"
    )
    found = stage.one(operations, head=head)
    reads = [each.times for each in found.statements if each.sql.startswith('SELECT "blog_category"')]
    assert max(reads) == 50
    inserted = statement(found, 'INSERT INTO "blog_category"')
    assert (inserted.times, [(each.relation, each.inserted) for each in inserted.seen.rows]) == (
        50,
        [("blog_category", 50)],
    )
    updated = statement(found, 'UPDATE "blog_category"')
    assert (updated.times, [each.updated for each in updated.seen.rows]) == (50, [50])


def test_python_that_commits_by_itself_has_a_transaction_each_time(stage: Stage) -> None:
    head, operations = python(
        "from django.db import transaction\n"
        "Comment = apps.get_model('blog', 'Comment')\n"
        "for start in range(5):\n"
        "    with transaction.atomic():\n"
        "        Comment.objects.filter(pk__lte=start * 10).update(approved=False)\n"
    )
    found = stage.one(operations, head=head, atomic="False")
    assert statement(found, "UPDATE").times == 5
    assert found.lock_safety.kind is VerdictKind.SAFE


def test_the_drivers_own_cursor_is_seen_as_well(stage: Stage) -> None:
    head, operations = python(
        "with editor.connection.connection.cursor() as cursor:\n"
        "    cursor.execute('UPDATE blog_comment SET approved = false WHERE id < %s', [50])\n"
        "    with cursor.copy('COPY blog_category (name, slug, position) FROM STDIN') as copy:\n"
        "        copy.write_row(('Copied', 'copied', 1))\n"
    )
    found = stage.one(operations, head=head)
    assert lock(statement(found, "UPDATE blog_comment"), "blog_comment") == {"ROW EXCLUSIVE"}
    copied = statement(found, "COPY blog_category")
    assert [(each.relation, each.inserted) for each in copied.seen.rows] == [("blog_category", 1)]


def test_a_script_is_taken_apart(stage: Stage) -> None:
    found = stage.one(
        "[migrations.RunSQL(\"UPDATE blog_category SET name = name || ';' -- all; of them\\n;"
        ' ALTER TABLE blog_comment ADD note text; DO $$ BEGIN PERFORM 1; END $$", migrations.RunSQL.noop)]'
    )
    texts = [each.sql for each in found.statements if each.operation == "Raw SQL operation"]
    assert [text[:12] for text in texts] == ["UPDATE blog_", "ALTER TABLE ", "DO $$ BEGIN "]
    assert lock(statement(found, "ALTER TABLE"), "blog_comment") == {"ACCESS EXCLUSIVE"}
    assert found.lock_safety.kind is VerdictKind.SAFE


def test_a_script_outside_of_a_transaction_is_in_one_all_the_same(stage: Stage) -> None:
    found = stage.one(
        "[migrations.RunSQL('ALTER TABLE blog_comment ADD note text; SELECT pg_sleep(0.2)', migrations.RunSQL.noop)]",
        atomic="False",
    )
    added = statement(found, "ALTER TABLE")
    assert added.locks[0].held_ms > 200
    assert added.transaction == statement(found, "SELECT pg_sleep").transaction


def test_a_script_that_commits_by_itself_is_seen_to(stage: Stage) -> None:
    found = stage.one(
        "[migrations.RunSQL('BEGIN; ALTER TABLE blog_comment ADD note text; COMMIT; SELECT pg_sleep(0.2)',"
        " migrations.RunSQL.noop)]",
        atomic="False",
    )
    added = statement(found, "ALTER TABLE")
    assert lock(added, "blog_comment") == {"ACCESS EXCLUSIVE"}
    assert added.locks[0].held_ms < 200


def test_what_django_holds_back_belongs_to_its_operation(stage: Stage) -> None:
    found = stage.one(
        "[migrations.CreateModel('Vote', [('id', models.BigAutoField(primary_key=True)),"
        " ('comment', models.ForeignKey('blog.comment', models.CASCADE))]),"
        " migrations.RunSQL('SELECT 1', migrations.RunSQL.noop)]"
    )
    held_back = [each for each in found.statements if each.deferred]
    assert [each.sql.split()[0] for each in held_back] == ["ALTER", "CREATE"]
    assert {each.operation for each in held_back} == {"Create model Vote"}
    key = next(each for each in held_back if each.sql.startswith("ALTER"))
    assert "SHARE ROW EXCLUSIVE" in lock(key, "blog_comment")
    # The table is the plan's own: its locks are no matter.
    assert all(each.relation != "blog_vote" for statement in found.statements for each in statement.locks)
    assert found.lock_safety.kind is VerdictKind.SAFE


def test_dropping_a_foreign_key_locks_its_parent(stage: Stage) -> None:
    found = stage.one("[migrations.RemoveField('comment', 'post')]")
    modes = {(each.relation, str(each.mode)) for statement in found.statements for each in statement.locks}
    assert ("blog_post", "ACCESS EXCLUSIVE") in modes
    assert ("blog_comment", "ACCESS EXCLUSIVE") in modes
    assert found.compatibility.kind is VerdictKind.UNSAFE


def test_the_result_has_a_frame_and_the_documents_shape(stage: Stage) -> None:
    with stage.project.restored():
        stage.write(ADD)
        result = stage.rehearse()
    assert result.ok
    assert bool(result)
    assert repr(result) == (f"<Rehearsal of 1 migrations on {stage.backup.path.name}: 0 not lock-safe, 0 findings>")
    assert result.mode is RehearsalMode.FULL
    frame = result.to_frame()
    assert list(frame["migration"]) == ["blog.0005_more"] * 2
    assert frame["locks"][0].startswith("ACCESS EXCLUSIVE on blog_comment (")
    locks = result.locks_frame()
    assert list(locks.columns) == ["migration", "table", "mode", "taken ms", "held ms", "blocks"]
    row = locks[locks["table"] == "blog_comment"].iloc[0]
    assert (row["mode"], row["blocks"]) == ("ACCESS EXCLUSIVE", "reads and writes")
    document = result.as_json()
    (migration,) = document["migrations"]
    assert (document["schema"], migration["lock_safety"], migration["reversible"]) == (1, "safe", True)
    first = migration["statements"][0]
    assert first["evidence"] == "measured"
    assert first["ms"] > 0
    assert first["locks"] == [{"relation": "blog_comment", "mode": "ACCESS EXCLUSIVE"}]


def test_nothing_pending_is_no_rehearsal(stage: Stage) -> None:
    result = stage.rehearse()
    assert not result
    assert result.ok
    assert len(result.to_frame()) == len(result.locks_frame()) == 0


def test_a_part_of_what_is_pending(stage: Stage) -> None:
    with stage.project.restored():
        first = stage.write("[]", name="first")
        stage.write("[]", name="second")
        stage.write("[]", app="contact")
        assert [str(each) for each in stage.rehearse("contact").migrations] == ["contact.0005_more"]
        assert [str(each) for each in stage.rehearse("blog", first).migrations] == ["blog.0005_first"]
        assert len(stage.rehearse().migrations) == 3
        with pytest.raises(errors.UsageError):
            stage.rehearse("blog", "0003")


def test_code_of_all_sorts_is_followed(stage: Stage) -> None:
    head, operations = python(
        "from django.db import IntegrityError, transaction\n"
        "Category, Comment = apps.get_model('blog', 'Category'), apps.get_model('blog', 'Comment')\n"
        "for each in Comment.objects.order_by('pk')[:300].iterator(chunk_size=100):\n"
        "    Comment.objects.filter(pk=each.pk).update(approved=True)\n"
        "for number in range(30):\n"
        "    try:\n"
        "        with transaction.atomic():\n"
        "            Category.objects.create(name='same', slug=f'same-{number}')\n"
        "    except IntegrityError:\n"
        "        pass\n"
        "Category.objects.bulk_create([Category(name=f'b{n}', slug=f'b{n}') for n in range(40)], batch_size=10)\n"
        "with editor.connection.cursor() as cursor:\n"
        "    pairs = [(n, f'b{n}') for n in range(40)]\n"
        "    cursor.executemany('UPDATE blog_category SET position = %s WHERE name = %s', pairs)\n"
        "    cursor.execute('LOCK TABLE blog_post IN SHARE MODE')\n"
    )
    found = stage.one(operations, head=head)
    assert found.error == ""
    by_start = {each.sql.split('"')[0].split("(")[0].strip(): each for each in found.statements}
    updated = [each for each in found.statements if each.sql.startswith('UPDATE "blog_comment"')]
    assert [(each.times, each.rows_changed) for each in updated] == [(300, 300)]
    inserted = [each for each in found.statements if each.sql.startswith('INSERT INTO "blog_category"')]
    assert sum(each.times for each in inserted) >= 34
    many = by_start["UPDATE blog_category SET position = %s WHERE name = %s"]
    assert (many.times, many.rows_changed) == (40, 40)
    assert lock(by_start["LOCK TABLE blog_post IN SHARE MODE"], "blog_post") == {"SHARE"}


def test_a_connection_that_a_migration_closes_is_followed_to_the_next_one(stage: Stage) -> None:
    head, operations = python(
        "editor.connection.close()\nComment = apps.get_model('blog', 'Comment')\n"
        "Comment.objects.filter(pk__lt=100).update(approved=False)\n"
        "editor.connection.close()\nComment.objects.filter(pk__lt=50).update(approved=True)\n"
    )
    found = stage.one(operations, head=head, atomic="False")
    assert found.error == ""
    updated = [each for each in found.statements if each.sql.startswith("UPDATE")]
    assert sum(each.times for each in updated) == 2
    assert lock(updated[0], "blog_comment") == {"ROW EXCLUSIVE"}
