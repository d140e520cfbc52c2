"""restore and read_through: the embedded PostgreSQL 18, and a 15 where there is one, with every format of dump."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mig_kit.errors import BackupError, DatabaseNotFound
from mig_kit.postgres import ConnectionInfo, Server, connect, dump
from mig_kit.postgres.archive import open_archive
from mig_kit.postgres.digest import digest_tables
from mig_kit.postgres.emptiness import first_object
from mig_kit.postgres.identity import identify
from mig_kit.postgres.read_through import read_through
from mig_kit.postgres.restore import restore
from mig_kit.progress import Progress
from tests.servers import fresh_database

ROOT = Path(__file__).parents[2]
TABLES = """
    CREATE SCHEMA other; CREATE TYPE mood AS ENUM ('sad', 'happy');
    CREATE DOMAIN short AS text CHECK (length(VALUE) < 9);
    CREATE TABLE author (id serial PRIMARY KEY, name text NOT NULL UNIQUE, mood mood DEFAULT 'happy', nick short);
    CREATE TABLE other."bo ok" (id serial PRIMARY KEY, author int REFERENCES author, body text);
    CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE VIEW names AS SELECT name FROM author;
    INSERT INTO author (name, nick) SELECT 'author ' || n, E'\\\\. ' || n FROM generate_series(1, 200) n;
    INSERT INTO other."bo ok" (author, body) SELECT n % 200 + 1, md5(n::text) FROM generate_series(1, 3000) n;
    SELECT lo_from_bytea(0, 'large');
"""
FORMATS = ["directory", "custom", "tar", "plain", "plain.gz", "inserts"]


def run(info: ConnectionInfo, statements: str) -> None:
    with connect(info) as conn:
        conn.execute(statements.encode())


def dumped(server: Server, info: ConnectionInfo, path: Path, kind: str, *options: str) -> Path:
    """Dump as a project's own script may: by pg_dump alone."""
    form = {"plain.gz": "plain", "inserts": "plain"}.get(kind, kind)
    where = ["--host=127.0.0.1", f"--port={info.port}", f"--username={info.user}", f"--dbname={info.dbname}"]
    more = ["--inserts"] if kind == "inserts" else []
    command = [server.binaries.tool("pg_dump"), *where, f"--format={form}", f"--file={path}", *more, *options]
    subprocess.run(command, env={**os.environ, "PGPASSWORD": info.password.reveal()}, check=True)
    if kind == "plain.gz":
        path.write_bytes(gzip.compress(path.read_bytes()))
    return path


def is_empty(info: ConnectionInfo) -> bool:
    with connect(info) as conn:
        schemas = conn.execute("SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' ORDER BY 1").fetchall()
        return first_object(conn) is None and schemas == [("information_schema",), ("public",)]


@pytest.fixture
def source(server: Server) -> Iterator[ConnectionInfo]:
    """A small database."""
    info = fresh_database(server, "restore source")
    run(info, TABLES)
    yield info
    server.drop_database("restore source")


@pytest.fixture
def roles(server: Server) -> Iterator[Callable[..., None]]:
    """Roles for the time of the test."""
    made: list[str] = []

    def make(*names: str) -> None:
        for name in names:
            made.append(name)
            run(server.info, f'CREATE ROLE "{name}"')

    yield make
    for name in made:
        run(server.info, f'DROP ROLE IF EXISTS "{name}"')


@pytest.mark.parametrize("kind", FORMATS)
def test_restores_every_format(
    server: Server, source: ConnectionInfo, database: ConnectionInfo, tmp_path: Path, kind: str
) -> None:
    path = dumped(server, source, tmp_path / "a b", kind)
    read_through(path)
    result = restore(path, database)
    with connect(source) as one, connect(database) as two:
        assert digest_tables(one) == digest_tables(two)
        assert two.execute("SELECT count(*) FROM names").fetchone() == (200,)
        assert two.execute("SELECT convert_from(lo_get(oid), 'UTF8') FROM pg_largeobject_metadata").fetchall() == [
            ("large",)
        ]
    assert result.database == database.safe
    assert (result.left_out, result.notes) == ((), ())
    assert result.server_version[0] == result.tool_version[0] == 18


def test_restores_a_15_into_a_15(server15: Server, tmp_path: Path) -> None:
    one, two = (fresh_database(server15, name) for name in ("restore one", "restore two"))
    run(one, TABLES)
    result = restore(dump(one, tmp_path / "dump").path, two)
    assert (result.server_version[0], result.tool_version[0]) == (15, 15)
    with connect(one) as before, connect(two) as after:
        assert digest_tables(before) == digest_tables(after)
    for name in ("restore one", "restore two"):
        server15.drop_database(name)


def test_a_15_goes_into_an_18(server15: Server, database: ConnectionInfo, tmp_path: Path) -> None:
    one = fresh_database(server15, "restore one")
    run(one, TABLES)
    restore(dumped(server15, one, tmp_path / "dump", "custom"), database)
    with connect(one) as before, connect(database) as after:
        assert digest_tables(before) == digest_tables(after)
    server15.drop_database("restore one")


def test_a_dump_too_new_for_the_server_is_refused_and_a_script_is_not(
    server: Server, server15: Server, source: ConnectionInfo, tmp_path: Path
) -> None:
    """pg_restore 17 and later send a setting that older servers do not know, and stop at the error."""
    info = fresh_database(server15, "restore two")
    with pytest.raises(BackupError) as caught:
        restore(dumped(server, source, tmp_path / "new", "custom"), info)
    assert str(caught.value) == (
        "new was written by pg_dump 18, whose pg_restore does not work with PostgreSQL 15.\n"
        "Next: restore it into PostgreSQL 18, or dump again with pg_dump 15"
    )
    restore(dumped(server, source, tmp_path / "script", "plain"), info)
    with connect(source) as before, connect(info) as after:
        assert digest_tables(before) == digest_tables(after)
    server15.drop_database("restore two")


def test_refuses_a_database_that_is_not_empty(
    server: Server, source: ConnectionInfo, database: ConnectionInfo, tmp_path: Path
) -> None:
    path = dumped(server, source, tmp_path / "dump", "custom")
    for statement, there in (
        ("CREATE TABLE mine (id int)", "table public.mine"),
        ("CREATE SCHEMA s; CREATE VIEW s.v AS SELECT 1", "view s.v"),
        ("CREATE FUNCTION f(a int) RETURNS int LANGUAGE sql AS 'SELECT 1'", "function public.f(a integer)"),
        ("CREATE DOMAIN d AS int", "domain public.d"),
        ("SELECT lo_create(4711)", "large object 4711"),
    ):
        info = fresh_database(server, "not empty")
        run(info, statement)
        with pytest.raises(BackupError) as caught:
            restore(path, info)
        assert str(caught.value) == (
            f"The database 'not empty' at {info.address} is not empty: it has the {there}.\n"
            "Next: name an empty one: CREATE DATABASE restored TEMPLATE template0"
        )
    server.drop_database("not empty")


def test_an_extension_that_came_with_the_database_does_not_make_it_full(
    server: Server, source: ConnectionInfo, database: ConnectionInfo, tmp_path: Path
) -> None:
    run(database, "CREATE EXTENSION pg_trgm")
    restore(dumped(server, source, tmp_path / "dump", "custom"), database)


def test_refuses_the_source_itself_by_whatever_name_it_is_reached(
    server: Server, database: ConnectionInfo, tmp_path: Path
) -> None:
    with connect(database) as conn:
        me = identify(conn)
    path = dumped(server, database, tmp_path / "dump", "custom")
    with pytest.raises(BackupError) as caught:
        restore(path, database, source=me)
    assert str(caught.value) == (
        f"The database {database.dbname!r} at {database.address} is the one that the backup was made of.\n"
        "Next: name another database, which is empty"
    )


def test_an_error_is_named_and_the_database_is_empty_again(
    server: Server, source: ConnectionInfo, database: ConnectionInfo, tmp_path: Path
) -> None:
    run(source, "CREATE FUNCTION ok(int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT true'")
    run(source, "CREATE TABLE z (a int CHECK (ok(a))); INSERT INTO z VALUES (1)")
    run(source, "CREATE OR REPLACE FUNCTION ok(int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT false'")
    for kind in ("directory", "plain"):
        with pytest.raises(BackupError) as caught:
            restore(dumped(server, source, tmp_path / kind, kind), database)
        assert caught.value.message.startswith(f"{kind} could not be restored: ")
        assert 'new row for relation "z" violates check constraint "z_a_check"' in caught.value.message
        assert "\n" not in caught.value.message
        assert is_empty(database)


def test_a_missing_extension_is_named_with_what_needs_it_and_can_be_left_out(
    server15: Server, server: Server, database: ConnectionInfo, tmp_path: Path
) -> None:
    """The embedded server has no pgcrypto."""
    one = fresh_database(server15, "restore one")
    run(
        one,
        """
        CREATE EXTENSION pgcrypto; CREATE EXTENSION citext;
        CREATE TABLE safe (id int PRIMARY KEY); INSERT INTO safe VALUES (1), (2);
        CREATE TABLE token (id int PRIMARY KEY, value text DEFAULT crypt('x', 'y')); INSERT INTO token VALUES (1, 'x');
        CREATE VIEW tokens AS SELECT * FROM token;
        """,
    )
    path = dumped(server15, one, tmp_path / "dump", "custom")
    assert open_archive(path).extensions == ("citext", "pgcrypto")
    with pytest.raises(BackupError) as caught:
        restore(path, database)
    assert str(caught.value) == (
        f"The dump needs the extension pgcrypto, which the PostgreSQL 18 at 127.0.0.1:{database.port} does not have.\n"
        "Next: name a server that has it, or go on without what needs it, the rows of 1 tables: without_extensions=True"
    )
    assert is_empty(database)
    result = restore(path, database, without_extensions=True)
    assert result.notes == (
        f"Left out, for the server lacks the extension pgcrypto: {len(result.left_out)} entries, "
        "the rows of 1 tables among them.",
    )
    assert {"EXTENSION - pgcrypto", "TABLE DATA public token postgres", "VIEW public tokens postgres"} <= set(
        result.left_out
    )
    with connect(database) as conn:
        assert {each.table: each.rows for each in digest_tables(conn)} == {"public.safe": 2}
    script = dumped(server15, one, tmp_path / "script", "plain")
    with pytest.raises(BackupError, match="needs the extension pgcrypto"):
        restore(script, fresh_database(server, database.dbname), without_extensions=True)
    server15.drop_database("restore one")


POLICY = """
    ALTER TABLE author ENABLE ROW LEVEL SECURITY; ALTER TABLE author OWNER TO "the owner";
    GRANT SELECT ON author TO reader; CREATE POLICY few ON author TO reader, "the owner" USING (id < 9);
    CREATE POLICY all_of ON author TO public USING (true);
"""


def gone_roles(server: Server, source: ConnectionInfo) -> None:
    server.drop_database(source.dbname)
    run(server.info, 'DROP ROLE "the owner"; DROP ROLE reader')


@pytest.mark.parametrize("kind", ["custom", "plain"])
def test_roles_that_are_missing_are_made_on_a_scratch_server(
    server: Server,
    source: ConnectionInfo,
    database: ConnectionInfo,
    roles: Callable[..., None],
    tmp_path: Path,
    kind: str,
) -> None:
    roles("the owner", "reader")
    run(source, POLICY)
    path = dumped(server, source, tmp_path / "dump", kind)
    gone_roles(server, source)
    result = restore(path, database, create_roles=True)
    assert result.notes == ("Made on the scratch server, unable to log in: the roles reader, the owner.",)
    with connect(database) as conn:
        assert conn.execute("SELECT count(*) FROM pg_policy").fetchone() == (2,)
    run(database, 'DROP OWNED BY reader, "the owner" CASCADE')


def test_a_policy_for_a_missing_role_is_left_out_and_said(
    server: Server, source: ConnectionInfo, database: ConnectionInfo, roles: Callable[..., None], tmp_path: Path
) -> None:
    roles("the owner", "reader")
    run(source, POLICY)
    archive = dumped(server, source, tmp_path / "archive", "custom")
    script = dumped(server, source, tmp_path / "script", "plain")
    gone_roles(server, source)
    with pytest.raises(BackupError) as caught:
        restore(script, database)
    assert str(caught.value) == (
        "The script names the roles reader, the owner, which the server does not have.\n"
        "Next: dump with --no-owner --no-privileges or --format=custom, or make them: "
        'CREATE ROLE "reader"; CREATE ROLE "the owner"'
    )
    result = restore(archive, database)
    assert result.notes == ("Left out, for the server lacks the roles reader, the owner: 1 row-level policies.",)
    assert result.left_out == ("POLICY public author few the owner",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("CREATE TABLE a (id int);\n\\connect postgres\n", "holds \\connect in line 2"),
        ("\\! rm -rf /\n", "holds \\! in line 1"),
        ("DROP DATABASE postgres;\n", "holds DROP DATABASE in line 1"),
        ("CREATE ROLE x;\n", "holds CREATE ROLE in line 1"),
    ],
)
def test_a_script_that_reaches_beyond_the_database_is_not_run(
    database: ConnectionInfo, tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "all.sql").write_text(text)
    with pytest.raises(BackupError) as caught:
        restore(tmp_path / "all.sql", database)
    assert caught.value.message == f"all.sql {message}, which reaches beyond the one database that is restored."
    assert is_empty(database)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_full_read_finds_a_truncated_dump(server: Server, source: ConnectionInfo, tmp_path: Path, kind: str) -> None:
    path = dumped(server, source, tmp_path / "dump", kind)
    cut(max(path.glob("*.gz"), key=lambda each: each.stat().st_size) if kind == "directory" else path)
    with pytest.raises(BackupError) as caught:
        read_through(path)
    assert caught.value.hint == "make the backup again: mig-kit backup"


@pytest.mark.parametrize("kind", ["directory", "custom", "plain.gz"])
def test_a_full_read_finds_a_flipped_bit_in_what_is_compressed(
    server: Server, source: ConnectionInfo, tmp_path: Path, kind: str
) -> None:
    run(source, "CREATE TABLE noise AS SELECT md5(n::text) || md5((-n)::text) AS x FROM generate_series(1, 20000) n")
    path = dumped(server, source, tmp_path / "dump", kind)
    flip(max(path.glob("*.gz"), key=lambda each: each.stat().st_size) if kind == "directory" else path)
    with pytest.raises(BackupError):
        read_through(path)


def test_a_full_read_finds_a_missing_file(server: Server, source: ConnectionInfo, tmp_path: Path) -> None:
    path = dumped(server, source, tmp_path / "dump", "directory")
    next(path.glob("[0-9]*.gz")).unlink()
    with pytest.raises(BackupError, match="No such file or directory"):
        read_through(path)


def test_what_is_no_dump_is_named(tmp_path: Path) -> None:
    cases = {b"": "is empty.", b"\x28\xb5\x2f\xfdxx": "is compressed with zstd.", b"\0\1\2": "is neither SQL nor"}
    for content, said in cases.items():
        (tmp_path / "file").write_bytes(content)
        with pytest.raises(BackupError, match=said):
            read_through(tmp_path / "file")
    with pytest.raises(BackupError, match=r"has no table of contents \(toc.dat\)"):
        read_through(tmp_path)
    with pytest.raises(BackupError, match="No such file or directory"):
        read_through(tmp_path / "none")


def test_a_database_that_is_not_there_is_named(server: Server, source: ConnectionInfo, tmp_path: Path) -> None:
    with pytest.raises(DatabaseNotFound):
        restore(dumped(server, source, tmp_path / "dump", "custom"), server.info.with_dbname("nowhere"))


def test_reports_tables_and_what_it_builds(
    server: Server, source: ConnectionInfo, database: ConnectionInfo, tmp_path: Path
) -> None:
    told: list[Progress] = []
    restore(dumped(server, source, tmp_path / "dump", "custom"), database, jobs=1, progress=told.append)
    tables = [each for each in told if each.unit == "tables"]
    assert tables == [
        Progress("restore", "restoring other.bo ok", 1, 2, "tables"),
        Progress("restore", "restoring public.author", 2, 2, "tables"),
    ]


# A restore in another process, which says "now" once it is under way.
RESTORING = """
    import sys, time
    from pathlib import Path
    from mig_kit.postgres import ConnectionInfo
    from mig_kit.postgres.restore import restore
    from mig_kit.secret import Secret

    def say(progress):
        if progress.done and (progress.unit == "tables" or progress.total):
            print("now", flush=True)

    info = ConnectionInfo("127.0.0.1", int(sys.argv[1]), sys.argv[2], "postgres", Secret(sys.stdin.readline().strip()))
    restore(Path(sys.argv[3]), info, progress=say)
    print("finished", flush=True)
"""


@pytest.mark.parametrize("kind", ["directory", "plain"])
def test_ctrl_c_leaves_an_empty_database_and_no_pg_restore(
    server: Server, source: ConnectionInfo, database: ConnectionInfo, tmp_path: Path, kind: str
) -> None:
    # The check sleeps, so that the restore is surely under way.
    run(source, "CREATE FUNCTION slow(int) RETURNS bool LANGUAGE plpgsql AS 'BEGIN RETURN true; END'")
    run(source, "CREATE TABLE held (a int CHECK (slow(a))); INSERT INTO held SELECT generate_series(1, 3000)")
    run(
        source,
        "CREATE OR REPLACE FUNCTION slow(int) RETURNS bool LANGUAGE plpgsql AS "
        "'BEGIN PERFORM pg_sleep(0.01); RETURN true; END'",
    )
    path = dumped(server, source, tmp_path / "dump", kind)
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(RESTORING), str(database.port), database.dbname, str(path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(database.password.reveal() + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "now\n"
        time.sleep(0.3)
        for _ in range(3):
            process.send_signal(signal.SIGINT)
            time.sleep(0.02)
        assert process.wait(60) == -signal.SIGINT
        assert "finished" not in process.stdout.read()
    assert is_empty(database)
    # The session that looked is itself still listed until the server has seen that its client is gone; a restore that
    # went on would be listed for half a minute.
    who = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"
    deadline = time.monotonic() + 10
    with connect(server.info) as conn:
        while conn.execute(who, (database.dbname,)).fetchone() != (0,):
            assert time.monotonic() < deadline, "somebody is still connected"
            time.sleep(0.05)
