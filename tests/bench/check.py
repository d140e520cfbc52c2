"""The check of fifty migrations on a wagtail site, from a warm worker."""

from __future__ import annotations

import tempfile
from pathlib import Path

from mig_kit import open_runbook
from mig_kit.steps.check_plan import check_plan
from tests.bench.measure import Options, Row, seconds, tell
from tests.real_projects import RealProject, wagtail_site
from tests.servers import pg_server

__all__ = ["rows"]

COUNT = 50
ALLOWED_S = 1.5
OPERATIONS = (
    'migrations.AddField("HomePage", "extra{n}", models.CharField(max_length=40, default=""))',
    'migrations.AddIndex("HomePage", models.Index(fields=["extra{m}"], name="extra{n}_ix"))',
    'migrations.AlterField("HomePage", "extra{l}", models.CharField(max_length=80, default="", db_index=True))',
    "migrations.RunSQL(\"UPDATE home_homepage SET extra{k} = 'x'\", migrations.RunSQL.noop)",
    'migrations.RemoveField("HomePage", "extra{j}")',
)
"""Each set of five adds a column, indexes, alters and fills it, and drops it again; the names count on from one."""


def write_migrations(site: RealProject) -> None:
    """Write the pending migrations, one after another."""
    folder = site.root / "home" / "migrations"
    last = max(path.stem for path in folder.glob("0*.py"))
    for n in range(COUNT):
        names = dict(zip("nmlkj", range(n, n - 5, -1), strict=True))
        text = OPERATIONS[n % 5].format(**names)
        name = f"{int(last[:4]) + 1:04}_more"
        (folder / f"{name}.py").write_text(
            "from django.db import migrations, models\n\n\nclass Migration(migrations.Migration):\n"
            f'    dependencies = [("home", "{last}")]\n    operations = [{text}]\n'
        )
        last = name


def rows(options: Options) -> list[Row]:
    """Check the migrations on a site of its own; beside it stands the time that is allowed."""
    with tempfile.TemporaryDirectory() as folder, pg_server(18) as server:
        info = server.create_database("wagtail")
        database = {
            "host": info.host,
            "port": info.port,
            "name": info.dbname,
            "user": info.user,
            "password": info.password.reveal(),
        }
        tell("building the wagtail site")
        site = wagtail_site(Path(folder), database)
        write_migrations(site)
        with open_runbook(site.root, python=site.python, record=False) as runbook:

            def check() -> None:
                found = check_plan(runbook.target)
                if len(found.migrations) != COUNT:
                    raise SystemExit(f"the check looked at {len(found.migrations)} migrations")

            first = seconds(check)  # the worker starts to be warm: it has loaded the migrations once
            tell("measuring")
            taken = [seconds(check) for _ in range(options.runs)]
    return [
        Row(
            f"check of {COUNT} migrations, warm / {ALLOWED_S} s",
            taken,
            [ALLOWED_S] * len(taken),
            "≤ 1",
            False,
            (f"the first one, which also builds the project's state before the plan, took {first:.2f} s",),
        )
    ]
