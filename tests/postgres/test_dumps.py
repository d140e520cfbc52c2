"""dump, from the embedded PostgreSQL 18 and a 15 where there is one, with the pg_dump of each."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mig_kit.errors import BackupError, DatabaseNotFound, WrongPassword
from mig_kit.postgres import Binaries, ConnectionInfo, Server, connect, dump, tables
from mig_kit.progress import Progress
from mig_kit.secret import Secret
from tests.servers import fresh_database, server_binaries

ROOT = Path(__file__).parents[2]
SMALL = """
    CREATE TABLE "two words" AS SELECT generate_series(1, 500) AS id;
    CREATE SCHEMA other; CREATE TABLE other."ünï""x" AS SELECT generate_series(1, 7) AS id;
    CREATE TABLE empty (id int);
"""
# Random, so that it does not compress: a good 15 MB of dump.
LARGE = """
    CREATE TABLE large AS SELECT i, (SELECT string_agg(md5(random()::text || i || j), '') FROM
        generate_series(1, 12) j) AS noise FROM generate_series(1, 60000) i;
"""


@pytest.fixture(params=["server18", "server15"])
def source(request: pytest.FixtureRequest) -> Iterator[ConnectionInfo]:
    """A small database on each server."""
    server: Server = request.getfixturevalue(request.param)
    info = fresh_database(server, "dump source")
    with connect(info) as conn:
        conn.execute(SMALL)
    yield info
    server.drop_database("dump source")


@pytest.fixture(scope="module")
def large(server: Server) -> Iterator[ConnectionInfo]:
    """A database that takes a moment to dump."""
    info = fresh_database(server, "large")
    with connect(info) as conn:
        conn.execute(LARGE)
    yield info
    server.drop_database("large")


def restore(server: Server, path: Path, binaries: Binaries) -> ConnectionInfo:
    info = fresh_database(server, "restored")
    environment = {**os.environ, "PGPASSWORD": server.info.password.reveal()}
    where = ["--host=127.0.0.1", f"--port={info.port}", f"--username={info.user}", "--dbname=restored"]
    command = [str(binaries.tool("pg_restore")), "--exit-on-error", *where, str(path)]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return info


def pg_dumps_of(path: Path) -> list[int]:
    """List the processes that write to that place."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if "pg_dump" in command and str(path) in command:
            found.append(int(process.name))
    return found


def test_dumps_and_counts_and_says_what_it_did(source: ConnectionInfo, tmp_path: Path) -> None:
    target = tmp_path / "a b" / "däta"
    result = dump(source, target)
    assert result.rows == {'other.ünï"x': 7, "public.empty": 0, "public.two words": 500}
    assert result.path == target
    assert result.server_version[0] == result.pg_dump_version[0]
    assert result.compression in ("gzip:1", "zstd:3")
    assert result.started < result.finished
    assert 0 < result.duration_s < 60
    assert result.warnings == ()
    assert sorted(result.files) == sorted(path.name for path in target.iterdir())
    assert result.size_bytes == sum(path.stat().st_size for path in target.iterdir()) > 0
    assert target.stat().st_mode & 0o777 == 0o700


def test_what_was_dumped_can_be_restored(server: Server, database: ConnectionInfo, tmp_path: Path) -> None:
    with connect(database) as conn:
        conn.execute(SMALL)
    result = dump(database, tmp_path / "dump", jobs=1)
    with connect(restore(server, result.path, server_binaries(18))) as conn:
        assert conn.execute('SELECT count(*), max(id) FROM "two words"').fetchone() == (500, 500)
        assert conn.execute('SELECT count(*) FROM other."ünï""x"').fetchone() == (7,)
    server.drop_database("restored")


def test_counts_are_of_the_dumps_own_moment(server: Server, large: ConnectionInfo, tmp_path: Path) -> None:
    """Rows are written all the while; the counts must be those of the dump, not those before or after it."""
    with connect(large) as conn:
        conn.execute("CREATE TABLE moving (id serial)")
    stop = threading.Event()

    def write() -> None:
        with connect(large) as conn:
            while not stop.is_set():
                conn.execute("INSERT INTO moving DEFAULT VALUES")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        time.sleep(0.2)
        result = dump(large, tmp_path / "dump")
    finally:
        stop.set()
        writer.join()
    with connect(restore(server, result.path, server_binaries(18))) as conn:
        assert conn.execute("SELECT count(*) FROM moving").fetchone() == (result.rows["public.moving"],)
    with connect(large) as conn:
        after = conn.execute("SELECT count(*) FROM moving").fetchone()
        conn.execute("DROP TABLE moving")
    assert after is not None
    assert 0 < result.rows["public.moving"] < after[0]
    server.drop_database("restored")


def test_reports_each_table_and_the_bytes_in_the_callers_thread(large: ConnectionInfo, tmp_path: Path) -> None:
    said: list[Progress] = []
    threads: set[str] = set()

    def listen(progress: Progress) -> None:
        said.append(progress)
        threads.add(threading.current_thread().name)

    result = dump(large, tmp_path / "dump", progress=listen)
    assert Progress("backup", "dumping public.large", 1, 1, "tables") in said
    assert said[-1] == Progress("backup", "written to disk", result.size_bytes, None, "bytes")
    assert threads == {threading.current_thread().name}


def test_dumps_only_the_tables_that_are_named(source: ConnectionInfo, tmp_path: Path) -> None:
    with connect(source) as conn:
        chosen = [table for table in tables(conn) if "ünï" in table.name]
    result = dump(source, tmp_path / "dump", tables=chosen)
    assert result.rows == {'other.ünï"x': 7}
    assert len(result.files) == 2


def test_outlives_the_limits_that_a_role_sets(source: ConnectionInfo, tmp_path: Path) -> None:
    with connect(source) as conn:
        conn.execute("ALTER DATABASE \"dump source\" SET idle_in_transaction_session_timeout = '1ms'")
        conn.execute("ALTER DATABASE \"dump source\" SET statement_timeout = '500ms'")
        conn.execute("INSERT INTO empty SELECT generate_series(1, 300000)")
    assert dump(source, tmp_path / "dump").rows["public.empty"] == 300000


def test_a_pg_dump_older_than_the_server_is_refused_by_both_versions(database: ConnectionInfo, tmp_path: Path) -> None:
    old = server_binaries(15)
    with connect(database) as conn:
        server = ".".join(map(str, divmod(conn.info.server_version, 10000)))
    with pytest.raises(BackupError) as caught:
        dump(database, tmp_path / "dump", binaries=old)
    assert caught.value.message == (
        f"pg_dump {old.version_text} cannot dump a server of PostgreSQL {server}, which is newer."
    )
    assert list(tmp_path.iterdir()) == []


def test_no_pg_dump_without_ssl_where_ssl_is_demanded(ssl_server: Server, tmp_path: Path) -> None:
    """The embedded pg_dump cannot encrypt, and would send all in the clear where the server lets it."""
    info = replace(ssl_server.info, options={"sslmode": "require"})
    with pytest.raises(BackupError, match="cannot encrypt its connection"):
        dump(info, tmp_path / "dump", binaries=server_binaries(18))
    assert dump(info, tmp_path / "dump").pg_dump_version[0] == 15


def test_refuses_a_directory_with_something_in_it(database: ConnectionInfo, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(BackupError) as caught:
        dump(database, tmp_path)
    assert caught.value.message == f"The directory {tmp_path} is not empty."
    assert (tmp_path / "mine").read_text() == "mine"


def test_connection_errors_stay_what_they_are(database: ConnectionInfo, tmp_path: Path) -> None:
    with pytest.raises(DatabaseNotFound):
        dump(database.with_dbname("none"), tmp_path / "dump")
    with pytest.raises(WrongPassword):
        dump(replace(database, password=Secret("no")), tmp_path / "dump")
    assert list(tmp_path.iterdir()) == []


def test_leaves_nothing_when_a_table_may_not_be_read(database: ConnectionInfo, tmp_path: Path) -> None:
    with connect(database) as conn:
        conn.execute("CREATE ROLE reader LOGIN PASSWORD 'r'; CREATE TABLE closed (id int)")
    try:
        with pytest.raises(BackupError, match="permission denied for table closed"):
            dump(replace(database, user="reader", password=Secret("r")), tmp_path / "dump")
    finally:
        with connect(database) as conn:
            conn.execute("DROP ROLE reader")
    assert list(tmp_path.iterdir()) == []


def test_rows_that_a_policy_hides_are_an_error_and_not_a_smaller_count(
    database: ConnectionInfo, tmp_path: Path
) -> None:
    with connect(database) as conn:
        conn.execute(
            """
            CREATE ROLE reader LOGIN PASSWORD 'r';
            CREATE TABLE guarded AS SELECT generate_series(1, 9) AS id;
            ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
            CREATE POLICY few ON guarded USING (id < 3);
            GRANT SELECT ON guarded TO reader;
            """
        )
    try:
        with pytest.raises(BackupError, match="row-level security policy"):
            dump(replace(database, user="reader", password=Secret("r")), tmp_path / "dump")
    finally:
        with connect(database) as conn:
            conn.execute("DROP OWNED BY reader; DROP ROLE reader")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def held(large: ConnectionInfo) -> Iterator[None]:
    """While somebody holds what only pg_dump reads, it waits: the dump is surely not through yet."""
    with connect(large, autocommit=False, application_name="holder") as conn:
        conn.execute("LOCK TABLE pg_ts_template IN ACCESS EXCLUSIVE MODE")
        yield
        conn.rollback()


@pytest.mark.usefixtures("held")
def test_leaves_nothing_when_the_servers_sessions_are_ended(large: ConnectionInfo, tmp_path: Path) -> None:
    def cut(progress: Progress) -> None:
        if progress.unit != "bytes":
            return
        with connect(large.with_dbname("postgres")) as conn:
            conn.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = 'large' AND application_name <> 'holder'"
            )

    with pytest.raises(BackupError):
        dump(large, tmp_path / "dump", progress=cut)
    assert list(tmp_path.iterdir()) == []
    assert pg_dumps_of(tmp_path / "dump") == []


def test_leaves_nothing_when_a_progress_callback_raises(large: ConnectionInfo, tmp_path: Path) -> None:
    def fail(progress: Progress) -> None:
        if progress.unit == "tables":
            raise LookupError("the display is gone")

    with pytest.raises(LookupError, match="the display is gone"):
        dump(large, tmp_path / "dump", progress=fail)
    assert list(tmp_path.iterdir()) == []
    assert pg_dumps_of(tmp_path / "dump") == []


# A dump in another process, which says "now" at the first word of the given unit and then dawdles.
DUMPING = """
    import sys, time
    from pathlib import Path
    from mig_kit.postgres import ConnectionInfo, dump
    from mig_kit.secret import Secret

    def say(progress):
        if progress.unit == sys.argv[3]:
            print("now", flush=True)
            time.sleep(float(sys.argv[4]))

    password = Secret(sys.stdin.readline().strip())
    info = ConnectionInfo("127.0.0.1", int(sys.argv[1]), "large", "postgres", password)
    dump(info, Path(sys.argv[2]), progress=say)
    print("finished", flush=True)
"""


def interrupt_a_dump(info: ConnectionInfo, target: Path, unit: str, dawdle_s: float, times: int) -> None:
    code = textwrap.dedent(DUMPING)
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(info.port), str(target), unit, str(dawdle_s)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(info.password.reveal() + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "now\n"
        assert target.is_dir()
        for _ in range(times):
            process.send_signal(signal.SIGINT)
            time.sleep(0.02)
        assert process.wait(60) == -signal.SIGINT
        assert "finished" not in process.stdout.read()
        assert "KeyboardInterrupt" in process.stderr.read()


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize("times", [1, 3])
def test_ctrl_c_ends_a_pg_dump_that_still_runs(large: ConnectionInfo, tmp_path: Path, times: int) -> None:
    interrupt_a_dump(large, tmp_path / "dump", "bytes", 0, times)
    assert list(tmp_path.iterdir()) == []
    assert pg_dumps_of(tmp_path / "dump") == []


def test_ctrl_c_ends_the_wait_for_a_table_that_somebody_holds(large: ConnectionInfo, tmp_path: Path) -> None:
    with connect(large, autocommit=False) as conn:
        conn.execute("LOCK TABLE large IN ACCESS EXCLUSIVE MODE")
        interrupt_a_dump(large, tmp_path / "dump", "", 0, 1)
        conn.rollback()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("times", [1, 3])
def test_ctrl_c_removes_what_was_written(large: ConnectionInfo, tmp_path: Path, times: int) -> None:
    interrupt_a_dump(large, tmp_path / "dump", "tables", 30, times)
    assert list(tmp_path.iterdir()) == []
    assert pg_dumps_of(tmp_path / "dump") == []


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB; without the right to mount one, a limit on the size of files."""
    place = tmp_path / "small disk"
    place.mkdir()
    mount = shutil.which("mount", path="/bin:/usr/bin:/sbin:/usr/sbin")
    mounted = (
        os.geteuid() == 0
        and mount is not None
        and subprocess.run([mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], check=False).returncode == 0
    )
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    if not mounted:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        yield place
    finally:
        if mounted:
            subprocess.run([f"{Path(str(mount)).parent}/umount", place], check=True)
        else:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_one_clear_error_and_leaves_nothing(large: ConnectionInfo, full_disk: Path) -> None:
    with pytest.raises(BackupError) as caught:
        dump(large, full_disk / "dump")
    message = caught.value.message
    assert message.startswith("pg_dump failed, and no backup was kept: ")
    assert "\n" not in message
    if os.path.ismount(full_disk):
        assert "No space left on device" in message
        hint = f"free space for {full_disk}, or choose another place; then run the backup again"
        assert caught.value.hint == hint
    assert list(full_disk.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_place_that_cannot_be_written_is_one_clear_error(database: ConnectionInfo, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(BackupError) as caught:
        dump(database, tmp_path / "dump")
    tmp_path.chmod(0o700)
    assert caught.value.message == f"No backup could be written to {tmp_path / 'dump'}: Permission denied."


def test_no_password_in_the_process_list_while_it_runs(large: ConnectionInfo, tmp_path: Path) -> None:
    seen: list[bytes] = []

    def look(progress: Progress) -> None:
        for pid in pg_dumps_of(tmp_path / "dump"):
            for name in ("cmdline", "environ"):
                try:
                    seen.append(Path(f"/proc/{pid}/{name}").read_bytes())
                except OSError:
                    continue

    dump(large, tmp_path / "dump", progress=look)
    assert seen
    assert not any(large.password.reveal().encode() in text for text in seen)


def test_an_uninterrupted_dump_leaves_no_session_behind(source: ConnectionInfo, tmp_path: Path) -> None:
    dump(source, tmp_path / "dump")
    left = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'dump source'"
    deadline = time.monotonic() + 20  # the server takes a moment to see that a client has gone
    with connect(source.with_dbname("postgres")) as conn:
        while conn.execute(left).fetchone() != (0,):
            assert time.monotonic() < deadline
            time.sleep(0.05)
