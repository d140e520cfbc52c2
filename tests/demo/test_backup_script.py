"""``execution/backup_database.py`` of the demo, run as its user would, against a real server."""

from __future__ import annotations

import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from mig_kit.demo import Demo
from mig_kit.postgres import find_binaries
from tests.demo.project import back_up, run

NOWHERE = {"PATH": "/nonexistent"}


@pytest.fixture
def backups(demo: Demo) -> Iterator[Path]:
    """The demo's folder of backups, emptied afterwards."""
    yield demo.backups
    demo.backups.chmod(0o755)
    for path in demo.backups.iterdir():
        path.unlink()


def failure(demo: Demo, **environ: str) -> str:
    """Run the script where it must fail; return its one line, having seen that no file is left."""
    ran = back_up(demo.root, demo.python, environ)
    assert ran.returncode == 1
    assert ran.stdout == ""
    assert list(demo.backups.iterdir()) == []
    (line,) = ran.stderr.splitlines()
    return line


def test_backs_up_to_the_runbooks_place_with_no_postgresql_on_path(demo: Demo, backups: Path) -> None:
    ran = back_up(demo.root, demo.python, NOWHERE)
    assert ran.returncode == 0, ran.stderr
    (dump,) = backups.iterdir()
    assert re.fullmatch(r"portfolio-\d{8}T\d{6}Z\.dump", dump.name)
    assert stat.S_IMODE(dump.stat().st_mode) == 0o600
    assert re.fullmatch(rf"{re.escape(str(dump))} \(\d+\.\d MB, \d+\.\d s\)\n", ran.stdout)
    restored = run([str(find_binaries(at_least=15).tool("pg_restore")), "-l", str(dump)], cwd=backups)
    assert "TABLE DATA public contact_message" in restored.stdout


def test_two_backups_in_the_same_second_are_two_files(demo: Demo, backups: Path) -> None:
    for _ in range(3):
        assert back_up(demo.root, demo.python).returncode == 0
    assert len(list(backups.iterdir())) == 3


def test_a_wrong_password_is_named(demo: Demo, backups: Path) -> None:
    line = failure(demo, DATABASE_PASSWORD="wrong:\\one")
    assert line.startswith("Backup failed: pg_dump: error: connection to server at ")
    assert line.endswith('password authentication failed for user "portfolio"')


def test_a_server_that_is_down_and_a_database_that_is_not_there_are_named(demo: Demo, backups: Path) -> None:
    assert "Connection refused" in failure(demo, DATABASE_PORT="1")
    assert 'database "host=elsewhere" does not exist' in failure(demo, DATABASE_NAME="host=elsewhere")


def test_a_missing_pg_dump_is_named(demo: Demo, backups: Path) -> None:
    assert failure(demo, PG_DUMP="/nowhere/pg_dump") == (
        "Backup failed: no pg_dump: PG_DUMP names no such program (/nowhere/pg_dump); "
        "install postgresql-client or set PG_DUMP"
    )
    env = demo.env_file.read_text()
    try:
        demo.env_file.write_text(re.sub(r"(?m)^PG_DUMP=.*\n", "", env))
        assert "PATH has no such program (pg_dump)" in failure(demo, **NOWHERE)
    finally:
        demo.env_file.write_text(env)


def test_a_project_without_env_says_what_it_looked_for(demo: Demo, tmp_path: Path) -> None:
    (tmp_path / "backend").mkdir()
    shutil.copytree(demo.root / "execution", tmp_path / "execution")
    ran = back_up(tmp_path, demo.python)
    assert ran.returncode == 1
    assert ran.stderr == (f"Backup failed: DATABASE_NAME is neither in {tmp_path / '.env'} nor in the environment\n")


def test_a_folder_that_cannot_be_written_is_named(demo: Demo, backups: Path) -> None:
    backups.chmod(0o555)
    command = [str(demo.python), "execution/backup_database.py"]
    if os.geteuid() == 0:
        # Root writes anywhere, unless it gives up its capabilities.
        if shutil.which("setpriv") is None:
            pytest.skip("root needs setpriv to be refused anything")
        command = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *command]
    ran = run(command, cwd=demo.root)
    assert ran.returncode == 1
    assert ran.stderr.startswith("Backup failed: ")
    assert "Permission denied" in ran.stderr
    assert str(backups) in ran.stderr
    assert list(backups.iterdir()) == []


def test_a_pg_dump_that_fails_in_the_middle_leaves_no_file(demo: Demo, backups: Path, tmp_path: Path) -> None:
    tool = tmp_path / "pg_dump"
    tool.write_text('#!/bin/sh\nfor a; do case $a in --file=*) echo half > "${a#--file=}";; esac; done\nexit 1\n')
    tool.chmod(0o755)
    assert failure(demo, PG_DUMP=str(tool)) == "Backup failed: no message, exit code 1"


def test_a_dump_that_lost_its_end_is_no_backup(demo: Demo, backups: Path, tmp_path: Path) -> None:
    """``pg_restore --list`` reads the table of contents only, and is content with a truncated dump."""
    real = find_binaries(at_least=15)
    tool = tmp_path / "pg_dump"
    tool.write_text(
        f'#!/bin/sh\n"{real.tool("pg_dump")}" "$@" || exit\n'
        'for a; do case $a in --file=*) truncate -s -2000 "${a#--file=}";; esac; done\n'
    )
    tool.chmod(0o755)
    (tmp_path / "pg_restore").symlink_to(real.tool("pg_restore"))
    assert "pg_restore: error: " in failure(demo, PG_DUMP=str(tool))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_in_the_middle_it_ends_pg_dump_and_leaves_no_file(
    demo: Demo, backups: Path, number: signal.Signals
) -> None:
    with psycopg.connect(**demo.database.params()) as blocker:
        blocker.execute("LOCK TABLE contact_message")
        process = subprocess.Popen(
            [sys.executable, "execution/backup_database.py"],
            cwd=demo.root,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'pg_dump'"
        )
        deadline = time.monotonic() + 20
        while blocker.execute(waiting).fetchone() != (1,):
            assert time.monotonic() < deadline
            time.sleep(0.05)
            blocker.execute("SELECT pg_stat_clear_snapshot()")
        assert [path.suffix for path in backups.iterdir()] == [".partial"]
        process.send_signal(number)
        said = process.communicate(timeout=20)[1]
    assert process.returncode == 1
    assert said in ("Backup failed: interrupted\n", "Backup failed: stopped by signal 15\n")
    assert list(backups.iterdir()) == []


def test_the_password_is_on_no_command_line_and_in_no_environment(demo: Demo, backups: Path, tmp_path: Path) -> None:
    tool = tmp_path / "pg_dump"
    tool.write_text('#!/bin/sh\n(echo "$@"; env) > "$SEEN"; cat "$PGPASSFILE" > "$SEEN.passfile"; exit 1\n')
    tool.chmod(0o755)
    seen = tmp_path / "seen"
    failure(demo, PG_DUMP=str(tool), SEEN=str(seen), PGPASSWORD="stale")
    password = demo.database.password.reveal()
    assert password not in seen.read_text()
    assert "stale" not in seen.read_text()
    assert (tmp_path / "seen.passfile").read_text() == f"*:*:*:*:{password}\n"
    passfile = re.search(r"(?m)^PGPASSFILE=(.*)$", seen.read_text())
    assert passfile is not None
    assert not Path(passfile[1]).exists()
