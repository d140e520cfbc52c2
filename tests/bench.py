"""Measure mig_kit against manage.py, side by side in one run, and print ratios.

Run it with ``make bench``. Each pair is measured in turn (A B A B …), so that a machine whose speed drifts bends
both alike; the ratio is that of the medians. Nothing is asserted: the targets stand beside what was seen.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mig_kit import open_runbook
from mig_kit.runbook import Runbook
from tests.real_projects import RealProject, wagtail_site
from tests.servers import pg_server

PREVIEWS = 20


@dataclass(frozen=True)
class Row:
    """One comparison: seconds of ours and of theirs, run by run, and the target for the ratio."""

    what: str
    ours: list[float]
    theirs: list[float]
    target: str
    faster: bool

    @property
    def ratio(self) -> float:
        """How many times faster ours is, or how many times longer it takes, as the target is worded."""
        ours, theirs = statistics.median(self.ours), statistics.median(self.theirs)
        return theirs / ours if self.faster else ours / theirs


def seconds(work: Callable[[], object]) -> float:
    """Return how long a piece of work takes, in seconds."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def in_turn(runs: int, ours: Callable[[], object], theirs: Callable[[], object]) -> tuple[list[float], list[float]]:
    """Measure two pieces of work in turn."""
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(runs)]
    return [a for a, _b in pairs], [b for _a, b in pairs]


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


def show(rows: list[Row]) -> None:
    """Print the table: medians in seconds, the ratio, its spread over the pairs, the target."""
    table = Table(title="mig_kit against manage.py: medians, side by side in one run")
    for name in ("comparison", "ours (s)", "theirs (s)", "ratio", "ratio by pair", "target"):
        table.add_column(name, justify="left" if name == "comparison" else "right")
    for row in rows:
        pairs = [b / a if row.faster else a / b for a, b in zip(row.ours, row.theirs, strict=True)]
        table.add_row(
            row.what,
            f"{statistics.median(row.ours):.3f}",
            f"{statistics.median(row.theirs):.3f}",
            f"{row.ratio:.2f}",
            f"{min(pairs):.2f}–{max(pairs):.2f}",
            row.target,
        )
    Console(width=120).print(table)


def main() -> None:
    """Build the wagtail site on a server of its own, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="how many pairs of each comparison (default: 5)")
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder, pg_server(18) as server:
        info = server.create_database("wagtail")
        database = {
            "host": info.host,
            "port": info.port,
            "name": info.dbname,
            "user": info.user,
            "password": info.password.reveal(),
        }
        print("building the wagtail site …", file=sys.stderr)
        site = wagtail_site(Path(folder), database)
        site.change()
        with open_runbook(site.root, python=site.python, record=False) as runbook:
            runbook.generate()
            print("measuring …", file=sys.stderr)
            rows = [
                preview_against_sqlmigrate(runbook, site, max(1, runs // 2)),
                session_against_manage_py(runbook, site, runs),
            ]
        rows += [open_against_showmigrations(site, runs), open_in_kernel(site, runs)]
    show(rows)


if __name__ == "__main__":
    main()
