"""What the traffic on the demo's largest table waits for, while a migration needs ACCESS EXCLUSIVE on it."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from mig_kit.demo import stop_demo
from mig_kit.steps.apply import Waiting, apply
from mig_kit.steps.target import open_target
from tests.bench.measure import Options, Row, tell
from tests.steps.projects import Template, empty_migration
from tests.traffic import long_transaction, traffic
from tests.venvs import environ

__all__ = ["rows"]

LOCK_TIMEOUT_S = 0.2
OPEN_S = 6.0
TABLE = "contact_message"


def rows(options: Options) -> list[Row]:
    """Apply and bare migrate in turn, each a column more, each under eight readers and writers and a report."""
    ours: list[float] = []
    theirs: list[float] = []
    counted = 0
    runs = max(1, min(options.runs, 3))
    with tempfile.TemporaryDirectory() as folder:
        tell("building the demo")
        template = Template(Path(folder) / "demo")
        try:
            project = template.copy(Path(folder) / "project", "traffic")
            target = open_target(project.root)
            last = "0004_subscriber"
            for number in range(2 * runs):
                name = f"{number + 5:04}_column"
                add = f"[migrations.AddField('message', 'c{number}', models.IntegerField(null=True))]"
                empty_migration(project, "contact", name, last, add)
                last = name
                tell("apply" if number % 2 == 0 else "bare migrate")
                with (
                    traffic(project.database, project.admin, TABLE, template.server.log) as seen,
                    long_transaction(project.database, TABLE, OPEN_S),
                ):
                    if number % 2 == 0:
                        apply(target, waiting=Waiting(LOCK_TIMEOUT_S))
                    else:
                        command = [str(target.project.python), "manage.py", "migrate"]
                        subprocess.run(
                            command, cwd=target.project.work_dir, env=environ(), stdout=subprocess.DEVNULL, check=True
                        )
                (ours if number % 2 == 0 else theirs).append(seen.longest_ms / 1000)
                counted += seen.queries
            target.close()
        finally:
            stop_demo(template.demo.root)
    note = (
        f"the longest that one of {counted:,} queries waited for a lock, by the server's log; a transaction of "
        f"{OPEN_S:g} s was open on the table, the lock timeout was {LOCK_TIMEOUT_S:g} s, allowed are 0.05 s more"
    )
    what = "longest wait of the traffic, apply / migrate"
    return [Row(what, ours, theirs, f"≤ {LOCK_TIMEOUT_S + 0.05:.2f} s", False, (note,))]
