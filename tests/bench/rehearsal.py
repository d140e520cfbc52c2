"""A rehearsal forwards against a bare ``migrate`` on a copy of the same database; a second one against the first."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path

from mig_kit.demo import create_demo, stop_demo
from mig_kit.postgres import ConnectionInfo, Server, connect
from mig_kit.steps._rehearsal_databases import places
from mig_kit.steps._rehearsal_stage import Saying, play
from mig_kit.steps._restored import Restored, restored_template
from mig_kit.steps.backup import Backup, backup
from mig_kit.steps.rehearse import rehearse
from mig_kit.steps.target import Target, open_target
from tests.bench.measure import Options, Row, seconds, tell

__all__ = ["rows"]

_LAST = "0004_category_position_post_status_idx"
_COMMENTS = 200_000
_SAVED = 3_000

# What a release may bring: columns, an index, a rewrite, tables with foreign keys, code that saves row by row.
_MIGRATIONS = {
    "0005_columns": "\n".join(
        f"        migrations.AddField('comment', 'extra_{number}', models.IntegerField(null=True)),"
        for number in range(12)
    ),
    "0006_index": "        migrations.AddIndex('comment', models.Index(fields=['email'], name='comment_email_idx')),",
    "0007_rewrite": "        migrations.AlterField('comment', 'approved', models.IntegerField(default=0)),\n"
    "        migrations.AlterField('comment', 'name', models.CharField(max_length=200)),",
    "0008_code": "        migrations.RunPython(save, migrations.RunPython.noop),",
    "0009_tables": "\n".join(
        f"        migrations.CreateModel('Vote{number}', [('id', models.BigAutoField(primary_key=True)),"
        " ('comment', models.ForeignKey('blog.comment', models.CASCADE, related_name='+'))]),"
        for number in range(6)
    ),
}
_CODE = f"""
def save(apps, schema_editor):
    for each in apps.get_model("blog", "Comment").objects.order_by("pk")[:{_SAVED}]:
        each.extra_0 = each.pk
        each.save()
"""


def rows(options: Options) -> list[Row]:
    """Make a demo with more comments and migrations, back it up, and measure on copies of the restored backup."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder, ExitStack() as stack:
        Path(folder).chmod(0o711)
        tell("making the demo")
        demo = create_demo(Path(folder, "demo"), scale=0.2)
        stack.callback(stop_demo, demo.root)
        more_comments(Server.open(demo.server_data).info.with_dbname(demo.database.dbname))
        write_migrations(demo.root)
        target = stack.enter_context(closing(open_target(demo.root)))
        made = backup(target)
        restored = restored_template(made)
        tell("rehearsing")
        return [
            forwards_against_migrate(target, restored, demo.python, options.runs),
            second_against_first(target, made, options.runs),
        ]


def more_comments(admin: ConnectionInfo) -> None:
    """Add rows to the demo's comments."""
    with closing(connect(admin)) as conn:
        conn.execute(
            "INSERT INTO blog_comment (post_id, name, email, body, approved, created_at) "
            "SELECT (SELECT min(id) FROM blog_post), 'Reader ' || g, 'r' || g || '@example.org', repeat('word ', 20), "
            f"true, now() FROM generate_series(1, {_COMMENTS}) g"
        )


def write_migrations(root: Path) -> None:
    """Write the migrations into the demo's blog."""
    last = _LAST
    for name, operations in _MIGRATIONS.items():
        root.joinpath("backend", "apps", "blog", "migrations", f"{name}.py").write_text(
            f"from django.db import migrations, models\n\n{_CODE if 'save' in operations else ''}\n\n"
            f"class Migration(migrations.Migration):\n    dependencies = [('blog', {last!r})]\n"
            f"    operations = [\n{operations}\n    ]\n"
        )
        last = name


def forwards_against_migrate(target: Target, restored: Restored, python: Path, runs: int) -> Row:
    """The isolated worker, its start and everything that is looked at included, against ``manage.py migrate``."""
    ours: list[float] = []
    theirs: list[float] = []
    where = places(target)
    scope = {"app": None, "name": None, "other_databases": False}
    looking: list[float] = []
    for _ in range(runs):
        began = time.perf_counter()
        played = play(target, restored.scratch, restored.database, where, scope, Saying(0, None), backwards=False)
        ours.append(time.perf_counter() - began - played.copy_s)
        looking.append(played.passes.observing_ms / 1000)
        with restored.scratch.database(restored.database) as copy:
            theirs.append(seconds(lambda: migrate(target, copy, python)))
    took = sum(each.forwards.ms for each in played.passes.trips.values()) / 1000
    statements = sum(len(each.forwards.statements) for each in played.passes.trips.values())
    notes = (
        f"the last: {statements} statements in {took:.2f} s of migrations, {looking[-1]:.2f} s of looking beside them",
        "ours starts the project's process, as manage.py does, and drops the copy; making it is in neither",
    )
    return Row("rehearsal forwards / manage.py migrate", ours, theirs, "≤ 1.25", False, notes)


def migrate(target: Target, copy: ConnectionInfo, python: Path) -> None:
    """Run ``manage.py migrate`` on a copy."""
    place = {
        "DATABASE_HOST": copy.host,
        "DATABASE_PORT": str(copy.port),
        "DATABASE_NAME": copy.dbname,
        "DATABASE_USER": copy.user,
        "DATABASE_PASSWORD": copy.password.reveal(),
    }
    subprocess.run(
        [str(target.project.python or python), "manage.py", "migrate"],
        cwd=target.project.work_dir,
        env={**os.environ, **place},
        stdout=subprocess.DEVNULL,
        check=True,
    )


def second_against_first(target: Target, made: Backup, runs: int) -> Row:
    """All three passes on the backup that was restored before, against the same with its restore."""
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(runs):
        server = restored_template(made).scratch
        server.close()  # with every template on it
        first = rehearse(target, backup=made)
        second = rehearse(target, backup=made)
        if first.template_reused or not second.template_reused:
            raise SystemExit("the second rehearsal restored the backup again, or the first did not")
        theirs.append(first.duration_s)
        ours.append(second.duration_s)
    notes = (f"the restore took {first.restore_s:.2f} s of the last first one, and none of the second",)
    return Row("second rehearsal of a backup / the first", ours, theirs, "< 1, no restore", False, notes)
