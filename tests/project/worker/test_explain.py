"""Why there are no changes: each cause is found by looking; on SQLite, which has no say in it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mig_kit.project import Worker
from tests.project.projects import Site, make_site

ITEM = "class Item(models.Model):\n    title = models.CharField(max_length=40)\n"


@pytest.fixture(scope="module")
def puzzling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, list[dict[str, Any]]]]:
    """A project with one app for each cause, and what was found in it."""
    apps = ("vim", "saved", "emacs", "bare", "spaced", "off", "routed", "forgot", "unmanaged", "fine")
    site = make_site(tmp_path_factory.mktemp("puzzling") / "site", None, apps=apps)
    for app in apps:
        site.models(app, ITEM)
    swap = b"b0VIM 9.0" + bytes(998) + b"\x55" + bytes(16)
    (site.folder / "vim" / ".models.py.swp").write_bytes(swap)
    (site.folder / "saved" / ".models.py.swp").write_bytes(swap.replace(b"\x55", b"\x00"))
    (site.folder / "emacs" / ".#models.py").symlink_to("someone@host.1234")
    shutil.rmtree(site.folder / "bare" / "migrations")
    (site.folder / "spaced" / "migrations" / "__init__.py").unlink()
    site.write("spaced/migrations/0001_initial.py", "# a folder with files that is no package")
    (site.folder / "forgot" / "models.py").unlink()
    site.write("forgot/models/__init__.py", "from .item import Item\n")
    site.write("forgot/models/item.py", "from django.db import models\n\n\n" + ITEM)
    site.write("forgot/models/lost.py", "from django.db import models\n\n\n" + ITEM.replace("Item", "Lost"))
    site.models("unmanaged", ITEM + "\n    class Meta:\n        managed = False\n")
    site.write("store/__init__.py", "")
    site.models("store", ITEM)
    site.models("fine", ITEM + "\n\nclass Base(models.Model):\n    class Meta:\n        abstract = True\n")
    site.write(
        "config/routers.py",
        "class Router:\n    def allow_migrate(self, db, app, **hints):\n        return app != 'routed'\n",
    )
    site.append_settings('DATABASE_ROUTERS = ["config.routers.Router"]\nMIGRATION_MODULES = {"off": None}')
    site.manage("makemigrations")
    with site.worker() as worker:
        yield site, worker.call("explain_no_changes", root=str(site.folder))


def found(puzzling: tuple[Site, list[dict[str, Any]]], finding: str) -> list[str | None]:
    return [each["app"] for each in puzzling[1] if each["id"] == finding]


@pytest.mark.parametrize(
    ("finding", "apps"),
    [
        ("unsaved-file", ["emacs", "vim"]),
        ("no-migrations-package", ["bare", "spaced"]),
        ("migrations-off", ["off"]),
        ("router", ["routed"]),
        ("not-imported", ["forgot"]),
        ("unmanaged", ["unmanaged"]),
        ("not-installed", ["store"]),
        ("last-saved", [None]),
    ],
)
def test_finds_the_cause(puzzling: tuple[Site, list[dict[str, Any]]], finding: str, apps: list[str | None]) -> None:
    assert found(puzzling, finding) == apps


def test_names_the_thing_and_the_next_step(puzzling: tuple[Site, list[dict[str, Any]]]) -> None:
    site, findings = puzzling
    texts = {each["id"]: (each["message"], each["hint"]) for each in findings}
    assert texts["not-imported"] == (
        f"The model class Lost in {site.folder}/forgot/models/lost.py is never imported by the app, "
        "so Django does not know it.",
        f"import it in {site.folder}/forgot/models/__init__.py",
    )
    assert texts["router"][0] == "A router (config.routers.Router) keeps 'routed' out of the database 'default'."
    assert texts["not-installed"] == (
        f"{site.folder}/store has models and is not in INSTALLED_APPS.",
        "add it to INSTALLED_APPS",
    )


def test_finds_nothing_where_all_is_well(puzzling: tuple[Site, list[dict[str, Any]]], tmp_path: Path) -> None:
    site = make_site(tmp_path / "site", None)
    site.models("shop", ITEM)
    site.manage("makemigrations")
    models = site.folder / "shop" / "models.py"
    os.utime(models, (models.stat().st_atime, models.stat().st_mtime - 7300))
    with site.worker() as worker:
        assert worker.call("model_changes")["migrations"] == []
        (last,) = worker.call("explain_no_changes")
    assert last["message"] == f"The models file that was saved last is {models}, 2 hours ago."


def test_keeps_to_the_apps_that_were_named(puzzling: tuple[Site, list[dict[str, Any]]]) -> None:
    site = puzzling[0]
    with Worker(site.project) as worker:
        only = worker.call("explain_no_changes", apps=["vim"], root=str(site.folder))
    assert {each["id"] for each in only} == {"unsaved-file", "last-saved"}
