"""A project with migrations to apply and every gate of production open but the name: made once a module."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from mig_kit import open_runbook
from mig_kit.runbook import Runbook
from mig_kit.steps.gates import Gates
from tests.steps.projects import Copy, Template, empty_migration

__all__ = ["FIRST", "LAST", "SECOND", "Ready", "closed", "pending", "prepare", "production", "ready"]

LAST = "0004_category_position_post_status_idx"
FIRST, SECOND = "blog.0005_subtitle", "blog.0006_views"
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Ready:
    """A project whose gates were opened, and by whom."""

    project: Copy
    root: Path


def pending(project: Copy) -> None:
    """Two migrations of the blog: a nullable column; one that old code does not fill, and code without a way back."""
    subtitle = "[migrations.AddField('post', 'subtitle', models.CharField(max_length=40, null=True))]"
    empty_migration(project, "blog", "0005_subtitle", LAST, subtitle)
    views = "[migrations.AddField('post', 'views', models.IntegerField(default=0)), migrations.RunPython(fill)]"
    path = empty_migration(project, "blog", "0006_views", "0005_subtitle", views)
    code = "def fill(apps, schema_editor):\n    apps.get_model('blog', 'Post').objects.update(views=1)\n\n\n"
    path.write_text(path.read_text().replace("class Migration", f"{code}class Migration", 1))


def prepare(rb: Runbook) -> None:
    """Open every gate of production by its own step, but for the name."""
    rb.preview()
    assert rb.backup().verified
    rb.rehearse()
    for point in rb.gates().points:
        rb.acknowledge(point.id, f"we know of {point.id}", migration=point.migration)


@contextmanager
def production(project: Copy, stage: str = "production") -> Iterator[Runbook]:
    """A session of its own on a project."""
    with open_runbook(project.root, stage=stage) as opened:
        yield opened


def closed(gates: Gates) -> set[str]:
    """The names of the gates that refuse, but for the name that has to be typed."""
    return {each.name for each in gates.refusing} - {"name typed"}


@pytest.fixture(scope="module")
def ready(template: Template, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ready]:
    """One for a whole module: each test leaves it as it found it."""
    name = f"ready_{next(_numbers)}"
    root = tmp_path_factory.mktemp("ready")
    project = template.copy(root / "project", name)
    pending(project)
    with ExitStack() as stack:
        stack.callback(template.server.drop_database, name)
        with production(project) as rb:
            prepare(rb)
            assert closed(rb.gates()) == set()
        yield Ready(project, root)
