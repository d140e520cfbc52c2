"""A backup is verified when it was restored and compared: the demo's, on PostgreSQL 18, with real damage."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from mig_kit.cli.words import for_terminal
from mig_kit.errors import UsageError
from mig_kit.postgres import ConnectionInfo, Server, connect
from mig_kit.postgres.scratch import scratch_server, sweep
from mig_kit.steps._backup_files import checksum_of
from mig_kit.steps._restored import restored_template
from mig_kit.steps.backup import Backup, backup, dump_backup
from mig_kit.steps.backups import backups, latest_backup, latest_verified_backup
from mig_kit.steps.target import Target
from mig_kit.steps.verify_backup import verify_backup
from tests.servers import fresh_database, server_binaries
from tests.steps.damages import DAMAGES, Patient, data_file, short_of_rows
from tests.steps.projects import Copy, Opened

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def made(opened: Opened) -> Iterator[Backup]:
    """A backup that every test makes a copy of, for it is the same each time."""
    yield backup(opened.target)
    shutil.rmtree(opened.project.root / ".tmp")


@pytest.fixture
def copy(made: Backup, opened: Opened) -> Iterator[Path]:
    path = shutil.copytree(made.path, opened.project.backups / "copy")
    yield path
    shutil.rmtree(path)


@pytest.fixture
def patient(opened: Opened, made: Backup, copy: Path, copies: Callable[..., Copy]) -> Iterator[Patient]:
    @functools.cache
    def other() -> Target:
        return replace(opened.target, info=copies("other").database)

    with opened.project.restored():
        yield Patient(opened.project, opened.target, made, copy, other)
    opened.project.run("DELETE FROM django_migrations WHERE name = '0005_later'")


@pytest.mark.parametrize(("damage", "words"), DAMAGES, ids=[damage.__name__ for damage, _ in DAMAGES])
def test_passes_is_damaged_and_is_refused(damage: Callable[[Patient], str], words: str, patient: Patient) -> None:
    assert patient.refused() == ""
    made, old = patient.made, server_binaries(15)
    post, category = (data_file(made.path, f"public.blog_{each}") for each in ("post", "category"))
    subscribers = made.rows["public.contact_subscriber"]
    size = post.stat().st_size
    # At which file the disk is full, and at which call, nobody can tell before.
    said = re.sub(r"could not [^:]+: No space", "could not write: No space", damage(patient))
    assert said == words.format(
        post=post.name,
        post_uncompressed=post.name.removesuffix(".gz"),
        category=category.name,
        half=f"{size // 2:,}",
        size=f"{size:,}",
        name=made.database,
        server=made.server,
        other=patient.other().info.dbname if "{other}" in words else "",
        address=patient.project.database.address,
        less=f"{subscribers - 1:,}",
        subscribers=f"{subscribers:,}",
        server_version=made.server_version,
        old=old.version_text,
        old_bin=old.bin_dir,
    )


def scratch_databases() -> list[str]:
    server = scratch_server(18)
    with closing(connect(server.info)) as conn:
        return [row[0] for row in conn.execute("SELECT datname FROM pg_database WHERE datname LIKE 'mig_kit_scratch%'")]


def test_says_what_was_checked_where_and_how_long_it_took(opened: Opened, copy: Path, made: Backup) -> None:
    result = verify_backup(opened.target, copy)
    assert result
    assert result.words == "restored; rows and contents compared with those of its snapshot"
    assert result.scratch == f"a scratch server of PostgreSQL {made.server_version} (embedded programs)"
    assert (result.tables, result.rows) == (len(made.digests), sum(each.rows for each in made.digests))
    assert (result.sampled, result.left_out, result.notes) == ((), (), ())
    assert [(each.name, each.state) for each in result.checks] == [
        ("manifest as it was written", "ok"),
        ("every file as it was written", "ok"),
        ("read to its end", "ok"),
        ("restored", "ok"),
        ("rows and contents as in the source", "ok"),
        ("of this database", "ok"),
        ("nothing migrated since", "ok"),
    ]
    assert list(result.to_frame()["state"]) == ["ok"] * 7
    assert {"files", "restore", "contents", "full read"} <= set(result.durations)
    assert 0 < result.duration_s < 60


def test_is_kept_beside_the_backup_and_is_no_extra_file(opened: Opened, copy: Path) -> None:
    result = verify_backup(opened.target, copy)
    found = Backup.read(copy)
    assert found is not None
    assert found.verified
    assert found.verification == result
    assert oct((copy / "verification.json").stat().st_mode & 0o777) == "0o600"
    listed = backups(opened.target).set_index("backup")["verified"]
    assert listed["copy"] == f"yes: {result.words}, {result.when:%Y-%m-%d %H:%M} UTC"
    assert verify_backup(opened.target, copy)


def test_what_is_kept_holds_for_that_manifest_alone(opened: Opened, copy: Path) -> None:
    verify_backup(opened.target, copy)
    again = backup(opened.target)
    shutil.copy(copy / "verification.json", again.path)
    found = Backup.read(again.path)
    assert found is not None
    assert not found.verified
    (copy / "verification.json").write_text("{}")
    found = Backup.read(copy)
    assert found is not None
    assert not found.verified
    shutil.rmtree(again.path)


def test_one_that_fails_is_not_verified_any_more(opened: Opened, copy: Path) -> None:
    verify_backup(opened.target, copy)
    data_file(copy, "public.blog_post").unlink()
    result = verify_backup(opened.target, copy)
    assert not result
    assert result.words == f"not verified: {result.reason}"
    found = Backup.read(copy)
    assert found is not None
    assert not found.verified


def test_the_newest_that_is_verified_is_found(opened: Opened, made: Backup, copy: Path) -> None:
    assert latest_verified_backup(opened.target) is None
    verify_backup(opened.target, copy)
    newer = backup(opened.target)
    found = latest_verified_backup(opened.target)
    assert found is not None
    assert found.path == copy
    assert latest_backup(opened.target) == newer
    shutil.rmtree(newer.path)


def test_the_restored_copy_is_there_for_a_rehearsal_and_no_other_is_left(opened: Opened, copy: Path) -> None:
    for _ in range(2):
        assert verify_backup(opened.target, copy)
    found = Backup.read(copy)
    assert found is not None
    assert restored_template(found).reused
    assert scratch_databases() == [restored_template(found).database.dbname]
    # One that does not hold is no template.
    assert short_of_rows(Patient(opened.project, opened.target, found, copy, lambda: opened.target))
    assert scratch_databases() == []


def test_a_table_changed_without_a_migration_is_seen(opened: Opened, copy: Path) -> None:
    opened.project.run("ALTER TABLE blog_category ADD COLUMN by_hand int; CREATE TABLE stray (id int)")
    try:
        result = verify_backup(opened.target, copy)
    finally:
        opened.project.run("ALTER TABLE blog_category DROP COLUMN by_hand; DROP TABLE stray")
    assert result.reason == (
        "the schema was changed since, without a migration: public.blog_category.by_hand is new; public.stray is new"
    )


def test_a_migration_taken_back_since_is_seen(opened: Opened, copy: Path) -> None:
    [row] = opened.project.run("DELETE FROM django_migrations WHERE app = 'sessions' RETURNING id, app, name, applied")
    try:
        result = verify_backup(opened.target, copy)
    finally:
        opened.project.run("INSERT INTO django_migrations VALUES (%s, %s, %s, %s)", *row)
    assert result.reason == "taken back since it was made: sessions.0001_initial"


def test_without_a_database_it_is_proved_for_itself(copy: Path) -> None:
    result = verify_backup(None, copy)
    assert result
    assert [each.state for each in result.checks[-2:]] == ["skipped", "skipped"]


def test_the_source_database_is_never_the_scratch_server(opened: Opened, copy: Path, made: Backup) -> None:
    admin = opened.project.admin
    url = f"postgresql://{admin.user}:{admin.password.reveal()}@{admin.host}:{admin.port}/postgres"
    result = verify_backup(opened.target, copy, scratch=url)
    assert result.reason == (f"The server at {admin.address} is the one that the database {made.database!r} is on")
    assert result.check("restored").hint == "name another server as the scratch server, or none"
    assert admin.password.reveal() not in str(result.to_frame())
    assert opened.project.run("SELECT count(*) FROM pg_database WHERE datname LIKE 'mig_kit_scratch%%'") == [(0,)]
    assert not result
    assert not verify_backup(None, copy, scratch=url)


def test_a_server_of_the_users_is_used_and_nothing_is_left_on_it_at_the_end(
    opened: Opened, copy: Path, server: Server
) -> None:
    info = server.info
    url = f"postgresql://{info.user}:{info.password.reveal()}@{info.host}:{info.port}"
    result = verify_backup(opened.target, copy, scratch=url)
    assert result
    assert result.scratch == f"PostgreSQL 18.6 at {info.address}"
    scratch_server(18, named=ConnectionInfo.from_url(url)).close()
    with closing(connect(info)) as conn:
        assert conn.execute("SELECT count(*) FROM pg_database WHERE datname LIKE 'mig_kit%'").fetchone() == (0,)


def test_a_failure_that_is_not_the_backups_does_not_unsay_that_it_is_verified(opened: Opened, copy: Path) -> None:
    verify_backup(opened.target, copy)
    result = verify_backup(opened.target, copy, scratch="postgresql://nobody@127.0.0.1:1/postgres")
    assert not result
    assert result.check("restored").state == "skipped"
    found = Backup.read(copy)
    assert found is not None
    assert found.verified


def test_an_address_that_is_none_is_refused_without_repeating_it(opened: Opened, copy: Path) -> None:
    with pytest.raises(UsageError) as caught:
        verify_backup(opened.target, copy, scratch="postgresql://me:secret@[oops")
    assert str(caught.value) == (
        "That is no address of a PostgreSQL server.\nNext: write postgresql://user@host:port/database"
    )


def test_a_backup_of_an_earlier_mig_kit_is_read_and_not_verified(opened: Opened, copy: Path) -> None:
    manifest = copy / "manifest.json"
    data = json.loads(manifest.read_text())
    for name in ("identity", "encoding", "extensions", "sizes", "applied", "digests", "checksum"):
        del data[name]
    manifest.write_text(json.dumps({**data, "schema": 1, "verified": True}))
    found = Backup.read(copy)
    assert found is not None
    assert (found.schema, found.verified, found.rows) == (1, False, data["rows"])
    result = verify_backup(opened.target, copy)
    assert not result
    assert result.reason == (
        "written by an earlier mig_kit: it has no checksum of its own, and no digests to compare with"
    )
    assert result.check("restored").state == "ok"
    assert result.check("rows and contents as in the source").detail.endswith("what is in the rows was not compared")


def test_a_file_without_a_manifest_is_not_verified(opened: Opened) -> None:
    path = opened.project.backups / "by hand.sql"
    path.write_text("SELECT 1;")
    result = verify_backup(opened.target, path)
    path.unlink()
    assert result.reason == "by hand.sql has no manifest, so there is nothing to compare it with"
    assert {each.state for each in result.checks} == {"failed", "skipped"}


SCRIPTS = {
    "custom": (["--format=custom"], "dump"),
    "plain": (["--format=plain"], "sql"),
    "gz": (["--format=plain", "--compress=6"], "sql.gz"),
}


@pytest.mark.parametrize("form", SCRIPTS)
def test_a_backup_of_the_projects_own_script_is_restored_too(opened: Opened, form: str) -> None:
    named = dumping_script(opened.project, *SCRIPTS[form])
    made = backup(opened.target, script=named)
    try:
        result = verify_backup(opened.target, made.path)
        assert result
        assert result.words == "restored; rows compared with counts taken just before"
        rows = sum(made.rows.values())
        assert result.check("rows and contents as in the source").detail == (
            f"{len(made.rows)} tables, {rows:,} rows, as many as were counted just before dump.py ran; "
            "what is in the rows was not compared"
        )
        listed = backups(opened.target).set_index("backup")["verified"][made.path.name]
        assert listed == f"yes: {result.words}, {result.when:%Y-%m-%d %H:%M} UTC"
        assert sorted(path.name for path in opened.project.backups.glob(f"{made.path.name}.*")) == [
            f"{made.path.name}.manifest.json",
            f"{made.path.name}.verification.json",
        ]
        opened.project.run("ALTER TABLE blog_category ADD COLUMN stray int")  # what its manifest cannot tell
        assert verify_backup(opened.target, made.path)
        opened.project.run("ALTER TABLE blog_category DROP COLUMN stray")
        data = bytearray(made.path.read_bytes())
        data[len(data) // 2] ^= 1
        made.path.write_bytes(data)
        reason = verify_backup(opened.target, made.path).reason
        assert reason == f"{made.path.name} was changed: its SHA-256 is not that of the manifest"
    finally:
        for path in opened.project.backups.glob(f"{made.path.name}*"):
            path.unlink()


def test_rows_that_came_between_the_count_and_the_script_are_said_to_differ(opened: Opened) -> None:
    named = dumping_script(opened.project, *SCRIPTS["custom"])
    script = opened.project.root / named
    insert = "INSERT INTO contact_subscriber (email, confirmed, created_at) VALUES ('x@example.org', false, now())"
    info = opened.project.admin.with_dbname(opened.project.database.dbname)
    psql = [str(server_binaries(18).tool("psql")), "-qc", insert, f"--dbname={info.safe}"]
    script.write_text(
        script.read_text().replace("import subprocess\n", f"import subprocess\nsubprocess.run({psql!r})\n")
    )
    made = backup(opened.target, script=named)
    opened.project.run("DELETE FROM contact_subscriber WHERE email = 'x@example.org'")
    result = verify_backup(opened.target, made.path)
    for path in opened.project.backups.glob(f"{made.path.name}*"):
        path.unlink()
    count = made.rows["public.contact_subscriber"]
    assert not result
    assert result.reason == (
        f"public.contact_subscriber has {count + 1:,} rows, and {count:,} were counted: "
        "rows were written between the count and the dump, or the dump lacks them"
    )
    assert result.check("rows and contents as in the source").hint == (
        "rb.backup() counts in the very snapshot that is dumped"
    )


def dumping_script(project: Copy, options: list[str], ending: str) -> str:
    info = project.admin.with_dbname(project.database.dbname)
    command = [str(server_binaries(18).tool("pg_dump")), *options, f"--dbname={info.safe}"]
    command.append(f"--file=.tmp/backups/by-script.{ending}")
    path = project.root / "execution" / "dump.py"
    path.write_text(
        f"import os\nos.environ['PGPASSWORD'] = {info.password.reveal()!r}\n"
        f"import subprocess\nsubprocess.run({command!r}, check=True)\n"
    )
    return "execution/dump.py"


def test_a_missing_extension_is_named_and_without_it_the_backup_is_partial(
    server15: Server, server: Server, tmp_path: Path
) -> None:
    """The embedded 18 has no pgcrypto."""
    info = fresh_database(server15, "with extension")
    with closing(connect(info)) as conn:
        conn.execute(
            "CREATE EXTENSION pgcrypto; CREATE TABLE safe AS SELECT generate_series(1, 9) AS id;"
            "CREATE TABLE token (id int PRIMARY KEY, value text DEFAULT crypt('x', 'y'));"
            "INSERT INTO token VALUES (1, 'x')"
        )
    made = dump_backup(info, tmp_path)
    where = server.info
    url = f"postgresql://{where.user}:{where.password.reveal()}@{where.host}:{where.port}"
    result = verify_backup(None, made.path, scratch=url)
    assert result.reason == (
        f"The dump needs the extension pgcrypto, which the PostgreSQL 18 at {where.address} does not have"
    )
    assert "--without-extensions" in for_terminal(result.check("restored").hint)
    partial = verify_backup(None, made.path, scratch=url, without_extensions=True)
    assert not partial
    assert partial.words.startswith("partial: in part, into PostgreSQL 18.6 at ")
    assert "TABLE DATA public token postgres" in partial.left_out
    assert partial.check("rows and contents as in the source").detail == (
        "1 tables, 9 rows, each table's digest as in the snapshot"
    )
    found = Backup.read(made.path)
    assert found is not None
    assert not found.verified
    scratch_server(18, named=ConnectionInfo.from_url(url)).close()
    whole = verify_backup(None, made.path)
    assert whole
    assert whole.scratch.startswith("a scratch server of PostgreSQL 15")
    server15.drop_database("with extension")


def test_where_it_cannot_be_kept_it_says_so(opened: Opened, copy: Path) -> None:
    (copy / "verification.json").mkdir()
    result = verify_backup(opened.target, copy)
    assert result
    assert result.notes == ("This could not be kept beside the backup: Is a directory; it is listed as it was before.",)


def test_what_a_killed_writer_left_is_no_extra_file(opened: Opened, copy: Path) -> None:
    (copy / ".verification.json.tmp").write_text("{")
    assert verify_backup(opened.target, copy)


def test_large_objects_are_restored_and_said_not_to_be_compared(database: ConnectionInfo, tmp_path: Path) -> None:
    with closing(connect(database)) as conn:
        conn.execute("SELECT lo_from_bytea(0, 'large')")
    result = verify_backup(None, dump_backup(database, tmp_path).path)
    assert result
    assert result.notes == ("The large objects were restored, and not compared.",)


def test_a_table_that_is_too_many_is_seen(opened: Opened, copy: Path) -> None:
    """Such as one of a dump that was put in the place of this one, hash and all."""
    manifest = copy / "manifest.json"
    data = json.loads(manifest.read_text())
    data["digests"] = [each for each in data["digests"] if each["table"] != "public.contact_subscriber"]
    del data["rows"]["public.contact_subscriber"]
    manifest.write_text(json.dumps({**data, "checksum": checksum_of(data)}))
    assert verify_backup(None, copy).reason == "public.contact_subscriber was not there before"


# Verifies in a process of its own and says where the scratch server lies once the restore is under way.
VERIFYING = """
    import sys, time
    from pathlib import Path
    from mig_kit.steps.verify_backup import verify_backup

    def say(progress):
        if progress.message.startswith("restoring"):
            print("now", flush=True)
            time.sleep(60)

    verify_backup(None, Path(sys.argv[1]), progress=say)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_whatever_ends_it_no_server_and_no_process_is_left(
    number: signal.Signals, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Path(tempfile.mkdtemp(prefix="mig_kit-test-", dir="/var/tmp"))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MIG_KIT_SCRATCH": str(home)}
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(VERIFYING), str(copy)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "now\n"
        assert processes_of(home)
        process.send_signal(number)
        assert process.wait(60) != 0
    if number is signal.SIGINT:  # it had the time to clear away
        assert list(home.iterdir()) in ([], [home / ".lock"])
    else:
        monkeypatch.setenv("MIG_KIT_SCRATCH", str(home))
        sweep()
    assert [path.name for path in home.iterdir()] in ([], [".lock"])
    deadline = time.monotonic() + 20
    while processes_of(home):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert not (copy / "verification.json").exists()
    shutil.rmtree(home)


def processes_of(place: Path) -> list[int]:
    """List the processes that name a place in their command."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(place) in command and "mig_kit.steps" not in command:
            found.append(int(process.name))
    return found
