"""mig_kit.toml and [tool.mig_kit], in real files."""

from __future__ import annotations

from pathlib import Path

import pytest

from mig_kit.errors import AmbiguousProject, ConfigError
from mig_kit.project.config import Config, find_config

FULL = """
python = ".venv"
settings = "config.settings"
stage = "production"
database = "default"
masked_columns = ["contact.email", "phone"]
backup_script = "execution/backup_database.py"

[queries]
"published projects" = "select count(*) from portfolio_project where published"

[environ]
DB_PASSWORD = "s3cret"
"""


def refused(folder: Path, text: str) -> str:
    (folder / "mig_kit.toml").write_text(text, "utf-8")
    with pytest.raises(ConfigError) as caught:
        find_config([folder])
    return str(caught.value)


def test_is_empty_without_a_file(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.ruff]\n", "utf-8")
    config = find_config([tmp_path])
    assert config == Config()
    assert (config.source, config.folder, dict(config.queries), dict(config.environ)) == (None, None, {}, {})


@pytest.mark.parametrize("name", ["mig_kit.toml", "pyproject.toml"])
def test_reads_every_key(tmp_path: Path, name: str) -> None:
    text = FULL
    if name == "pyproject.toml":
        text = "[tool.mig_kit]" + FULL.replace("[queries]", "[tool.mig_kit.queries]").replace(
            "[environ]", "[tool.mig_kit.environ]"
        )
    (tmp_path / name).write_text(text, "utf-8")
    config = find_config([tmp_path])
    assert config.python == ".venv"
    assert config.settings == "config.settings"
    assert config.stage == "production"
    assert config.database == "default"
    assert config.masked_columns == ("contact.email", "phone")
    assert config.backup_script == "execution/backup_database.py"
    assert list(config.queries) == ["published projects"]
    assert config.environ["DB_PASSWORD"] == "s3cret"
    assert config.source == tmp_path / name
    assert config.folder == tmp_path
    assert "s3cret" not in repr(config)


def test_refuses_two_files_naming_both(tmp_path: Path) -> None:
    (tmp_path / "mig_kit.toml").write_text("", "utf-8")
    (tmp_path / "backend").mkdir()
    (tmp_path / "backend" / "pyproject.toml").write_text("[tool.mig_kit]\n", "utf-8")
    with pytest.raises(AmbiguousProject) as caught:
        find_config([tmp_path / "backend", tmp_path])
    assert caught.value.candidates == (
        f"[tool.mig_kit] of {tmp_path / 'backend' / 'pyproject.toml'}",
        str(tmp_path / "mig_kit.toml"),
    )
    assert all(candidate in caught.value.message for candidate in caught.value.candidates)


def test_names_an_unknown_key_and_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / "mig_kit.toml"
    assert refused(tmp_path, 'setings = "x"') == (
        f"{path} has an unknown key 'setings'.\nNext: did you mean 'settings'?"
    )
    assert "did you mean 'masked_columns'?" in refused(tmp_path, "masked-columns = []")
    assert "the keys are backup_script, check, database," in refused(tmp_path, "zzz = 1")


def test_says_how_to_write_a_table_that_stands_in_the_wrong_file(tmp_path: Path) -> None:
    assert "in mig_kit.toml the keys stand at the top level" in refused(tmp_path, "[tool.mig_kit]\n")
    (tmp_path / "mig_kit.toml").unlink()
    (tmp_path / "pyproject.toml").write_text("[tool.mig-kit]\n", "utf-8")
    with pytest.raises(ConfigError, match=r"has a table \[tool\.mig-kit\]\.\nNext: its name is \[tool\.mig_kit\]"):
        find_config([tmp_path])


def test_says_how_old_a_backup_may_be(tmp_path: Path) -> None:
    assert find_config([tmp_path]).gates.backup_hours == 24
    (tmp_path / "mig_kit.toml").write_text("[gates]\nbackup_hours = 0.5\n", "utf-8")
    assert find_config([tmp_path]).gates.backup_hours == 0.5
    path = tmp_path / "mig_kit.toml"
    assert refused(tmp_path, "[gates]\nbackup_hours = 0") == (
        f"gates.backup_hours in {path} is no number above 0.\nNext: write backup_hours = 24"
    )
    assert refused(tmp_path, "[gates]\nhours = 4") == (
        f"gates in {path} has an unknown key 'hours'.\nNext: the key is backup_hours"
    )
    assert refused(tmp_path, "gates = 4").startswith(f"gates in {path} is not a table.")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("settings = 5", "settings in {} is an integer; it must be a string."),
        ("python = true", "python in {} is a boolean; it must be a string."),
        ("stage = 2026-01-01", "stage in {} is a date or time; it must be a string."),
        ('database = ""', "database in {} is empty."),
        ('queries = "select 1"', "queries in {} is a string; it must be a table of strings."),
        ("queries.one = [1]", "queries.one in {} is an array; it must be a string."),
        ('masked_columns = "email"', "masked_columns in {} is a string; it must be an array of strings."),
        ("masked_columns = ['a', 1.5]", "masked_columns[1] in {} is a float; it must be a string."),
    ],
)
def test_names_a_wrong_type_and_the_right_one(tmp_path: Path, text: str, said: str) -> None:
    assert refused(tmp_path, text).splitlines()[0] == said.format(tmp_path / "mig_kit.toml")


def test_shows_no_value_of_environ_in_an_error(tmp_path: Path) -> None:
    said = refused(tmp_path, "[environ]\nPIN = 987654")
    assert said.startswith("environ.PIN in ")
    assert "987654" not in said


def test_names_the_line_of_broken_toml(tmp_path: Path) -> None:
    assert "is not valid TOML: Invalid value (at line 2, column 12)." in refused(tmp_path, "\nsettings = oops\n")


def test_refuses_what_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "mig_kit.toml").write_bytes(b'stage = "x"\npython = "\xff"\n')
    with pytest.raises(ConfigError, match=r"is not UTF-8: line 2\.") as caught:
        find_config([tmp_path])
    assert caught.value.__context__ is None


def test_refuses_a_tool_entry_that_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool]\nmig_kit = 1\n", "utf-8")
    with pytest.raises(ConfigError, match=r"tool\.mig_kit in .* is an integer, not a table\."):
        find_config([tmp_path])
