"""What goes wrong on the user's side: one clear error each, nothing half-written (embedded PostgreSQL 18)."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mig_kit.demo import Demo
from tests.cli.commands import RENAME, Cli, running, secrets_of


def put_in_env(root: Path, name: str, value: str) -> None:
    path = root / ".env"
    path.write_text(re.sub(rf"^{name}=.*$", f"{name}={value}", path.read_text(), flags=re.MULTILINE))


def files_of(root: Path) -> dict[Path, bytes]:
    """Return the project's own files, without Python's caches."""
    found = (path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(root): path.read_bytes() for path in found if ".mig" not in path.parts}


def test_a_folder_without_a_project(tmp_path: Path, cli: Cli) -> None:
    told = cli("status", "--project", tmp_path)
    assert (told.code, told.out) == (3, "")
    assert told.err == (
        f"Error: There is no Django project at {tmp_path}: no manage.py in it, above it, or in the 3 levels below it "
        "(at most 5000 folders).\n"
        "Next: name the folder that holds manage.py; for a project without one, name its interpreter and its settings "
        "module, --python and --settings, and the variables it needs in the environment\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_settings_that_raise(copy: Path, cli: Cli) -> None:
    settings = copy / "backend" / "config" / "settings.py"
    settings.write_text(settings.read_text() + '\nraise RuntimeError("not with " + SECRET_KEY)\n')
    line = len(settings.read_text().splitlines())
    said = f"Importing the settings 'config.settings' raised RuntimeError: not with *** ({settings}, line {line})."
    told = cli("review", "--project", copy, root=copy)
    assert told.code == 3
    assert told.err == f"Error: {said}\nNext: mend it there, or name other settings with --settings\n"
    document = cli("status", "--json", "--project", copy, root=copy).error
    assert (document["kind"], document["message"], document["exit_code"]) == ("SettingsError", said, 3)
    whole = cli("status", "--traceback", "--project", copy, root=copy, traceback=True)
    assert "In the project's interpreter:\nTraceback" in whole.err
    assert f'File "{settings}", line {line}, in <module>' in whole.err


@pytest.mark.parametrize("step", ["status", "backup", "apply"])
def test_a_wrong_password(copy: Path, demo: Demo, cli: Cli, step: str) -> None:
    put_in_env(copy, "DATABASE_PASSWORD", "wrong-4711-password")
    before = files_of(copy)
    told = cli(step, "--project", copy, root=copy)
    assert (told.code, told.out) == (3, "")
    assert told.err == (
        f"Error: The server at {demo.database.host}:{demo.database.port} refuses the user 'portfolio' or their "
        "password.\nNext: check USER and PASSWORD in the project's DATABASES, or in the .env file it reads\n"
    )
    assert files_of(copy) == before


def test_a_server_that_is_down(copy: Path, cli: Cli) -> None:
    put_in_env(copy, "DATABASE_PORT", "1")
    told = cli("status", "--project", copy, root=copy)
    assert (told.code, told.out) == (3, "")
    assert told.err == (
        "Error: No PostgreSQL server answers at 127.0.0.1:1: Connection refused.\n"
        "Next: start the server, or check HOST and PORT in the project's DATABASES\n"
    )


def test_a_database_that_does_not_exist(copy: Path, demo: Demo, cli: Cli) -> None:
    put_in_env(copy, "DATABASE_NAME", "nowhere")
    told = cli("backup", "--project", copy, root=copy)
    assert (told.code, told.out) == (3, "")
    assert told.err == (
        f"Error: The server at {demo.database.host}:{demo.database.port} has no database 'nowhere'.\n"
        "Next: check NAME in the project's DATABASES, or create the database\n"
    )
    assert list((copy / ".tmp" / "backups").iterdir()) == []


def test_steps_that_need_no_postgresql_work_on_sqlite_and_the_others_say_so(copy: Path, cli: Cli) -> None:
    settings = copy / "backend" / "config" / "settings.py"
    sqlite = 'DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": PROJECT_ROOT / "db.sqlite3"}}'
    settings.write_text(f"{settings.read_text()}\n{sqlite}\n")
    for arguments in (("backup",), ("query", "SELECT 1")):
        told = cli(*arguments, "--project", copy)
        assert (told.code, told.out) == (3, "")
        assert told.err == (
            f"Error: The step '{arguments[0]}' needs PostgreSQL, and the database 'default' is sqlite.\n"
            "Next: the steps review, generate, preview, status and history work without it; "
            "name another alias with --database\n"
        )
    assert cli("status", "--project", copy).code == 0
    assert cli("review", "--check", "--project", copy).code == 1
    assert cli("generate", "--answer", f"{RENAME}=yes", "--project", copy).code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["status", "blgo"], 3, "Error: No installed app has the label 'blgo'.\nNext: did you mean 'blog'?\n"),
        (
            ["apply", "nothing"],
            3,
            "Error: No installed app has the label 'nothing'.\nNext: choose an app label that mig-kit status lists\n",
        ),
        (
            ["preview", "contact", "0009_nothing"],
            3,
            "Error: The app 'contact' has no migration '0009_nothing'.\nNext: did you mean '0001_initial'?\n",
        ),
        (
            ["status", "--database", "replica"],
            3,
            "Error: The project has no database alias 'replica'.\nNext: choose one of: default\n",
        ),
        (
            ["status", "--stage", "prod"],
            2,
            "Error: 'prod' is not a stage.\nNext: choose one of: development, staging, production\n",
        ),
        (
            ["apply", "contact", "0002"],
            2,
            "Error: contact 0002 lies before what is applied: that would take back contact.0004_subscriber, "
            "contact.0003_message_created_idx.\n"
            "Next: look at the way back: mig-kit preview contact 0004_subscriber --backwards\n",
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_a_name_that_does_not_exist(demo: Demo, cli: Cli, arguments: list[str], code: int, said: str) -> None:
    told = cli(*arguments, "--project", demo.root)
    assert (told.code, told.out, told.err) == (code, "", said)


def test_a_migration_with_a_syntax_error(copy: Path, cli: Cli) -> None:
    broken = copy / "backend" / "apps" / "blog" / "migrations" / "0002_post_reading_minutes.py"
    line = len(broken.read_text().splitlines()) + 1
    broken.write_text(broken.read_text() + "def broken(:\n")
    for step in ("status", "review", "generate", "apply"):
        told = cli(step, "--project", copy)
        assert (told.code, told.out) == (3, "")
        assert told.err.endswith(
            f"{broken}, line {line}, is not valid Python: invalid syntax.\n"
            "Next: mend the file there, then run the command again\n"
        )


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Let nobody write there: by its mode, or for root, whom that does not stop, by the immutable flag."""
    if os.geteuid() != 0:
        folder.chmod(0o555)
        undo = ["chmod", "755", str(folder)]
    else:
        made = subprocess.run(["chattr", "+i", str(folder)], capture_output=True, text=True, check=False)
        if made.returncode:
            pytest.skip(f"root, and this file system has no immutable flag: {made.stderr.strip()}")
        undo = ["chattr", "-i", str(folder)]
    try:
        yield
    finally:
        subprocess.run(undo, check=True)


def test_a_migrations_folder_that_is_read_only(copy: Path, cli: Cli) -> None:
    before = files_of(copy)
    folder = copy / "backend" / "apps" / "portfolio" / "migrations"  # the last of three: two would be written
    with read_only(folder):
        told = cli("generate", "--answer", f"{RENAME}=yes", "--project", copy)
    assert (told.code, told.out) == (3, "")
    assert told.err.startswith("Error: ")
    assert str(folder) in told.err
    assert "Next: " in told.err
    assert files_of(copy) == before


def test_a_project_in_a_folder_with_spaces_braces_and_other_letters(copy: Path, cli: Cli) -> None:
    root = copy.rename(copy.with_name("Größe {x} 'ü' \"$HOME\""))
    assert cli("status", "--project", root, "--json").document["project"] == str(root)
    made = cli("backup", "--project", root, root=root)
    assert made.code == 0
    assert f"Backup: {root}/.tmp/backups/portfolio-" in made.out
    written = cli("generate", "--answer", f"{RENAME}=yes", "--app", "blog", "--name", "grösse", "--project", root)
    assert written.code in (0, 2), written.err


def test_a_project_found_from_the_working_directory(copy: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(copy / "backend" / "apps")
    assert cli("status", "--json").document["project"] == str(copy)


def test_no_secret_stands_in_the_process_list(copy: Path) -> None:
    with running("query", "SELECT pg_sleep(2)", "--project", copy) as process:
        seen = ""
        while process.poll() is None:
            seen += processes()
            time.sleep(0.05)
    assert "SELECT pg_sleep(2)" in seen
    assert not [secret for secret in secrets_of(copy) if secret in seen]


def test_leaves_no_worker_behind(copy: Path, cli: Cli) -> None:
    cli("status", "--project", copy)
    assert [line for line in processes().splitlines() if str(copy) in line] == []


def processes() -> str:
    return subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True, check=True).stdout
