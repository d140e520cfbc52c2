"""A session against the same runbook by manage.py, on a wagtail site."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from mig_kit import open_runbook
from mig_kit.runbook import Runbook
from tests.bench.measure import Options, Row, in_turn, tell
from tests.real_projects import RealProject, wagtail_site
from tests.servers import pg_server

__all__ = ["rows"]

PREVIEWS = 20


def preview_against_sqlmigrate(runbook: Runbook, site: RealProject, runs: int) -> Row:
    """Twenty migrations of the site: one call against as many ``sqlmigrate`` processes."""
    nodes = runbook.status()
    chosen = [(row.app, row.migration) for row in nodes.itertuples() if row.app.startswith("wagtail")][:PREVIEWS]
    if len(chosen) < PREVIEWS:
        raise SystemExit(f"the site has only {len(chosen)} migrations to preview")
    from mig_kit.steps.preview import preview

    def ours() -> None:
        found = preview(runbook.target, migrations=chosen)
        if len(found.migrations) != PREVIEWS:
            raise SystemExit("the preview left migrations out")

    def theirs() -> None:
        for app, name in chosen:
            site.manage("sqlmigrate", app, name)

    ours()  # warm: the worker imports what it needs once
    return Row(f"preview of {PREVIEWS} migrations / {PREVIEWS} sqlmigrate", *in_turn(runs, ours, theirs), "≥ 30", True)


COUNT_ROWS = (
    "from django.apps import apps\n"
    "for model in apps.get_app_config('wagtailcore').get_models(): print(model.__name__, model.objects.count())"
)
HISTORY = (
    "from django.db.migrations.recorder import MigrationRecorder\n"
    "print(list(MigrationRecorder.Migration.objects.values_list('app', 'name', 'applied')))"
)


def session_against_manage_py(runbook: Runbook, site: RealProject, runs: int) -> Row:
    """The warm session (review, preview all, status, history, verify) against the runbook by hand."""
    pending = [(row.app, row.migration) for row in runbook.status().itertuples() if row.applied == "[ ]"]

    def ours() -> None:
        runbook.review()
        runbook.preview()
        runbook.status()
        runbook.history()
        runbook.verify()

    def theirs() -> None:
        site.manage("makemigrations", "--dry-run", "--verbosity", "3")
        for app, name in pending:
            site.manage("sqlmigrate", app, name)
        site.manage("showmigrations")
        site.manage("shell", "-c", HISTORY)
        # verify: nothing left to make, the checks, the models counted
        site.manage("makemigrations", "--check", "--dry-run")
        site.manage("check", "--database", "default")
        site.manage("shell", "-c", COUNT_ROWS)

    ours()
    return Row("a warm session / the runbook by manage.py", *in_turn(runs, ours, theirs), "≥ 4", True)


def open_against_showmigrations(site: RealProject, runs: int) -> Row:
    """A process that opens a runbook against one that runs ``showmigrations``, both from nothing."""
    script = (
        "import sys; from mig_kit import open_runbook; "
        "open_runbook(sys.argv[1], python=sys.argv[2], record=False).close()"
    )

    def ours() -> None:
        command = [sys.executable, "-c", script, str(site.root), str(site.python)]
        subprocess.run(command, check=True, capture_output=True)

    def theirs() -> None:
        site.manage("showmigrations")

    return Row("a process that opens a runbook / showmigrations", *in_turn(runs, ours, theirs), "≤ 1.2", False)


def open_in_kernel(site: RealProject, runs: int) -> Row:
    """``open_runbook`` in a running kernel against ``showmigrations``."""

    def ours() -> None:
        open_runbook(site.root, python=site.python, record=False).close()

    return Row(
        "open_runbook() in a kernel / showmigrations",
        *in_turn(runs, ours, lambda: site.manage("showmigrations")),
        "≤ 1.2",
        False,
    )


def rows(options: Options) -> list[Row]:
    """Build the wagtail site on a server of its own, and measure."""
    runs = options.runs
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
        site.change()
        with open_runbook(site.root, python=site.python, record=False) as runbook:
            runbook.generate()
            tell("measuring")
            found = [
                preview_against_sqlmigrate(runbook, site, max(1, runs // 2)),
                session_against_manage_py(runbook, site, runs),
            ]
        return [*found, open_against_showmigrations(site, runs), open_in_kernel(site, runs)]
