"""Apply as the only session, watched over and stopped in time; on PostgreSQL 18."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mig_kit import errors
from mig_kit.postgres import ConnectionInfo, connect
from mig_kit.postgres.lock_holder import find_holder
from mig_kit.postgres.migration_lock import RUNNER_CLASS, MigrationLock
from mig_kit.progress import Progress
from mig_kit.record import Journal
from mig_kit.steps.apply import Waiting, apply
from mig_kit.steps.in_the_way import in_the_way
from mig_kit.steps.target import Target
from tests.poolers import pgbouncer
from tests.project.projects import Site, make_site
from tests.steps.sites import add_field, ask, columns, held, open_site, recorded, shop

SLEEP = "migrations.RunSQL('SELECT pg_sleep(60)')"
ASLEEP = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(60)%' AND state = 'active'"


@pytest.fixture
def site(tmp_path: Path, database: ConnectionInfo) -> Site:
    return shop(make_site(tmp_path / "site", database), database)


@pytest.fixture
def target(site: Site) -> Iterator[Target]:
    with closing(open_site(site)) as opened:
        yield opened


def until(look: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def in_background(work: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Run something in a thread; the list gets what it returned or raised."""
    came: list[Any] = []

    def run() -> None:
        try:
            came.append(work())
        except errors.MigKitError as exc:
            came.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, came


def test_who_is_in_the_way_is_shown_and_kept(site: Site, target: Target, database: ConnectionInfo) -> None:
    add_field(site)
    told: list[Progress] = []
    with held(database, "UPDATE shop_item SET title = 'secret' WHERE id = 1", 60) as release:

        def after_three_tries(event: str, data: dict[str, Any]) -> None:
            if event == "retry" and data["tries"] == 3:
                release()

        result = apply(target, waiting=Waiting(lock_timeout_s=0.3), progress=told.append, on_event=after_three_tries)
    (migration,) = result.migrations
    assert migration.retries >= 3
    assert migration.waited_s > 0.9
    (blocker,) = migration.blockers
    assert "(postgres, a long report, 127.0.0.1), idle in transaction since " in blocker
    assert blocker.endswith(": UPDATE shop_item SET title = ? WHERE id = ?")
    assert [each.sql for each in migration.statements if "ALTER" in each.sql] == [
        'ALTER TABLE "shop_item" ADD COLUMN "a" integer NULL'
    ]
    passing = [each.message for each in told if not each.lasting]
    assert any(f"shop.0002_a: waiting for a lock of {blocker[:20]}" in each for each in passing)
    lasting = [each.message for each in told if each.lasting]
    assert any("try 1 of shop.0002_a: the lock was not to be had, held by process" in each for each in lasting)
    assert result.ended == ()


def test_who_is_in_the_way_is_ended_when_that_was_asked_for(
    site: Site, target: Target, database: ConnectionInfo
) -> None:
    add_field(site)
    with held(database, "SELECT count(*) FROM shop_item", 30):
        began = time.monotonic()
        result = apply(target, waiting=Waiting(lock_timeout_s=1, end_blockers=True))
        assert time.monotonic() - began < 10
    (ended,) = result.ended
    assert ended.startswith("terminate: process ")
    assert "a long report" in ended
    assert "a" in columns(database)


def test_while_it_runs_the_time_is_told_beside_the_rehearsals(site: Site, target: Target) -> None:
    add_field(site, more="migrations.RunSQL('SELECT pg_sleep(2.5)')")
    told: list[str] = []
    apply(target, expected_ms={"shop.0002_a": 2000}, progress=lambda progress: told.append(progress.message))
    assert told[0] == "shop.0002_a … (rehearsed in 2.00 s)"
    assert "shop.0002_a: it runs (2 s, 2.0 s in all when rehearsed)" in told


def test_only_the_session_that_was_chosen_is_ended(site: Site, target: Target, database: ConnectionInfo) -> None:
    add_field(site)
    with (
        held(database, "SELECT count(*) FROM shop_item", 60, name="chosen"),
        held(database, "SELECT count(*) FROM shop_item", 60, name="kept") as release,
    ):
        found = {each.session.application: each.session for each in in_the_way(target).sessions}
        assert set(found) == {"chosen", "kept"}
        assert list(in_the_way(target).to_frame()["tables"]) == ["shop_item", "shop_item"]

        def after_three_tries(event: str, data: dict[str, Any]) -> None:
            if event == "retry" and data["tries"] == 3:
                still = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'kept'"
                assert ask(database, still) == [(1,)]
                release()

        chosen = Waiting(0.5, end_blockers=frozenset((found["chosen"].key,)))
        result = apply(target, waiting=chosen, on_event=after_three_tries)
    (ended,) = result.ended
    assert "chosen" in ended
    assert "a" in columns(database)


def test_it_gives_up_and_names_who_was_in_the_way(site: Site, target: Target, database: ConnectionInfo) -> None:
    add_field(site)
    with held(database, "SELECT count(*) FROM shop_item", 30), pytest.raises(errors.ApplyFailed) as caught:
        apply(target, waiting=Waiting(lock_timeout_s=0.2, give_up_after_s=1))
    first = caught.value.message.splitlines()[0]
    assert first.startswith("shop.0002_a failed: the lock was not to be had: ")
    assert "In its way: process " in caught.value.message
    assert "a long report" in caught.value.message
    assert not caught.value.unfinished
    assert "a" not in columns(database)


def test_a_second_session_is_refused_and_told_whose_the_first_is(
    site: Site, target: Target, database: ConnectionInfo
) -> None:
    add_field(site)
    with held(database, "SELECT count(*) FROM shop_item", 30):
        thread, came = in_background(lambda: apply(target, waiting=Waiting(0.2, give_up_after_s=4)))
        with closing(connect(database)) as conn, closing(open_site(site)) as second:
            key = ask(database, "SELECT oid::int FROM pg_database WHERE datname = current_database()")[0][0]
            until(lambda: (found := find_holder(conn, RUNNER_CLASS, key)) and found.process)
            with pytest.raises(errors.GateClosed) as caught:
                apply(second)
        assert caught.value.gate == "nobody else migrating"
        assert f"process {os.getpid()} (apply) since " in caught.value.message
        thread.join()
    assert isinstance(came[0], errors.ApplyFailed)
    assert apply(target)


def test_a_lost_lock_stops_the_migration_within_two_seconds(
    site: Site, target: Target, database: ConnectionInfo
) -> None:
    add_field(site, more=SLEEP)
    thread, came = in_background(lambda: apply(target))
    until(lambda: ask(database, ASLEEP) == [(1,)])
    began = time.monotonic()
    ask(database, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'mig_kit apply%'")
    until(lambda: ask(database, ASLEEP) == [(0,)], 2)
    assert time.monotonic() - began < 2
    thread.join(20)
    assert isinstance(came[0], errors.ApplyFailed)
    assert came[0].message.startswith(
        "shop.0002_a failed: the lock on migrating this database was lost: "
        "terminating connection due to administrator command."
    )
    assert "a" not in columns(database)
    assert recorded(database) == {"0001_initial"}


def test_a_killed_worker_leaves_no_statement_running_and_the_truth_is_told(
    site: Site, target: Target, database: ConnectionInfo
) -> None:
    add_field(site, more=SLEEP)
    thread, came = in_background(lambda: apply(target))
    until(lambda: ask(database, ASLEEP) == [(1,)])
    assert target.worker.pid is not None
    os.kill(target.worker.pid, signal.SIGKILL)
    thread.join(20)
    assert ask(database, ASLEEP) == [(0,)]
    assert isinstance(came[0], errors.ApplyFailed)
    assert "ended before it answered 'migrate' (signal SIGKILL)" in came[0].message
    assert came[0].not_applied == ()
    assert "a" not in columns(database)
    with MigrationLock.acquire(database) as lock:
        assert lock.held


def test_a_pooler_in_transaction_mode_is_refused_before_anything_runs(site: Site, database: ConnectionInfo) -> None:
    add_field(site)
    with pgbouncer(database, "transaction") as pooled:
        settings = site.folder / "config" / "settings.py"
        settings.write_text(settings.read_text().replace(f"'PORT': {database.port}", f"'PORT': {pooled.port}"))
        settings.write_text(settings.read_text().replace(f'"PORT": {database.port}', f'"PORT": {pooled.port}'))
        with closing(open_site(site)) as target, pytest.raises(errors.GateClosed) as caught:
            apply(target)
    assert caught.value.gate == "a direct connection"
    assert recorded(database) == {"0001_initial"}


CONCURRENTLY = """
atomic = False
dependencies = [("shop", "0001_initial")]
operations = [AddIndexConcurrently("Item", models.Index(fields=["title"], name="item_title"))]
"""


def test_a_concurrent_build_that_waits_too_long_is_cancelled_and_leaves_nothing(
    site: Site, target: Target, database: ConnectionInfo
) -> None:
    site.migration(
        "shop",
        "0002_index",
        CONCURRENTLY,
        imports="from django.contrib.postgres.operations import AddIndexConcurrently",
    )
    with held(database, "UPDATE shop_item SET title = title", 4), pytest.raises(errors.ApplyFailed) as caught:
        apply(target, waiting=Waiting(give_up_after_s=1))
    first = caught.value.message.splitlines()[0]
    assert first.startswith("shop.0002_index failed: it has waited for 1 s: waiting for a lock of process ")
    assert first.endswith("The index 'item_title', left invalid by that, was dropped again.")
    assert ask(database, "SELECT to_regclass('item_title') IS NULL") == [(True,)]
    assert apply(target)
    assert ask(database, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'item_title'::regclass") == [(True,)]


def test_a_migration_that_leaves_the_database_another_way_stops_the_rest(
    site: Site, target: Target, database: ConnectionInfo
) -> None:
    add_field(site)
    add_field(site, "0003_b", "b", "0002_a")
    with pytest.raises(errors.ApplyFailed) as caught:
        apply(target, checked=lambda app, name, back: f"{name} left column x" if name == "0002_a" else None)
    assert caught.value.message.startswith(
        "shop.0002_a failed: it ran, and the database is not as it should be: 0002_a left column x."
    )
    assert (caught.value.applied, caught.value.not_applied) == (("shop.0002_a",), ("shop.0003_b",))
    assert recorded(database) == {"0001_initial", "0002_a"}


def test_an_index_that_is_left_invalid_stops_the_rest(site: Site, target: Target, database: ConnectionInfo) -> None:
    add_field(
        site,
        more='migrations.RunSQL("CREATE INDEX bad ON shop_item (title); UPDATE pg_index SET indisvalid = false '
        "WHERE indexrelid = 'bad'::regclass\")",
    )
    with pytest.raises(errors.ApplyFailed) as caught:
        apply(target)
    assert "it left an index that is not valid: public.bad" in caught.value.message


def test_nothing_is_applied_that_cannot_be_written_down(
    site: Site, target: Target, database: ConnectionInfo, tmp_path: Path
) -> None:
    """The journal's disk is full: every write to it fails."""
    add_field(site)
    journal = tmp_path / "journal.jsonl"
    journal.symlink_to("/dev/full")
    with pytest.raises(errors.ApplyFailed) as caught:
        apply(target, journal=Journal(journal))
    assert "could not be written" in caught.value.message
    assert caught.value.applied == ()
    assert "a" not in columns(database)


def test_the_journal_has_each_step_before_and_after(
    site: Site, target: Target, database: ConnectionInfo, tmp_path: Path
) -> None:
    add_field(site)
    site.migration(
        "shop",
        "0003_index",
        CONCURRENTLY.replace("0001_initial", "0002_a"),
        imports="from django.contrib.postgres.operations import AddIndexConcurrently",
    )
    journal = Journal(tmp_path / "journal.jsonl")
    apply(target, journal=journal)
    kinds = [each.kind for each in journal.entries() if each.kind != "statement"]
    assert kinds == [
        "apply announced",
        "migration announced",
        "migration applied",
        "migration announced",
        "operation announced",
        "statement announced",
        "statement done",
        "operation done",
        "migration applied",
        "apply ended",
    ]
    first = journal.entries()[0].data
    assert first["plan"] == [
        {"app": "shop", "name": "0002_a", "backwards": False},
        {"app": "shop", "name": "0003_index", "backwards": False},
    ]
    assert first["database"] == database.dbname
    assert first["server_started"]
