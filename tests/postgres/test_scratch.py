"""Scratch servers and databases: private ones of PostgreSQL 18 and 15, and the tests' own server as a named one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mig_kit.errors import BackupError, DatabaseError
from mig_kit.postgres import ConnectionInfo, Server, connect, dump
from mig_kit.postgres import scratch as scratch_module
from mig_kit.postgres.archive import open_archive
from mig_kit.postgres.identity import identify
from mig_kit.postgres.owner import is_dead, owner_token
from mig_kit.postgres.scratch import Scratch, scratch_server, sweep
from mig_kit.secret import Secret
from tests.servers import fresh_database, server_binaries

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A place of the tests' own, where whoever runs the servers can reach it."""
    folder = tmp_path_factory.mktemp("scratch")
    for each in (folder, *folder.parents[:3]):
        if each.stat().st_uid == os.geteuid() and not each.stat().st_mode & 0o001:
            each.chmod(0o711)
    # Those that other modules' tests left warm in this process lie elsewhere, and would be given again here.
    for warm in set(scratch_module._warm.values()):
        warm.close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIG_KIT_SCRATCH", str(folder / "home"))
        yield folder / "home"


@pytest.fixture(scope="module")
def scratch(home: Path) -> Iterator[Scratch]:
    """A private scratch server of the embedded PostgreSQL."""
    found = scratch_server(18)
    yield found
    found.close()


def run(info: ConnectionInfo, statements: str) -> None:
    with connect(info) as conn:
        conn.execute(statements.encode())


def databases(info: ConnectionInfo) -> set[str]:
    with connect(info) as conn:
        return {row[0] for row in conn.execute("SELECT datname FROM pg_database").fetchall()}


def test_is_kept_warm_for_the_process(scratch: Scratch) -> None:
    assert scratch_server(18) is scratch
    assert scratch.private
    assert scratch.server_version[0] == 18
    assert scratch.words == f"a scratch server of PostgreSQL {server_binaries(18).version_text} (embedded programs)"


def test_has_the_targets_own_major_version_where_the_machine_has_it(home: Path) -> None:
    server_binaries(15)
    before = {path.name for path in home.iterdir()} if home.exists() else set()
    found = scratch_server(15)
    assert found.server_version[0] == 15
    assert {path.name for path in home.iterdir()} > before
    found.close()
    assert {path.name for path in home.iterdir()} <= {*before, ".lock"}


def test_one_that_was_ended_is_made_anew(home: Path) -> None:
    first = scratch_server(18, at_least=17)
    assert first._server is not None
    first._server.stop()
    second = scratch_server(18, at_least=17)
    assert second is not first
    assert second.alive
    second.close()
    first.close()


def test_a_version_that_nobody_has_is_named() -> None:
    with pytest.raises(BackupError) as caught:
        scratch_server(99)
    assert caught.value.message.startswith("There is no scratch server to restore into: No initdb and postgres and ")
    assert caught.value.hint.endswith("or name a server to restore into")


def test_a_copy_has_the_rows_and_a_life_of_its_own(scratch: Scratch) -> None:
    with scratch.database() as template:
        run(template, "CREATE TABLE t AS SELECT generate_series(1, 9) AS id")
        with scratch.database(template) as copy:
            run(copy, "DELETE FROM t WHERE id = 1")
            with connect(copy) as one, connect(template) as two:
                assert one.execute("SELECT count(*) FROM t").fetchone() == (8,)
                assert two.execute("SELECT count(*) FROM t").fetchone() == (9,)
    assert {copy.dbname, template.dbname}.isdisjoint(databases(scratch.info))


def test_a_kept_template_takes_no_connections_and_serves_many_copies(scratch: Scratch) -> None:
    template = scratch.create()
    run(template, "CREATE TABLE t AS SELECT 1 AS id")
    held = connect(template)
    scratch.keep("backup one", template, about="what was found")
    assert scratch.kept("backup one") == (template, "what was found")
    assert scratch.kept("backup two") is None
    with pytest.raises(DatabaseError):
        connect(template)
    held.close()
    for _ in range(2):
        with scratch.database(template) as copy:
            run(copy, "INSERT INTO t VALUES (2)")
    scratch.drop(template)
    assert scratch.kept("backup one") is None


def test_one_template_is_kept_under_a_key_and_the_one_before_is_dropped(scratch: Scratch) -> None:
    first, second = scratch.create(), scratch.create()
    scratch.keep("backup", first)
    scratch.keep("backup", second)
    assert scratch.kept_keys == ("backup",)
    assert not scratch.is_kept(first)
    assert scratch.is_kept(second)
    assert first.dbname not in databases(scratch.info)
    scratch.drop(second)


def test_has_the_encoding_and_locale_of_the_dumped_database(server: Server, scratch: Scratch, tmp_path: Path) -> None:
    server.drop_database("latin")
    run(
        server.info,
        "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE_PROVIDER libc LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0",
    )
    latin = server.info.with_dbname("latin")
    run(latin, "CREATE TABLE t AS SELECT 'ü' AS x")
    archive = open_archive(dump(latin, tmp_path / "dump").path)
    with scratch.database(like=archive) as info, connect(info) as conn:
        row = conn.execute(
            "SELECT pg_encoding_to_char(encoding), datlocprovider, datcollate FROM pg_database "
            "WHERE datname = current_database()"
        ).fetchone()
        assert row == ("LATIN1", "c", "C")
        assert scratch.notes_on(info) == ()
    server.drop_database("latin")


def test_a_locale_that_the_server_lacks_is_replaced(
    server: Server, scratch: Scratch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = fresh_database(server, "local")
    archive = open_archive(dump(info, tmp_path / "dump").path)
    statement = "CREATE DATABASE x WITH ENCODING = 'UTF8' LOCALE_PROVIDER = libc LOCALE = 'xx_YY.UTF-8';\n"
    monkeypatch.setattr(type(archive), "script", lambda *_, **__: statement)
    with scratch.database(like=archive) as made, connect(made) as conn:
        assert conn.execute("SELECT upper('ü'), pg_encoding_to_char(6)").fetchone() == ("Ü", "UTF8")
        assert scratch.notes_on(made) == (
            "The scratch server lacks the locale xx_YY.UTF-8: the copy sorts by code point.",
        )
    server.drop_database("local")


def test_drops_nothing_that_it_did_not_make(server: Server, database: ConnectionInfo) -> None:
    named = scratch_server(18, named=server.info)
    for wrong in (named.drop, lambda info: named.keep("x", info)):
        with pytest.raises(DatabaseError) as caught:
            wrong(database)
        assert caught.value.message == f"The database {database.dbname!r} was not made by this scratch server."
    named.close()
    assert database.dbname in databases(server.info)


def test_a_named_server_gets_databases_that_are_gone_at_the_end(server: Server) -> None:
    before = databases(server.info)
    named = scratch_server(18, named=server.info)
    assert not named.private
    assert named.words == f"PostgreSQL {server.binaries.version_text} at {server.info.address}"
    made = named.create()
    named.keep("one", made)
    copy = named.copy(made)
    assert databases(server.info) - before == {made.dbname, copy.dbname}
    assert all(name.startswith("mig_kit_scratch_") and len(name) < 64 for name in (made.dbname, copy.dbname))
    named.close()
    assert databases(server.info) == before


def test_the_server_of_the_source_itself_is_refused(server: Server, database: ConnectionInfo) -> None:
    with connect(database) as conn:
        source = identify(conn)
    with pytest.raises(BackupError) as caught:
        scratch_server(18, named=server.info, source=source)
    assert str(caught.value) == (
        f"The server at {server.info.address} is the one that the database {database.dbname!r} is on.\n"
        "Next: name another server as the scratch server, or none"
    )


def test_a_user_who_may_not_make_databases_is_told(server: Server) -> None:
    run(server.info, "CREATE ROLE humble LOGIN PASSWORD 'h'")
    named = scratch_server(18, named=replace(server.info, user="humble", password=Secret("h")))
    with pytest.raises(DatabaseError) as caught:
        named.create()
    assert caught.value.hint == "let humble make databases: CREATEDB"
    named.close()
    run(server.info, "DROP ROLE humble")


def dead_token() -> str:
    code = "from mig_kit.postgres.owner import owner_token; print(owner_token())"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run_ = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return run_.stdout.strip()


def test_a_token_is_dead_only_when_its_process_surely_is() -> None:
    mine, dead = owner_token(), dead_token()
    machine, pid, start = mine.split("_")
    assert not is_dead(mine)
    assert is_dead(dead)
    assert is_dead(f"{machine}_{pid}_{'0' * len(start)}")  # another process has the number since
    assert not is_dead("00000000_1_0")  # another machine's
    assert not is_dead("anything")


def test_databases_of_the_dead_are_swept_and_no_others(server: Server) -> None:
    dead, mine = f"mig_kit_scratch_{dead_token()}_1", f"mig_kit_scratch_{owner_token()}_1000"
    kept = {mine, "mig_kit_scratch_00000000_1_0_1", "mig_kit_scratch_mine"}
    for name in (dead, *kept):
        server.create_database(name)
    swept = sweep(server.info)
    assert dead in swept
    assert kept <= databases(server.info)
    assert dead not in databases(server.info)
    for name in kept:
        server.drop_database(name)


# A process with a scratch server of its own, which says where that is.
OWNING = """
    import sys, time
    from mig_kit.postgres import connect
    from mig_kit.postgres.scratch import scratch_server
    scratch = scratch_server(18)
    info = scratch.create()
    print(scratch._server.data_dir, (scratch._server.cluster / "postmaster.pid").read_text().split()[0], flush=True)
    if sys.argv[1] == "wait":
        time.sleep(60)
"""


@pytest.fixture
def owning() -> Iterator[Callable[..., tuple[subprocess.Popen[str], Path, int]]]:
    """Start a process that owns a scratch server; return it, the server's directory and process id."""
    started = []

    def start(what: str) -> tuple[subprocess.Popen[str], Path, int]:
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(OWNING), what],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        folder, _, pid = process.stdout.readline().strip().rpartition(" ")
        assert folder, process.communicate()[1]
        return process, Path(folder), int(pid)

    yield start
    for process in started:
        process.kill()
        process.communicate()
    sweep()


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_is_gone_when_its_process_ends(owning: Callable[..., tuple[subprocess.Popen[str], Path, int]]) -> None:
    process, folder, pid = owning("end")
    assert process.wait(30) == 0
    assert not folder.exists()
    assert not folder.with_name(f"{folder.name}.owner").exists()
    assert not is_running(pid)


def test_is_gone_after_ctrl_c(owning: Callable[..., tuple[subprocess.Popen[str], Path, int]]) -> None:
    process, folder, pid = owning("wait")
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == -signal.SIGINT
    assert not folder.exists()
    assert not is_running(pid)


def test_a_killed_process_leaves_a_server_that_the_next_start_sweeps(
    owning: Callable[..., tuple[subprocess.Popen[str], Path, int]],
) -> None:
    living, other, other_pid = owning("wait")
    process, folder, pid = owning("wait")
    process.kill()
    process.wait(30)
    assert folder.exists()
    assert is_running(pid)
    assert sweep() == (folder.name,)
    deadline = time.monotonic() + 10
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(pid)
    assert not folder.exists()
    assert other.exists()
    assert is_running(other_pid)
    assert living.poll() is None


def test_what_was_killed_before_it_was_finished_is_swept(home: Path) -> None:
    folder = home / "00000000_1_0_1"
    (folder / "cluster").mkdir(parents=True)
    folder.with_name(f"{folder.name}.owner").touch()
    assert sweep() == (folder.name,)
    assert not folder.exists()


def test_a_place_that_others_can_write_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o777)
    monkeypatch.setenv("MIG_KIT_SCRATCH", str(tmp_path))
    with pytest.raises(DatabaseError) as caught:
        sweep()
    assert str(caught.value) == (
        f"The place for scratch servers, {tmp_path}, is not yours alone.\nNext: name another in MIG_KIT_SCRATCH"
    )


def test_a_private_server_is_closed_to_others(scratch: Scratch, home: Path) -> None:
    assert scratch._server is not None
    assert oct(scratch._server.cluster.stat().st_mode & 0o777) == "0o700"
    assert scratch.info.host == "127.0.0.1"
    assert scratch.info.password
    assert scratch.free_bytes


def test_what_lost_its_owner_file_is_swept_by_its_name(home: Path) -> None:
    """The owner file was gone and the folder was not: no sweep ever found such a folder."""
    sweep()  # makes the place
    dead = subprocess.run(
        [sys.executable, "-c", "from mig_kit.postgres.owner import owner_token; print(owner_token())"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    ).stdout.strip()
    gone, alive, foreign = home / f"{dead}_1", home / f"{owner_token()}_99", home / "somebody_elses"
    for each in (gone, alive, foreign):
        each.mkdir()
    try:
        assert gone.name in sweep()
        assert not gone.exists()
        assert alive.exists()
        assert foreign.exists()
    finally:
        alive.rmdir()
        foreign.rmdir()


@pytest.mark.slow
@pytest.mark.parametrize("after_s", [n / 10 for n in range(0, 16, 2)])
def test_interrupted_at_any_moment_of_its_making_it_leaves_nothing(after_s: float, tmp_path: Path) -> None:
    """Ctrl-C between the folder and what remembers it left the folder behind."""
    place = tmp_path / "place"
    script = """
        from mig_kit.postgres.scratch import scratch_server
        print("ready", flush=True)
        scratch_server(18)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=ROOT,
        env={**os.environ, "MIG_KIT_SCRATCH": str(place)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(after_s)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    left = {each.name for each in place.iterdir()} if place.exists() else set()
    assert left <= {".lock"}
