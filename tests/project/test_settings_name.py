"""The settings module as manage.py names it, read from real files."""

from __future__ import annotations

from pathlib import Path

import pytest

from mig_kit.errors import AmbiguousProject, SettingsError
from mig_kit.project.settings_name import read_settings_name
from tests.project.folders import MANAGE_PY


def read(folder: Path, text: str, **environ: str) -> str:
    (folder / "manage.py").write_text(text, "utf-8")
    return read_settings_name(folder / "manage.py", environ)


SET = 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", '


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (MANAGE_PY.format(settings="config.settings"), "config.settings"),
        (f'import os\nif __name__ == "__main__":\n    {SET}"a.b")\n', "a.b"),
        ('from os import environ\nenviron["DJANGO_SETTINGS_MODULE"] = "a.b"', "a.b"),
        ('KEY = "DJANGO_SETTINGS_MODULE"\nDEFAULT = "a.b"\nos.environ.setdefault(KEY, DEFAULT)', "a.b"),
        (
            "from django.conf import ENVIRONMENT_VARIABLE\nos.environ.setdefault(ENVIRONMENT_VARIABLE, 'a.b')",
            "a.b",
        ),
        ('os.environ.update(DJANGO_SETTINGS_MODULE="a.b")', "a.b"),
        ('os.environ.update({"X": "1", "DJANGO_SETTINGS_MODULE": "a.b"})', "a.b"),
        (f'NAME: str = "dev"\n{SET}f"config.{{NAME}}")', "config.dev"),
        (f'{SET}"config." + "dev")', "config.dev"),
        (f'{SET}"a.b")\n{SET}"c.d")', "a.b"),  # the first default counts
        (f'{SET}"a.b")\nos.environ["DJANGO_SETTINGS_MODULE"] = "c.d"', "c.d"),  # the last assignment counts
        (f'if "DJANGO_SETTINGS_MODULE" not in os.environ:\n    {SET}"a.b")', "a.b"),
        (f'try:\n    {SET}"a.b")\nexcept OSError:\n    {SET}"a.b")', "a.b"),
        (f'with x:\n    {SET}"größe.einstellungen")', "größe.einstellungen"),
    ],
)
def test_reads_the_ways_it_is_written(tmp_path: Path, text: str, expected: str) -> None:
    assert read(tmp_path, text) == expected


@pytest.mark.parametrize(
    "stage", ['os.environ.get("STAGE", "dev")', 'os.getenv("STAGE", "dev")', 'os.getenv("STAGE") or "dev"']
)
def test_asks_the_environment_where_manage_py_does(tmp_path: Path, stage: str) -> None:
    text = f'stage = {stage}\n{SET}f"config.{{stage}}")'
    assert read(tmp_path, text) == "config.dev"
    assert read(tmp_path, text, STAGE="live") == "config.live"


@pytest.mark.parametrize(
    "text",
    [
        f'if "test" in sys.argv:\n    {SET}"config.test")\nelse:\n    {SET}"config.dev")',
        f'{SET}"config.test" if "test" in sys.argv else "config.dev")',
        f'try:\n    import local\n    {SET}"config.dev")\nexcept ImportError:\n    {SET}"config.test")',
        f'for x in y:\n    {SET}"config.dev")\n{SET}"config.test")',
        f'match x:\n    case 1:\n        {SET}"config.dev")\n    case _:\n        {SET}"config.test")',
    ],
)
def test_names_both_when_it_depends_on_a_condition(tmp_path: Path, text: str) -> None:
    with pytest.raises(AmbiguousProject) as caught:
        read(tmp_path, text)
    assert sorted(caught.value.candidates) == ["config.dev", "config.test"]
    first, second = caught.value.candidates
    assert str(caught.value) == (
        f"{tmp_path / 'manage.py'} names two settings modules, depending on a condition: "
        f"{first} and {second}.\n"
        f'Next: name settings="…" (--settings), or settings = "…" in mig_kit.toml, for example {first}'
    )


def test_says_the_line_of_a_syntax_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, "import os\n\ndef main(:\n    pass\n")
    assert caught.value.message == (f"{tmp_path / 'manage.py'} has a syntax error in line 3: invalid syntax.")


@pytest.mark.parametrize("text", ["", "from shop.cli import main\nmain()\n", "os.environ['OTHER'] = 'x'"])
def test_says_when_none_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match="names no settings module"):
        read(tmp_path, text)


@pytest.mark.parametrize(
    "value",
    ["compute()", 'os.environ["STAGE"]', 'f"config.{compute()}"', "name", '"%s" % x', "os.getenv(key())"],
)
def test_never_guesses_what_is_computed(tmp_path: Path, value: str) -> None:
    with pytest.raises(SettingsError, match=r"computes the settings module in line 2; only running it would tell\."):
        read(tmp_path, f"name = name\n{SET}{value})")


def test_never_runs_the_file(tmp_path: Path) -> None:
    trap = f"open({str(tmp_path / 'ran')!r}, 'w').close()\n"
    assert read(tmp_path, trap + SET + '"a.b")') == "a.b"
    assert not (tmp_path / "ran").exists()


def test_refuses_bytes_that_are_no_source(tmp_path: Path) -> None:
    (tmp_path / "manage.py").write_bytes(b"\x00\xff\xfe")
    with pytest.raises(SettingsError, match=r"manage\.py"):
        read_settings_name(tmp_path / "manage.py", {})
