"""A worker that takes an app's migrations from another folder; on SQLite, for no database is asked."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mig_kit import errors
from tests.project.projects import Site, make_site

INITIAL = 'operations = [migrations.CreateModel("Item", [("id", models.BigAutoField(primary_key=True))])]'
MORE = """
dependencies = [("shop", "0001_initial")]
operations = [migrations.AddField("Item", "size", models.IntegerField(null=True))]
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = make_site(tmp_path / "site", None)
    site.migration("shop", "0001_initial", INITIAL)
    return site


def other(site: Site, source: str = "shop/migrations") -> Path:
    """Copy the app's migrations beside the project."""
    place = site.folder.parent / "other"
    shutil.copytree(site.folder / source, place)
    return place


def names(site: Site, **options: object) -> list[str]:
    with site.worker(**options) as worker:
        return [each["name"] for each in worker.call("plan", app="shop")]


def test_finds_what_the_other_folder_has_under_the_apps_own_name(site: Site) -> None:
    place = other(site)
    site.migration("shop", "0002_mine", MORE)
    (place / "0002_theirs.py").write_text(
        "from django.db import migrations\nfrom ._helper import size\n\n\nclass Migration(migrations.Migration):\n"
        '    dependencies = [("shop", "0001_initial")]\n'
        '    operations = [migrations.AddField("Item", "size", size())]\n'
    )
    (place / "_helper.py").write_text(
        "from django.db import models\n\n\ndef size():\n    assert __name__ == 'shop.migrations._helper'\n"
        "    return models.IntegerField(null=True)\n"
    )
    assert names(site) == ["0001_initial", "0002_mine"]
    assert names(site, migrations={"shop": str(place)}) == ["0001_initial", "0002_theirs"]
    with site.worker(migrations={"shop": str(place)}) as worker:
        (found,) = worker.call("operations", migrations=[["shop", "0002_theirs"]])
        assert found["file"] == str(place / "0002_theirs.py")


def test_also_where_the_project_has_imported_them_already(site: Site) -> None:
    place = other(site)
    (place / "0001_initial.py").rename(place / "0001_first.py")
    site.append_settings("import importlib\nimportlib.import_module('shop.migrations.0001_initial')")
    assert names(site, migrations={"shop": str(place)}) == ["0001_first"]


def test_follows_the_settings_own_place_of_migrations(site: Site) -> None:
    site.append_settings('MIGRATION_MODULES = {"shop": "kept.of_shop"}')
    shutil.copytree(site.folder / "shop/migrations", site.folder / "kept/of_shop")
    site.write("kept/__init__.py", "")
    place = other(site, "kept/of_shop")
    (place / "0001_initial.py").rename(place / "0001_first.py")
    assert names(site) == ["0001_initial"]
    assert names(site, migrations={"shop": str(place)}) == ["0001_first"]


def test_an_app_whose_migrations_are_switched_off_is_refused(site: Site) -> None:
    site.append_settings('MIGRATION_MODULES = {"shop": None}')
    with pytest.raises(errors.UsageError, match="has its migrations switched off"):
        names(site, migrations={"shop": str(site.folder)})
