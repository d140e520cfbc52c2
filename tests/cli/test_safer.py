"""``mig-kit safer`` on a demo: files, JSON, exit codes, and what is written. Embedded PostgreSQL 18."""

from __future__ import annotations

from pathlib import Path

import pytest

from mig_kit.demo import Demo
from tests.cli.commands import Cli
from tests.cli.test_check import write

pytestmark = pytest.mark.slow

INDEX = 'migrations.AddIndex("Post", models.Index(fields=["title"], name="title_ix"))'


@pytest.fixture
def project(cli: Cli, copy: Path) -> Path:
    """A project with one pending migration, for tables of any size, and a backup."""
    write(copy, INDEX)
    with (copy / "mig_kit.toml").open("a") as config:
        config.write("\n[check]\nassume_large = true\n")
    assert cli("backup", "--project", copy, root=copy).code == 0
    return copy


def test_offers_files_and_writes_them_when_told(cli: Cli, project: Path) -> None:
    path = project / "backend/apps/blog/migrations/0005_more.py"
    original = path.read_text()
    done = cli("safer", "blog", "0005", "--project", project, root=project)
    assert done.code == 0, done.err
    assert "AddIndexConcurrently" in done.out
    assert "as it stands  blog.0005_more" in done.out
    assert "To put them in its place: mig-kit safer blog 0005_more --write" in done.out
    assert path.read_text() == original
    written = cli("safer", "blog", "0005", "--write", "--project", project, root=project)
    assert written.code == 0, written.err
    assert "Written: 1 file in " in written.out
    assert "atomic = False" in path.read_text()
    again = cli("safer", "blog", "0005", "--project", project, root=project)
    assert again.code == 1
    assert "Nothing to write instead of blog.0005_more." in again.out


def test_one_json_document(cli: Cli, project: Path) -> None:
    done = cli("safer", "blog", "0005", "--json", "--project", project, root=project)
    found = done.document
    assert (found["app"], found["name"], found["ok"], found["safe"]) == ("blog", "0005_more", True, True)
    assert list(found["files"]) == ["0005_more"]
    assert found["before"]["name"] == "0005_more"
    assert [each["lock_safety"] for each in found["after"]] == ["safe"]
    assert (found["differences"], found["state_kept"], found["written"]) == ([], True, False)


def test_what_stays_unsafe_is_found(cli: Cli, project: Path) -> None:
    write(project, 'migrations.RenameField("Post", "title", "heading")')
    done = cli("safer", "blog", "0005", "--project", project, root=project)
    assert done.code == 1
    assert "Left: MK302 Rename field title on Post to heading: keep the column" in " ".join(done.out.split())


def test_an_applied_one_is_refused(cli: Cli, demo: Demo) -> None:
    done = cli("safer", "blog", "0004", "--project", demo.root, root=demo.root)
    assert done.code == 2
    assert "is applied already; an applied migration is never replaced" in done.err
    assert "mig-kit status" in done.err
