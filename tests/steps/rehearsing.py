"""A stage for rehearsals: a copy of the demo with one large table, backed up once, migrations written by hand."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mig_kit.hazards.finding import Finding
from mig_kit.steps.backup import Backup, backup
from mig_kit.steps.rehearse import Rehearsal, RehearsedMigration, RehearsedStatement, rehearse
from mig_kit.steps.target import Target, open_target
from tests.steps.projects import Copy, Template

__all__ = ["BLOG", "CONTACT", "PORTFOLIO", "ROWS", "Stage", "ids", "lock", "make_stage", "stage", "statement"]

BLOG = "0004_category_position_post_status_idx"
CONTACT = "0004_subscriber"
PORTFOLIO = "0004_project_status_started_idx"
ROWS = 20_000
_LAST = {"blog": BLOG, "contact": CONTACT, "portfolio": PORTFOLIO}
_numbers = itertools.count(1)

_ROWS = f"""
    INSERT INTO blog_comment (post_id, name, email, body, approved, created_at)
    SELECT (SELECT min(id) FROM blog_post), 'Reader ' || g, 'r' || g || '@example.org', repeat('word ', 10), true, now()
    FROM generate_series(1, {ROWS}) g
"""


@dataclass
class Stage:
    """A project with 20,000 comments more, its target, and a backup of that database."""

    project: Copy
    target: Target
    backup: Backup

    def write(self, operations: str, app: str = "blog", *, head: str = "", name: str = "", **attributes: str) -> str:
        """Write the next migration of an app, to be taken away after the test; return its name."""
        folder = self.project.path("apps", app, "migrations")
        last = max(path.stem for path in folder.glob("0*.py"))
        name = f"{int(last[:4]) + 1:04d}_{name or 'more'}"
        more = "".join(f"    {key} = {value}\n" for key, value in attributes.items())
        self.project.write(
            f"apps/{app}/migrations/{name}.py",
            f"from django.db import connection, migrations, models\n{head}\n\nclass Migration(migrations.Migration):\n"
            f"    dependencies = [({app!r}, {last!r})]\n{more}    operations = {operations}\n",
        )
        return name

    def rehearse(self, *args: Any, **options: Any) -> Rehearsal:
        """Rehearse on the backup."""
        return rehearse(self.target, *args, backup=self.backup, **options)

    def one(self, operations: str, app: str = "blog", **options: Any) -> RehearsedMigration:
        """Write one migration, rehearse it, take the file away again."""
        with self.project.restored():
            how = {key: options.pop(key) for key in ("backwards", "other_databases") if key in options}
            self.write(operations, app, **options)
            (found,) = self.rehearse(**how).migrations
            return found


def make_stage(template: Template, root: Path, stack: ExitStack) -> Stage:
    """Make one; the stack ends it."""
    name = f"stage_{next(_numbers)}"
    project = template.copy(root / "project", name)
    stack.callback(template.server.drop_database, name)
    project.run(_ROWS)
    target = stack.enter_context(closing(open_target(project.root)))
    return Stage(project, target, backup(target))


@pytest.fixture(scope="module")
def stage(template: Template, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One stage for a whole module, because the backup takes a second: each test leaves it as it found it."""
    with ExitStack() as stack:
        yield make_stage(template, tmp_path_factory.mktemp("stage"), stack)


def statement(migration: RehearsedMigration, start: str) -> RehearsedStatement:
    """Return the one statement that begins like this."""
    (found,) = [each for each in migration.statements if each.sql.startswith(start)]
    return found


def lock(each: RehearsedStatement, relation: str) -> set[str]:
    """Return the modes it took on a relation."""
    return {str(lock.mode) for lock in each.locks if lock.relation == relation}


def ids(migration: RehearsedMigration) -> dict[str, Finding]:
    """Return the findings by their ids; of several with one id, the first."""
    return {each.id: each for each in reversed(migration.findings)}
