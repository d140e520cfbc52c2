"""Safer migrations for a pending one, rehearsed on copies of a restored backup, on the embedded PostgreSQL 18."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from mig_kit import errors
from mig_kit.hazards.assessment import VerdictKind
from mig_kit.lab.html import to_html
from mig_kit.lab.text import to_text
from mig_kit.lab.views import safer_view
from mig_kit.postgres import Server
from mig_kit.steps import _safer_files
from mig_kit.steps.safer import Safer, safer
from tests.hazards.remedies_bench import Bench, migration
from tests.servers import fresh_database

pytestmark = pytest.mark.slow

INDEX = 'migrations.AddIndex("Shoe", models.Index(fields=["name"], name="shoe_name_idx")),'
FILL = """
def fill(apps, schema_editor):
    Shoe = apps.get_model("shop", "Shoe")
    Shoe.objects.filter(code="").update(code="none")
"""
MIXED = """migrations.AddField("Shoe", "color", models.CharField(max_length=9, default="red")),
        migrations.RunPython(fill, migrations.RunPython.noop),
        migrations.AddConstraint("Shoe", models.CheckConstraint(condition=models.Q(stock__gte=0), name="not_less")),
        migrations.RemoveField("Shoe", "hint"),
        migrations.RenameField("Brand", "name", "title"),"""


@pytest.fixture(scope="module")
def bench(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    made = Bench.make(tmp_path_factory.mktemp("safer"), fresh_database(server, "safer"))
    with closing(made.target):
        yield made
    server.drop_database("safer")


@pytest.fixture
def folder(bench: Bench) -> Iterator[Path]:
    """The app's migrations, as they were afterwards."""
    place = bench.folder / "site" / "shop" / "migrations"
    kept = {path.name for path in place.glob("*.py")}
    yield place
    for path in place.iterdir():
        if path.is_file() and path.name not in kept:
            path.unlink()


def offered(bench: Bench, folder: Path, operations: str = INDEX, **more: str) -> Safer:
    (folder / "0002_change.py").write_text(migration(operations, **more))
    return safer(bench.target, "shop", "0002", backup=bench.backup)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "__pycache__")


def test_an_unsafe_migration_becomes_a_safe_one(bench: Bench, folder: Path) -> None:
    found = offered(bench, folder)
    assert found
    assert found.ok
    assert found.safe
    assert found.original is not None
    assert found.original.lock_safety.kind is VerdictKind.UNSAFE
    assert found.lock_safety is not None
    assert found.lock_safety.kind is VerdictKind.SAFE
    assert (found.left, found.differences, found.state_kept) == ((), (), True)
    assert repr(found) == "<Safer: 1 files instead of shop.0002_change, ok>"
    assert str(found) == "shop.0002_change"


def test_looks_like_what_it_is(bench: Bench, folder: Path) -> None:
    """Verdicts before and with the files in plain sight, the files in folds; the same in a terminal."""
    found = offered(bench, folder)
    for draw in (to_html, to_text):
        drawn = " ".join(draw(safer_view(found)).split())
        for words in ("1 file instead of shop.0002_change, rehearsed and safe", "as it stands", "AddIndexConcurrently"):
            assert words in drawn
        assert "rb.safer(" in drawn
    other = replace(found, state_kept=False)
    assert "a draft only" in to_text(safer_view(other))
    nothing = replace(found, files={}, left=("MK302 …: keep the column",))
    assert "Nothing to write instead of shop.0002_change" in to_text(safer_view(nothing))
    assert "MK302" in to_text(safer_view(nothing))


def test_nothing_of_the_project_is_touched_before_it_is_written(bench: Bench, folder: Path) -> None:
    before = names(folder)
    found = offered(bench, folder, 'migrations.AlterField("Shoe", "maker", models.BigIntegerField()),')
    assert names(folder) == sorted([*before, "0002_change.py"])
    assert (folder / "0002_change.py").read_text() == migration(
        'migrations.AlterField("Shoe", "maker", models.BigIntegerField()),'
    )
    assert found.folder is not None
    assert found.folder == bench.folder / "site" / ".mig" / "safer" / "shop.0002_change"
    assert found.folder.stat().st_mode & 0o77 == 0


def test_written_it_takes_the_pending_ones_place(bench: Bench, folder: Path) -> None:
    found = offered(bench, folder, 'migrations.AddField("Shoe", "sold", models.PositiveIntegerField(null=True)),')
    paths = found.write()
    assert [path.name for path in paths] == ["0002_1_column_for_change.py", "0002_change.py"]
    assert {path.stem: path.read_text() for path in paths} == dict(found.files)
    plan = bench.target.ask("plan", app="shop")
    assert [each["name"] for each in plan] == ["0002_1_column_for_change", "0002_change"]
    with pytest.raises(errors.GateClosed, match="was changed since its files were rehearsed"):
        found.write()


def test_everything_of_one_migration_is_dealt_with_or_named(bench: Bench, folder: Path) -> None:
    found = offered(bench, folder, MIXED, functions=FILL)
    assert found.ok
    assert found.lock_safety is not None
    assert found.lock_safety.kind is VerdictKind.SAFE
    assert len(found.files) > 4
    assert list(found.later) == ["0002_next_release_1_default_drop_for_change"]
    assert any(each.startswith("MK302 ") for each in found.left)
    assert found.compatibility is not None
    assert found.compatibility.kind is VerdictKind.UNSAFE  # the rename takes another change of the models
    assert not found.safe
    found.write()
    assert not any("next_release" in name for name in names(folder))
    assert found.folder is not None
    assert len(list((found.folder / "next_release").iterdir())) == len(found.later)


def test_what_is_safe_as_it_stands_stays_so(bench: Bench, folder: Path) -> None:
    found = offered(bench, folder, 'migrations.AddField("Shoe", "note", models.TextField(null=True)),')
    assert not found
    assert found.left == ("shop.0002_change is safe as it stands, as far as the check can tell: rehearse it.",)
    with pytest.raises(errors.UsageError, match="nothing to write instead"):
        found.write()


def test_what_rewriting_alone_cannot_do_says_so(bench: Bench, folder: Path) -> None:
    found = offered(bench, folder, 'migrations.RenameField("Shoe", "size", "length"),')
    assert not found
    assert [each.partition(":")[0] for each in found.left] == ["MK302 Rename field size on Shoe to length"]


def test_an_applied_migration_is_never_replaced(bench: Bench, folder: Path) -> None:
    with pytest.raises(errors.UsageError, match=r"shop.0001_initial is applied already"):
        safer(bench.target, "shop", "0001", backup=bench.backup)


def test_one_that_was_applied_meanwhile_is_not_replaced(bench: Bench, folder: Path) -> None:
    found = offered(bench, folder)
    with bench.target.connect("test") as conn:
        conn.execute("INSERT INTO django_migrations (app, name, applied) VALUES ('shop', '0002_change', now())")
        try:
            with pytest.raises(errors.GateClosed, match="was applied meanwhile"):
                found.write()
        finally:
            conn.execute("DELETE FROM django_migrations WHERE name = '0002_change'")
    assert names(folder) == ["0001_initial.py", "0002_change.py", "__init__.py"]


def test_files_that_come_to_something_else_are_not_written(bench: Bench, folder: Path) -> None:
    found = replace(offered(bench, folder), state_kept=False)
    assert not found.ok
    with pytest.raises(errors.GateClosed, match="did not come to the same"):
        found.write()


def test_a_failure_in_the_middle_leaves_nothing_behind(
    bench: Bench, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = offered(bench, folder, 'migrations.AddField("Shoe", "sold", models.PositiveIntegerField(null=True)),')
    text = (folder / "0002_change.py").read_text()

    def full(path: Path, target: Path) -> None:
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(_safer_files.Path, "replace", full)
    with pytest.raises(errors.WriteError, match="No space left on device"):
        found.write()
    assert names(folder) == ["0001_initial.py", "0002_change.py", "__init__.py"]
    assert (folder / "0002_change.py").read_text() == text


def test_a_file_that_is_in_the_way_is_left_alone(bench: Bench, folder: Path) -> None:
    found = offered(bench, folder, 'migrations.AddField("Shoe", "sold", models.PositiveIntegerField(null=True)),')
    other = folder / f"{next(iter(found.files))}.py"
    other.write_text("# mine\n")
    with pytest.raises(errors.WriteError, match="is already there"):
        found.write()
    assert other.read_text() == "# mine\n"
