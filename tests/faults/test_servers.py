"""The server stopped in mid-migration, the wire cut, the disk full, time run out: resumed, or refused rightly."""

from __future__ import annotations

import functools
import multiprocessing
import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mig_kit import errors
from mig_kit.postgres import ConnectionInfo, Server, postmaster
from mig_kit.record import Journal
from mig_kit.steps.apply import Waiting, apply
from mig_kit.steps.resume import look, resume
from mig_kit.steps.target import Target
from mig_kit.steps.unfinished import Way
from tests.faults.fuse import Fuse
from tests.faults.plans import Plan, Stand, every_kind
from tests.project.projects import Site, make_site
from tests.proxy import proxied
from tests.servers import pg_server
from tests.steps.sites import add_field, ask, columns, held, open_site, recorded, shop

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]


def finish(kinds: Plan, target: Target, journal: Journal) -> str:
    """Go on the way that is offered; where only code that ran could tell, say that it may run again."""
    found = look(target)
    if found is None:
        apply(target, journal=journal)
        return "nothing"
    if found.way is Way.CHOOSE:
        assert found.current is not None
        assert "Raw Python operation" in found.current.operation, found.words
        resume(target, choice="again", journal=journal)
    else:
        resume(target, journal=journal)
    return str(found.way)


def at_boundaries(
    kinds: Plan, target: Target, step: int, blow: Callable[[], None], mend: Callable[[], None]
) -> set[str]:
    """Let it happen at every ``step``-th boundary of an apply; each time the database ends as undisturbed."""
    ways: set[str] = set()
    at = 1
    while True:
        kinds.reset(applied=False)
        fuse = Fuse(kinds.journal("one").path, at, blow)
        if not fuse.burns(functools.partial(apply, target, journal=fuse)):
            return ways
        mend()
        way = finish(kinds, target, kinds.journal("two"))
        ways.add(way)
        assert kinds.after.differences(Stand.of(kinds.database)) == [], f"{fuse.where}, then: {way}"
        at += step


@pytest.fixture(scope="module")
def own_server() -> Iterator[Server]:
    with pg_server(18) as server:
        yield server


def test_a_server_that_is_stopped_at_once_loses_nothing(own_server: Server, tmp_path: Path) -> None:
    def stop() -> None:
        running = postmaster.running(own_server.cluster)
        assert running is not None
        os.kill(running.pid, signal.SIGQUIT)  # pg_ctl stop -m immediate
        while postmaster.running(own_server.cluster) is not None:
            time.sleep(0.02)

    with every_kind(tmp_path / "site", own_server, "stopped") as kinds, closing(open_site(kinds.site)) as target:
        ways = at_boundaries(kinds, target, 5, stop, lambda: own_server.start() and None)
    assert {"go on", "finish the rest"} <= ways


def test_a_wire_that_is_cut_loses_nothing(server: Server, tmp_path: Path) -> None:
    with every_kind(tmp_path / "site", server, "cut") as kinds, proxied(kinds.database) as proxy:
        settings = kinds.site.folder / "config" / "settings.py"
        settings.write_text(
            settings.read_text().replace(f'"PORT": {kinds.database.port}', f'"PORT": {proxy.info.port}')
        )
        with closing(open_site(kinds.site)) as target:
            assert target.info is not None
            assert target.info.port == proxy.info.port
            ways = at_boundaries(kinds, target, 4, proxy.cut, lambda: None)
    assert {"go on", "finish the rest"} <= ways


@pytest.fixture
def site(tmp_path: Path, database: ConnectionInfo) -> Site:
    return shop(make_site(tmp_path / "site", database), database)


@pytest.fixture
def target(site: Site) -> Iterator[Target]:
    with closing(open_site(site)) as opened:
        yield opened


def in_a_process(work: Callable[[], Any]) -> list[str]:
    """Run something in a process of its own; return what it raised, by class and message."""
    context = multiprocessing.get_context("fork")
    reader, writer = context.Pipe(duplex=False)

    def run() -> None:
        try:
            work()
            writer.send([])
        except BaseException as exc:
            writer.send([type(exc).__name__, str(exc)])
        os._exit(0)

    process = context.Process(target=run)
    process.start()
    writer.close()
    said: list[str] = reader.recv()
    process.join(30)
    return said


@pytest.mark.parametrize("room", [0, 700, 1500, 3000])
def test_a_disk_that_fills_under_the_journal_stops_what_could_not_be_written_down(
    site: Site, target: Target, database: ConnectionInfo, room: int
) -> None:
    add_field(site, more="migrations.RunSQL('CREATE TABLE made (id int)')")
    add_field(site, "0003_b", "b", "0002_a")
    folder = site.folder / ".mig" / "runs" / "one"
    folder.mkdir(parents=True)
    journal = Journal(folder / "journal.jsonl")
    journal.append("session opened")

    def with_little_room() -> None:
        with closing(open_site(site)) as own:
            limit = journal.path.stat().st_size + room
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            apply(own, journal=journal)

    said = in_a_process(with_little_room)
    assert said[0] in ("ApplyFailed", "RecordError"), said
    assert "could not be written: File too large" in said[1]
    announced = {str(each.data["name"]) for each in journal.entries() if each.kind == "migration announced"}
    assert recorded(database) - {"0001_initial"} <= announced
    assert ("a" in columns(database)) == ("0002_a" in recorded(database))
    found = look(target)
    assert found is None or found.way is Way.GO_ON
    apply(target, journal=journal)
    assert recorded(database) == {"0001_initial", "0002_a", "0003_b"}


def test_a_disk_that_fills_under_the_server_rolls_back_and_says_so(tmp_path: Path) -> None:
    """A file of the server's may grow to 17 MB only, which is enough for its log: as when the disk ends there."""
    with pg_server(18) as own:
        database = own.create_database("full")
        site = shop(make_site(tmp_path / "site", database), database)
        fill = "INSERT INTO shop_item (title) SELECT repeat('x', 40) FROM generate_series(1, 400000)"
        add_field(site, more=f'migrations.RunSQL("{fill}")')
        own.stop()
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (17 << 20, before[1]))
        try:
            own.start()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        with closing(open_site(site)) as target, pytest.raises(errors.ApplyFailed) as caught:
            apply(target)
        assert "could not extend file" in caught.value.message
        assert "File too large" in caught.value.message
        assert (caught.value.applied, caught.value.unfinished) == ((), False)
        assert recorded(database) == {"0001_initial"}
        assert "a" not in columns(database)


def test_a_statement_timeout_of_the_role_is_named_and_what_is_done_is_gone_on_from(
    site: Site, target: Target, database: ConnectionInfo
) -> None:
    ask(database, f'ALTER DATABASE "{database.dbname}" SET statement_timeout = 400')
    site.migration(
        "shop",
        "0002_parts",
        'atomic = False\ndependencies = [("shop", "0001_initial")]\noperations = [\n'
        '    migrations.AddField("Item", "a", models.IntegerField(null=True)),\n'
        '    migrations.RunSQL("SELECT pg_sleep(1) FROM shop_item WHERE id = 1"),\n]',
    )
    folder = site.folder / ".mig" / "runs" / "one"
    folder.mkdir(parents=True)
    journal = Journal(folder / "journal.jsonl")
    with pytest.raises(errors.ApplyFailed) as caught:
        apply(target, journal=journal)
    assert "A statement may run for 0.4 s on this connection (statement_timeout)" in caught.value.message
    assert caught.value.hint.startswith("let the role that migrates take longer")
    ask(database, f'ALTER DATABASE "{database.dbname}" RESET statement_timeout')
    target.close()
    resume(target, journal=journal)
    assert recorded(database) == {"0001_initial", "0002_parts"}


def test_a_blocker_that_somebody_else_ends_lets_it_through(
    site: Site, target: Target, database: ConnectionInfo
) -> None:
    add_field(site)
    with held(database, "SELECT count(*) FROM shop_item", 60, name="victim"):

        def end_it(event: str, data: dict[str, Any]) -> None:
            if event == "retry" and data["tries"] == 2:
                ask(
                    database, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'victim'"
                )

        result = apply(target, waiting=Waiting(0.2), on_event=end_it)
    assert result.migrations[0].retries >= 2
    assert "a" in columns(database)


def test_what_a_killed_session_ran_is_ended_on_the_server(site: Site, target: Target, database: ConnectionInfo) -> None:
    add_field(site, more="migrations.RunSQL('SELECT pg_sleep(120)')")
    context = multiprocessing.get_context("fork")

    def run() -> None:
        with closing(open_site(site)) as own:
            apply(own)

    process = context.Process(target=run)
    process.start()
    asleep = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(120)%' AND state = 'active'"
    until(lambda: ask(database, asleep) == [(1,)])
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    began = time.monotonic()
    until(lambda: ask(database, asleep) == [(0,)])
    assert time.monotonic() - began < 10
    process.join()
    assert "a" not in columns(database)


def test_an_interrupted_concurrent_build_is_done_again(site: Site, target: Target, database: ConnectionInfo) -> None:
    """Ctrl-C cancels it on the server, which leaves an invalid index: the next session removes it and builds anew."""
    site.migration(
        "shop",
        "0002_index",
        'atomic = False\ndependencies = [("shop", "0001_initial")]\n'
        'operations = [AddIndexConcurrently("Item", models.Index(fields=["title"], name="item_title"))]',
        imports="from django.contrib.postgres.operations import AddIndexConcurrently",
    )
    folder = site.folder / ".mig" / "runs" / "one"
    folder.mkdir(parents=True)
    journal = Journal(folder / "journal.jsonl")
    building = "SELECT count(*) FROM pg_stat_progress_create_index WHERE phase LIKE 'waiting for%'"
    with held(database, "UPDATE shop_item SET title = title", 60):

        def interrupt() -> None:
            until(lambda: ask(database, building) == [(1,)])
            target.worker.interrupt()

        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(errors.ApplyFailed) as caught:
            apply(target, journal=journal)
        thread.join()
    assert caught.value.unfinished
    assert ask(database, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'item_title'::regclass") == [(False,)]
    found = look(target)
    assert found is not None
    assert found.way is Way.FINISH_REST
    assert "the index itself tells whether it is done" in found.words
    resume(target, journal=journal)
    assert ask(database, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'item_title'::regclass") == [(True,)]


def until(look: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.05)
