"""Server, with the embedded PostgreSQL 18 and a 15 where the machine has one."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from mig_kit.errors import DatabaseError, ServerUnreachable, WrongPassword
from mig_kit.postgres import ConnectionInfo, Server, connect, embedded_binaries, postmaster, server_version
from mig_kit.secret import Secret

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory that every account can pass through, with a name that a shell would stumble over."""
    with tempfile.TemporaryDirectory(prefix="mig_kit-test-") as name:
        Path(name).chmod(0o711)
        path = Path(name, 'it\'s $HOME "ä" `x`')
        path.mkdir()
        yield path


@pytest.fixture
def created(folder: Path) -> Iterator[Server]:
    server = Server.create(folder / "server", binaries=embedded_binaries(), durable=False)
    yield server
    server.remove()


def run_python(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_makes_starts_and_stops_a_server_under_an_awkward_path(created: Server) -> None:
    assert not created.running
    with created as server:
        assert server.running
        with connect(server.info) as conn:
            assert server_version(conn) == server.binaries.version
            settings = {
                name: conn.execute("SELECT current_setting(%s)", (name,)).fetchone()
                for name in ("listen_addresses", "unix_socket_directories", "server_encoding", "fsync")
            }
        assert settings == {
            "listen_addresses": ("127.0.0.1",),
            "unix_socket_directories": ("",),
            "server_encoding": ("UTF8",),
            "fsync": ("off",),
        }
    assert not created.running
    version = created.binaries.version_text
    assert repr(created) == f"<Server PostgreSQL {version} in {created.data_dir}, stopped>"


def test_lets_nobody_in_without_the_password(created: Server) -> None:
    with created as server, pytest.raises(WrongPassword):
        connect(ConnectionInfo("127.0.0.1", server.info.port, "postgres", "postgres", Secret("guess")))


def test_keeps_the_password_to_the_owner(created: Server) -> None:
    password = created.info.password.reveal()
    assert len(password) >= 20
    assert password not in f"{created!r}{created.info!r}"
    side = created.data_dir / "mig_kit.json"
    assert side.stat().st_mode & 0o777 == 0o600
    holding = [
        path for path in created.data_dir.rglob("*") if path.is_file() and password.encode() in path.read_bytes()
    ]
    assert holding == [side]


def test_is_durable_unless_told_otherwise(folder: Path) -> None:
    with Server.create(folder / "durable", binaries=embedded_binaries()) as server:
        with connect(server.info) as conn:
            assert conn.execute("SELECT current_setting('fsync')").fetchone() == ("on",)
        server.remove()


def test_keeps_its_port_over_a_restart_and_moves_when_it_is_taken(created: Server) -> None:
    first = created.start().info.port
    assert first is not None
    created.stop()
    assert created.start().info.port == first
    created.stop()
    with socket.socket() as other:
        other.bind(("127.0.0.1", first))
        other.listen()
        assert created.start().info.port not in (None, first)
        assert Server.open(created.data_dir).info == created.info


def test_tries_another_port_when_one_is_taken_between_look_and_start(
    created: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        ports = iter([taken, taken])
        real = postmaster.free_port
        monkeypatch.setattr(postmaster, "free_port", lambda: next(ports, None) or real())
        created.start()
        assert created.info.port != taken


def test_starting_twice_and_stopping_twice_change_nothing(created: Server) -> None:
    first = created.start().info
    assert created.start().info == first
    created.stop()
    created.stop()
    assert not created.running


def test_a_server_left_running_is_taken_up_by_another_process(folder: Path) -> None:
    run = run_python(
        """
        import sys
        from pathlib import Path
        from mig_kit.postgres import Server, embedded_binaries
        Server.create(Path(sys.argv[1]), binaries=embedded_binaries(), durable=False).start()
        """,
        folder / "left",
    )
    assert (run.returncode, run.stderr) == (0, "")
    server = Server.open(folder / "left")
    try:
        assert server.running
        with server:  # it did not start it, so it does not stop it
            assert connect(server.info).execute("SELECT 1").fetchone() == (1,)
        assert server.running
        server.stop()
        with pytest.raises(ServerUnreachable):
            connect(server.info)
    finally:
        server.remove()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("end", ["sys.exit(3)", "raise SystemError", "os.kill(os.getpid(), signal.SIGINT)"])
def test_a_context_manager_that_is_never_left_stops_at_the_interpreters_exit(folder: Path, end: str) -> None:
    run = run_python(
        f"""
        import os, signal, sys
        from pathlib import Path
        from mig_kit.postgres import Server, embedded_binaries
        server = Server.create(Path(sys.argv[1]), binaries=embedded_binaries(), durable=False)
        server.__enter__()
        print("running", server.running, flush=True)
        {end}
        """,
        folder / "left",
    )
    assert run.stdout == "running True\n", run.stderr
    assert run.returncode
    server = Server.open(folder / "left")
    assert not server.running
    server.remove()


def test_a_server_that_dies_at_the_start_shows_the_end_of_its_log(created: Server) -> None:
    with (created.cluster / "postgresql.auto.conf").open("a") as file:
        file.write("shared_preload_libraries = 'no_such_library'\n")
    with pytest.raises(DatabaseError) as caught:
        created.start()
    assert 'could not access file "no_such_library"' in caught.value.message
    assert "ended with 1" in caught.value.message
    assert caught.value.hint == f"see its whole log: {created.log}"
    assert not created.running


def test_a_server_that_was_killed_is_seen_as_stopped_and_starts_again(created: Server) -> None:
    """What a power cut leaves: a postmaster.pid, whose process number may be somebody else's by now."""
    created.start()
    pid_file = created.cluster / "postmaster.pid"
    pid = int(pid_file.read_text().splitlines()[0])
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while created.running and time.monotonic() < deadline:
        time.sleep(0.05)
    assert pid_file.exists()
    lines = pid_file.read_text().splitlines()
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    assert not created.running
    created.stop()  # must not send this test a signal
    pid_file.write_text("\n".join(lines) + "\n")
    _until_gone(created)
    created.start()
    with connect(created.info) as conn:
        assert conn.execute("SELECT 1").fetchone() == (1,)


def _until_gone(server: Server) -> None:
    """A killed postmaster's children go a moment after it, and keep the shared memory until then."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            server.start()
        except DatabaseError:
            time.sleep(0.2)
        else:
            return


def test_refuses_a_directory_that_is_not_empty(folder: Path, created: Server) -> None:
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(DatabaseError) as caught:
        Server.create(folder)
    assert caught.value.message == f"The data directory {folder} is not empty."
    with pytest.raises(DatabaseError) as caught:
        Server.create(created.data_dir)
    assert caught.value.hint == "open the server that is there: Server.open(data_dir)"


def test_leaves_nothing_when_initdb_fails(folder: Path) -> None:
    with pytest.raises(DatabaseError, match="initdb could not make a cluster"):
        Server.create(folder / "new", binaries=embedded_binaries(), superuser="pg_reserved")
    assert list(folder.iterdir()) == []


def test_says_what_is_missing_when_there_is_nothing_to_open(folder: Path) -> None:
    with pytest.raises(DatabaseError) as caught:
        Server.open(folder / "none")
    assert caught.value.message == (
        f"There is no server of mig_kit's to open in {folder / 'none'}: No such file or directory."
    )
    (folder / "mig_kit.json").write_text("{}")
    with pytest.raises(DatabaseError, match=r"its mig_kit\.json is damaged"):
        Server.open(folder)


def test_makes_and_drops_databases_of_any_name(server: Server) -> None:
    name = 'a "b" ä; DROP'
    with connect(server.info) as conn:
        conn.execute('CREATE ROLE "the owner"')
    info = server.create_database(name, owner="the owner")
    with connect(info) as conn:
        row = conn.execute(
            "SELECT datname, pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
        ).fetchone()
        assert row == (name, "the owner")
        server.drop_database(name)  # though there is a connection to it
        with pytest.raises(psycopg.OperationalError):
            conn.execute("SELECT 1")
    server.drop_database(name)
    with connect(server.info) as conn:
        conn.execute('DROP ROLE "the owner"')


def test_runs_a_postgresql_15_of_the_machines_own(server15: Server) -> None:
    with connect(server15.info) as conn:
        assert server_version(conn)[0] == 15
    assert Server.open(server15.data_dir).binaries.version[0] == 15
