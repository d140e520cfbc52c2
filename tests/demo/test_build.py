"""Making a demo, again and anew: on real embedded servers."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mig_kit.demo import Demo, create_demo, is_demo, open_demo, stop_demo
from mig_kit.errors import InterpreterError, UsageError
from mig_kit.postgres import Server, connect
from mig_kit.progress import Progress
from mig_kit.project import find_project
from tests.demo.project import PENDING, QUESTION, manage, operations

Make = Callable[..., Demo]


def test_leaves_exactly_the_pending_operations_and_asks_one_question(demo: Demo) -> None:
    dry_run = manage(demo, "makemigrations", "--dry-run", answers="y\n")
    assert dry_run.returncode == 0, dry_run.stderr
    assert operations(dry_run.stdout) == PENDING
    assert dry_run.stdout.count("[y/N]") == 1
    assert QUESTION in dry_run.stdout


def test_has_a_history_that_is_applied_with_a_data_migration_in_it(demo: Demo) -> None:
    shown = manage(demo, "showmigrations", "portfolio", "blog", "contact").stdout
    assert shown.count("[X]") == 12
    assert "[ ]" not in shown
    history = demo.backend.glob("apps/*/migrations/0*.py")
    assert any("RunPython" in path.read_text() for path in history)


def test_is_found_as_a_project_with_its_interpreter_and_its_queries(demo: Demo) -> None:
    found = find_project(demo.root)
    assert (found.root, found.manage_py, found.python) == (demo.root, demo.manage_py, demo.python)
    assert (found.settings, found.env_file) == ("config.settings", demo.env_file)
    assert "contact_message.email" in found.config.masked_columns
    with connect(demo.database) as connection:
        for query in found.config.queries.values():
            assert connection.execute(query.encode()).fetchone() is not None


def test_connects_as_a_role_that_owns_the_database_and_nothing_else(demo: Demo) -> None:
    with connect(demo.database) as connection:
        row = connection.execute(
            "SELECT rolname, rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls "
            "FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
        assert row == ("portfolio", False, False, False, False, False)
        owners = connection.execute("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'")
        assert owners.fetchall() == [("portfolio",)]


def test_keeps_the_password_in_env_and_nowhere_else(demo: Demo) -> None:
    password = demo.database.password.reveal()
    assert len(password) >= 24
    assert password in demo.env_file.read_text()
    assert stat.S_IMODE(demo.env_file.stat().st_mode) == 0o600
    server = Server.open(demo.server_data)
    others = [path for path in demo.root.rglob("*") if path.is_file() and path != demo.env_file]
    others.append(server.log)
    assert not [path for path in others if password.encode() in path.read_bytes()]
    assert password not in repr(demo)


def test_fills_the_tables_with_the_same_rows_each_time(demo: Demo, make_demo: Make) -> None:
    query = "SELECT md5(string_agg(row::text, '|' ORDER BY id)) FROM {} AS row"
    other = make_demo()
    for table in demo.rows:
        with connect(demo.database) as first, connect(other.database) as second:
            # Composed of the demo's own table names.
            statement = query.format(table).encode()
            assert first.execute(statement).fetchone() == second.execute(statement).fetchone(), table
            assert first.execute(f"SELECT count(*) FROM {table}".encode()).fetchone() == (demo.rows[table],)


def test_every_foreign_key_of_the_rows_holds_and_new_rows_get_ids(demo: Demo) -> None:
    """The rows come in with the server's foreign key checks off, and with ids that were given."""
    with connect(demo.database) as connection:
        keys = connection.execute(
            "SELECT c.conrelid::regclass::text, a.attname, c.confrelid::regclass::text "
            "FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1] "
            "WHERE c.contype = 'f' AND c.conrelid::regclass::text ~ '^(portfolio|blog|contact)_'"
        ).fetchall()
        assert len(keys) == 7
        for table, column, parent in keys:
            orphans = f"SELECT count(*) FROM {table} t LEFT JOIN {parent} p ON p.id = t.{column} WHERE p.id IS NULL"
            assert connection.execute(orphans.encode()).fetchone() == (0,), (table, column)
        for table, rows in demo.rows.items():
            last = connection.execute(f"SELECT last_value FROM {table}_id_seq".encode()).fetchone()
            assert last == (rows,), table


@pytest.mark.slow
def test_makes_half_a_million_rows(make_demo: Make) -> None:
    full = make_demo(scale=1.0)
    assert sum(full.rows.values()) > 500_000
    assert full.rows["contact_message"] == 300_000
    assert full.rows["blog_comment"] == 200_000
    with connect(full.database) as connection:
        estimate = connection.execute("SELECT reltuples FROM pg_class WHERE relname = 'contact_message'").fetchone()
        assert estimate == (300_000,), "the tables are analyzed"


def test_says_what_it_does_while_it_does_it(make_demo: Make) -> None:
    said: list[Progress] = []
    make_demo(progress=said.append)
    lasting = [p.message for p in said if p.lasting]
    assert lasting[0].startswith("PostgreSQL ")
    assert lasting[1] == "The project is written and its released migrations are applied"
    assert lasting[2].endswith(" rows in 11 tables")
    assert lasting[3] == "The models are edited: their migrations are still to be made"
    assert any(p.message == "Filled contact_message" and p.total == 11 for p in said)


def test_a_second_run_starts_the_server_and_leaves_the_project_as_it_is(make_demo: Make) -> None:
    first = make_demo()
    stop_demo(first.root)
    models = first.backend / "apps" / "blog" / "models.py"
    models.write_text(models.read_text() + "\n# mine\n")
    env = first.env_file.read_text()
    assert not answers(first.database.host, first.database.port)

    second = make_demo()

    assert not second.created
    assert models.read_text().endswith("# mine\n")
    assert first.env_file.read_text() == env
    assert (second.database, second.rows) == (first.database, first.rows)
    assert second.database.password == first.database.password
    with connect(second.database) as connection:
        assert connection.execute("SELECT count(*) FROM contact_message").fetchone() == (3000,)


def test_opening_a_demo_whose_port_was_taken_brings_env_up_to_date(make_demo: Make) -> None:
    first = make_demo()
    stop_demo(first.root)
    port = first.database.port
    assert port is not None
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind(("127.0.0.1", port))
        thief.listen()
        moved = open_demo(first.root)
        assert moved.database.port != port
        text = first.env_file.read_text()
        assert f"DATABASE_PORT={moved.database.port}\n" in text
        assert "# Credentials of this machine's database." in text
        assert stat.S_IMODE(first.env_file.stat().st_mode) == 0o600
        check = manage(moved, "showmigrations", "contact")
        assert "[X] 0001_initial" in check.stdout, check.stderr


def test_a_fresh_run_makes_all_anew_and_keeps_backups_records_and_own_files(make_demo: Make) -> None:
    first = make_demo()
    kept = [
        first.backups / "old.dump",
        first.root / ".mig" / "runs" / "1" / "journal.jsonl",
        first.root / "notes.txt",
    ]
    for path in kept:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("kept")
    made = manage(first, "makemigrations", answers="y\n")
    assert made.returncode == 0, made.stderr
    assert manage(first, "migrate").returncode == 0

    second = make_demo(fresh=True)

    assert second.created
    assert [path.read_text() for path in kept] == ["kept"] * 3
    assert second.database.password != first.database.password
    dry_run = manage(second, "makemigrations", "--dry-run", answers="y\n")
    assert operations(dry_run.stdout) == PENDING


def test_refuses_a_directory_with_something_else_in_it_and_touches_nothing(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError) as refused:
        create_demo(tmp_path, fresh=True)
    assert refused.value.message == (
        f"{tmp_path} holds no demo and is not empty (thesis.txt is in it); nothing was changed."
    )
    assert refused.value.hint == "name a directory that is empty or not there yet"
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_refuses_a_file_and_a_folder_that_was_only_used_for_records(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(UsageError, match="is a file"):
        create_demo(file)
    project = tmp_path / "project"
    (project / ".mig" / "runs").mkdir(parents=True)
    with pytest.raises(UsageError, match="runs is in it"):
        create_demo(project)


def test_open_and_stop_name_the_directory_without_a_demo(tmp_path: Path) -> None:
    for act in (open_demo, stop_demo):
        with pytest.raises(UsageError) as refused:
            act(tmp_path)
        assert str(refused.value) == (f"There is no demo in {tmp_path}.\nNext: mig-kit demo {tmp_path} makes one")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("moment", ["Applying the released migrations", "Filling the tables", "Filled blog_comment"])
def test_interrupted_by_ctrl_c_leaves_nothing_behind(tmp_path: Path, moment: str) -> None:
    ports: list[str] = []

    def interrupt(progress: Progress) -> None:
        if progress.message.startswith("PostgreSQL "):
            ports.append(progress.message.rsplit(":", 1)[1])
        if progress.message == moment:
            raise KeyboardInterrupt

    root = tmp_path / "demo"
    with pytest.raises(KeyboardInterrupt):
        create_demo(root, scale=0.01, progress=interrupt)
    assert not root.exists()
    assert not answers("127.0.0.1", int(ports[0])), "the server was left running"


def test_a_fresh_run_that_fails_keeps_the_backups_and_can_be_tried_again(make_demo: Make) -> None:
    first = make_demo()
    (first.backups / "old.dump").write_text("kept")

    def interrupt(progress: Progress) -> None:
        if progress.message.startswith("Filled"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_demo(fresh=True, progress=interrupt)
    assert is_demo(first.root)
    assert not first.backend.exists()
    with pytest.raises(UsageError, match="was never finished"):
        open_demo(first.root)

    again = make_demo()
    assert again.created
    assert (again.backups / "old.dump").read_text() == "kept"


def test_starts_over_after_being_killed_half_way(tmp_path: Path, make_demo: Make) -> None:
    root = tmp_path / "demo"
    code = (
        "import os, sys, pathlib; from mig_kit.demo import create_demo\n"
        "def die(p):\n"
        "    if p.message == 'Filling the tables': os.kill(os.getpid(), 9)\n"
        "create_demo(pathlib.Path(sys.argv[1]), scale=0.01, progress=die)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(root)], check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert json.loads((root / ".mig" / "demo.json").read_text())["state"] == "creating"

    again = make_demo(root)

    assert again.created
    with connect(again.database) as connection:
        assert connection.execute("SELECT count(*) FROM contact_message").fetchone() == (3000,)


def test_one_at_a_time_works_on_a_demo(tmp_path: Path) -> None:
    root = tmp_path / "demo"

    def meanwhile(progress: Progress) -> None:
        if progress.message.startswith("Filled"):
            with pytest.raises(UsageError, match="Another process is at work"):
                create_demo(root)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        create_demo(root, scale=0.01, progress=meanwhile)


def test_an_interpreter_without_django_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    with pytest.raises(InterpreterError) as refused:
        create_demo(tmp_path / "demo", python=bare / "bin" / "python")
    assert "No module named 'django'" in refused.value.message
    assert str(bare) in refused.value.hint
    assert not (tmp_path / "demo").exists()
    with pytest.raises(InterpreterError, match="does not run"):
        create_demo(tmp_path / "demo", python=tmp_path / "nowhere")


def test_the_shell_of_another_project_does_not_lead_it_astray(make_demo: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "DATABASE_NAME": "production",
        "DATABASE_HOST": "db.invalid",
        "DJANGO_SETTINGS_MODULE": "other.settings",
        "PGOPTIONS": "-c search_path=elsewhere",
        "SECRET_KEY": "other",
    }.items():
        monkeypatch.setenv(name, value)
    with connect(make_demo().database) as connection:
        assert connection.execute("SELECT count(*) FROM public.blog_post").fetchone() is not None


def test_works_in_a_directory_with_a_space_quotes_and_letters_of_all_kinds(tmp_path: Path, make_demo: Make) -> None:
    made = make_demo(tmp_path / 'Zoë\'s "démo" #1')
    assert "[X] 0001_initial" in manage(made, "showmigrations", "blog").stdout
    assert os.access(made.manage_py, os.X_OK)


def answers(host: str, port: int | None) -> bool:
    """Tell whether anything listens there."""
    with socket.socket() as probe:
        return probe.connect_ex((host, port or 0)) == 0
