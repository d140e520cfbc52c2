"""Rehearsals of what is seldom: signals, foreign servers, other drivers, an older server; what they leave behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from mig_kit import errors
from mig_kit.hazards.assessment import VerdictKind
from mig_kit.postgres import Server, connect
from mig_kit.postgres.scratch import scratch_server, sweep
from mig_kit.steps.backup import backup
from mig_kit.steps.rehearse import BackOutcome, Observed, Outcome, rehearse
from mig_kit.steps.target import open_target
from mig_kit.steps.verify_backup import verify_backup
from tests.project.projects import make_site
from tests.servers import fresh_database
from tests.steps.projects import Copy, Template
from tests.steps.rehearsing import Stage, ids, lock, make_stage, statement
from tests.venvs import venv

ADD = "[migrations.AddField('comment', 'note', models.CharField(max_length=20, null=True))]"


@pytest.fixture
def own(template: Template, tmp_path: Path) -> Iterator[Stage]:
    """A stage of the test's own."""
    with ExitStack() as stack:
        yield make_stage(template, tmp_path, stack)


def test_a_signals_handler_that_fails_is_told_apart_from_the_migrations(own: Stage) -> None:
    own.project.write(
        "apps/blog/apps.py",
        "from django.apps import AppConfig\nfrom django.db.models.signals import post_migrate\n\n\n"
        "def fail(**kwargs):\n    raise ValueError('the handler failed')\n\n\n"
        "class BlogConfig(AppConfig):\n    name = 'apps.blog'\n    label = 'blog'\n"
        "    default_auto_field = 'django.db.models.BigAutoField'\n\n"
        "    def ready(self):\n        post_migrate.connect(fail)\n",
    )
    own.write(ADD)
    result = own.rehearse()
    (found,) = result.migrations
    assert (found.outcome, found.error) == (Outcome.DONE, "")
    assert result.signals_error.startswith("ValueError: the handler failed")
    (remark,) = result.errors
    assert (remark.id, remark.evidence) == ("MK533", "measured")
    assert remark.message.endswith(result.signals_error)
    assert result.as_json()["findings"][0]["id"] == "MK533"
    assert not result.ok


def test_what_the_signals_run_is_kept_beside_the_migrations(own: Stage) -> None:
    own.write("[migrations.CreateModel('Vote', [('id', models.BigAutoField(primary_key=True))])]")
    result = own.rehearse(backwards=False)
    assert any('INSERT INTO "auth_permission"' in each.sql for each in result.signals)
    assert all("auth_permission" not in each.sql for each in result.migrations[0].statements)


def test_foreign_servers_lead_nowhere(own: Stage, template: Template) -> None:
    info = own.project.database
    own.project.run(
        f"CREATE EXTENSION postgres_fdw; CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw"
        f" OPTIONS (host '127.0.0.1', port '{info.port}', dbname '{info.dbname}');"
        f" CREATE USER MAPPING FOR PUBLIC SERVER far OPTIONS (user 'portfolio', password '{info.password.reveal()}');"
        f" CREATE TABLE here (n int); GRANT ALL ON here TO portfolio;"
        f" CREATE FOREIGN TABLE there (n int) SERVER far OPTIONS (table_name 'here')"
    )
    own.write("[migrations.RunSQL('INSERT INTO there VALUES (1)')]")
    with closing(open_target(own.project.root)) as target:
        result = rehearse(target, backup=backup(target))
    assert "user mapping not found for user" in result.migrations[0].error
    assert own.project.run("SELECT count(*) FROM here") == [(0,)]
    assert "Foreign servers cannot be reached: far." in result.notes


CHECKED = "[migrations.RunSQL('ALTER TABLE shop_item ADD CHECK (id > 0)', migrations.RunSQL.noop)]"


@pytest.mark.parametrize("driver", ["psycopg2-binary>=2.9", "psycopg[binary]>=3.1.18"])
@pytest.mark.parametrize("major", [15, 18])
def test_by_each_driver_on_each_server(request: pytest.FixtureRequest, driver: str, major: int, tmp_path: Path) -> None:
    server: Server = request.getfixturevalue(f"server{major}")
    database = fresh_database(server, "by_driver")
    python = Path(sys.executable) if driver.startswith("psycopg[") else venv("3.11", ("django==5.2.*", driver))
    site = make_site(tmp_path / "site", database, python=python)
    site.models("shop", "class Item(models.Model):\n    title = models.CharField(max_length=40)\n")
    migrate(site.manage)
    with closing(connect(database)) as conn:
        conn.execute("INSERT INTO shop_item (title) SELECT 'Item ' || g FROM generate_series(1, 12000) g")
    real = repr({"host": database.host, "port": database.port, "dbname": database.dbname, "user": database.user})
    site.migration(
        "shop",
        "0002_more",
        "dependencies = [('shop', '0001_initial')]\noperations = [\n"
        "    migrations.AddField('item', 'note', models.CharField(max_length=9, default='x')),\n"
        "    migrations.RunSQL(\"ALTER TABLE shop_item ADD CHECK (id > 0); SELECT 'a;b'\", migrations.RunSQL.noop),\n"
        "    migrations.RunPython(save, migrations.RunPython.noop),\n]",
        imports="\n\ndef save(apps, editor):\n    for each in apps.get_model('shop', 'Item').objects.all()[:500]:\n"
        "        each.save()\n"
        "    with editor.connection.connection.cursor() as cursor:\n"
        "        cursor.execute('DELETE FROM shop_item WHERE id = %s', [1])\n"
        f"    try:\n        editor.connection.Database.connect(password='x', **{real})\n"
        "    except Exception as exc:\n        assert 'rehearsal refused' in str(exc), exc\n"
        "    else:\n        raise AssertionError\n",
    )
    site.migration(
        "shop",
        "0003_index",
        "atomic = False\ndependencies = [('shop', '0002_more')]\noperations = [\n"
        "    AddIndexConcurrently('item', models.Index(fields=['title'], name='by_title')),\n"
        "    migrations.AlterField('item', 'title', models.TextField()),\n]",
        imports="from django.contrib.postgres.operations import AddIndexConcurrently\n",
    )
    with closing(open_target(site.folder, python=python)) as target:
        result = rehearse(target, backup=backup(target))
    assert f"PostgreSQL {major}." in result.scratch
    more, index = result.migrations
    assert (more.error, index.error) == ("", "")
    assert [each.way_back.outcome for each in result.migrations] == [BackOutcome.DONE] * 2
    assert statement(more, 'UPDATE "shop_item"').times == 500
    assert lock(statement(more, "ALTER TABLE shop_item ADD CHECK"), "shop_item") == set()  # the statement before has it
    assert "scan:shop_item" in {str(each) for each in statement(more, "ALTER TABLE shop_item ADD CHECK").work}
    assert [each.deleted for each in statement(more, "DELETE FROM shop_item").seen.rows] == [1]
    assert more.lock_safety.kind is VerdictKind.UNSAFE
    assert "MK531" in ids(more)
    assert [str(each) for each in more.way_back.lost] == ["shop_item: 1 of 12,000 rows lost"]
    built = statement(index, "CREATE INDEX CONCURRENTLY")
    assert built.observed is Observed.SECOND_CONNECTION
    assert lock(built, "shop_item") == {"SHARE UPDATE EXCLUSIVE"}
    assert statement(index, "ALTER TABLE").observed is Observed.OWN_TRANSACTION
    server.drop_database("by_driver")


def migrate(manage: object) -> None:
    assert callable(manage)
    manage("makemigrations")
    manage("migrate")


# Which backup


def test_without_a_backup_the_next_step_is_named(project: Copy) -> None:
    with closing(open_target(project.root)) as target:
        stage_write(project)
        with pytest.raises(errors.BackupError) as caught:
            rehearse(target)
        assert str(caught.value) == "There is no backup of this database to rehearse on.\nNext: rb.backup()"
        made = backup(target)
        with pytest.raises(errors.BackupError) as caught:
            rehearse(target)
        assert str(caught.value) == (
            f"The backup {made.path.name} is not verified, and there is no other to rehearse on.\n"
            f"Next: rb.verify_backup({made.path.name!r}), or rb.backup()"
        )
        assert verify_backup(target, made.path)
        result = rehearse(target)
        assert result.ok
        # What the verification restored is what the rehearsal copies.
        assert result.template_reused
        assert (result.backup, result.restore_s) == (made.path.name, 0.0)


def test_a_backup_from_before_the_last_migration_is_refused(own: Stage) -> None:
    own.write(ADD)
    own.project.run("INSERT INTO django_migrations (app, name, applied) VALUES ('blog', '0005_more', now())")
    own.write("[migrations.RunSQL('SELECT 1')]")
    with pytest.raises(errors.BackupError) as caught:
        own.rehearse()
    assert str(caught.value) == (
        f"blog.0005_more was applied after the backup {own.backup.path.name} was made: it is not of the database as it "
        "is now.\nNext: rb.backup()"
    )


def stage_write(project: Copy) -> None:
    project.write(
        "apps/blog/migrations/0005_more.py",
        "from django.db import migrations\n\n\nclass Migration(migrations.Migration):\n"
        "    dependencies = [('blog', '0004_category_position_post_status_idx')]\n    operations = []\n",
    )


# What is left behind

INTERRUPTED = """
import sys
from mig_kit.steps.backups import latest_backup
from mig_kit.steps.rehearse import rehearse
from mig_kit.steps.target import open_target
from mig_kit.postgres.scratch import _warm
target = open_target(sys.argv[1])
try:
    rehearse(target, backup=latest_backup(target))
finally:
    for scratch in _warm.values():
        print("LEFT", sorted(scratch._made), len(scratch._kept), flush=True)
    target.close()
"""
SLEEPS = "[migrations.RunPython(note), migrations.RunSQL('SELECT pg_sleep(60)')]"


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A place for scratch servers of the test's own, where whoever runs them gets through."""
    with tempfile.TemporaryDirectory(prefix="mig_kit-test-scratch-") as folder:
        Path(folder).chmod(0o711)
        monkeypatch.setenv("MIG_KIT_SCRATCH", f"{folder}/home")
        yield Path(folder, "home")


def start(own: Stage, home: Path) -> tuple[subprocess.Popen[str], int]:
    """Start a rehearsal, in a process of its own, of a migration that sleeps; return it and its worker then."""
    note = home.with_name("worker")
    head = f"\n\ndef note(apps, editor):\n    import os\n    open({str(note)!r}, 'w').write(f'{{os.getpid()}} ')\n"
    own.write(SLEEPS, head=head)
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(own.project.root)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_until(lambda: note.exists() and note.read_text().endswith(" "), process)
    time.sleep(0.5)  # the statement after it
    return process, int(note.read_text())


def wait_until(condition: object, process: subprocess.Popen[str] | None = None, seconds: float = 60) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        if process is not None and process.poll() is not None:
            raise AssertionError(process.communicate()[1])
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_ctrl_c_leaves_no_copy_behind(own: Stage, home: Path) -> None:
    process, _worker = start(own, home)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in err
    # The template alone is there until the process ends, and then nothing.
    assert out.count("mig_kit_scratch_") == 1
    assert not [path for path in home.iterdir() if path.is_dir()]


def test_a_killed_kernel_leaves_what_the_next_start_sweeps(own: Stage, home: Path) -> None:
    process, worker = start(own, home)
    process.kill()
    process.communicate()
    assert [path for path in home.iterdir() if path.is_dir()]
    assert len(sweep()) == 1
    assert not [path for path in home.iterdir() if path.is_dir()]
    wait_until(lambda: not Path(f"/proc/{worker}").exists())


def test_a_killed_worker_is_an_error_that_leaves_no_copy_behind(own: Stage, home: Path) -> None:
    process, worker = start(own, home)
    os.kill(worker, signal.SIGKILL)
    out, err = process.communicate(timeout=60)
    assert "The project's worker ended before it answered 'rehearse' (signal SIGKILL)" in err
    assert out.count("mig_kit_scratch_") == 1
    assert not [path for path in home.iterdir() if path.is_dir()]


def test_nothing_but_the_template_is_left_after_success_and_failure(own: Stage) -> None:
    own.write(ADD)
    assert own.rehearse().ok
    server = scratch_server(18)
    templates = set(server._made)
    own.write("[migrations.RunSQL('SELECT 1 / 0')]")
    assert not own.rehearse().ok
    assert set(server._made) == templates
    with closing(connect(server.info)) as conn:
        there = {row[0] for row in conn.execute("SELECT datname FROM pg_database").fetchall()}
    assert {name for name in there if name.startswith("mig_kit_scratch_")} == templates
