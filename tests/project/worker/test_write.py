"""Migration files are written whole or not at all; on PostgreSQL and SQLite."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mig_kit import errors
from mig_kit.project import Worker
from tests.project.projects import Site, make_site

Start = Callable[..., Worker]

ITEM = "class Item(models.Model):\n    title = models.CharField(max_length=40)\n"


@pytest.fixture
def lite(tmp_path: Path) -> Site:
    """A project of two apps, each with one new model, on SQLite."""
    site = make_site(tmp_path / "site", None, apps=("shop", "store"))
    for app in ("shop", "store"):
        site.models(app, ITEM)
    return site


def paths(site: Site) -> set[str]:
    """Return every path below the project, hidden and half-written ones too."""
    found = {str(path.relative_to(site.folder)) for path in site.folder.rglob("*")}
    return {path for path in found if "__pycache__" not in path and ".sqlite3" not in path}


def test_writes_all_apps_and_says_nothing_is_left(lite: Site, start: Start) -> None:
    worker = start(lite)
    made = worker.call("generate")
    assert [(each["app"], each["name"]) for each in made["files"]] == [
        ("shop", "0001_initial"),
        ("store", "0001_initial"),
    ]
    for each in made["files"]:
        assert Path(each["path"]).read_text("utf-8") == each["source"]
        assert each["created"] == []
    pid = worker.pid
    assert worker.call("model_changes")["text"] == "No changes detected\n"
    assert worker.call("generate")["files"] == []
    assert [each["name"] for each in worker.call("plan")] == ["0001_initial", "0001_initial"]
    assert worker.pid == pid  # its own files are no reason to start afresh
    Path(made["files"][0]["path"]).write_text(made["files"][0]["source"] + "# edited\n", "utf-8")
    worker.call("plan")
    assert worker.pid != pid


def test_leaves_an_installed_package_as_it_is_unless_it_is_named(lite: Site, start: Start) -> None:
    """A released package with model drift would otherwise get a file that the next installation takes away."""
    package = lite.write("lib/site-packages/thing/__init__.py", "").parent
    (package / "models.py").write_text("from django.db import models\n\n\n" + ITEM)
    (package / "migrations").mkdir()
    (package / "migrations" / "__init__.py").touch()
    lite.append_settings(
        f"import sys\nsys.path.insert(0, {str(package.parent)!r})\nINSTALLED_APPS = [*INSTALLED_APPS, 'thing']\n"
    )
    made = start(lite).call("generate")
    assert [each["app"] for each in made["files"]] == ["shop", "store"]
    assert made["warnings"] == [
        "'thing' is an installed package that differs from its own migrations; nothing was written into it. "
        "Name it to have that: apps=['thing']."
    ]
    assert sorted(path.name for path in (package / "migrations").glob("*.py")) == ["__init__.py"]
    assert [each["app"] for each in start(lite).call("generate", apps=["thing"])["files"]] == ["thing"]


def test_names_a_migration_and_limits_it_to_an_app(lite: Site, start: Start) -> None:
    made = start(lite).call("generate", apps=["store"], name="first_things")
    assert [(each["app"], each["name"]) for each in made["files"]] == [("store", "0001_first_things")]
    assert not list((lite.folder / "shop" / "migrations").glob("0*"))


def test_refuses_a_name_that_python_could_not_import(lite: Site, start: Start) -> None:
    worker = start(lite)
    for name in ("two words", "a-b", "", "1/2"):
        with pytest.raises(errors.UsageError, match=re.escape(f"{name!r} cannot name a migration")):
            worker.call("generate", name=name)


def test_names_the_nearest_app(lite: Site, start: Start) -> None:
    with pytest.raises(errors.AppNotFound) as caught:
        start(lite).call("generate", apps=["shpo"])
    assert str(caught.value) == "No installed app has the label 'shpo'.\nNext: did you mean 'shop'?"


def test_makes_the_package_of_an_app_without_one(lite: Site, start: Start) -> None:
    shutil.rmtree(lite.folder / "shop" / "migrations")
    worker = start(lite)
    assert [each["app"] for each in worker.call("model_changes")["migrations"]] == ["store"]
    made = worker.call("generate", apps=["shop"])
    folder = lite.folder / "shop" / "migrations"
    assert made["files"][0]["created"] == [str(folder), str(folder / "__init__.py")]
    assert [each["name"] for each in worker.call("plan", app="shop")] == ["0001_initial"]


def test_writes_where_migration_modules_says(lite: Site, start: Start, tmp_path: Path) -> None:
    lite.append_settings('MIGRATION_MODULES = {"shop": "config.moved.shop_migrations"}')
    twin = Site(tmp_path / "twin", lite.python)
    shutil.copytree(lite.folder, twin.folder)
    twin.manage("makemigrations", "shop", "store")
    worker = start(lite)
    before = paths(lite)
    assert [each["app"] for each in worker.call("model_changes")["migrations"]] == ["store"]  # as Django has it
    text = worker.call("model_changes", apps=["shop", "store"])["text"]
    # Django makes the folder as soon as a dry run names it.
    assert paths(lite) == before
    assert "config/moved/shop_migrations/0001_initial.py" in text
    made = worker.call("generate", apps=["shop", "store"])
    assert paths(lite) == paths(twin)
    assert [Path(each).name for each in made["files"][0]["created"]] == [
        "moved",
        "__init__.py",
        "shop_migrations",
        "__init__.py",
    ]
    assert [each["app"] for each in worker.call("plan")] == ["shop", "store"]


def test_says_when_migration_modules_names_no_place(lite: Site, start: Start) -> None:
    lite.append_settings('MIGRATION_MODULES = {"shop": "nowhere.migrations"}')
    with pytest.raises(errors.WriteError, match=r"There is no place for the migrations package nowhere\.migrations"):
        start(lite).call("generate", apps=["shop", "store"])
    assert not list((lite.folder / "store" / "migrations").glob("0*"))


def test_leaves_nothing_when_a_folder_is_read_only(lite: Site, start: Start) -> None:
    folder = lite.folder / "store" / "migrations"
    locked = _make_read_only(folder)
    try:
        before = paths(lite)
        with pytest.raises(errors.WriteError) as caught:
            start(lite).call("generate")
        assert paths(lite) == before
    finally:
        subprocess.run(locked, check=True)
    assert str(folder / ".0001_initial.py.tmp") in caught.value.message
    assert "nothing was left behind" in caught.value.hint


def _make_read_only(folder: Path) -> list[str]:
    """Take away the right to write there, from root as well; return the command that gives it back."""
    if os.geteuid():
        folder.chmod(0o555)
        return ["chmod", "755", str(folder)]
    if subprocess.run(["chattr", "+i", str(folder)], capture_output=True, check=False).returncode:
        pytest.skip("as root on a file system without chattr, no folder is read-only")
    return ["chattr", "-i", str(folder)]


def test_leaves_nothing_when_a_file_stands_where_the_package_goes(lite: Site, start: Start) -> None:
    shutil.rmtree(lite.folder / "store" / "migrations")
    lite.write("store/migrations", "in the way")
    worker = start(lite)
    before = paths(lite)
    with pytest.raises(errors.WriteError, match=r"File exists|Not a directory"):
        worker.call("generate", apps=["shop", "store"])
    assert paths(lite) == before


def test_leaves_nothing_when_the_disk_is_full(lite: Site, start: Start) -> None:
    """The file system's limit on a file's size stands in for the full disk: the write fails half way."""
    lite.models("store", ITEM + "".join(f"    field_{n} = models.CharField(max_length={n + 1})\n" for n in range(200)))
    lite.append_settings(
        f"""
        import resource, signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (6000, {resource.RLIM_INFINITY}))
        import sys
        sys.dont_write_bytecode = True
        """
    )
    worker = start(lite)
    worker.call("model_changes")
    before = paths(lite)
    with pytest.raises(errors.WriteError, match="File too large"):
        worker.call("generate")
    assert paths(lite) == before


def test_refuses_a_default_that_cannot_be_written(lite: Site, start: Start) -> None:
    lite.models("store", "class Item(models.Model):\n    kind = models.CharField(max_length=9, default=lambda: 'x')\n")
    worker = start(lite)
    before = paths(lite)
    with pytest.raises(errors.WriteError) as caught:
        worker.call("generate")
    assert "store.0001_initial cannot be written: Cannot serialize function: lambda" in caught.value.message
    assert paths(lite) == before
    found = worker.call("model_changes")  # the review shows what it can
    assert [each["app"] for each in found["migrations"]] == ["shop", "store"]
    assert "shop/migrations/0001_initial.py" in found["text"]
    assert found["warnings"] == ["These changes cannot be written as a migration: Cannot serialize function: lambda"]


def branched(site: Site) -> None:
    site.models("shop", ITEM + "    a = models.IntegerField(null=True)\n    b = models.IntegerField(null=True)\n")
    site.migration(
        "shop",
        "0001_initial",
        """
        initial = True
        operations = [migrations.CreateModel("Item", [("id", models.BigAutoField(primary_key=True)),
            ("title", models.CharField(max_length=40))])]
        """,
    )
    for name in ("a", "b"):
        site.migration(
            "shop",
            f"0002_{name}",
            f"""
            dependencies = [("shop", "0001_initial")]
            operations = [migrations.AddField("item", "{name}", models.IntegerField(null=True))]
            """,
        )


def test_merges_branches_as_makemigrations_does(site: Site, start: Start, tmp_path: Path) -> None:
    branched(site)
    twin = Site(tmp_path / "twin", site.python)
    shutil.copytree(site.folder, twin.folder)
    worker = start(site)
    for refused in ("model_changes", "generate", "plan"):
        with pytest.raises(errors.MigrationGraphError, match="several leaf nodes: 0002_a, 0002_b in shop"):
            worker.call(refused)
    assert worker.call("graph")["conflicts"] == {"shop": ["0002_a", "0002_b"]}
    with pytest.raises(errors.UnansweredQuestions) as caught:
        worker.call("merge")
    assert [each["id"] for each in caught.value.questions] == ["merge:shop"]
    assert worker.call("merge", answers={"merge:shop": False})["files"] == []
    made = worker.call("merge", answers={"merge:shop": True})
    assert [(each["leaf"], each["operations"]) for each in made["branches"][0]["branches"]] == [
        ("0002_a", ["Add field a to item"]),
        ("0002_b", ["Add field b to item"]),
    ]
    assert [each["name"] for each in made["files"]] == ["0003_merge_0002_a_0002_b"]
    twin.manage("makemigrations", "--merge", typed="y\n")

    def sources(of: Site) -> dict[str, str]:
        return {name: re.sub("# Generated.*", "", text) for name, text in of.files().items() if "migrations" in name}

    assert sources(site) == sources(twin)
    assert worker.call("plan")[-1]["name"] == "0003_merge_0002_a_0002_b"


def test_names_a_merge(site: Site, start: Start) -> None:
    branched(site)
    made = start(site).call("merge", answers={"merge:shop": True}, name="both")
    assert [each["name"] for each in made["files"]] == ["0003_both"]
