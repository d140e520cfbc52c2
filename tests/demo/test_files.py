"""The demo's templates, and the files made of them: no server."""

from __future__ import annotations

import ast
import json
import os
import stat
import string
import subprocess
import sys
import tomllib
from importlib.resources import files
from pathlib import Path

import dotenv
import pytest

from mig_kit.demo.files import OWNED, set_address, write_edited_models, write_env, write_released_project
from mig_kit.postgres import ConnectionInfo
from mig_kit.secret import Secret

PROJECT = Path(str(files("mig_kit.demo") / "project"))
DATABASE = ConnectionInfo(host="127.0.0.1", port=5433, dbname="portfolio", user="portfolio", password=Secret("s3cret-"))


@pytest.fixture
def released(tmp_path: Path) -> Path:
    write_released_project(tmp_path, Path(sys.executable))
    write_env(tmp_path, DATABASE, Path("/opt/my tools #1/bin/pg_dump"))
    return tmp_path


def test_lays_the_project_out_as_the_runbook_names_it(released: Path) -> None:
    for name in (
        ".env",
        ".env.example",
        ".gitignore",
        ".tmp/backups",
        "backend/manage.py",
        "backend/config/settings.py",
        "backend/config/urls.py",
        "backend/config/wsgi.py",
        *(f"backend/apps/{app}/models.py" for app in ("portfolio", "blog", "contact")),
        *(f"backend/apps/{app}/admin.py" for app in ("portfolio", "blog", "contact")),
        *(f"backend/apps/{app}/migrations/0001_initial.py" for app in ("portfolio", "blog", "contact")),
        "execution/backup_database.py",
        "mig_kit.toml",
    ):
        assert (released / name).exists(), name
    assert {path.name for path in released.iterdir()} <= {*OWNED, ".tmp"}
    assert not [path for path in released.rglob("*") if path.name.endswith("-tpl")]


def test_every_python_file_reads_on_the_oldest_interpreter_that_runs_it(released: Path) -> None:
    write_edited_models(released)
    modules = list(released.rglob("*.py"))
    assert len(modules) > 25
    for path in modules:
        ast.parse(path.read_text(encoding="utf-8"), filename=str(path), feature_version=(3, 8))


def test_the_edit_changes_the_models_and_nothing_else(released: Path) -> None:
    before = {path: path.read_bytes() for path in released.rglob("*") if path.is_file()}
    write_edited_models(released)
    after = {path: path.read_bytes() for path in released.rglob("*") if path.is_file()}
    changed = {str(path.relative_to(released)) for path in after if after[path] != before.get(path)}
    assert changed == {f"backend/apps/{app}/models.py" for app in ("portfolio", "blog", "contact")}


def test_no_template_passes_for_code_or_for_a_hidden_file_of_this_repository() -> None:
    for path in PROJECT.rglob("*"):
        assert path.is_dir() or path.name.endswith("-tpl"), path
        assert not path.name.startswith("."), path


def test_env_is_readable_by_its_owner_only_and_reads_the_same_for_everyone(released: Path) -> None:
    env = released / ".env"
    assert stat.S_IMODE(env.stat().st_mode) == 0o600
    read_by_dotenv = dotenv.dotenv_values(env)
    assert read_by_dotenv["DATABASE_PASSWORD"] == "s3cret-"
    assert read_by_dotenv["PG_DUMP"] == "/opt/my tools #1/bin/pg_dump"
    assert len(read_by_dotenv["SECRET_KEY"] or "") >= 50
    # Only what the settings module does before it needs Django.
    code = "import json, os; import config.settings; print(json.dumps(dict(os.environ)))"
    bare = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=released / "backend",
        env=bare,
        capture_output=True,
        text=True,
        check=True,
    )
    read_by_settings = json.loads(ran.stdout)
    assert {key: read_by_settings[key] for key in read_by_dotenv} == read_by_dotenv


def test_each_env_gets_a_secret_key_of_its_own(released: Path) -> None:
    first = dotenv.dotenv_values(released / ".env")["SECRET_KEY"]
    write_env(released, DATABASE, Path("/usr/bin/pg_dump"))
    assert dotenv.dotenv_values(released / ".env")["SECRET_KEY"] != first


def test_the_example_names_every_variable_and_holds_no_secret(released: Path) -> None:
    text = (released / ".env.example").read_text()
    for key in dotenv.dotenv_values(released / ".env"):
        assert f"{key}=" in text
    values = dotenv.dotenv_values(released / ".env.example")
    assert not values["DATABASE_PASSWORD"]
    assert not values["SECRET_KEY"]


def test_a_new_address_changes_two_lines_of_env(released: Path) -> None:
    env = released / ".env"
    before = env.read_text().splitlines()
    set_address(released, "127.0.0.2", 6000)
    after = env.read_text().splitlines()
    changed = [line for line, old in zip(after, before, strict=True) if line != old]
    assert changed == ["DATABASE_HOST=127.0.0.2", "DATABASE_PORT=6000"]
    assert stat.S_IMODE(env.stat().st_mode) == 0o600


def test_the_configuration_names_the_interpreter_whatever_its_path(tmp_path: Path) -> None:
    python = Path('/home/Zoë/my "venv"/bin/$python')
    write_released_project(tmp_path, python)
    config = tomllib.loads((tmp_path / "mig_kit.toml").read_text("utf-8"))
    assert config["python"] == str(python)
    assert config["masked_columns"]
    assert all(sql.startswith("SELECT ") for sql in config["queries"].values())


def test_only_env_and_the_configuration_are_filled_in() -> None:
    filled = {"dot-env-tpl", "mig_kit.toml-tpl"}
    for path in PROJECT.rglob("*-tpl"):
        if path.name in filled:
            assert string.Template(path.read_text("utf-8")).get_identifiers(), path
