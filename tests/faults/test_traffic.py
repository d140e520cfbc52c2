"""What the traffic on a table feels of a migration that needs ACCESS EXCLUSIVE; on the demo and its PostgreSQL 18."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from mig_kit.steps.apply import Waiting, apply
from mig_kit.steps.target import Target
from tests.steps.projects import Copy, Template, copies, empty_migration, project, target, template
from tests.traffic import Traffic, long_transaction, traffic
from tests.venvs import environ

__all__ = ["copies", "project", "target", "template"]  # fixtures

pytestmark = [pytest.mark.faults]

LOCK_TIMEOUT_S = 0.2
ALLOWED_MS = LOCK_TIMEOUT_S * 1000 + 50
ADD = "[migrations.AddField('message', '{0}', models.IntegerField(null=True))]"


def under_traffic(project: Copy, template: Template, work: Callable[[], object]) -> Traffic:
    with (
        traffic(project.database, project.admin, "contact_message", template.server.log) as seen,
        long_transaction(project.database, "contact_message", 6),
    ):
        work()
    return seen


def test_nobody_waits_longer_than_the_lock_timeout(project: Copy, target: Target, template: Template) -> None:
    largest = "SELECT relname FROM pg_stat_user_tables ORDER BY pg_total_relation_size(relid) DESC LIMIT 1"
    assert project.run(largest) == [("contact_message",)]
    empty_migration(project, "contact", "0005_note", "0004_subscriber", ADD.format("note"))
    ours = under_traffic(project, template, lambda: apply(target, waiting=Waiting(LOCK_TIMEOUT_S)))
    assert "contact.0005_note" in project.applied()

    empty_migration(project, "contact", "0006_more", "0005_note", ADD.format("more"))
    command = [str(target.project.python), "manage.py", "migrate", "contact"]

    def bare() -> None:
        done = subprocess.run(command, cwd=target.project.work_dir, env=environ(), capture_output=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    theirs = under_traffic(project, template, bare)
    assert "contact.0006_more" in project.applied()

    words = f"{ours.longest_ms:.0f} ms of {ours.queries} queries, and {theirs.longest_ms:.0f} ms with bare migrate"
    print(words)
    assert ours.queries > 500, words
    assert len(ours.lock_waits_ms) > 3, words  # the migration did stand in their way
    assert ours.longest_ms <= ALLOWED_MS, words
    assert theirs.longest_ms > 1500, words
