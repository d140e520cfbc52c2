"""The client of the worker: warm and fresh processes, deaths, hangs, Ctrl-C and secrets; on PostgreSQL and SQLite."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from mig_kit import errors
from mig_kit.postgres import ConnectionInfo, Server, connect
from mig_kit.project import Worker
from tests.project.projects import SECRET_KEY, Site, make_site
from tests.servers import fresh_database
from tests.venvs import REPO, venv

Start = Callable[..., Worker]

PSYCOPG2 = ("3.8", ("django==4.2.*", "psycopg2-binary>=2.9"))


@pytest.fixture
def lite(tmp_path: Path) -> Site:
    """A project on SQLite with one app and one model, no migration yet."""
    site = make_site(tmp_path / "site", None)
    site.models("shop", "class Item(models.Model):\n    title = models.CharField(max_length=40)\n")
    return site


@pytest.fixture
def start() -> Iterator[Start]:
    with ExitStack() as stack:

        def started(site: Site, **options: Any) -> Worker:
            return stack.enter_context(site.worker(**options))

        yield started


def python_migration(site: Site, code: str) -> None:
    site.write(
        "shop/migrations/0001_python.py",
        "import os, sys, time\nfrom django.db import migrations\n\n\ndef forwards(apps, schema_editor):\n"
        f"    {code}\n\n\nclass Migration(migrations.Migration):\n"
        "    operations = [migrations.RunPython(forwards)]\n",
    )


def alive(pid: int) -> bool:
    """Say whether a process runs; one that only waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(holds: Callable[[], Any], seconds: float = 15.0) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := holds():
            return found
        time.sleep(0.05)
    pytest.fail(f"did not come true within {seconds:g} s")


# Warm and fresh


def test_stays_warm_until_a_file_of_the_project_changes(lite: Site, start: Start) -> None:
    worker = start(lite)
    assert worker.pid is None
    first = worker.call("describe")["pid"]
    assert worker.call("model_changes") == worker.call("model_changes")
    assert worker.pid == first
    lite.models("shop", "class Item(models.Model):\n    title = models.CharField(max_length=41)\n")
    changed = worker.call("model_changes")
    assert "max_length=41" in changed["text"]
    assert worker.pid != first
    assert not alive(first)
    second = worker.pid
    assert worker.call("model_changes") == changed
    assert worker.pid == second
    assert worker.starts == 2


def test_starts_afresh_for_a_file_that_comes_or_goes(lite: Site, start: Start) -> None:
    worker = start(lite)
    pids = [worker.call("describe")["pid"]]
    added = lite.write("shop/signals.py", "")
    pids.append(worker.call("describe")["pid"])
    added.unlink()
    pids.append(worker.call("describe")["pid"])
    lite.write(
        "shop/migrations/0001_initial.py",
        "from django.db import migrations\n\n\nclass Migration(migrations.Migration):\n    pass\n",
    )
    pids.append(worker.call("describe")["pid"])
    lite.write("shop/notes.txt", "no Python file")
    assert worker.call("describe")["pid"] == pids[-1]
    assert len(set(pids)) == 4


def test_takes_new_values_from_the_env_file(lite: Site, start: Start) -> None:
    lite.append_settings('SEEN = os.environ.get("SEEN", "")\nDEBUG = SEEN == "yes"')
    worker = start(lite)
    assert worker.call("describe")["debug"] is False
    lite.env_file.write_text(lite.env_file.read_text() + "SEEN=yes\n")
    assert worker.call("describe")["debug"] is True
    lite.env_file.unlink()
    with pytest.raises(errors.SettingsError, match="KeyError: 'SITE_SECRET_KEY'"):
        worker.call("describe")
    lite.env_file.write_text("SITE_SECRET_KEY=x\nSITE_PASSWORD=y\n")
    assert worker.call("describe")["secret_key"] == "x"


def test_what_was_named_wins_over_the_environment_and_that_over_the_env_file(
    lite: Site, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    lite.append_settings('SECRET_KEY = os.environ["A"] + os.environ["B"] + os.environ["C"]')
    lite.env_file.write_text(lite.env_file.read_text() + "A=file\nB=file\nC=file\n")
    monkeypatch.setenv("B", "around")
    monkeypatch.setenv("C", "around")
    lite.named_environ = {"C": "named"}
    assert start(lite).call("describe")["secret_key"] == "filearoundnamed"


def test_does_not_start_over_and_over_for_a_file_from_the_future(lite: Site, start: Start) -> None:
    later = time.time() + 86400
    os.utime(lite.folder / "shop" / "models.py", (later, later))
    worker = start(lite)
    assert worker.call("describe")["pid"] == worker.call("describe")["pid"]


def test_notices_a_file_that_was_saved_while_it_worked(lite: Site, start: Start) -> None:
    """Its state must not be noted anew when the answer loads more modules, or the change would never be seen."""
    lite.write(
        "config/urls.py",
        """
        import pathlib

        path = pathlib.Path(__file__).parent.parent / "shop" / "models.py"
        path.write_text(path.read_text().replace("40", "41"))
        urlpatterns = []
        """,
    )
    worker = start(lite)
    assert "max_length=40" in worker.call("model_changes")["text"]
    assert "max_length=41" in worker.call("model_changes")["text"]
    assert worker.starts == 2


# Deaths and hangs


def test_starts_a_new_one_after_a_kill_in_between(lite: Site, start: Start) -> None:
    worker = start(lite)
    first = worker.call("describe")["pid"]
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: worker._running is not None and not worker._running.alive())
    assert worker.call("describe")["pid"] != first


def test_says_how_the_worker_died_and_what_it_last_printed(lite: Site, start: Start) -> None:
    python_migration(lite, 'print("about to go", flush=True); os._exit(3)')
    worker = start(lite)
    with pytest.raises(errors.WorkerDied) as caught:
        worker.call("migrate")
    assert caught.value.message == (
        "The project's worker ended before it answered 'migrate' (exit status 3). It last printed:\nabout to go"
    )
    assert caught.value.last_output == "about to go"
    assert worker.pid is None
    assert worker.call("history") == []


def test_says_which_signal_killed_the_worker(lite: Site, start: Start) -> None:
    python_migration(lite, "time.sleep(600)")
    worker = start(lite)

    def kill(event: str, data: dict[str, Any]) -> None:
        if event == "begin":
            assert worker.pid is not None
            os.kill(worker.pid, signal.SIGKILL)

    with pytest.raises(errors.WorkerDied, match=r"ended before it answered 'migrate' \(signal SIGKILL\)"):
        worker.call("migrate", on_event=kill)
    assert worker.call("describe")["pid"] == worker.pid


@pytest.mark.parametrize("code", ["while True: pass", "time.sleep(600)"])
def test_ends_a_worker_that_hangs(lite: Site, start: Start, code: str) -> None:
    python_migration(lite, f'print("last words", flush=True)\n    {code}')
    worker = start(lite)
    pid = worker.call("describe")["pid"]
    began = time.monotonic()
    with pytest.raises(errors.WorkerTimeout) as caught:
        worker.call("migrate", timeout=1.0)
    assert time.monotonic() - began < 8
    assert caught.value.last_output.endswith("last words")
    assert "did not answer 'migrate' within 1 s and was ended" in caught.value.message
    assert not alive(pid)
    assert worker.call("describe")["pid"] != pid


def test_ends_a_worker_that_hangs_on_import(lite: Site, start: Start) -> None:
    lite.append_settings('print("importing", flush=True)\nimport time\nwhile True:\n    time.sleep(0.1)')
    worker = start(lite, start_timeout=2.0)
    with pytest.raises(errors.WorkerTimeout) as caught:
        worker.call("describe")
    assert caught.value.last_output == "importing"
    assert worker.pid is None


def test_ends_with_its_context_and_leaves_no_file(lite: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a temporary folder of its own: in the common one the workers of other tests come and go meanwhile."""
    own = tmp_path / "tmp"
    own.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(own))
    with lite.worker() as worker:
        pid = worker.call("describe")["pid"]
        assert list(own.iterdir()) == []  # the log is open, and has no name any more
    assert worker.pid is None
    assert not alive(pid)


# Callbacks, threads


def test_stops_the_work_when_a_callback_raises(lite: Site, start: Start) -> None:
    python_migration(lite, "time.sleep(600)")
    worker = start(lite)

    def fail(event: str, data: dict[str, Any]) -> None:
        raise RuntimeError("the journal is full")

    with pytest.raises(RuntimeError, match="the journal is full"):
        worker.call("migrate", on_event=fail)
    pid = worker.pid
    assert worker.call("history") == []
    assert worker.pid == pid


def test_refuses_a_question_from_a_callback(lite: Site, start: Start) -> None:
    worker = start(lite)
    worker.call("generate")
    with pytest.raises(errors.UsageError, match="from a callback of a request that is still under way"):
        worker.call("migrate", on_event=lambda event, data: worker.call("history"))
    assert worker.call("history") == []


def test_answers_several_threads_one_after_the_other(lite: Site, start: Start) -> None:
    worker = start(lite)
    answers: list[Any] = []
    threads = [
        threading.Thread(
            target=lambda: answers.extend(worker.call(m) for m in ("describe", "history", "model_changes"))
        )
        for _ in range(4)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert len(answers) == 12
    assert worker.starts == 1


# Ctrl-C, and a client that is gone

CLIENT = """
import sys
from pathlib import Path
from tests.project.projects import Site

with Site(Path(sys.argv[1]), Path(sys.argv[2])).worker() as worker:
    print(worker.call("describe")["pid"], flush=True)
    try:
        worker.call("migrate", timeout=None)
    except KeyboardInterrupt:
        print("interrupted", len(worker.call("history")), worker.pid, flush=True)
"""


def client(site: Site) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CLIENT, str(site.folder), str(site.python)],
        cwd=REPO,
        env={**os.environ, "PYTHONPATH": str(REPO)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def sleeping(database: ConnectionInfo) -> list[Any]:
    with connect(database) as connection:
        return connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
            "AND query LIKE '%pg_sleep(300)%' AND state = 'active'"
        ).fetchall()


def sessions(database: ConnectionInfo) -> int:
    with connect(database) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchone()
    assert row is not None
    return int(row[0])


@pytest.fixture(params=["psycopg", "psycopg2"])
def slow(request: pytest.FixtureRequest, tmp_path: Path, server: Server) -> Iterator[tuple[Site, ConnectionInfo]]:
    """A project whose only migration makes a table and then waits in the server for five minutes."""
    database = fresh_database(server, f"slow_{request.param}")
    python = venv(*PSYCOPG2) if request.param == "psycopg2" else None
    site = make_site(tmp_path / "site", database, python=python)
    site.migration(
        "shop",
        "0001_slow",
        'operations = [migrations.RunSQL("CREATE TABLE half_done (id int); SELECT pg_sleep(300)")]',
    )
    yield site, database
    server.drop_database(database.dbname)


def test_ctrl_c_cancels_the_statement_and_rolls_back(slow: tuple[Site, ConnectionInfo]) -> None:
    """psycopg2 does not see a signal before the statement has ended: the worker cancels it from another thread."""
    site, database = slow
    with client(site) as running:
        try:
            wait_until(lambda: sleeping(database))
            began = time.monotonic()
            os.killpg(running.pid, signal.SIGINT)  # as a terminal does: to the whole group
            out, err = running.communicate(timeout=20)
        finally:
            running.kill()
    assert time.monotonic() - began < 8
    first, interrupted = out.splitlines()
    assert interrupted == f"interrupted 0 {first}", err  # nothing recorded, and the same process answered
    assert not sleeping(database)
    with connect(database) as connection, pytest.raises(psycopg.errors.UndefinedTable):
        connection.execute("SELECT * FROM half_done")


def test_leaves_no_orphan_when_the_notebook_is_killed(slow: tuple[Site, ConnectionInfo]) -> None:
    site, database = slow
    with client(site) as running:
        try:
            wait_until(lambda: sleeping(database))
            assert running.stdout is not None
            pid = int(running.stdout.readline())
        finally:
            running.kill()
    began = time.monotonic()
    wait_until(lambda: not alive(pid), 8)
    wait_until(lambda: sessions(database) == 0, 8)
    assert time.monotonic() - began < 8


def test_ends_the_statement_of_a_worker_that_timed_out(slow: tuple[Site, ConnectionInfo]) -> None:
    site, database = slow
    with site.worker() as worker:
        with pytest.raises(errors.WorkerTimeout):
            worker.call("migrate", timeout=3.0)
        wait_until(lambda: sessions(database) == 0, 5)


def test_an_idle_worker_ignores_ctrl_c(lite: Site, start: Start) -> None:
    worker = start(lite)
    pid = worker.call("describe")["pid"]
    os.kill(pid, signal.SIGINT)
    time.sleep(0.2)
    assert worker.call("describe")["pid"] == pid


def test_ctrl_c_stops_python_code_and_calls_back(lite: Site, start: Start) -> None:
    python_migration(lite, "time.sleep(600)")
    worker = start(lite)
    told: list[str] = []

    def on_event(event: str, data: dict[str, Any]) -> None:
        if event == "begin":
            threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()

    with pytest.raises(KeyboardInterrupt):
        worker.call("migrate", on_event=on_event, on_interrupt=lambda: told.append("cancel") or 1 / 0)  # type: ignore[func-returns-value]
    assert told == ["cancel"]
    pid = worker.pid
    assert pid is not None
    assert worker.call("history") == []
    assert worker.pid == pid


# Secrets


def test_secrets_appear_nowhere(
    tmp_path: Path, server: Server, start: Start, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    database = fresh_database(server, "secretive")
    password = database.password.reveal()
    assert len(password) > 8
    site = make_site(tmp_path / "site", database)
    site.env_file.write_text(site.env_file.read_text() + "API_TOKEN=tok-en-918273\n")
    site.models("shop", "class Item(models.Model):\n    title = models.CharField(max_length=40)\n")
    python_migration(site, "schema_editor.connection.cursor().execute('SELECT nothing')")
    worker = start(site)
    described = worker.call("describe")["databases"]["default"]
    assert described["PASSWORD"] == password  # over the channel it goes
    with pytest.raises(errors.OperationFailed) as failed:
        worker.call("migrate")
    with connect(server.info) as connection:
        connection.execute("ALTER DATABASE secretive ALLOW_CONNECTIONS false")
    try:
        site.write("shop/extra.py", "")  # a fresh worker, which can no longer connect
        with pytest.raises(errors.OperationFailed) as refused:
            worker.call("history")
        running = worker._running
        assert running is not None
        seen = [
            repr(worker),
            repr(worker.project),
            repr(running),
            running.last_output(),
            caplog.text,
            *capfd.readouterr(),
        ]
        for caught in (failed, refused):
            seen += [*map(str, vars(caught.value).values()), "".join(traceback.format_exception(caught.value))]
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                seen.append((folder / "cmdline").read_bytes().decode("utf-8", "replace"))
        for secret in (password, SECRET_KEY, "tok-en-918273"):
            assert not [text for text in seen if secret in text]
    finally:
        with connect(server.info) as connection:
            connection.execute("ALTER DATABASE secretive ALLOW_CONNECTIONS true")
        worker.close()
        server.drop_database("secretive")


def test_points_an_alias_at_another_database(tmp_path: Path, server: Server, start: Start) -> None:
    databases = [fresh_database(server, name) for name in ("original", "copy")]
    try:
        site = make_site(tmp_path / "site", databases[0])
        site.models("shop", "class Item(models.Model):\n    title = models.CharField(max_length=40)\n")
        original = start(site)
        original.call("generate")
        copy = start(site, databases={"default": {"NAME": "copy"}})
        copy.call("migrate")
        assert len(copy.call("history")) == 1
        assert original.call("history") == []
        with pytest.raises(errors.DatabaseNotFound):
            start(site, databases={"replica": {"NAME": "copy"}}).call("describe")
    finally:
        original.close()
        copy.close()
        for each in databases:
            server.drop_database(each.dbname)
